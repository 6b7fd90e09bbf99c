import { z } from 'zod';
import { json, type Operation } from '../server/operation.ts';
import { aMoment, anId, count, msat, nextCursor, usd } from '../server/described-values.ts';
import { incomeQuery, PERIODS, reportQuery, requestsQuery } from './report-queries.ts';

const spend = z
  .strictObject({ requestCount: count, promptTokens: count, completionTokens: count, costUsd: usd, chargedMsat: msat })
  .meta({ id: 'Spend' });
const ofPeriod = { period: z.enum(PERIODS), windowStart: aMoment };

const report = z
  .strictObject({
    ...ofPeriod,
    totalSpendUsd: usd.meta({ description: 'What the requests were worth, also those that were free.' }),
    totalSpendMsat: msat,
    totalChargedMsat: msat.meta({ description: 'What the wallet paid for them.' }),
    requestCount: count,
    exploredCount: count,
    averageCostUsd: usd,
    perModel: z.record(z.string(), spend),
    perProvider: z.record(z.string(), spend),
    perKey: z.record(z.string(), spend),
    series: z
      .array(z.strictObject({ start: aMoment, rows: z.array(spend.extend({ name: z.string() })) }))
      .optional()
      .meta({ description: 'With `series`: all buckets of the period, empty ones too.' }),
  })
  .meta({ id: 'Report' });

const income = z
  .strictObject({ ...ofPeriod, depositsMsat: msat, chargedMsat: msat, withdrawalsMsat: msat, netMsat: msat, totalSpendUsd: usd })
  .meta({ id: 'Income' });

const step = z.strictObject({
  model: z.string(),
  provider: z.string(),
  tier: z.string(),
  promptTokens: count,
  completionTokens: count,
  costUsd: usd,
  confidence: z.number().nullable(),
});

const request = z
  .strictObject({
    id: anId,
    keyId: anId,
    createdAt: aMoment,
    path: z.string().nullable(),
    requestedModel: z.string().nullable(),
    model: z.string().nullable(),
    provider: z.string().nullable(),
    tier: z.string().nullable(),
    stream: z.boolean(),
    outcome: z.string().meta({ description: 'How it ended, e.g. `ok`, `client_gone`, `upstream_error`, `refused`.' }),
    status: z.int().nullable(),
    errorCode: z.string().nullable(),
    funding: z.enum(['free', 'wallet', 'byok']).nullable(),
    promptTokens: count,
    completionTokens: count,
    cachedTokens: count,
    reasoningTokens: count,
    costUsd: usd,
    costMsat: msat,
    chargedMsat: msat,
    btcUsd: z.number().nullable().meta({ description: 'The rate that it was reckoned at.' }),
    latencyMs: z.number().nullable(),
    ttftMs: z.number().nullable().meta({ description: 'Time to the first token.' }),
    explored: z.boolean(),
    exploreOdds: z.number().nullable(),
    attempts: count.nullable(),
    upstreamRequestId: z.string().nullable(),
    clientRequestId: z.string().nullable(),
    steps: z.array(step).optional().meta({ description: 'Of a cascade.' }),
  })
  .meta({ id: 'RecordedRequest' });

const rates = z.record(z.string(), z.number()).nullable().meta({ description: 'USD per million tokens, by kind.' });
const receipt = request
  .extend({
    items: z.array(z.strictObject({ model: z.string(), provider: z.string(), tokens: z.record(z.string(), count), rates, costUsd: usd })),
    rates,
    markupPercent: z.number().nullable(),
    settlement: z.enum(['pending', 'settled', 'released', 'refunded', 'none']),
    reservedUsd: usd,
    reservedMsat: msat,
    releasedMsat: msat.nullable(),
    attempts: z
      .array(
        z.object({
          provider: z.string(),
          model: z.string(),
          result: z.string(),
          status: z.int().nullable(),
          latencyMs: z.number().nullable(),
        }),
      )
      .nullable(),
  })
  .meta({ id: 'Receipt' });

const OF_REPORTS = ['not_permitted', 'key_not_found', 'rate_limit_exceeded'] as const;

/** The operations that tell what was used. */
export const REPORT_OPERATIONS = {
  report: {
    id: 'getReport',
    method: 'get',
    path: '/api/report',
    asker: 'key',
    tag: 'Reports',
    summary: 'What was spent in a period, by model and by provider',
    query: reportQuery,
    answers: { 200: json('The report.', report) },
    errors: OF_REPORTS,
  },
  income: {
    id: 'getIncome',
    method: 'get',
    path: '/api/income',
    asker: 'key',
    tag: 'Reports',
    summary: 'The same period as an income statement: deposits, charges, withdrawals, net',
    query: incomeQuery,
    answers: { 200: json('The statement.', income) },
    errors: OF_REPORTS,
  },
  requests: {
    id: 'listRequests',
    method: 'get',
    path: '/api/requests',
    asker: 'key',
    tag: 'Reports',
    summary: 'The requests, newest first: never what was said in them',
    query: requestsQuery,
    answers: { 200: json('A page of them.', z.strictObject({ requests: z.array(request), nextCursor })) },
    errors: OF_REPORTS,
  },
  receipt: {
    id: 'getRequest',
    method: 'get',
    path: '/api/requests/:id',
    asker: 'key',
    tag: 'Reports',
    summary: 'One request, and why it cost what it did',
    answers: { 200: json('The receipt.', receipt) },
    errors: ['not_found', 'rate_limit_exceeded'],
  },
} as const satisfies Record<string, Operation>;
