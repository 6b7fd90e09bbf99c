import { z } from 'zod';
import type { Dialect, ModelTraits } from '../wires/target.ts';
import type { Operation, WireName } from '../wires/wire.ts';
import { baseUrl, isPublicProvider, PUBLIC_PROVIDERS } from './public-providers.ts';
import type { SettingProblem } from './setting-problem.ts';
import { text, tokens } from './value.ts';

/** What a wire is for. */
const OPERATIONS = {
  'openai-chat': 'generate',
  'openai-completions': 'generate',
  'openai-responses': 'generate',
  'openai-embeddings': 'embed',
  'anthropic-messages': 'generate',
  'gemini-generate': 'generate',
  'gemini-embed': 'embed',
} as const satisfies Record<WireName, Operation>;

const wireName = z.enum(Object.keys(OPERATIONS) as [WireName, ...WireName[]]);
const names = z.array(text);

const traits = z.strictObject({
  sampling: z.enum(['free', 'one', 'refused']).optional(),
  forcesTools: z.boolean().optional(),
  reasoning: z.enum(['none', 'effort', 'budget', 'toggle']).optional(),
  efforts: names.optional(),
  thinksAlways: z.boolean().optional(),
  takesSchema: z.boolean().optional(),
  takesInlineSystem: z.boolean().optional(),
  takesPrefill: z.boolean().optional(),
  toolsNeedResponses: z.boolean().optional(),
} satisfies Record<keyof ModelTraits, z.ZodType>);

const dialect = z.strictObject({
  capField: z.enum(['max_tokens', 'max_completion_tokens']).optional(),
  drops: names.optional(),
  refuses: names.optional(),
  takes: names.optional(),
  stores: z.boolean().optional(),
  developerRole: z.boolean().optional(),
  manyCompletions: z.boolean().optional(),
} satisfies Record<keyof Dialect, z.ZodType>);

/** A header's name and value as HTTP takes them (RFC 9110, 5.1 and 5.5). What belongs to the connection is not the operator's to set. */
const headers = z
  .record(z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/, 'is no header name'), z.string().regex(/^[\x20-\x7e]*$/, 'is no header value'))
  .refine(
    (given) => !Object.keys(given).some((name) => /^(host|connection|content-length|transfer-encoding|te|upgrade|expect)$/i.test(name)),
    'must not name a header of the connection',
  );

const MOST_REQUESTS = 1_000_000_000;

/** What one gateway may ask of a deployment, however many clients want it. */
export const limits = z
  .strictObject({
    concurrentRequests: z.int().min(1).max(MOST_REQUESTS).optional(),
    requestsPerMinute: z.int().min(1).max(MOST_REQUESTS).optional(),
  })
  .transform(({ concurrentRequests = null, requestsPerMinute = null }) => ({ concurrentRequests, requestsPerMinute }));

/** One model at a server of the operator's choice, but for its prices. */
export const deploymentMembers = {
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/, 'may hold letters, digits and . _ : / -'),
  baseUrl,
  /** What it speaks: one wire, or several of one operation, preferred first. */
  wire: z
    .union([wireName, z.array(wireName).min(1)])
    .refine((wire) => new Set(wiresOf({ wire }).map((name) => OPERATIONS[name])).size === 1, 'a model either answers or embeds')
    .optional(),
  /** The header in which the key goes; where absent, as the wire's inventor has it. */
  auth: z.enum(['bearer', 'x-api-key', 'x-goog-api-key', 'api-key']).optional(),
  apiKey: text.optional(),
  apiKeyFile: text.optional(),
  headers: headers.optional(),
  model: text.optional(),
  tier: z.enum(['cheap', 'mid', 'premium']).default('cheap'),
  contextWindow: tokens.default(8192),
  maxOutputTokens: tokens.default(4096),
  capField: z.enum(['max_tokens', 'max_completion_tokens']).default('max_tokens'),
  imageTokens: tokens.optional(),
  documents: z.boolean().optional(),
  remoteImages: z.boolean().default(false),
  allowParameters: z.array(text).default([]),
  limits: limits.optional(),
  traits: traits.optional(),
  dialect: dialect.optional(),
};

interface Spoken {
  readonly wire?: WireName | readonly WireName[] | undefined;
}

/** The wires of a deployment, preferred first. */
export function wiresOf({ wire = 'openai-chat' }: Spoken): readonly WireName[] {
  return typeof wire === 'string' ? [wire] : wire;
}

/** What a deployment is for: all its wires are for the same. */
export function operationOf(entry: Spoken): Operation {
  return wiresOf(entry).some((name) => OPERATIONS[name] === 'embed') ? 'embed' : 'generate';
}

/** Deployments that cannot be told apart: an id is its provider's too, in headers, reports and `routing.excludeProviders`. */
export function sharedIds(deployments: readonly { readonly id: string }[]): SettingProblem[] {
  const before = new Set<string>([...PUBLIC_PROVIDERS, 'demo']);
  return deployments.flatMap(({ id }, index): SettingProblem[] => {
    const isTaken = before.has(id);
    before.add(id);
    const message = isPublicProvider(id) || id === 'demo' ? 'is the name of a public provider' : 'is the id of another deployment';
    return isTaken ? [{ path: ['deployments', index, 'id'], message }] : [];
  });
}
