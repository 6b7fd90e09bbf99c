import { z } from 'zod';
import { scopeOf } from '../api/report-scope.ts';
import { balanceView } from '../api/wallet-reports.ts';
import { tool } from './tool.ts';

/** The id of a key whose figures an owner asks for. */
export const keyIdInput = z
  .string()
  .max(100)
  .optional()
  .describe('The id of a key of the account, to see its figures alone. Owner keys only.');

/** As `GET /api/wallet/balance`. */
export const getBalance = tool({
  name: 'get_balance',
  title: 'Balance',
  description:
    'What the account can spend: its balance in sats, about how many requests that pays for, the free requests left, and what is left of ' +
    "the key's daily budget in USD.",
  input: z.strictObject({ keyId: keyIdInput }),
  output: z.looseObject({
    balance: z.int().describe('What can be spent now, in whole sats, rounded down.'),
    unit: z.literal('sats'),
    rail: z.literal('lightning'),
    estimatedRequests: z.int().nullable().describe('Null where no price is known.'),
    balanceMsat: z.int(),
    reservedMsat: z.int().describe('Held for requests under way.'),
    availableMsat: z.int(),
    freeRequestsRemaining: z.int(),
    freeRequestsLimit: z.int(),
    dailyBudgetUsd: z.number(),
    dailySpendUsd: z.number(),
    budgetResetsAt: z.string(),
  }),
  readsOnly: true,
  needsKey: true,
  run: async (deps, { keyId }, { key }) => {
    const { turns, apiKeys, reportPool } = deps;
    const scope = await scopeOf(key, keyId, apiKeys);
    return { figures: await turns.take(key.accountId, () => balanceView({ ...deps, pool: reportPool }, scope)) };
  },
});
