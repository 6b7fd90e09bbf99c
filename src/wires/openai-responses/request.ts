import { GatewayError } from '../../errors.ts';
import { once } from '../once.ts';
import { readFields } from '../parameter.ts';
import type { Facts, InferenceRequest, ParseOptions, ReadBody } from '../request.ts';
import { readRouting } from '../routing-options.ts';
import type { JsonObject } from '../wire.ts';
import { generationOf } from './generation.ts';
import { mediaOf, textOfContent } from './media.ts';
import { PARAMETERS } from './parameters.ts';
import { hostedTypes } from './tools.ts';
import { isObject, objectsIn, textIn } from '../json-object.ts';

/** Reads a request for a response. */
export function parseResponseRequest(body: ReadBody, { streamDefault, allowParameters }: ParseOptions): InferenceRequest {
  const { fields } = body;
  if ((fields['input'] ?? null) === null) throw new GatewayError('invalid_request', { message: 'input: is required', param: 'input' });
  const { fields: kept, own, extras, unruled } = readFields(body, PARAMETERS, { allowParameters });
  refuseForcedHosted(fields);
  return {
    wire: 'openai-responses',
    operation: 'generate',
    model: (own['model'] as string | undefined) ?? 'auto',
    stream: (own['stream'] as boolean | undefined) ?? streamDefault,
    // Always there, in the last event.
    includeUsage: true,
    completions: 1,
    outputCap: (own['max_output_tokens'] as number | undefined) ?? null,
    routing: readRouting(own['routing']),
    unruled,
    fields: kept,
    extras,
    own,
    media: mediaOf(fields['input']),
    bodyBytes: body.bodyBytes,
    facts: () => factsOf(fields),
    generation: once(() => generationOf(fields)),
    embedding: () => {
      throw new Error('a request for a response embeds nothing');
    },
  };
}

/** Tools that run at the provider are left out: a client that has no others cannot ask for a call. */
function refuseForcedHosted({ tools, tool_choice: choice }: JsonObject): void {
  if (choice !== 'required') return;
  const hosted = hostedTypes(tools);
  if (hosted.length === 0 || hosted.length < new Set(objectsIn(tools).map(({ type }) => type)).size) return;
  throw new GatewayError('unknown_parameter', {
    message: `tool_choice: ${hosted.join(', ')} cannot be forced: it is not supported.`,
    param: 'tool_choice',
  });
}

function factsOf({ input, instructions, tools, text, prompt_cache_key: cacheKey }: JsonObject): Facts {
  const format = isObject(text) ? text['format'] : undefined;
  const rest = {
    hasTools: objectsIn(tools).length > 0,
    cacheKey: textIn(cacheKey) || null,
    wantsJson: isObject(format) && format['type'] !== 'text',
  };
  if (typeof input === 'string') return { ...rest, asked: input, opening: input, turns: 1, system: textIn(instructions) };
  const messages = objectsIn(input).filter(({ type = 'message' }) => type === 'message');
  const asked = messages.filter(({ role }) => role === 'user');
  const told = messages.filter(({ role }) => role === 'system' || role === 'developer');
  return {
    ...rest,
    asked: textOfContent(asked.at(-1)?.['content']),
    opening: textOfContent(asked[0]?.['content']),
    turns: asked.length,
    system: [textIn(instructions), ...told.map(({ content }) => textOfContent(content))].filter((part) => part !== '').join('\n'),
  };
}
