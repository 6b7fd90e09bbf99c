import { z } from 'zod';
import { shaped } from '../../list-of.ts';
import type { Parameter, Parameters } from '../parameter.ts';
import { routingSchema } from '../routing-options.ts';

const free = (schema: z.ZodType): Parameter => ({ rule: 'free', schema: schema.nullish() });
const gateway = (schema: z.ZodType): Parameter => ({ rule: 'gateway', schema: schema.nullish() });
const HARMLESS: Parameter = { rule: 'harmless', schema: z.unknown() };

/** As many as OpenAI takes. */
const MOST_INPUTS = 2048;
const LARGEST_TOKEN = 2 ** 31;

/** By hand, since it may hold some hundred thousand tokens: stops at the first fault. */
const input = shaped(
  z.unknown().superRefine((value, context) => {
    const fault = faultOf(value);
    if (fault) context.addIssue({ code: 'custom', ...fault });
  }),
  { json: { type: ['string', 'array'], minLength: 1, minItems: 1, items: { type: ['string', 'integer', 'array'] } } },
);

interface Fault {
  readonly path: number[];
  readonly message: string;
}

function faultOf(value: unknown): Fault | null {
  if (typeof value === 'string') return value === '' ? { path: [], message: 'must not be empty' } : null;
  if (!Array.isArray(value)) return { path: [], message: 'must be a text, a list of texts, tokens or a list of lists of tokens' };
  if (value.length === 0) return { path: [], message: 'must not be empty' };
  const [first] = value as unknown[];
  if (typeof first === 'number') return tokenFault(value, []);
  if (value.length > MOST_INPUTS) return { path: [], message: `must hold at most ${MOST_INPUTS} inputs` };
  const kind = typeof first === 'string' ? 'text' : 'list of tokens';
  for (const [index, one] of (value as unknown[]).entries()) {
    if (kind === 'text' ? typeof one !== 'string' : !Array.isArray(one)) return { path: [index], message: `must be a ${kind}` };
    if ((one as string | unknown[]).length === 0) return { path: [index], message: 'must not be empty' };
    const fault = Array.isArray(one) ? tokenFault(one, [index]) : null;
    if (fault) return fault;
  }
  return null;
}

function tokenFault(tokens: readonly unknown[], path: number[]): Fault | null {
  const wrong = tokens.findIndex((token) => !Number.isInteger(token) || (token as number) < 0 || (token as number) >= LARGEST_TOKEN);
  return wrong < 0 ? null : { path: [...path, wrong], message: 'must be the number of a token' };
}

/**
 * Every top-level field of an OpenAI embeddings request (https://platform.openai.com/docs/api-reference/embeddings/create). A field that is
 * not here is refused by name.
 */
export const PARAMETERS: Parameters = new Map<string, Parameter>([
  ['input', { rule: 'free', schema: input }],
  ['dimensions', free(z.int().min(1).max(1_000_000))],
  ['encoding_format', free(z.enum(['float', 'base64'], 'must be float or base64'))],

  ['model', gateway(z.string().min(1).max(256))],
  ['routing', gateway(routingSchema)],
  ['user', gateway(z.string().max(512))],
  // An answer is one JSON body.
  ['stream', gateway(z.literal(false, 'embeddings are never streamed'))],

  // Of other servers: vLLM, Cohere, Voyage.
  ...['input_type', 'truncate', 'truncation', 'truncate_prompt_tokens', 'prompt_name', 'normalize'].map(
    (name) => [name, HARMLESS] as const,
  ),
]);
