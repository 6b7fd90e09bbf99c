import type { PoolClient } from '../db/postgres.ts';
import type { SpendQuery } from './spend.ts';

/** The name for all that is not told by a name of its own. */
export const OTHER = 'other';
/** Keys that are told apart: the dearest. */
const MOST_KEYS = 200;

/** A sum that takes longer is given up. */
const SUM_MS = 2_000;

/** When a report is of. What is passed on is text: a JavaScript date would cut it. */
export interface Window {
  begins: Date;
  as_of: Date;
  from: string;
  /** The first whole hour and UTC day of the period. */
  first_hour: string;
  first_day: string;
  /** From here on the sums by hour do not have all of it. */
  rest_from: string;
}

/** One sum: of a bucket and a name, or of the whole period; null is what it does not tell apart. */
export interface SumRow {
  bucket: Date | null;
  name: string | null;
  model: string | null;
  provider: string | null;
  requests: bigint;
  explored: bigint;
  prompt_tokens: bigint;
  completion_tokens: bigint;
  cost_pico_usd: bigint;
  cost_msat: bigint;
  charged_msat: bigint;
}

/** What is summed. */
export interface Sums {
  /** By model and provider, or by key. */
  of: 'names' | 'keys';
  /** The name by which there are sums of the buckets too; null without a series. Under `key`, in place of those of the whole period. */
  bucketsBy: 'model' | 'key' | 'provider' | null;
  /** Under `key`: those that have a name of their own. */
  namedKeys?: readonly string[];
}

/**
 * The times of a report of the last hours, on the snapshot's clock. The planner has to know how small a part of a long history they are: so
 * they are read first. Whatever is read after it in this transaction is given up after two seconds. `requests` is named for its lock, which
 * may be waited for longer.
 */
export async function readWindow(client: PoolClient, hours: number): Promise<Window> {
  const { rows } = await client.query<Window>(WINDOW, [hours, SUM_MS]);
  const [window] = rows;
  if (!window) throw new Error('usage_rollup has no row');
  return window;
}

const UP = (unit: string) => `date_trunc('${unit}', begins + interval '1 ${unit}' - interval '1 microsecond', 'UTC')`;

const WINDOW = `
  select w.begins, now() as as_of, w.begins::text as "from", w.first_hour::text, w.first_day::text,
    greatest(u.rolled_to, w.first_hour)::text as rest_from,
    set_config('statement_timeout', $2::integer::text, true), (select count(*) from requests where false)
  from usage_rollup u cross join lateral (
    select b.begins, ${UP('hour')} as first_hour, ${UP('day')} as first_day from (select now() - make_interval(hours => $1) as begins) b) w`;

/** Reads sums of a period. */
export async function readSums(client: PoolClient, window: Window, query: SpendQuery, sums: Sums): Promise<SumRow[]> {
  const { accountId, keyId, series, model = null, outcome = null, funding = null } = query;
  const isFiltered = [model, outcome, funding].some((filter) => filter !== null);
  const byDay = series?.bucket !== 'hour' && (sums.of === 'names' ? keyId === null : !isFiltered);
  const { rows } = await client.query<SumRow>(sumsSql(sums, { isOneKeys: keyId !== null, byDay }), [
    ...[accountId, keyId, window.from, window.first_hour, byDay ? window.first_day : 'infinity', window.rest_from],
    ...[model, outcome, funding, series?.bucket ?? null, sums.namedKeys ?? []],
  ]);
  return rows;
}

const FIGURES = ['requests', 'explored', 'prompt_tokens', 'completion_tokens', 'cost_pico_usd', 'cost_msat', 'charged_msat'];
const COLUMNS = ['bucket', 'name', 'model', 'provider'];
const FILTERS = `($7::text is null or model = $7) and ($8::text is null or outcome = $8) and ($9::text is null or funding = $9)`;
const NAMES = {
  model: 'model',
  provider: 'provider',
  key: `case when key_id = any ($11::uuid[]) then key_id::text else '${OTHER}' end`,
};

/**
 * Whole days and hours are taken from their sums, the rest from the holds themselves: the part of an hour with which the period begins, and
 * what was charged since the sums were carried on. A day is summed up again only where that is much less to read.
 */
function sumsSql({ of, bucketsBy }: Sums, { isOneKeys, byDay }: { isOneKeys: boolean; byDay: boolean }): string {
  const cells = (relation: string, where: string, { names = 'model, provider', key = 'key_id', filters = FILTERS } = {}) => `
    select hour, ${names}, ${key}, ${FIGURES.join(', ')} from ${relation}
    where account_id = $1 and ${key === 'key_id' ? '($2::uuid is null or key_id = $2)' : '$2::uuid is null'} and ${where} and ${filters}`;
  const isOfAccount = of === 'names' && !isOneKeys;
  const keyless = { key: 'null::uuid as key_id' };
  const days = isOfAccount
    ? cells('usage_days', 'hour >= $5::timestamptz', keyless)
    : cells('key_usage_days', 'hour >= $5::timestamptz', { names: 'null as model, null as provider', filters: 'true' });
  const parts = [
    ...(byDay ? [days] : []),
    cells(
      isOfAccount ? 'usage_hours' : 'key_usage_hours',
      'hour >= $4::timestamptz and hour < $5::timestamptz',
      isOfAccount ? keyless : {},
    ),
    cells('usage_figures', `state = 'posted' and resolved_at >= $3::timestamptz and resolved_at < $4::timestamptz`),
    cells('usage_figures', `state = 'posted' and resolved_at >= $6::timestamptz`),
  ];
  const totals = FIGURES.map((figure) => `sum(${figure})::bigint as ${figure}`).join(', ');
  const named = `
    with cells as (${parts.join('\n      union all ')}
    ), named as (
      select *, date_trunc($10::text, hour, 'UTC') as bucket, ${bucketsBy ? NAMES[bucketsBy] : 'null::text'} as name from cells where $11::uuid[] is not null
    )`;
  if (of === 'keys' && bucketsBy === null) {
    // Of thousands of keys only the dearest are told apart, and the database adds up the others.
    return `${named}, keys as (
      select key_id, row_number() over (order by sum(cost_pico_usd) desc, key_id) as place, ${totals} from named group by key_id having sum(requests) > 0
    )
    select coalesce(k.name, '${OTHER}') as name, null as bucket, null as model, null as provider, ${totals}
    from (select *, case when place <= ${MOST_KEYS} then key_id::text end as name from keys) k group by k.name`;
  }
  const sets = [...(of === 'names' ? [['model', 'provider']] : []), ...(bucketsBy ? [['bucket', 'name']] : [])];
  const columns = COLUMNS.map((column) => (sets.flat().includes(column) ? column : `null as ${column}`)).join(', ');
  return `${named}
    select ${columns}, ${totals} from named
    group by grouping sets (${sets.map((set) => `(${set.join(', ')})`).join(', ')}) having sum(requests) > 0`;
}
