import type { Pool, PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { AccountFrozenError } from './frozen.ts';
import { WALLET_PREFIX, type ApiKey, type KeyRole } from './api-key.ts';

/**
 * The key that asks for a change, as its request showed it. The prefix tells an old secret from the one that
 * replaced it, and a key from a linked wallet.
 */
export type ActingKey = Pick<ApiKey, 'id' | 'accountId' | 'prefix' | 'lent'>;

/**
 * Takes the account's lock in the caller's transaction and decides anew whether the key may act. What was
 * known when the request began may be minutes old, because the body may have taken that long. To be called
 * before anything of the account is read or written. Throws GatewayError `invalid_api_key` if the key was
 * revoked, has expired or was given another secret meanwhile (or the wallet was unlinked), and `not_permitted` if `needs` asks for an
 * owner and the key is none, or the operator has frozen the account. Other changes of the key do not matter. Waits a second at most, as requests do.
 */
export async function lockAccountAs(client: PoolClient, key: ActingKey, needs: KeyRole): Promise<void> {
  await client.query("set local lock_timeout = '1s'");
  const locked = await client.query<{ frozen: boolean }>(LOCK, [key.accountId]);
  requireLent(key);
  // A statement of its own, because it must see what was committed while the lock was waited for. The row is
  // locked as well: a gateway of an older version changes keys without the account's lock.
  const { text, values } = liveRow(key);
  const { rows } = await client.query<{ role: KeyRole }>(`${text} for share`, values);
  const [row] = rows;
  if (!row) throw new GatewayError('invalid_api_key');
  if (needs === 'owner') requireOwner({ ...row, lent: key.lent });
  if (locked.rows[0]?.frozen) throw new AccountFrozenError();
}

/**
 * Throws `invalid_api_key` unless the key still lives with the secret that was shown. For requests that only
 * read.
 */
export async function requireLive(pool: Pool, key: ActingKey): Promise<void> {
  requireLent(key);
  const { rowCount } = await pool.query(liveRow(key));
  if (rowCount === 0) throw new GatewayError('invalid_api_key');
}

/** Throws `invalid_api_key` for a lent token whose time is over. */
function requireLent({ lent }: ActingKey): void {
  if (lent && lent.until <= Date.now()) throw new GatewayError('invalid_api_key');
}

/** Throws `not_permitted` for a key that may not see and change the whole account. */
export function requireOwner({ role, lent }: Pick<ApiKey, 'role' | 'lent'>): void {
  if (role !== 'owner' || lent) throw new GatewayError('not_permitted', { message: 'This needs an owner key of the account.' });
}

/** What makes a row of `api_keys` a live key, by the database's clock. */
export const LIVE_KEY = 'revoked_at is null and (expires_at is null or expires_at > clock_timestamp())';

const LOCK = 'select frozen_at is not null as frozen from accounts where id = $1 for no key update';
const LIVE_ROW = `select role from api_keys where id = $1 and account_id = $2 and prefix = $3 and ${LIVE_KEY}`;
const LINKED_ROW = `select 'owner' as role from linked_wallets where id = $1 and account_id = $2 and unlinked_at is null`;

function liveRow({ id, accountId, prefix }: ActingKey): { text: string; values: string[] } {
  return prefix === WALLET_PREFIX ? { text: LINKED_ROW, values: [id, accountId] } : { text: LIVE_ROW, values: [id, accountId, prefix] };
}
