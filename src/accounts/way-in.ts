import type { PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';

/**
 * Refuses a change after which nobody could get at an account's money for ever: an account with a balance, money held or an invoice that
 * may still be paid keeps an owner key that does not expire. Asked after the change, in its transaction, which holds the account's lock;
 * what it throws, GatewayError `last_owner_key`, takes the change back.
 * @param message what to do about it, where the table's does not fit.
 */
export async function keepWayIn(client: PoolClient, accountId: string, message?: string): Promise<void> {
  const { rows } = await client.query<{ stranded: boolean }>(STRANDED, [accountId]);
  if (rows[0]?.stranded) throw new GatewayError('last_owner_key', { message });
}

/**
 * A payer without a key has such a row too: the one that its token stands for, which makes it a key also when the token has expired.
 * An invoice counts until its node has had the last word on it, for a payment that comes late is credited all the same.
 */
const STRANDED = `
  select (a.posted_msat > 0 or a.held_msat > 0
      or exists (select from invoices where account_id = a.id and (state in ('creating', 'open') or next_check_at is not null)))
    and not exists (select from api_keys where account_id = a.id and role = 'owner' and revoked_at is null and expires_at is null) as stranded
  from accounts a where a.id = $1`;
