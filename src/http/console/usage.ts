import type { Request, RequestHandler } from 'express';
import { z } from 'zod';
import type { ApiKeys } from '../../accounts/api-keys.ts';
import { msat, picoUsd } from '../../amount.ts';
import type { Pool } from '../../db/postgres.ts';
import { readSpend, type PeriodSpend, type Spend } from '../../ledger/spend.ts';
import { keyNames } from '../../records/key-names.ts';
import { readRequests } from '../../records/recorded-requests.ts';
import { usageCsv } from '../../records/usage-csv.ts';
import { decodeCursor, encodeCursor } from '../api/cursor.ts';
import { OUTCOMES, PERIODS, readQuery } from '../api/report-queries.ts';
import { HOURS, written } from '../api/reports.ts';
import { stackedBars } from '../pages/charts.ts';
import { satsExact, utc } from '../pages/format.ts';
import { scopeOf } from './account-session.ts';
import type { ConsoleFrame } from './console-frame.ts';
import { sendCsv } from './csv-answer.ts';
import { isOwner, sessionOf } from './signed-in.ts';

export interface UsagePageDeps {
  /** For what may take a while. */
  pool: Pool;
  apiKeys: Pick<ApiKeys, 'find' | 'named' | 'list'>;
  recorder: { flush(): Promise<void> };
  frame: ConsoleFrame;
}

const ROWS = 50;
const MOST_CSV = 100_000;
const MOST_KEYS_OFFERED = 200;
const POSITION = [/^\d{1,17}$/, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/];
const PAGE = '/console/usage';

/** An empty field of a filter form is no filter. */
const orNothing = <T extends z.ZodType>(schema: T) => z.preprocess((value) => (value === '' ? undefined : value), schema.optional());

export const usageQuery = z.object({
  period: orNothing(z.enum(PERIODS)).transform((period) => period ?? ('24h' as const)),
  key: orNothing(z.uuid()),
  model: orNothing(z.string().max(200)),
  outcome: orNothing(z.enum(OUTCOMES)),
  funding: orNothing(z.enum(['free', 'wallet', 'byok'])),
  cursor: z.string().optional(),
});

/** The handlers of the Usage page: what was asked and what it cost, by model, key and provider, and the requests themselves. */
export function usageHandlers(deps: UsagePageDeps): Record<'page' | 'csv', RequestHandler> {
  const { pool, apiKeys, recorder, frame } = deps;

  async function read(req: Request) {
    const { period, key, cursor, ...filters } = readQuery(usageQuery, req.query);
    const scope = await scopeOf(req, apiKeys, key);
    const [at, id] = decodeCursor(cursor, POSITION) ?? [];
    await written(recorder);
    return { period, key, filters, scope, after: at && id ? { atMicros: BigInt(at), id } : null };
  }

  return {
    async page(req, res) {
      const { period, key, filters, scope, after } = await read(req);
      const bucket = period === '24h' ? 'hour' : 'day';
      const spend = await readSpend(pool, { ...scope, ...filters, hours: HOURS[period], byKey: true, series: { bucket, by: 'model' } });
      const rows = await readRequests(pool, { ...scope, ...filters, from: spend.windowStart, after, limit: ROWS + 1 });
      const shown = rows.slice(0, ROWS);
      const last = rows.length > ROWS ? shown.at(-1) : undefined;
      const names = await keyNames(apiKeys, scope.accountId)([...spend.byKey.keys(), ...shown.map(({ keyId }) => keyId)].filter(isId));
      // Whatever the address says: the names of other keys are for owners.
      const keys = isOwner(sessionOf(res)) ? await apiKeys.list(scope.accountId, { limit: MOST_KEYS_OFFERED }) : [];
      const data = {
        period,
        periods: PERIODS,
        key,
        filters,
        keys,
        outcomes: OUTCOMES,
        asOf: spend.asOf,
        total: spend.total,
        chart: chartOf(spend, bucket),
        tables: [
          { name: 'Model', rows: rowsOf(spend.byModel, (name) => name) },
          ...(scope.keyId === null ? [{ name: 'Key', rows: rowsOf(spend.byKey, (id) => names.get(id) ?? id) }] : []),
          { name: 'Provider', rows: rowsOf(spend.byProvider, (name) => name) },
        ],
        requests: shown.map((request) => ({ ...request, keyName: names.get(request.keyId) ?? request.keyId })),
        query: (changes: Record<string, string | undefined>) => queryOf({ period, key, ...filters, ...changes }),
        older: last ? { cursor: encodeCursor([String(last.position.atMicros), last.position.id]), at: last.createdAt } : null,
        words: OUTCOME_WORDS,
      };
      await frame.send(res, 'console/usage', { title: 'Usage', section: PAGE }, data);
    },

    /** The same filters as CSV, in bounded memory: at most 100,000 rows, then a line that says where to go on. */
    async csv(req, res) {
      const { period, filters, scope, after } = await read(req);
      const from = new Date(Date.now() - HOURS[period] * 3_600_000);
      const more = (position: { atMicros: bigint; id: string }) =>
        `more: ask again with cursor=${encodeCursor([String(position.atMicros), position.id])}`;
      await sendCsv(
        res,
        `pura-usage-${period}.csv`,
        usageCsv({ pool, apiKeys }, { ...scope, ...filters, from, after }, { most: MOST_CSV, more }),
      );
    },
  };
}

/** How requests end, in words for the one who pays. */
export const OUTCOME_WORDS: Readonly<Record<string, string>> = {
  ok: 'Answered',
  refused: 'Refused by the provider: not charged',
  upstream_error: 'No provider answered: not charged',
  client_gone: 'You stopped it: you pay for what came',
  broke_off: 'The answer broke off: you pay for what came',
  provider_error: 'The provider failed in the middle: you pay for what came',
  lease_lost: 'The gateway lost it: you pay for what came at most',
  unsettled: 'Not delivered: not charged',
  unrecorded: 'Answered; a crash took the details',
};

function chartOf({ series }: PeriodSpend, bucket: 'hour' | 'day'): string {
  const names = [...new Set(series.flatMap(({ byName }) => [...byName.keys()]))];
  const chargedOf = (name: string) => series.map(({ byName }) => Number(byName.get(name)?.chargedMsat ?? 0n));
  const ranked = names.map((name) => ({ name, values: chargedOf(name) })).toSorted((a, b) => sum(b.values) - sum(a.values));
  return stackedBars({
    id: 'spent',
    title: `Charged by model, by ${bucket}, in UTC`,
    bucket: bucket === 'hour' ? 'Hour' : 'Day',
    buckets: series.map(({ start }) => (bucket === 'hour' ? utc(start).slice(5, 16) : utc(start).slice(0, 10))),
    series: ranked,
    format: (value) => `${satsExact(msat(BigInt(Math.round(value))))} sats`,
  });
}

function rowsOf(spends: Map<string, Spend>, named: (name: string) => string) {
  return [...spends]
    .map(([name, spend]) => ({ name: named(name), ...spend }))
    .toSorted((a, b) => Number(b.chargedMsat - a.chargedMsat) || Number(picoUsd(b.costPicoUsd - a.costPicoUsd)));
}

function queryOf(values: Record<string, string | undefined>): string {
  const given = Object.entries(values).filter((pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== '');
  return new URLSearchParams(given).toString();
}

function isId(name: string): boolean {
  return POSITION[1]?.test(name) ?? false;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
