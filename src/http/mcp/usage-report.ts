import { z } from 'zod';
import { PERIODS } from '../api/report-queries.ts';
import { spendView } from '../api/reports.ts';
import { scopeOf } from '../api/report-scope.ts';
import { keyIdInput } from './get-balance.ts';
import { tool } from './tool.ts';

const breakdown = z.record(
  z.string(),
  z.looseObject({
    requestCount: z.int(),
    promptTokens: z.int(),
    completionTokens: z.int(),
    costUsd: z.number(),
    chargedMsat: z.int(),
  }),
);

/** As `GET /api/report`. */
export const usageReport = tool({
  name: 'usage_report',
  title: 'Usage',
  description:
    'What was used and what it cost over the last day, week or month, by model and by provider: of the whole account for an owner key, else ' +
    'of the key. Spend is what the requests were worth; charged is what the balance paid for them, which is less where some were free.',
  input: z.strictObject({ period: z.enum(PERIODS).default('24h'), keyId: keyIdInput }),
  output: z.looseObject({
    period: z.enum(PERIODS),
    windowStart: z.string(),
    totalSpendUsd: z.number(),
    totalSpendMsat: z.int(),
    totalChargedMsat: z.int(),
    requestCount: z.int(),
    averageCostUsd: z.number(),
    perModel: breakdown,
    perProvider: breakdown,
  }),
  readsOnly: true,
  needsKey: true,
  run: async (deps, { period, keyId }, { key }) => {
    const { turns, apiKeys, reportPool } = deps;
    const scope = await scopeOf(key, keyId, apiKeys);
    return { figures: await turns.take(key.accountId, () => spendView({ ...deps, pool: reportPool }, scope, period)) };
  },
});
