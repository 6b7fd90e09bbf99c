import type { Pool, PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';

/**
 * Refuses a change after which nobody could ever get at an account's money. An account with a balance, money
 * held or an invoice that may still be paid keeps an owner key that does not expire. Called after the change,
 * in the same transaction, which holds the account's lock. Throws GatewayError `last_owner_key`, which takes
 * the change back.
 * @param message what the client can do, if the error table's message does not fit.
 */
export async function keepWayIn(client: PoolClient, accountId: string, message?: string): Promise<void> {
  const { rows } = await client.query<{ stranded: boolean }>(STRANDED, [accountId]);
  if (rows[0]?.stranded) throw new GatewayError('last_owner_key', { message });
}

/** Whether an account with money would have no way in without this key: then it can be neither revoked nor given an expiry. */
export async function isLastWayIn(pool: Pool, accountId: string, keyId: string): Promise<boolean> {
  const { rows } = await pool.query<{ stranded: boolean }>(strandedWithout('and id <> $2'), [accountId, keyId]);
  return rows[0]?.stranded ?? false;
}

/**
 * A payer without a key has such a row too: the one that the payment's token stands for. With that row the
 * payer can make a key, even when the token has expired. An invoice counts until its node has said the last
 * word about it, because a late payment is credited all the same.
 */
const strandedWithout = (others: string) => `
  select (a.posted_msat > 0 or a.held_msat > 0
      or exists (select from invoices where account_id = a.id and (state in ('creating', 'open') or next_check_at is not null)))
    and not exists (select from api_keys where account_id = a.id and role = 'owner' and revoked_at is null and expires_at is null ${others}) as stranded
  from accounts a where a.id = $1`;
const STRANDED = strandedWithout('');
