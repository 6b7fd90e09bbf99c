import { KEY_CHANGED_CHANNEL } from '../accounts/key-authenticator.ts';
import type { Pool, PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { performAct, type Act, type NewAct } from './acts.ts';

/** An act on one account. */
export type AccountAct = Omit<NewAct, 'act' | 'subject'> & { readonly accountId: string };

/**
 * Freezes an account: from this commit on, no request of it is admitted, no key is made or changed, no invoice is made for it and nothing is
 * withdrawn. What is under way comes to its end, and what was paid is credited. Throws GatewayError `not_found`.
 */
export async function freeze(pool: Pool, act: AccountAct): Promise<Act> {
  return onKeys(pool, { ...act, act: 'freeze' }, async (client, accountId) => {
    const { rowCount } = await client.query('update accounts set frozen_at = clock_timestamp() where id = $1 and frozen_at is null', [
      accountId,
    ]);
    if (rowCount !== 1) return { keys: [], details: { already: true } };
    // Each read of a key from now on says that the account is frozen, and what was read before is refused at the admission.
    const keys = await changeKeys(client, accountId, 'version = -1 - version', 'version >= 0');
    return { keys, details: { keys: keys.length } };
  });
}

/** Lets an account go on. Throws GatewayError `not_found`. */
export async function unfreeze(pool: Pool, act: AccountAct): Promise<Act> {
  return onKeys(pool, { ...act, act: 'unfreeze' }, async (client, accountId) => {
    const { rowCount } = await client.query('update accounts set frozen_at = null where id = $1 and frozen_at is not null', [accountId]);
    // Another version than any that was known before.
    const keys = await changeKeys(client, accountId, 'version = -version', 'version < 0');
    return { keys, details: rowCount === 1 ? { keys: keys.length } : { already: true } };
  });
}

/**
 * Revokes all live keys of an account. Its balance stays, and a linked wallet can still make a new key: an operator who must stop that
 * freezes the account. Throws GatewayError `not_found`.
 */
export async function revokeKeys(pool: Pool, act: AccountAct): Promise<Act> {
  return onKeys(pool, { ...act, act: 'revoke_keys' }, async (client, accountId) => {
    const change = 'revoked_at = clock_timestamp(), version = case when version < 0 then version - 1 else version + 1 end';
    const keys = await changeKeys(client, accountId, change, 'revoked_at is null');
    return { keys, details: { keys: keys.length } };
  });
}

interface Changed {
  /** The ids of the keys that are not what they were. */
  keys: string[];
  details: Record<string, unknown>;
}

/** An act under the account's lock, after which gateways forget the keys that it changed. */
async function onKeys(
  pool: Pool,
  { accountId, ...act }: AccountAct & Pick<NewAct, 'act'>,
  work: (client: PoolClient, accountId: string) => Promise<Changed>,
): Promise<Act> {
  let keys: string[] = [];
  const { act: done } = await performAct(pool, { ...act, subject: { kind: 'account', id: accountId } }, async (client) => {
    await lockExistingAccount(client, accountId);
    const changed = await work(client, accountId);
    keys = changed.keys;
    return changed.details;
  });
  // What waits for the commit must not wait for listeners. Where this is lost, gateways read the keys again within 5 seconds.
  await pool.query('select pg_notify($1, id) from unnest($2::text[]) id', [KEY_CHANGED_CHANNEL, keys]).catch(() => {});
  return done;
}

/** Takes an account's lock in the caller's transaction. Throws GatewayError `not_found` where there is no such account. */
export async function lockExistingAccount(client: PoolClient, accountId: string): Promise<{ postedMsat: bigint; heldMsat: bigint }> {
  const { rows } = await client.query<{ posted_msat: bigint; held_msat: bigint }>(
    'select posted_msat, held_msat from accounts where id = $1 for no key update',
    [accountId],
  );
  const [row] = rows;
  if (!row) throw new GatewayError('not_found', { message: 'The account does not exist.' });
  return { postedMsat: row.posted_msat, heldMsat: row.held_msat };
}

/** In the order of their ids, so that two changes of several keys never wait for each other. */
async function changeKeys(client: PoolClient, accountId: string, change: string, where: string): Promise<string[]> {
  await client.query('select from api_keys where account_id = $1 order by id for no key update', [accountId]);
  const { rows } = await client.query<{ id: string }>(`update api_keys set ${change} where account_id = $1 and ${where} returning id`, [
    accountId,
  ]);
  return rows.map(({ id }) => id);
}
