import type { Request, RequestHandler } from 'express';
import { z } from 'zod';
import type { ApiKeys } from '../../accounts/api-keys.ts';
import { readRequests, type RecordedRequest } from '../../records/recorded-requests.ts';
import type { Pool } from '../../db/postgres.ts';
import { msat, picoUsd, usdNumber } from '../../amount.ts';
import { readSpend, type Spend } from '../../ledger/spend.ts';
import { readMovements } from '../../ledger/statement.ts';
import { decodeCursor, encodeCursor, pageLimit } from './cursor.ts';
import { invalidField } from '../server/json-body.ts';
import { reportScope, type ReportScope } from './report-scope.ts';

export interface ReportRoutesDeps {
  pool: Pool;
  apiKeys: Pick<ApiKeys, 'find'>;
  /** Usage records are written behind the requests: a report waits for those of requests that have been answered. */
  recorder: { flush(): Promise<void> };
}

const HOURS = { '24h': 24, '7d': 7 * 24, '30d': 30 * 24 } as const;
export type Period = keyof typeof HOURS;
export const PERIODS = ['24h', '7d', '30d'] as const;
export const periodQuery = z.object({ period: z.enum(PERIODS).default('24h') });
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MICROSECONDS = /^\d{1,17}$/;
/** A record that is late by more than this is left out: the money does not depend on it. */
const RECORDER_PATIENCE_MS = 1_000;

/** The handlers of the reports on what an account used: spend, income, requests. All money is the ledger's. */
export function reportHandlers(deps: ReportRoutesDeps): Record<'report' | 'income' | 'requests', RequestHandler> {
  const { pool, apiKeys, recorder } = deps;
  return {
    async report(req, res) {
      const period = periodOf(req);
      res.json(await spendView(deps, await reportScope(req, res, apiKeys), period));
    },

    /** Deposits and withdrawals belong to the account: narrowed to one key, an income statement has only charges. */
    async income(req, res) {
      const period = periodOf(req);
      const { accountId, keyId } = await reportScope(req, res, apiKeys);
      const { windowStart, total } = await readSpend(pool, accountId, keyId, HOURS[period]);
      const none = { depositsMsat: msat(0n), withdrawalsMsat: msat(0n), adjustmentsMsat: msat(0n) };
      const movements = keyId === null ? await readMovements(pool, accountId, windowStart) : none;
      res.json({
        period,
        windowStart: windowStart.toISOString(),
        depositsMsat: Number(movements.depositsMsat),
        chargedMsat: Number(total.chargedMsat),
        withdrawalsMsat: Number(movements.withdrawalsMsat),
        netMsat: Number(movements.depositsMsat - total.chargedMsat - movements.withdrawalsMsat + movements.adjustmentsMsat),
        totalSpendUsd: usdNumber(total.costPicoUsd),
      });
    },

    async requests(req, res) {
      const limit = pageLimit(req.query);
      const [at, id] = decodeCursor(req.query['cursor'], [MICROSECONDS, UUID]) ?? [];
      const { accountId, keyId } = await reportScope(req, res, apiKeys);
      await written(recorder);
      const requests = await readRequests(pool, {
        accountId,
        keyId,
        after: at && id ? { atMicros: BigInt(at), id } : null,
        limit: limit + 1,
      });
      const page = requests.slice(0, limit);
      const last = requests.length > limit ? page.at(-1) : undefined;
      res.json({
        requests: page.map(requestRow),
        nextCursor: last ? encodeCursor([String(last.position.atMicros), last.position.id]) : null,
      });
    },
  };
}

/** What was spent in a period, by model and by provider. */
export async function spendView(
  { pool, recorder }: Pick<ReportRoutesDeps, 'pool' | 'recorder'>,
  { accountId, keyId }: Pick<ReportScope, 'accountId' | 'keyId'>,
  period: Period,
) {
  await written(recorder);
  const { windowStart, total, byModel, byProvider } = await readSpend(pool, accountId, keyId, HOURS[period]);
  return {
    period,
    windowStart: windowStart.toISOString(),
    totalSpendUsd: usdNumber(total.costPicoUsd),
    totalSpendMsat: Number(total.costMsat),
    totalChargedMsat: Number(total.chargedMsat),
    requestCount: total.requestCount,
    exploredCount: total.exploredCount,
    averageCostUsd: total.requestCount === 0 ? 0 : usdNumber(picoUsd(total.costPicoUsd / BigInt(total.requestCount))),
    perModel: breakdown(byModel),
    perProvider: breakdown(byProvider),
  };
}

function periodOf(req: Request): Period {
  const parsed = periodQuery.safeParse(req.query);
  if (!parsed.success) throw invalidField(parsed.error);
  return parsed.data.period;
}

/** Waits for the usage records of requests that have been answered. */
export async function written(recorder: { flush(): Promise<void> }): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, RECORDER_PATIENCE_MS)));
  await Promise.race([recorder.flush(), patience]).finally(() => clearTimeout(timer));
}

function breakdown(spends: Map<string, Spend>): Record<string, unknown> {
  const rows = [...spends].toSorted(([, a], [, b]) => Number(b.costPicoUsd - a.costPicoUsd));
  return Object.fromEntries(
    rows.map(([name, spend]) => [
      name,
      {
        requestCount: spend.requestCount,
        promptTokens: spend.promptTokens,
        completionTokens: spend.completionTokens,
        costUsd: usdNumber(spend.costPicoUsd),
        chargedMsat: Number(spend.chargedMsat),
      },
    ]),
  );
}

function requestRow({ position: _position, costPicoUsd, costMsat, chargedMsat, createdAt, steps, ...rest }: RecordedRequest) {
  return {
    ...rest,
    ...(steps && { steps: steps.map(({ costPicoUsd: cost, ...step }) => ({ ...step, costUsd: usdNumber(cost) })) }),
    createdAt: createdAt.toISOString(),
    costUsd: usdNumber(costPicoUsd),
    costMsat: Number(costMsat),
    chargedMsat: Number(chargedMsat),
  };
}
