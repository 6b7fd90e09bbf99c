import type { Answer } from '../answer.ts';
import type { Part } from '../generation.ts';
import { isObject, textIn } from '../json-object.ts';
import { packToolId } from '../tool-id.ts';
import type { AnswerContext, JsonObject, SettledFigures } from '../wire.ts';
import { inputOf } from './content.ts';
import { finishToWire } from './finish.ts';
import { sealedBlock, signsPrevious, thinkingBlock } from './marks.ts';
import { knownUsage, usageToWire } from './usage.ts';

/** An answer that came in another wire, as a message: https://docs.anthropic.com/en/api/messages. */
export function messageBody({ completions, usage }: Answer, context: AnswerContext): JsonObject {
  const [only] = completions;
  return {
    ...messageHead(context),
    content: (only?.parts ?? []).flatMap((part, index) => blocksOfPart(part, callId(part, index, context))),
    ...finishToWire(only?.finish ?? { reason: 'stop' }),
    usage: usageToWire(knownUsage(usage)),
  };
}

/** What a message says of itself before its content. */
export function messageHead({ requestId, model }: AnswerContext): JsonObject {
  return { id: `msg_${plain(requestId)}`, type: 'message', role: 'assistant', model };
}

/** The same message with the billed counts and the costs in its usage. */
export function messageWithFigures(body: JsonObject, { billed, costs }: SettledFigures): JsonObject {
  const told = isObject(body['usage']) ? body['usage'] : {};
  return { ...body, usage: { ...told, ...usageToWire(billed), ...costs } };
}

/** The id of a call, in the alphabet of this wire; made up where its provider gave none. */
export function toolUseId(id: string, number: number, { requestId }: AnswerContext): string {
  return id === '' ? `toolu_${plain(requestId)}_${number}` : packToolId(id);
}

function callId(part: Part, index: number, context: AnswerContext): string {
  return part.type === 'tool_call' ? toolUseId(part.id, index, context) : '';
}

function plain(requestId: string): string {
  return requestId.replaceAll(/[^a-zA-Z0-9]/g, '');
}

function blocksOfPart(part: Part, id: string): JsonObject[] {
  switch (part.type) {
    case 'text': {
      const citations = (part.citations ?? []).flatMap((citation) => citationToWire(citation) ?? []);
      const block = { type: 'text', text: part.text, ...(citations.length > 0 && { citations }) };
      return part.signature ? [block, signsPrevious(part.signature)] : [block];
    }
    case 'refusal':
      return [{ type: 'text', text: part.text }];
    case 'reasoning':
      return [part.redacted ? sealedBlock(part.redacted) : thinkingBlock(part.text, part.signature)];
    case 'tool_call': {
      const block = { type: 'tool_use', id, name: part.name, input: inputOf(part) };
      return part.signature ? [block, signsPrevious(part.signature)] : [block];
    }
    // No answer holds them.
    case 'image':
    case 'document':
    case 'tool_result':
      return [];
  }
}

/** A citation in this wire's words; undefined where it has none for it. */
export function citationToWire(citation: unknown): JsonObject | undefined {
  if (!isObject(citation)) return undefined;
  if (textIn(citation['type']).endsWith('_location')) return citation;
  // OpenAI's annotations, and Gemini's sources.
  const source = [citation['url_citation'], citation['web'], citation].find(isObject) ?? {};
  const url = textIn(source['url']) || textIn(source['uri']);
  if (url === '') return undefined;
  const title = textIn(source['title']) || null;
  return { type: 'web_search_result_location', url, title, cited_text: textIn(source['cited_text']), encrypted_index: '' };
}
