import { snapshot, type Pool, type PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { msat, picoUsd, type Msat, type PicoUsd } from '../amount.ts';
import type { PaidBy } from './hold.ts';

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

export type SpendName = 'model' | 'key' | 'provider';

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
  series?: { bucket: 'hour' | 'day'; by: SpendName } | null | undefined;
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
/** The name for all that is not told by a name of its own. */
export const OTHER = 'other';

const MOST_KEYS = 200;
const MOST_NAMES = 20;
/** A sum that takes longer is given up. */
const SUM_MS = 2_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const CANCELED = '57014';
const NAMES = ['model', 'provider'] as const;
const BUCKETS = ['bucket', 'name'] as const;

interface Row {
  /** Null in the sums over the whole period. */
  bucket: Date | null;
  model: string | null;
  provider: string | null;
  key_id: string | null;
  name: string | null;
  requests: bigint;
  explored: bigint;
  prompt_tokens: bigint;
  completion_tokens: bigint;
  cost_pico_usd: bigint;
  cost_msat: bigint;
  charged_msat: bigint;
}

/** When a report is of. What is passed on is text: a JavaScript date would cut it. */
interface Window {
  begins: Date;
  as_of: Date;
  /** The period's begin, its first whole hour, and from where on the sums by hour do not have all of it. */
  from: string;
  first_hour: string;
  rest_from: string;
}

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
  const { keyId, series, byKey = false } = query;
  const { rows: windows } = await client.query<Window>(WINDOW, [query.hours, SUM_MS]);
  const [window] = windows;
  if (!window) throw new Error('no clock');
  const filters = [query.model ?? null, query.outcome ?? null, query.funding ?? null];
  const values = [query.accountId, keyId, window.from, window.first_hour, window.rest_from, ...filters, series?.bucket ?? null];
  const sums = async (what: Sums, keys: unknown[] = []) => (await client.query<Row>(sumsSql(what), [...values, ...keys])).rows;

  const by = series && series.by !== 'key' ? series.by : null;
  const rows = await sums({ ofKeys: keyId !== null, by, sets: by ? [NAMES, BUCKETS] : [NAMES] });
  const spend = emptyPeriod(window);
  for (const row of rows) {
    if (row.model === null || row.provider === null) continue;
    add(spend.total, row);
    add(spendOf(spend.byModel, row.model), row);
    add(spendOf(spend.byProvider, row.provider), row);
  }
  if (series && by)
    spend.series = bucketsOf(spend, series.bucket, rows, dearest(by === 'model' ? spend.byModel : spend.byProvider, MOST_NAMES));

  if (!byKey && series?.by !== 'key') return spend;
  const keys = new Map<string, Spend>();
  for (const row of await sums({ ofKeys: true, by: null, sets: [['key_id']] }))
    if (row.key_id !== null) add(spendOf(keys, row.key_id), row);
  if (byKey) spend.byKey = folded(keys, dearest(keys, MOST_KEYS));
  if (series?.by === 'key') {
    const named = [[...dearest(keys, MOST_NAMES)]];
    spend.series = bucketsOf(spend, series.bucket, await sums({ ofKeys: true, by: 'key', sets: [BUCKETS] }, named), null);
  }
  return spend;
}

function emptyPeriod({ begins, as_of: asOf }: Window): PeriodSpend {
  const [byModel, byProvider, byKey] = [new Map(), new Map(), new Map()];
  return { windowStart: begins, asOf, total: nothing(), byModel, byProvider, byKey, series: [] };
}

/**
 * The planner has to know how small a part of a long history the period is: so the times are read first, in the same snapshot. The table is
 * named for its lock, which may be waited for longer than a sum may take.
 */
const WINDOW = `
  select w.begins, now() as as_of, w.begins::text as "from", w.first_hour::text as first_hour, greatest(u.rolled_to, w.first_hour)::text as rest_from,
    set_config('statement_timeout', $2::integer::text, true), (select count(*) from requests where false)
  from usage_rollup u cross join lateral (
    select b.begins, date_trunc('hour', b.begins + interval '1 hour' - interval '1 microsecond', 'UTC') as first_hour
    from (select now() - make_interval(hours => $1) as begins) b) w`;

