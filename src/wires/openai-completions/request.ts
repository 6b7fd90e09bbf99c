import type { z } from 'zod';
import { GatewayError } from '../../errors.ts';
import type { Generation } from '../generation.ts';
import { isObject } from '../json-object.ts';
import { generationOf } from '../openai-chat/generation.ts';
import type { streamOptionsSchema } from '../openai-chat/parameters.ts';
import { once } from '../once.ts';
import { readFields, type CheckedFields } from '../parameter.ts';
import { NO_FACTS, NO_MEDIA, type InferenceRequest, type ParseOptions, type ReadBody } from '../request.ts';
import { readRouting } from '../routing-options.ts';
import type { JsonObject } from '../wire.ts';
import { PARAMETERS } from './parameters.ts';

/** What OpenAI documents for a request without a cap. */
const USUAL_CAP = 16;

type Prompt = string | readonly string[] | readonly number[] | readonly (readonly number[])[];

/** Reads a legacy completions request: https://platform.openai.com/docs/api-reference/completions/create */
export function parseCompletionsRequest(body: ReadBody, { streamDefault, allowParameters }: ParseOptions): InferenceRequest {
  const { fields: sent } = body;
  if ((sent['prompt'] ?? null) === null) throw invalid('prompt', 'is required');
  const checked = readFields(body, PARAMETERS, { allowParameters });
  const { fields, own, extras, unruled } = checked;
  const prompt = sent['prompt'] as Prompt;
  const streamOptions = own['stream_options'] as z.infer<typeof streamOptionsSchema> | undefined;
  const stream = (own['stream'] as boolean | undefined) ?? streamDefault;
  return {
    wire: 'openai-completions',
    operation: 'generate',
    model: (own['model'] as string | undefined) ?? 'auto',
    stream,
    includeUsage: streamOptions?.include_usage === true,
    completions: completionsOf(fields, prompt, stream),
    outputCap: (own['max_tokens'] as number | undefined) ?? USUAL_CAP,
    routing: readRouting(own['routing']),
    unruled,
    fields,
    extras,
    own,
    ...ownWireOnly(fields, prompt),
    media: NO_MEDIA,
    bodyBytes: body.bodyBytes,
    facts: () => ({ ...NO_FACTS, asked: textOf(prompt), opening: textOf(prompt) }),
    generation: once(() => canonical(checked, prompt)),
    embedding: () => {
      throw new Error('a completions request embeds nothing');
    },
  };
}

/** Of each prompt `n` are given and `best_of` are generated. */
function completionsOf({ n, best_of: best }: JsonObject, prompt: Prompt, stream: boolean): number {
  const given = (n as number | undefined) ?? 1;
  const generated = (best as number | undefined) ?? given;
  if (generated < given) throw invalid('best_of', 'must be at least n');
  if (stream && generated > given) throw invalid('best_of', 'more than n cannot be streamed');
  return generated * (isOne(prompt) ? 1 : prompt.length);
}

/** One text, or the tokens of one. */
function isOne(prompt: Prompt): boolean {
  return typeof prompt === 'string' || typeof prompt[0] === 'number';
}

function textOf(prompt: Prompt): string {
  const first = typeof prompt === 'string' ? prompt : prompt[0];
  return typeof first === 'string' ? first : '';
}

/** What a model that chats cannot be asked. */
function ownWireOnly(fields: JsonObject, prompt: Prompt): { ownWireOnly?: string } {
  const { n, best_of: best, echo, suffix, logprobs } = fields;
  if (!isOne(prompt) && prompt.length > 1) return { ownWireOnly: 'prompt' };
  if (typeof prompt !== 'string' && typeof prompt[0] !== 'string') return { ownWireOnly: 'prompt' };
  if (echo === true) return { ownWireOnly: 'echo' };
  if (typeof suffix === 'string' && suffix !== '') return { ownWireOnly: 'suffix' };
  if (logprobs !== undefined) return { ownWireOnly: 'logprobs' };
  return typeof best === 'number' && best > ((n as number | undefined) ?? 1) ? { ownWireOnly: 'best_of' } : {};
}

/** The prompt as the user's message; the settings have the names of the chat wire. */
function canonical({ fields, extras, own }: CheckedFields, prompt: Prompt): Generation {
  const { stop, temperature, top_p: topP, seed, presence_penalty: presence, frequency_penalty: frequency, logit_bias: bias } = fields;
  const settings = { stop, temperature, top_p: topP, seed, presence_penalty: presence, frequency_penalty: frequency };
  const messages = [{ role: 'user', content: textOf(prompt) }];
  return generationOf({ messages, ...settings, ...(isObject(bias) && { logit_bias: bias }) }, extras, own);
}

function invalid(param: string, message: string): GatewayError {
  return new GatewayError('invalid_request', { message: `${param}: ${message}`, param });
}
