import { z } from 'zod';
import { listOf, recordOf, shaped } from '../../list-of.ts';
import type { Parameter, Parameters } from '../parameter.ts';
import { streamOptionsSchema } from '../openai-chat/parameters.ts';
import { routingSchema } from '../routing-options.ts';

const free = (schema: z.ZodType): Parameter => ({ rule: 'free', schema: schema.nullish() });
const gateway = (schema: z.ZodType): Parameter => ({ rule: 'gateway', schema: schema.nullish() });
const multiplies = (schema: z.ZodType): Parameter => ({ rule: 'multiplies', schema: schema.nullish() });
const HARMLESS: Parameter = { rule: 'harmless', schema: z.unknown() };

/** More than any client sends at once: each is a completion, or several, to be paid. */
const MOST_PROMPTS = 128;
const LARGEST_TOKEN = 2 ** 31;

const text = z.string();
const token = z.int().min(0).max(LARGEST_TOKEN);

/** A text, or tokens; or a list of either, each of which is completed by itself. */
const prompt = shaped(
  z.unknown().superRefine((value, context) => {
    if (typeof value === 'string') return;
    const [first] = Array.isArray(value) ? (value as unknown[]) : [];
    const of = typeof first === 'string' ? text : typeof first === 'number' ? token : listOf(token, { min: 1, of: 'tokens' });
    const limits = typeof first === 'number' ? { min: 1, of: 'tokens' } : { min: 1, max: MOST_PROMPTS, of: 'prompts' };
    const issue = listOf<z.ZodType>(of, limits).safeParse(value).error?.issues[0];
    if (issue) context.addIssue({ code: 'custom', path: [...issue.path], message: issue.message });
  }),
  { json: { type: ['string', 'array'], minItems: 1, items: { type: ['string', 'integer', 'array'] } } },
);

/** Every top-level field of a legacy completions request: https://platform.openai.com/docs/api-reference/completions/create */
export const PARAMETERS: Parameters = new Map<string, Parameter>([
  ['prompt', { rule: 'free', schema: prompt }],

  ['model', gateway(z.string().min(1).max(256))],
  ['routing', gateway(routingSchema)],
  ['stream', gateway(z.boolean())],
  ['stream_options', gateway(streamOptionsSchema)],
  ['max_tokens', gateway(z.number().refine(Number.isInteger, 'must be a whole number').min(1, 'must be at least 1'))],
  ['user', gateway(z.string().max(512))],

  ['n', multiplies(z.int().min(1).max(128))],
  // Completions that nobody sees are generated, and paid, all the same.
  ['best_of', multiplies(z.int().min(1).max(128))],

  ['echo', free(z.boolean())],
  ['frequency_penalty', free(z.number())],
  ['logit_bias', free(recordOf(z.number()))],
  ['logprobs', free(z.int().min(0))],
  ['presence_penalty', free(z.number())],
  ['seed', free(z.number())],
  ['stop', free(z.union([z.string(), listOf(z.string())]))],
  ['suffix', free(z.string())],
  ['temperature', free(z.number())],
  ['top_p', free(z.number())],

  // Of other servers: vLLM, llama.cpp, Ollama.
  ...['top_k', 'min_p', 'typical_p', 'repetition_penalty', 'repeat_penalty', 'mirostat', 'ignore_eos', 'skip_special_tokens'].map(
    (name) => [name, HARMLESS] as const,
  ),
]);
