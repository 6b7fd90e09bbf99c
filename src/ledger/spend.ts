import { snapshot, type Pool, type PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { msat, picoUsd, type Msat, type PicoUsd } from '../amount.ts';
import type { PaidBy } from './hold.ts';
import { OTHER, readSums, readWindow, type SumRow, type Window } from './spend-sums.ts';

/** The figures of some requests. */
export interface Spend {
  requestCount: number;
  /** Of them, those that were spent on learning how a deployment does. */
  exploredCount: number;
  promptTokens: number;
  completionTokens: number;
  costPicoUsd: PicoUsd;
  /** The cost at the rate of each request, rounded up once each. */
  costMsat: Msat;
  chargedMsat: Msat;
}

/** Whose spend, of what, and how it is told. */
export interface SpendQuery {
  accountId: string;
  /** Null: all keys of the account. */
  keyId: string | null;
  /** The period rolls back from now. */
  hours: number;
  /** Only requests of this model, outcome (as their records say; `unrecorded` without one) or funding. */
  model?: string | null | undefined;
  outcome?: string | null | undefined;
  funding?: PaidBy | null | undefined;
  /** Whether to tell the spend by key too. */
  byKey?: boolean | undefined;
  /** Whether to tell the spend by hour or UTC day too, and by which name in each. */
  series?: { bucket: 'hour' | 'day'; by: 'model' | 'key' | 'provider' } | null | undefined;
}

/** The spend of an hour or a UTC day: of the first and the last one, the part that is in the period. */
export interface SpendBucket {
  start: Date;
  byName: Map<string, Spend>;
}

/** The spend of a period, in all and by name. Every breakdown has the same total. */
export interface PeriodSpend {
  windowStart: Date;
  /** The database's time of the figures, which are all of one moment. */
  asOf: Date;
  total: Spend;
  byModel: Map<string, Spend>;
  byProvider: Map<string, Spend>;
  /** By a key's id: at most the 200 dearest, and all others as `OTHER`. Empty where it was not asked for. */
  byKey: Map<string, Spend>;
  /** All buckets of the period, the oldest first, also empty ones; at most 20 names, and all others as `OTHER`. Empty where not asked for. */
  series: SpendBucket[];
}

/** The name for requests whose usage record was lost in a crash: the ledger has the money, and no names. */
export const UNRECORDED = 'unrecorded';
const MOST_NAMES = 20;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const CANCELED = '57014';

/**
 * What an account, or one of its keys, spent in the last hours, on the database's clock. The money is the ledger's;
 * usage records only name it. A request whose charge was given back cost nothing, as if it had been voided.
 * Throws `overloaded` where the sum takes more than two seconds.
 */
export async function readSpend(pool: Pool, query: SpendQuery): Promise<PeriodSpend> {
  try {
    return await snapshot(pool, (client) => readIn(client, query));
  } catch (error) {
    if ((error as { code?: unknown }).code !== CANCELED) throw error;
    throw new GatewayError('overloaded', { message: 'The sum takes too long. Pick a shorter period.', retryAfter: 5, cause: error });
  }
}

async function readIn(client: PoolClient, query: SpendQuery): Promise<PeriodSpend> {
  const { series, byKey = false } = query;
  const window = await readWindow(client, query.hours);
  const spend = emptyPeriod(window);
  const rows = await readSums(client, window, query, { of: 'names', bucketsBy: series ? (series.by === 'key' ? 'all' : series.by) : null });
  for (const row of rows) {
    if (row.model === null || row.provider === null) continue;
    add(spend.total, row);
    add(spendOf(spend.byModel, row.model), row);
    add(spendOf(spend.byProvider, row.provider), row);
  }
  if (series && series.by !== 'key') {
    const top = dearest(series.by === 'model' ? spend.byModel : spend.byProvider, MOST_NAMES);
    spend.series = bucketsOf(spend, series.bucket, rows, top);
  }
  if (byKey || series?.by === 'key') await readKeys(client, window, query, { spend, rows });
  return spend;
}

/** Of thousands of keys the dearest alone are read: what the others spent is what is left of the same sums, which are of the same moment. */
async function readKeys(
  client: PoolClient,
  window: Window,
  query: SpendQuery,
  { spend, rows }: { spend: PeriodSpend; rows: readonly SumRow[] },
): Promise<void> {
  const { series, byKey = false } = query;
  const ofKeys = spend.total.requestCount === 0 ? [] : await readSums(client, window, query, { of: 'dearest keys' });
  const keys = withOthers(spend.total, ofKeys);
  if (byKey) spend.byKey = keys;
  if (series?.by !== 'key') return;
  const named = [...dearest(keys, MOST_NAMES + 1)].filter((name) => name !== OTHER).slice(0, MOST_NAMES);
  const ofBuckets = named.length === 0 ? [] : await readSums(client, window, query, { of: { keys: named } });
  const byBucket = Map.groupBy(ofBuckets, ({ bucket }) => bucket?.getTime());
  spend.series = bucketsOf(spend, series.bucket, rows, null).map(({ start, byName }) => {
    return { start, byName: withOthers(spendOf(byName, OTHER), byBucket.get(start.getTime()) ?? []) };
  });
}

/** The spends by name, and what is left of their total as `OTHER`. */
function withOthers(total: Spend, rows: readonly SumRow[]): Map<string, Spend> {
  const names = new Map<string, Spend>();
  const others = { ...total };
  for (const row of rows) {
    if (row.name === null) continue;
    add(spendOf(names, row.name), row);
    add(others, row, -1);
  }
  if (others.requestCount > 0) names.set(OTHER, others);
  return names;
}

function emptyPeriod({ begins, as_of: asOf }: Window): PeriodSpend {
  const [byModel, byProvider, byKey] = [new Map(), new Map(), new Map()];
  return { windowStart: begins, asOf, total: nothing(), byModel, byProvider, byKey, series: [] };
}

/** Every bucket of the period, with the names of `top` and all others as `OTHER`; with all names as they are where there is no `top`. */
function bucketsOf(
  { windowStart, asOf }: PeriodSpend,
  bucket: 'hour' | 'day',
  rows: readonly SumRow[],
  top: Set<string> | null,
): SpendBucket[] {
  const lengthMs = bucket === 'hour' ? HOUR_MS : DAY_MS;
  const byStart = new Map<number, Map<string, Spend>>();
  // Charges of the moment in which the report is made may be of the next bucket already.
  const last = Math.max(asOf.getTime(), ...rows.map((row) => row.bucket?.getTime() ?? 0));
  for (let at = Math.floor(windowStart.getTime() / lengthMs) * lengthMs; at <= last; at += lengthMs) byStart.set(at, new Map());
  for (const row of rows) {
    const names = row.bucket && byStart.get(row.bucket.getTime());
    if (names && row.name !== null) add(spendOf(names, !top || top.has(row.name) ? row.name : OTHER), row);
  }
  return [...byStart].map(([start, byName]) => ({ start: new Date(start), byName }));
}

/** The names that cost the most. */
function dearest(spends: Map<string, Spend>, most: number): Set<string> {
  const byCost = [...spends].toSorted(([, a], [, b]) => (a.costPicoUsd < b.costPicoUsd ? 1 : a.costPicoUsd > b.costPicoUsd ? -1 : 0));
  return new Set(byCost.slice(0, most).map(([name]) => name));
}

function nothing(): Spend {
  return {
    requestCount: 0,
    exploredCount: 0,
    promptTokens: 0,
    completionTokens: 0,
    costPicoUsd: picoUsd(0n),
    costMsat: msat(0n),
    chargedMsat: msat(0n),
  };
}

function spendOf(spends: Map<string, Spend>, name: string): Spend {
  const known = spends.get(name);
  if (known) return known;
  const spend = nothing();
  spends.set(name, spend);
  return spend;
}

/** Adds a row to a sum; a `sign` of -1 takes it away. */
function add(spend: Spend, row: SumRow, sign: 1 | -1 = 1): void {
  const money = BigInt(sign);
  spend.requestCount += sign * Number(row.requests);
  spend.exploredCount += sign * Number(row.explored);
  spend.promptTokens += sign * Number(row.prompt_tokens);
  spend.completionTokens += sign * Number(row.completion_tokens);
  spend.costPicoUsd = picoUsd(spend.costPicoUsd + money * row.cost_pico_usd);
  spend.costMsat = msat(spend.costMsat + money * row.cost_msat);
  spend.chargedMsat = msat(spend.chargedMsat + money * row.charged_msat);
}
