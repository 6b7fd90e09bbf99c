import type { Pool } from '../db/postgres.ts';
import { msat, picoUsd, type Msat, type PicoUsd } from '../amount.ts';

/** A key's budget of the current UTC day, on the database's clock. */
export interface BudgetDay {
  /** Spent and reserved. */
  usedPicoUsd: PicoUsd;
  resetsAt: Date;
}

/** What the key has used of today's budget, and when the next day begins. */
export async function readBudgetDay(pool: Pool, keyId: string): Promise<BudgetDay> {
  const { rows } = await pool.query<{ used: bigint; resets_at: Date }>(BUDGET_DAY, [keyId]);
  const [row] = rows;
  if (!row) throw new Error('no clock');
  return { usedPicoUsd: picoUsd(row.used), resetsAt: row.resets_at };
}

/** What each of the keys has used of today's budget, as `readBudgetDay` tells of one; keys that used nothing are left out. */
export async function readBudgetDays(pool: Pool, keyIds: readonly string[]): Promise<Map<string, PicoUsd>> {
  const { rows } = await pool.query<{ key_id: string; used: bigint }>(BUDGET_DAYS, [keyIds]);
  return new Map(rows.map(({ key_id, used }) => [key_id, picoUsd(used)]));
}

const BUDGET_DAYS = `
  select key_id, reserved_pico_usd + spent_pico_usd as used from budget_days
  where key_id = any ($1::uuid[]) and day = (clock_timestamp() at time zone 'utc')::date`;

const BUDGET_DAY = `
  select coalesce((select reserved_pico_usd + spent_pico_usd from budget_days where key_id = $1 and day = today.day), 0) as used,
    (today.day + 1)::timestamp at time zone 'utc' as resets_at
  from (select (clock_timestamp() at time zone 'utc')::date as day) today`;

/**
 * The account's mean charge of the last 30 days, rounded up; null if there was no charge. Only the last
 * 10,000 charges of a busy account count: the mean is an estimate, and must not cost a walk through a month
 * of holds.
 */
export async function readMeanCharge(pool: Pool, accountId: string): Promise<Msat | null> {
  const { rows } = await pool.query<{ mean: bigint | null }>(MEAN_CHARGE, [accountId]);
  const mean = rows[0]?.mean ?? null;
  return mean === null ? null : msat(mean);
}

const MEAN_CHARGE = `
  select ceil(avg(posted_msat))::bigint as mean from (
    select posted_msat from holds
    where account_id = $1 and state = 'posted' and resolved_at >= now() - interval '30 days' and posted_msat > 0
    order by resolved_at desc limit 10000
  ) recent`;

/** What an account can spend or take out: its balance less what is reserved. */
export async function readAvailable(pool: Pool, accountId: string): Promise<Msat> {
  const { rows } = await pool.query<{ available: bigint }>('select posted_msat - held_msat as available from accounts where id = $1', [
    accountId,
  ]);
  return msat(rows[0]?.available ?? 0n);
}
