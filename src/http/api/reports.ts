import type { RequestHandler } from 'express';
import type { ApiKeys } from '../../accounts/api-keys.ts';
import { btcUsdFromExchangeRate, msat, picoUsd, usdNumber } from '../../amount.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import { readSpend, type Spend, type SpendQuery } from '../../ledger/spend.ts';
import { readMovements } from '../../ledger/statement.ts';
import { readReceipt, type Receipt } from '../../records/receipt.ts';
import { readRequests, type RecordedRequest } from '../../records/recorded-requests.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { incomeQuery, readQuery, reportQuery, requestsQuery, type Period } from './report-queries.ts';
import { reportScope, type ReportScope } from './report-scope.ts';

export interface ReportRoutesDeps {
  pool: Pool;
  apiKeys: Pick<ApiKeys, 'find'>;
  /** Usage records are written behind the requests: a report waits for those of requests that have been answered. */
  recorder: { flush(): Promise<void> };
}

export const HOURS: Record<Period, number> = { '24h': 24, '7d': 7 * 24, '30d': 30 * 24 };
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MICROSECONDS = /^\d{1,17}$/;
/** A record that is late by more than this is left out: the money does not depend on it. */
const RECORDER_PATIENCE_MS = 1_000;

/** The handlers of the reports on what an account used: spend, income, requests. All money is the ledger's. */
export function reportHandlers(deps: ReportRoutesDeps): Record<'report' | 'income' | 'requests' | 'receipt', RequestHandler> {
  const { pool, apiKeys, recorder } = deps;
  return {
    async report(req, res) {
      const { period, series: bucket, by, keyId: _keyId, ...filters } = readQuery(reportQuery, req.query);
      const series = bucket ? { bucket, by } : null;
      res.json(await spendView(deps, await reportScope(req, res, apiKeys), period, { ...filters, series, byKey: true }));
    },

    /** Deposits and withdrawals belong to the account: narrowed to one key, an income statement has only charges. */
    async income(req, res) {
      const { period } = readQuery(incomeQuery, req.query);
      const { accountId, keyId } = await reportScope(req, res, apiKeys);
      const { windowStart, total } = await readSpend(pool, { accountId, keyId, hours: HOURS[period] });
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
      const { limit, cursor, keyId: _keyId, ...filters } = readQuery(requestsQuery, req.query);
      const [at, id] = decodeCursor(cursor, [MICROSECONDS, UUID]) ?? [];
      const { accountId, keyId } = await reportScope(req, res, apiKeys);
      await written(recorder);
      const after = at && id ? { atMicros: BigInt(at), id } : null;
      const requests = await readRequests(pool, { ...filters, accountId, keyId, after, limit: limit + 1 });
      const page = requests.slice(0, limit);
      const last = requests.length > limit ? page.at(-1) : undefined;
      res.json({
        requests: page.map(requestView),
        nextCursor: last ? encodeCursor([String(last.position.atMicros), last.position.id]) : null,
      });
    },

    /** One request, and why it cost what it did. */
    async receipt(req, res) {
      const { id } = req.params;
      const scope = await reportScope(req, res, apiKeys);
      await written(recorder);
      const receipt = typeof id === 'string' && UUID.test(id) ? await readReceipt(pool, scope, id) : null;
      if (!receipt) throw new GatewayError('not_found', { message: 'The request does not exist.' });
      res.json(receiptView(receipt));
    },
  };
}

/** What was spent in a period, by model and by provider; by key and as a series where `wanted` says so. */
export async function spendView(
  { pool, recorder }: Pick<ReportRoutesDeps, 'pool' | 'recorder'>,
  { accountId, keyId }: Pick<ReportScope, 'accountId' | 'keyId'>,
  period: Period,
  wanted: Pick<SpendQuery, 'model' | 'outcome' | 'funding' | 'byKey' | 'series'> = {},
) {
  await written(recorder);
  const spend = await readSpend(pool, { ...wanted, accountId, keyId, hours: HOURS[period] });
  const { windowStart, total, byModel, byProvider, byKey, series } = spend;
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
    ...(wanted.byKey && { perKey: breakdown(byKey) }),
    ...(wanted.series && {
      series: series.map(({ start, byName }) => ({
        start: start.toISOString(),
        rows: Object.entries(breakdown(byName)).map(([name, figures]) => ({ name, ...figures })),
      })),
    }),
  };
}

/** Waits for the usage records of requests that have been answered. */
export async function written(recorder: { flush(): Promise<void> }): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, RECORDER_PATIENCE_MS)));
  await Promise.race([recorder.flush(), patience]).finally(() => clearTimeout(timer));
}

interface Figures {
  requestCount: number;
  promptTokens: number;
  completionTokens: number;
  costUsd: number;
  chargedMsat: number;
}

function breakdown(spends: Map<string, Spend>): Record<string, Figures> {
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

/** To the microsecond: more is noise. */
function roundedMs(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 1000) / 1000;
}

function requestView(request: RecordedRequest) {
  const { position: _position, costPicoUsd, costMsat, chargedMsat, createdAt, picoUsdPerMsat, latencyMs, ttftMs, steps, ...rest } = request;
  return {
    ...rest,
    ...(steps && { steps: steps.map(({ costPicoUsd: cost, ...step }) => ({ ...step, costUsd: usdNumber(cost) })) }),
    latencyMs: roundedMs(latencyMs),
    ttftMs: roundedMs(ttftMs),
    createdAt: createdAt.toISOString(),
    costUsd: usdNumber(costPicoUsd),
    costMsat: Number(costMsat),
    chargedMsat: Number(chargedMsat),
    btcUsd: picoUsdPerMsat === null ? null : btcUsdFromExchangeRate(picoUsdPerMsat),
  };
}

/** Rates in USD per million tokens. A request without steps has one item, whose rates are told at the top too. */
function receiptView({ request, items, ...receipt }: Receipt) {
  const told = items.map(({ tokens, rates, costPicoUsd, ...item }) => ({
    ...item,
    tokens,
    rates: rates && Object.fromEntries(Object.entries(rates).map(([kind, rate]) => [kind, Number(rate) / 1_000_000])),
    costUsd: usdNumber(costPicoUsd),
  }));
  return {
    ...requestView(request),
    items: told,
    rates: request.steps ? null : (told[0]?.rates ?? null),
    markupPercent: receipt.markupBasisPoints === null ? null : Number(receipt.markupBasisPoints) / 100,
    settlement: receipt.settlement,
    reservedUsd: usdNumber(receipt.reservedPicoUsd),
    reservedMsat: Number(receipt.reservedMsat),
    releasedMsat: receipt.releasedMsat === null ? null : Number(receipt.releasedMsat),
    attempts: receipt.attempts,
  };
}
