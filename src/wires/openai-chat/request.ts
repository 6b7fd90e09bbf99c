import type { z } from 'zod';
import { GatewayError } from '../../errors.ts';
import { isObject, textIn } from '../json-object.ts';
import { once } from '../once.ts';
import { readFields, type Parameters } from '../parameter.ts';
import type { Facts, InferenceRequest, ParseOptions, ReadBody } from '../request.ts';
import { readRouting } from '../routing-options.ts';
import type { JsonObject } from '../wire.ts';
import { mediaOf, textOf, type ChatMessage } from './messages.ts';
import { generationOf } from './generation.ts';
import { PARAMETERS, type streamOptionsSchema } from './parameters.ts';

/**
 * Reads a chat-completions request (https://platform.openai.com/docs/api-reference/chat/create).
 * @param parameters with those of a path that takes more than the wire does: they are among the request's `own`.
 */
export function parseChatRequest(
  body: ReadBody,
  { streamDefault, allowParameters }: ParseOptions,
  parameters: Parameters = PARAMETERS,
): InferenceRequest {
  const { fields: sent } = body;
  if (sent['messages'] === undefined || sent['messages'] === null)
    throw new GatewayError('invalid_request', { message: 'messages: is required', param: 'messages' });
  const { fields, own, extras, unruled } = readFields(body, parameters, { allowParameters });
  const messages = sent['messages'] as ChatMessage[];
  const streamOptions = own['stream_options'] as z.infer<typeof streamOptionsSchema> | undefined;
  return {
    wire: 'openai-chat',
    operation: 'generate',
    model: (own['model'] as string | undefined) ?? 'auto',
    stream: (own['stream'] as boolean | undefined) ?? streamDefault,
    includeUsage: streamOptions?.include_usage === true,
    completions: (fields['n'] as number | undefined) ?? 1,
    outputCap: outputCap(own),
    routing: readRouting(own['routing']),
    unruled,
    fields,
    extras,
    own,
    media: mediaOf(messages),
    bodyBytes: body.bodyBytes,
    facts: () => factsOf(messages, sent),
    generation: once(() => generationOf(fields, extras, own)),
    embedding: () => {
      throw new Error('a chat request embeds nothing');
    },
  };
}

function factsOf(messages: readonly ChatMessage[], fields: JsonObject): Facts {
  const asked = messages.filter(({ role }) => role === 'user');
  const instructions = messages.filter(({ role }) => role === 'system' || role === 'developer');
  const format = fields['response_format'];
  return {
    asked: textOf(asked.at(-1)),
    turns: asked.length,
    hasTools: [fields['tools'], fields['functions']].some((tools) => Array.isArray(tools) && tools.length > 0),
    system: instructions.map(textOf).join('\n'),
    opening: textOf(asked[0]),
    cacheKey: textIn(fields['prompt_cache_key']) || null,
    wantsJson: isObject(format) && format['type'] !== 'text',
  };
}

function outputCap(own: JsonObject): number | null {
  const older = own['max_tokens'] as number | undefined;
  const newer = own['max_completion_tokens'] as number | undefined;
  if (older !== undefined && newer !== undefined && older !== newer) {
    throw new GatewayError('invalid_request', {
      message: 'max_tokens and max_completion_tokens differ; send one of them.',
      param: 'max_tokens',
    });
  }
  return newer ?? older ?? null;
}
