import { picoUsd, type PicoUsd } from '../amount.ts';
import type { Pool } from '../db/postgres.ts';
import { idAt } from './id-at.ts';

/** What an operator wants to know of the installation. */
export interface SystemFacts {
  readonly database: string;
  readonly sizeBytes: bigint;
  readonly connections: number;
  /** The newest migration, and how many there are. */
  readonly migrations: { readonly newest: string; readonly count: number };
  readonly instances: readonly { readonly id: string; readonly beatAt: Date; readonly ageSeconds: number }[];
  readonly holds: { readonly pending: number; readonly oldestSeconds: number | null };
  readonly invoicesDue: number;
  readonly withdrawalsPending: number;
  readonly orphans: number;
}

/** Reads them, all by indexes: nothing of it grows with the history. */
export async function readSystem(pool: Pool): Promise<SystemFacts> {
  const [{ rows }, instances] = await Promise.all([
    pool.query<SystemRow>(SYSTEM),
    pool.query<{ id: string; beat_at: Date; age: number }>(
      `select id, beat_at, extract(epoch from clock_timestamp() - beat_at)::float8 as age from instances order by beat_at desc limit 50`,
    ),
  ]);
  const [row] = rows;
  if (!row) throw new Error('the database tells nothing of itself');
  return {
    database: row.version,
    sizeBytes: row.size,
    connections: row.connections,
    migrations: { newest: row.newest_migration, count: row.migrations },
    instances: instances.rows.map(({ id, beat_at: beatAt, age }) => ({ id, beatAt, ageSeconds: age })),
    holds: { pending: row.holds, oldestSeconds: row.oldest_hold },
    invoicesDue: row.invoices_due,
    withdrawalsPending: row.withdrawals,
    orphans: row.orphans,
  };
}

interface SystemRow {
  version: string;
  size: bigint;
  connections: number;
  newest_migration: string;
  migrations: number;
  holds: number;
  oldest_hold: number | null;
  invoices_due: number;
  withdrawals: number;
  orphans: number;
}

const SYSTEM = `
  select current_setting('server_version') as version, pg_database_size(current_database()) as size,
    (select count(*)::integer from pg_stat_activity where datname = current_database()) as connections,
    (select max(name) from schema_migrations) as newest_migration, (select count(*)::integer from schema_migrations) as migrations,
    (select count(*)::integer from holds where state = 'pending') as holds,
    (select extract(epoch from clock_timestamp() - min(created_at))::float8 from holds where state = 'pending') as oldest_hold,
    (select count(*)::integer from invoices where next_check_at < clock_timestamp()) as invoices_due,
    (select count(*)::integer from withdrawals where next_check_at is not null) as withdrawals,
    (select count(*)::integer from orphans where resolved_at is null) as orphans`;

/** How the free tier's day goes. */
export interface FreeTierFacts {
  readonly spentPicoUsd: PicoUsd;
  readonly reservedPicoUsd: PicoUsd;
  /** When the next UTC day begins. */
  readonly resetsAt: Date;
  /** Accounts that were made, by hour, the oldest first. */
  readonly newAccounts: readonly { readonly hour: Date; readonly accounts: number }[];
  /** Those that took most of it today. */
  readonly largest: readonly {
    readonly accountId: string;
    readonly spentPicoUsd: PicoUsd;
    readonly freeUsed: number;
    readonly frozen: boolean;
  }[];
}

/** Reads it. Accounts have no index by their time: their ids are in its order, so that a day's are found by them. */
export async function readFreeTier(pool: Pool, most: number): Promise<FreeTierFacts> {
  const [today, hours, largest] = await Promise.all([
    pool.query<{ spent: bigint; reserved: bigint; resets_at: Date }>(TODAY),
    pool.query<{ hour: Date; accounts: number }>(NEW_ACCOUNTS, [idAt(Date.now() - 24 * 3_600_000)]),
    pool.query<{ id: string; spent: bigint; free_used: number; frozen: boolean }>(LARGEST, [most]),
  ]);
  const [row] = today.rows;
  if (!row) throw new Error('no clock');
  return {
    spentPicoUsd: picoUsd(row.spent),
    reservedPicoUsd: picoUsd(row.reserved),
    resetsAt: row.resets_at,
    newAccounts: hours.rows,
    largest: largest.rows.map(({ id, spent, free_used: freeUsed, frozen }) => ({
      accountId: id,
      spentPicoUsd: picoUsd(spent),
      freeUsed,
      frozen,
    })),
  };
}

const TODAY = `
  select coalesce(f.spent_pico_usd, 0) as spent, coalesce(f.reserved_pico_usd, 0) as reserved, (d.day + 1)::timestamp at time zone 'utc' as resets_at
  from (select (clock_timestamp() at time zone 'utc')::date as day) d left join free_days f on f.day = d.day`;
const NEW_ACCOUNTS = `
  select h.hour, count(a.id)::integer as accounts
  from generate_series(date_trunc('hour', now() - interval '23 hours', 'UTC'), now(), interval '1 hour') h (hour)
  left join accounts a on a.id >= $1 and a.created_at >= h.hour and a.created_at < h.hour + interval '1 hour'
  group by h.hour order by h.hour`;
const LARGEST = `
  select id, free_spent_pico_usd as spent, free_used, frozen_at is not null as frozen from accounts
  where free_day = (clock_timestamp() at time zone 'utc')::date and free_spent_pico_usd > 0 order by free_spent_pico_usd desc limit $1`;
