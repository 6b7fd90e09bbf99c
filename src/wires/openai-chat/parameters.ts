import { z } from 'zod';
import { listOf, recordOf } from '../../list-of.ts';
import { messagesSchema } from './messages.ts';

/**
 * What each top-level field of an OpenAI chat request means for the bill:
 * - `free`: passed on whole; it cannot make the request dearer than prompt + n × output cap.
 * - `multiplies`: passed on, and counted by the quote.
 * - `gateway`: read by the gateway, which sends upstream what it decides itself.
 * - `refused`: refused by name, because its cost is unknown or it names an object stored upstream.
 */
export type ParameterRule = 'free' | 'multiplies' | 'gateway' | 'refused';

export interface Parameter {
  readonly rule: ParameterRule;
  readonly schema: z.ZodType;
  /** What a client may say of a refused field because it changes nothing. */
  readonly harmless?: unknown;
}

const free = (schema: z.ZodType): Parameter => ({ rule: 'free', schema: schema.nullish() });
const gateway = (schema: z.ZodType): Parameter => ({ rule: 'gateway', schema: schema.nullish() });
const REFUSED: Parameter = { rule: 'refused', schema: z.unknown() };

const MOST_TOOLS = 1024;

/** Some clients ask for the largest number that they know. */
const cap = z.number().refine(Number.isInteger, 'must be a whole number').min(1, 'must be at least 1');
const name = z.string().max(512);
const tool = z.looseObject({ type: z.enum(['function', 'custom'], 'must be function or custom') });

/** How a request wants to be routed; the gateway's own extension of the OpenAI request. */
export const routingSchema = z.strictObject({
  quality: z.enum(['high', 'low']).nullish(),
  prefer: z.string().min(1).max(128).nullish(),
  /** USD. */
  maxCost: z.number().min(0).max(1_000_000).nullish(),
  /** Milliseconds. */
  maxLatency: z.number().min(1).max(86_400_000).nullish(),
  excludeProviders: listOf(z.string().min(1).max(128), { max: 64 }).nullish(),
});

export const streamOptionsSchema = z.looseObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() });

/**
 * Every top-level field of the OpenAI chat-completions request
 * (https://platform.openai.com/docs/api-reference/chat/create). A field that is not here is refused by name.
 */
export const PARAMETERS: ReadonlyMap<string, Parameter> = new Map<string, Parameter>([
  ['messages', { rule: 'free', schema: messagesSchema }],

  ['model', gateway(z.string().min(1).max(256))],
  ['routing', gateway(routingSchema)],
  ['stream', gateway(z.boolean())],
  ['stream_options', gateway(streamOptionsSchema)],
  ['max_tokens', gateway(cap)],
  ['max_completion_tokens', gateway(cap)],
  ['store', gateway(z.boolean())],
  // Labels of stored answers, and nothing is stored: accepted, not sent.
  ['metadata', gateway(recordOf(z.string()))],
  ['user', gateway(name)],
  ['safety_identifier', gateway(name)],
  ['prompt_cache_key', gateway(name)],

  ['n', { rule: 'multiplies', schema: z.int().min(1).max(128).nullish() }],

  ['frequency_penalty', free(z.number())],
  ['function_call', free(z.union([z.string(), z.looseObject({ name: z.string() })]))],
  ['functions', free(listOf(z.looseObject({ name: z.string() }), { max: MOST_TOOLS, of: 'functions' }))],
  ['logit_bias', free(recordOf(z.number()))],
  ['logprobs', free(z.boolean())],
  ['modalities', free(listOf(z.literal('text', 'only text is supported')))],
  ['parallel_tool_calls', free(z.boolean())],
  ['presence_penalty', free(z.number())],
  // Cache writes are dearer than input; the quote takes the dearest input rate.
  ['prompt_cache_options', free(z.looseObject({ ttl: z.literal('30m', 'only 30m has a known price').nullish() }))],
  ['prompt_cache_retention', free(z.enum(['in_memory', '24h']))],
  ['reasoning_effort', free(z.string())],
  ['response_format', free(z.looseObject({ type: z.string() }))],
  ['seed', free(z.number())],
  // Other tiers of service have other prices.
  ['service_tier', free(z.enum(['auto', 'default'], 'must be auto or default'))],
  ['stop', free(z.union([z.string(), listOf(z.string())]))],
  ['temperature', free(z.number())],
  ['tool_choice', free(z.union([z.string(), z.looseObject({ type: z.string() })]))],
  ['tools', free(listOf(tool, { max: MOST_TOOLS, of: 'tools' }))],
  ['top_logprobs', free(z.int().min(0))],
  ['top_p', free(z.number())],
  ['verbosity', free(z.string())],

  // Priced by the second, by the call, or beyond the output cap.
  ['audio', REFUSED],
  ['moderation', REFUSED],
  ['prediction', REFUSED],
  ['web_search_options', REFUSED],
  // Name objects stored in the provider's account, which all tenants share.
  ['background', { ...REFUSED, harmless: false }],
  ['conversation', REFUSED],
  ['previous_response_id', REFUSED],
  ['prompt', REFUSED],
]);
