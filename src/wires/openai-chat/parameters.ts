import { z } from 'zod';
import { listOf, recordOf } from '../../list-of.ts';
import type { Parameter, Parameters } from '../parameter.ts';
import { routingSchema } from '../routing-options.ts';
import { messagesSchema } from './messages.ts';

const free = (schema: z.ZodType): Parameter => ({ rule: 'free', schema: schema.nullish() });
const gateway = (schema: z.ZodType): Parameter => ({ rule: 'gateway', schema: schema.nullish() });
const HARMLESS_PARAMETER: Parameter = { rule: 'harmless', schema: z.unknown() };
const REFUSED: Parameter = { rule: 'refused', schema: z.unknown() };

/** What clients of other servers add: sampling of vLLM, llama.cpp and Ollama, switches of thought, routing of OpenRouter. */
const HARMLESS = [
  ...['top_k', 'min_p', 'top_a', 'typical_p', 'tfs_z', 'repetition_penalty', 'repeat_penalty', 'repeat_last_n', 'length_penalty'],
  ...[
    'mirostat',
    'mirostat_tau',
    'mirostat_eta',
    'dry_multiplier',
    'xtc_probability',
    'stop_token_ids',
    'ignore_eos',
    'skip_special_tokens',
  ],
  ...['thinking', 'reasoning', 'reasoning_format', 'include_reasoning', 'enable_thinking', 'thinking_budget', 'chat_template_kwargs'],
  ...['cache_control', 'cache_prompt', 'provider', 'route', 'models', 'transforms', 'usage', 'session_id'],
  ...['num_ctx', 'num_keep', 'keep_alive', 'safety_settings'],
];

const MOST_TOOLS = 1024;

/** Some clients ask for the largest number that they know. */
const cap = z.number().refine(Number.isInteger, 'must be a whole number').min(1, 'must be at least 1');
const name = z.string().max(512);
const tool = z.looseObject({ type: z.enum(['function', 'custom'], 'must be function or custom') });

export const streamOptionsSchema = z.looseObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() });

/**
 * Every top-level field of the OpenAI chat-completions request
 * (https://platform.openai.com/docs/api-reference/chat/create). A field that is not here is refused by name.
 */
export const PARAMETERS: Parameters = new Map<string, Parameter>([
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

  // Known to some models only, and none of them can raise the bill.
  ...HARMLESS.map((field): [string, Parameter] => [field, HARMLESS_PARAMETER]),

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