const FIGURES = 'requests, explored, prompt_tokens, completion_tokens, cost_pico_usd, cost_msat, charged_msat';
const TOTALS = FIGURES.split(', ')
  .map((figure) => `sum(${figure})::bigint as ${figure}`)
  .join(', ');

/** What is summed: over the period, or in buckets by a name. */
interface Sums {
  /** Whether single keys are told apart: their sums are many more. */
  ofKeys: boolean;
  by: SpendName | null;
  /** What is grouped by, each by itself. */
  sets: readonly (readonly Group[])[];
}

type Group = 'bucket' | 'model' | 'provider' | 'key_id' | 'name';
const GROUPS: readonly Group[] = ['bucket', 'model', 'provider', 'key_id', 'name'];

/**
 * Whole hours are taken from the sums by hour, the rest from the holds themselves: the part of an hour with which the period begins, and what
 * was charged since the sums were carried on. Values: account, key, the window's three times, model, outcome, funding, bucket, and the keys
 * that have a name of their own.
 */
function sumsSql({ ofKeys, by, sets }: Sums): string {
  const cells = (relation: string, where: string, keyed = true) => `
    select hour, model, provider, ${keyed ? 'key_id' : 'null::uuid as key_id'}, ${FIGURES} from ${relation}
    where account_id = $1 and ${keyed ? '($2::uuid is null or key_id = $2)' : '$2::uuid is null'} and ${where}
      and ($6::text is null or model = $6) and ($7::text is null or outcome = $7) and ($8::text is null or funding = $8)`;
  const groups = GROUPS.map((group) => (sets.flat().includes(group) ? group : `null as ${group}`));
  const name = by === 'key' ? `case when key_id = any ($10::uuid[]) then key_id::text else '${OTHER}' end` : (by ?? 'null::text');
  return `
    with cells as (${cells(ofKeys ? 'key_usage_hours' : 'usage_hours', 'hour >= $4::timestamptz', ofKeys)}
      union all ${cells('usage_figures', `state = 'posted' and resolved_at >= $3::timestamptz and resolved_at < $4::timestamptz`)}
      union all ${cells('usage_figures', `state = 'posted' and resolved_at >= $5::timestamptz`)}
    ), named as (
      select *, date_trunc($9::text, hour, 'UTC') as bucket, ${name} as name from cells
    )
    select ${groups.join(', ')}, ${TOTALS} from named group by grouping sets (${sets.map((set) => `(${set.join(', ')})`).join(', ')}) having sum(requests) > 0`;
}

/** Every bucket of the period, with the names of `top` and all others as `OTHER`; with all names as they are where there is no `top`. */
function bucketsOf(
  { windowStart, asOf }: PeriodSpend,
  bucket: 'hour' | 'day',
  rows: readonly Row[],
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

/** All that is not of `names` as one. */
function folded(spends: Map<string, Spend>, names: Set<string>): Map<string, Spend> {
  const found = new Map<string, Spend>();
  for (const [name, spend] of spends) sumUp(spendOf(found, names.has(name) ? name : OTHER), spend);
  return found;
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

function add(spend: Spend, row: Row): void {
  sumUp(spend, {
    requestCount: Number(row.requests),
    exploredCount: Number(row.explored),
    promptTokens: Number(row.prompt_tokens),
    completionTokens: Number(row.completion_tokens),
    costPicoUsd: picoUsd(row.cost_pico_usd),
    costMsat: msat(row.cost_msat),
    chargedMsat: msat(row.charged_msat),
  });
}

function sumUp(spend: Spend, more: Spend): void {
  spend.requestCount += more.requestCount;
  spend.exploredCount += more.exploredCount;
  spend.promptTokens += more.promptTokens;
  spend.completionTokens += more.completionTokens;
  spend.costPicoUsd = picoUsd(spend.costPicoUsd + more.costPicoUsd);
  spend.costMsat = msat(spend.costMsat + more.costMsat);
  spend.chargedMsat = msat(spend.chargedMsat + more.chargedMsat);
}
