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
  /** By model and provider; the keys that cost the most, `MOST_KEYS` of them; or the buckets of some keys. */
  of: 'names' | 'dearest keys' | { keys: readonly string[] };
  /** Of names: by what there are sums of the buckets too; `all` under the name `OTHER`, null without a series. */
  bucketsBy?: 'model' | 'provider' | 'all' | null;
}

/**
 * The times of a report of the last hours, on the snapshot's clock. The planner has to know how small a part of a long history they are: so
 * they are read first. Whatever is read after it in this transaction is given up after two seconds, and takes no processor but its own: to start
 * others costs more than there is to sum up, and requests need them. `requests` is named for its lock, which may be waited for longer.
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
    set_config('statement_timeout', $2::integer::text, true), set_config('max_parallel_workers_per_gather', '0', true), (select count(*) from requests where false)
  from usage_rollup u cross join lateral (
    select b.begins, ${UP('hour')} as first_hour, ${UP('day')} as first_day from (select now() - make_interval(hours => $1) as begins) b) w`;

/** Reads sums of a period. */
export async function readSums(client: PoolClient, window: Window, query: SpendQuery, { of, bucketsBy = null }: Sums): Promise<SumRow[]> {
  const { accountId, keyId, series, model = null, outcome = null, funding = null } = query;
  const filtered = Object.entries({ model, outcome, funding }).flatMap(([kind, name]) => (name === null ? [] : [kind]));
  const isOfAccount = of === 'names' && keyId === null;
  const byHour = of !== 'dearest keys' && series?.bucket === 'hour';
  const byDay = !byHour && (of === 'names' ? isOfAccount : filtered.length <= 1);
  const ofKeys = typeof of === 'object' ? of.keys : keyId === null ? null : [keyId];
  const cells = cellsSql({ isOfAccount, areKeysNamed: ofKeys !== null, byDay, filtered });
  const sql = of === 'names' ? namesSql(cells, bucketsBy) : of === 'dearest keys' ? dearestSql(cells) : keysSql(cells);
  const { rows } = await client.query<SumRow>(sql, [
    ...[accountId, ofKeys, window.from, window.first_hour, byDay ? window.first_day : 'infinity', window.rest_from],
    ...[model, outcome, funding, series?.bucket ?? null],
  ]);
  return rows;
}

const FIGURES = ['requests', 'explored', 'prompt_tokens', 'completion_tokens', 'cost_pico_usd', 'cost_msat', 'charged_msat'];
const COLUMNS = ['bucket', 'name', 'model', 'provider'];
const FILTERS = `($7::text is null or model = $7) and ($8::text is null or outcome = $8) and ($9::text is null or funding = $9)`;
const FILTER_PLACES: Readonly<Record<string, string>> = { model: '$7', outcome: '$8', funding: '$9' };
const TOTALS = FIGURES.map((figure) => `sum(${figure})::bigint as ${figure}`).join(', ');
const NAMES = { model: 'model', provider: 'provider', all: `'${OTHER}'` };

interface Cells {
  isOfAccount: boolean;
  areKeysNamed: boolean;
  byDay: boolean;
  /** By which names the requests are narrowed down. */
  filtered: readonly string[];
}

/**
 * Whole days and hours are taken from their sums, the rest from the holds themselves: the part of an hour with which the period begins, and
 * what was charged since the sums were carried on. A day is summed up again only where that is much less to read.
 */
function cellsSql({ isOfAccount, areKeysNamed, byDay, filtered }: Cells): string {
  const keys = areKeysNamed ? 'key_id = any ($2::uuid[])' : '$2::uuid[] is null';
  const cells = (relation: string, where: string, { names = 'model, provider', key = 'key_id', filters = FILTERS } = {}) => `
    select hour, date_trunc($10::text, hour, 'UTC') as bucket, ${names}, ${key}, ${FIGURES.join(', ')} from ${relation}
    where account_id = $1 and ${keys} and ${where} and ${filters}`;
  const keyless = { key: 'null::uuid as key_id' };
  const days = isOfAccount
    ? cells('usage_days', 'hour >= $5::timestamptz', keyless)
    : cells(filtered.length === 0 ? 'key_usage_days' : 'key_name_days', 'hour >= $5::timestamptz', {
        names: 'null as model, null as provider',
        filters: filtered.map((kind) => `kind = '${kind}' and name = ${FILTER_PLACES[kind]}`).join('') || 'true',
      });
  return [
    ...(byDay ? [days] : []),
    cells(
      isOfAccount ? 'usage_hours' : 'key_usage_hours',
      'hour >= $4::timestamptz and hour < $5::timestamptz',
      isOfAccount ? keyless : {},
    ),
    cells('usage_figures', `state = 'posted' and resolved_at >= $3::timestamptz and resolved_at < $4::timestamptz`),
    cells('usage_figures', `state = 'posted' and resolved_at >= $6::timestamptz`),
  ].join('\n      union all ');
}

function namesSql(cells: string, bucketsBy: keyof typeof NAMES | null): string {
  const sets = [['model', 'provider'], ...(bucketsBy ? [['bucket', 'name']] : [])];
  const columns = COLUMNS.map((column) => (sets.flat().includes(column) ? column : `null as ${column}`)).join(', ');
  return `
    select ${columns}, ${TOTALS} from (select *, ${bucketsBy ? NAMES[bucketsBy] : 'null'} as name from (${cells}) c) named
    group by grouping sets (${sets.map((set) => `(${set.join(', ')})`).join(', ')}) having sum(requests) > 0`;
}

/** Of thousands of keys one figure is summed up, and the others of the dearest alone. */
function dearestSql(cells: string): string {
  return `
    with cells as materialized (${cells}
    ), dearest as (
      select key_id from cells group by key_id having sum(requests) > 0 order by sum(cost_pico_usd) desc, key_id limit ${MOST_KEYS}
    )
    select null as bucket, key_id::text as name, null as model, null as provider, ${TOTALS} from cells join dearest using (key_id) group by key_id`;
}

function keysSql(cells: string): string {
  return `
    select bucket, key_id::text as name, null as model, null as provider, ${TOTALS} from (${cells}) c group by bucket, key_id having sum(requests) > 0`;
}
