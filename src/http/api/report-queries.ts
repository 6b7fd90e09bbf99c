import { z } from 'zod';
import { TRANSFER_KINDS } from '../../ledger/statement.ts';
import { invalidField } from '../server/json-body.ts';
import { limitParameter, optionalLimit } from './cursor.ts';

/** The periods of reports: they roll back from now. */
export const PERIODS = ['24h', '7d', '30d'] as const;
export type Period = (typeof PERIODS)[number];

const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
const keyIdParameter = z.string().optional();
/** Of lists: opaque. */
const cursorParameter = z.string().optional();
/** From the first moment on, and before the second. */
const between = { from: time.optional(), to: time.optional() };
const name = z.string().min(1).max(200);

/** How a request ended, as its record says; `unrecorded` where a crash took the record. */
export const OUTCOMES = [
  'ok',
  'refused',
  'upstream_error',
  'client_gone',
  'broke_off',
  'provider_error',
  'lease_lost',
  'unsettled',
  'unrecorded',
] as const;

const requestFilters = {
  model: name.optional(),
  outcome: z.enum(OUTCOMES).optional(),
  funding: z.enum(['free', 'wallet', 'byok']).optional(),
};

export const reportQuery = z.object({
  period: z.enum(PERIODS).default('24h'),
  keyId: keyIdParameter,
  ...requestFilters,
  /** The length of the buckets; none without it. */
  series: z.enum(['hour', 'day']).optional(),
  by: z.enum(['model', 'key', 'provider']).default('model'),
});

export const incomeQuery = z.object({ period: z.enum(PERIODS).default('24h'), keyId: keyIdParameter });

export const requestsQuery = z.object({
  limit: limitParameter,
  cursor: cursorParameter,
  keyId: keyIdParameter,
  ...requestFilters,
  ...between,
});

export const transactionsQuery = z.object({
  limit: limitParameter,
  cursor: cursorParameter,
  keyId: keyIdParameter,
  kind: z.enum(TRANSFER_KINDS).optional(),
  ...between,
});

export const keysQuery = z.object({
  /** The beginning of a label, in any case, or the whole prefix of a key. */
  q: z.string().max(200).optional(),
  state: z.enum(['live', 'revoked', 'all']).default('all'),
  limit: optionalLimit,
  cursor: cursorParameter,
});

/** The parameters of a query string. Throws `invalid_request`, which names the parameter. */
export function readQuery<T extends z.ZodType>(schema: T, query: unknown): z.output<T> {
  const parsed = schema.safeParse(query);
  if (!parsed.success) throw invalidField(parsed.error);
  return parsed.data;
}
