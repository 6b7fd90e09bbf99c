import { isObject, listIn, textIn } from '../json-object.ts';
import type { InferenceRequest, ParseOptions, ReadBody } from '../request.ts';
import { hiddenTokens } from './hidden-text.ts';
import { blocksIn } from './parameters.ts';
import { parseMessages } from './request.ts';

/** About what the API counts for a picture of the usual size. */
const IMAGE_TOKENS = 1_600;
/** About how many bytes of a PDF, in base64, come to a token. */
const DOCUMENT_BYTES_PER_TOKEN = 40;
/** What stands around every message, and around the whole. */
const MESSAGE_TOKENS = 4;
const FRAME_TOKENS = 3;

/** Reads a body of `/v1/messages/count_tokens`: a request that needs no output cap. Throws as for messages. */
export function parseCountRequest(body: ReadBody, options: ParseOptions): InferenceRequest {
  return parseMessages(body, options, { needsCap: false });
}

/**
 * The answer of `/v1/messages/count_tokens`: an estimate that asks no provider.
 * @param count tokens of a text, by the tokenizer of the model that is asked for, or one that comes near.
 */
export async function countInputTokens(
  request: InferenceRequest,
  count: (text: string) => number | Promise<number>,
): Promise<{ input_tokens: number }> {
  const { fields, media } = request;
  const texts = listIn(fields['messages']).map((message) => (isObject(message) ? textOf(message['content']) : ''));
  const tools = listIn(fields['tools']);
  const text = [textOf(fields['system']), ...texts, ...(tools.length > 0 ? [JSON.stringify(tools)] : [])].join('\n');
  const around = FRAME_TOKENS + texts.length * MESSAGE_TOKENS + hiddenTokens(fields);
  const pictured = media.images * IMAGE_TOKENS + Math.ceil(media.documentBytes / DOCUMENT_BYTES_PER_TOKEN);
  return { input_tokens: Math.ceil(await count(text)) + around + pictured };
}

/** What a model reads of the blocks of a turn. */
function textOf(content: unknown): string {
  return blocksIn(content)
    .map((block) => {
      const { text, thinking, name, input, content: inner, source } = block;
      const called = input === undefined ? '' : `${textIn(name)} ${JSON.stringify(input)}`;
      const document = isObject(source) && source['type'] === 'text' ? textIn(source['data']) : '';
      const within = isObject(source) && source['type'] === 'content' ? textOf(source['content']) : '';
      return [textIn(text), textIn(thinking), called, textOf(inner), document, within].filter((one) => one !== '').join('\n');
    })
    .join('\n');
}
