import type { Pool } from '../../src/db/postgres.ts';
import { until } from './until.ts';

export interface HoldRow {
  request_id: string;
  key_id: string;
  funding: 'free' | 'wallet' | 'byok';
  state: 'pending' | 'posted' | 'voided' | 'refunded';
  amount_msat: bigint;
  amount_pico_usd: bigint;
  posted_msat: bigint;
  posted_pico_usd: bigint;
  checkpoint_msat: bigint | null;
}

/** All holds of an account, oldest first. */
export async function holdsOf(pool: Pool, accountId: string): Promise<HoldRow[]> {
  const { rows } = await pool.query<HoldRow>('select * from holds where account_id = $1 order by created_at, request_id', [accountId]);
  return rows;
}

/** Waits until an account has a hold and none is pending; gives the last one. */
export async function settledHold(pool: Pool, accountId: string): Promise<HoldRow> {
  return until(async () => {
    const holds = await holdsOf(pool, accountId);
    return holds.every(({ state }) => state !== 'pending') && holds.at(-1);
  });
}

export interface AccountRow {
  posted_msat: bigint;
  held_msat: bigint;
  free_used: number;
  free_streams: number;
}

export async function accountOf(pool: Pool, accountId: string): Promise<AccountRow> {
  const { rows } = await pool.query<AccountRow>('select posted_msat, held_msat, free_used, free_streams from accounts where id = $1', [
    accountId,
  ]);
  const [row] = rows;
  if (!row) throw new Error('no such account');
  return row;
}
