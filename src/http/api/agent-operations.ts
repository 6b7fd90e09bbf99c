import { z } from 'zod';
import { json, type Operation } from '../server/operation.ts';
import { count } from '../server/described-values.ts';

const challenge = z.looseObject({ scheme: z.enum(['L402', 'Payment', 'x402']), challenge: z.string(), credential: z.string() });
const dollars = z.number().min(0);

const discovered = z
  .strictObject({
    version: z.literal('1'),
    service: z.strictObject({ name: z.string(), description: z.string(), url: z.string() }),
    payment: z.strictObject({
      rail: z.literal('lightning'),
      network: z.string(),
      unit: z.literal('sats'),
      model: z.string(),
      default_topup: count,
      smallest_topup: count,
      largest_topup: count,
      topup_header: z.string(),
      invoice_expiry_seconds: count,
      credential_idle_days: z.number().nullable(),
    }),
    challenges: z.array(challenge),
    routes: z.array(
      z.strictObject({
        method: z.literal('POST'),
        path: z.string(),
        url: z.string(),
        key: z.enum(['none', 'required']),
        price: z.literal('metered'),
      }),
    ),
    key_from_credential: z.strictObject({ method: z.literal('POST'), path: z.string(), url: z.string() }),
    models: z.array(
      z.strictObject({
        id: z.string(),
        context_window: count,
        pricing_usd_per_million_tokens: z.strictObject({ input: dollars, output: dollars, cache_read: dollars }),
      }),
    ),
  })
  .meta({ id: 'Discovery' });

/** `/.well-known/l402`. */
export const DISCOVERY_OPERATION = {
  id: 'discover',
  method: 'get',
  path: '/.well-known/l402',
  asker: 'anybody',
  tag: 'Agents',
  summary: 'All that an agent needs to pay for requests without asking for a key',
  answers: { 200: json('How to pay, for what, and what it costs.', discovered) },
  errors: [],
} as const satisfies Operation;
