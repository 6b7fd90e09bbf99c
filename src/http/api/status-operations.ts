import { z } from 'zod';
import { json, jsonBody, type Operation } from '../server/operation.ts';
import { aMoment, count } from '../server/described-values.ts';
import { payBody } from './dev-lightning.ts';

const rate = z.number().nullable();
const visibleRates = z.strictObject({ successRate: rate, latencyMs: rate, ttftMs: rate, tokensPerSecond: rate });
const deploymentState = z.strictObject({
  id: z.string(),
  circuit: z.enum(['closed', 'open', 'half-open']),
  pausedUntil: aMoment.nullable(),
});

const providerState = z
  .strictObject({
    id: z.string(),
    configured: z.boolean(),
    demo: z.boolean().meta({ description: 'A demonstration, not a real model.' }),
    status: z.enum(['active', 'idle', 'degraded', 'unconfigured']),
    windows: z.strictObject({ '1m': visibleRates, '5m': visibleRates, '1h': visibleRates, '24h': visibleRates }),
    deployments: z.array(deploymentState),
  })
  .meta({ id: 'ProviderState' });

const status = z
  .strictObject({
    version: z.string(),
    providers: z.array(providerState),
    lightning: z.strictObject({
      backend: z.enum(['lnd', 'nwc', 'simulated']),
      network: z.string(),
      ready: z.boolean(),
      reason: z.string().optional(),
    }),
    exchangeRate: z.strictObject({
      btcUsd: z.number().nullable(),
      source: z.enum(['live', 'fixed', 'simulated']),
      sources: z.array(z.string()).meta({ description: 'The public price sources that gave the last rate.' }),
      ageSeconds: z.int().nullable(),
    }),
    audit: z
      .strictObject({ at: aMoment, sound: z.boolean() })
      .nullable()
      .meta({ description: 'How the last audit of the ledger went; null where none is known.' }),
    capacity: z.strictObject({
      source: z.enum(['equal', 'configured', 'chain']),
      chainId: z.int().nullable(),
      pool: z.string().nullable(),
      block: count.optional(),
      updatedAt: aMoment.nullable(),
      stale: z.boolean(),
      reason: z.string().nullable(),
      weights: z.record(z.string(), z.number()),
    }),
  })
  .meta({ id: 'Status' });

const ready = z
  .strictObject({
    ready: z.boolean(),
    parts: z.strictObject({ database: z.string(), migrations: z.string(), lightning: z.string() }),
  })
  .meta({ id: 'Readiness', description: 'Each part is `ok`, or the reason why not. Lightning alone makes nothing unready.' });

const alive = z.strictObject({ status: z.literal('ok') });

const health = {
  method: 'get',
  asker: 'anybody',
  tag: 'Status',
  summary: 'Whether the process answers',
  answers: { 200: json('It does.', alive) },
  errors: [],
} as const;

/** The operations that tell how the gateway is. */
export const STATUS_OPERATIONS = {
  health: { ...health, id: 'getHealth', path: '/health' },
  apiHealth: { ...health, id: 'getApiHealth', path: '/api/health' },
  ready: {
    id: 'getReadiness',
    method: 'get',
    path: '/ready',
    asker: 'anybody',
    tag: 'Status',
    summary: 'Whether requests can be served',
    answers: { 200: json('They can.', ready), 503: json('They cannot: the database or its schema is not usable.', ready) },
    errors: [],
  },
  status: {
    id: 'getStatus',
    method: 'get',
    path: '/api/status',
    asker: 'anybody',
    tag: 'Status',
    summary: 'How the providers, the Lightning node, the exchange rate and the ledger are',
    answers: { 200: json('All of it.', status) },
    errors: [],
  },
} as const satisfies Record<string, Operation>;

/** Exists beside the simulated node alone. */
export const PLAY_MONEY_OPERATION = {
  id: 'payWithPlayMoney',
  method: 'post',
  path: '/dev/lightning/pay',
  asker: 'anybody',
  tag: 'Lightning',
  summary: 'Pay an invoice of the simulated node, as a wallet would',
  description:
    'Only where the Lightning node is simulated: nothing of it is real money. Takes no request of another site, and none through a proxy.',
  body: jsonBody(payBody, { paymentRequest: 'lnbcrt10u1p…' }),
  answers: { 200: json('It is paid.', z.strictObject({ preimage: z.string().regex(/^[0-9a-f]{64}$/) })) },
  errors: ['not_permitted', 'invoice_not_found', 'lightning_unavailable'],
} as const satisfies Operation;
