import { randomBytes } from 'node:crypto';
import { v7 as uuid } from 'uuid';
import type { Pool, PoolClient } from '../db/postgres.ts';
import { msat, type Msat } from '../amount.ts';

/** What an account has and has used. */
export interface Account {
  readonly id: string;
  readonly postedMsat: Msat;
  /** Reserved by requests under way; what is available is `postedMsat - heldMsat`. */
  readonly heldMsat: Msat;
  readonly freeRequestsUsed: number;
  readonly freeRequestsLimit: number;
  readonly freeRequestsRemaining: number;
  /** Paused by the operator. */
  readonly isFrozen: boolean;
}

interface AccountRow {
  id: string;
  posted_msat: bigint;
  held_msat: bigint;
  free_used: number;
  free_limit: number;
  frozen: boolean;
}

const SALT_BYTES = 32;

/**
 * Inserts an empty account in the caller's transaction and gives its id.
 * @param freeLimit its free requests; null for as many as the operator gives everybody.
 */
export async function insertAccount(client: PoolClient, freeLimit: number | null = null): Promise<string> {
  const id = uuid();
  await client.query('insert into accounts (id, answer_salt, free_limit) values ($1, $2, $3)', [id, randomBytes(SALT_BYTES), freeLimit]);
  return id;
}

/** Whether a payment has ever been credited to the account. */
export async function isFunded(database: Pool | PoolClient, id: string): Promise<boolean> {
  const { rows } = await database.query<{ funded: boolean }>('select funded_at is not null as funded from accounts where id = $1', [id]);
  return rows[0]?.funded ?? false;
}

/**
 * The account's state.
 * @param defaultFreeRequests the operator's limit, for accounts without one of their own.
 */
export async function readAccount(database: Pool | PoolClient, id: string, defaultFreeRequests: number): Promise<Account> {
  const { rows } = await database.query<AccountRow>(
    'select id, posted_msat, held_msat, free_used, coalesce(free_limit, $2) as free_limit, frozen_at is not null as frozen from accounts where id = $1',
    [id, defaultFreeRequests],
  );
  const [row] = rows;
  if (!row) throw new Error(`account ${id} is gone`);
  return {
    id: row.id,
    postedMsat: msat(row.posted_msat),
    heldMsat: msat(row.held_msat),
    freeRequestsUsed: row.free_used,
    freeRequestsLimit: row.free_limit,
    freeRequestsRemaining: Math.max(0, row.free_limit - row.free_used),
    isFrozen: row.frozen,
  };
}
