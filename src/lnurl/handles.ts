import { randomInt } from 'node:crypto';
import { lockAccountAs, type ActingKey } from '../accounts/acting-key.ts';
import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { isReservedHandle } from './reserved-handles.ts';

/** Letters and digits, and single marks between them: what the regular expressions of wallets take for the name of an address. */
const HANDLE = /^[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){1,30}[a-z0-9]$/;
/** Without vowels, so that chance writes no words, and without characters that look alike. */
const ALPHABET = 'bcdfghjkmnpqrstvwxz23456789';
/** More than 47 bits: nobody finds accounts by trying. */
const RANDOM_LENGTH = 10;
/** The handles that an account may have had: each is kept from all others for ever. */
const MOST_OF_AN_ACCOUNT = 10;
const TRIES = 5;

/**
 * The names of accounts in Lightning Addresses. Each account has one, which is drawn when it is first asked for; an owner may choose another.
 * One that was given up is dead and stays its account's: money sent to it must not reach somebody else.
 */
export class Handles {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** The handle of an account. */
  async of(accountId: string): Promise<string> {
    for (let tried = 0; tried < TRIES; tried++) {
      const handle = await this.#current(accountId);
      if (handle !== undefined) return handle;
      // The database decides which of several at once it is, and whether it was anybody's before. Under the account's lock: the owner may
      // be choosing the first one just now.
      await this.#pool.query(
        `insert into lightning_handles (handle, account_id)
         select $1, id from accounts where id = $2 for no key update on conflict do nothing`,
        [randomHandle(), accountId],
      );
    }
    throw new Error(`no handle could be drawn for account ${accountId}`);
  }

  async #current(accountId: string): Promise<string | undefined> {
    const { rows } = await this.#pool.query<{ handle: string }>(
      `select handle from lightning_handles where account_id = $1 and retired_at is null`,
      [accountId],
    );
    return rows[0]?.handle;
  }

  /** Whether the operator has frozen the account: then its address is offered to nobody. */
  async isFrozen(accountId: string): Promise<boolean> {
    const { rowCount } = await this.#pool.query(`select from accounts where id = $1 and frozen_at is not null`, [accountId]);
    return rowCount === 1;
  }

  /** The account that goes by a handle now. */
  async accountOf(handle: string): Promise<string | undefined> {
    if (!HANDLE.test(handle)) return undefined;
    const { rows } = await this.#pool.query<{ account_id: string }>(
      `select account_id from lightning_handles where handle = $1 and retired_at is null`,
      [handle],
    );
    return rows[0]?.account_id;
  }

  /**
   * Gives the account the handle that its owner chose; the one of before is dead once this resolves. Throws GatewayError `invalid_request`
   * for a handle that is malformed, reserved or another account's, `not_permitted` for one too many, and what `lockAccountAs` throws.
   */
  async change(owner: ActingKey, wanted: string): Promise<string> {
    const handle = wanted.trim().toLowerCase();
    if (!HANDLE.test(handle))
      throw refused('handle: 3 to 32 letters a to z, digits and single - _ . between them, beginning and ending with a letter or digit.');
    if (isReservedHandle(handle)) throw refused('handle: this one is reserved.');
    const { accountId } = owner;
    const change = async (client: PoolClient): Promise<string> => {
      await lockAccountAs(client, owner, 'owner');
      const { rows } = await client.query<{ handle: string; retired: boolean }>(
        `select handle, retired_at is not null as retired from lightning_handles where account_id = $1`,
        [accountId],
      );
      const own = rows.find((row) => row.handle === handle);
      if (own?.retired === false) return handle;
      if (!own && rows.length >= MOST_OF_AN_ACCOUNT)
        throw new GatewayError('not_permitted', {
          message: `An account can have ${MOST_OF_AN_ACCOUNT} handles in its life; this one has had them.`,
        });
      await client.query(`update lightning_handles set retired_at = clock_timestamp() where account_id = $1 and retired_at is null`, [
        accountId,
      ]);
      const { rowCount } = await client.query(
        `insert into lightning_handles as h (handle, account_id) values ($1, $2)
         on conflict (handle) do update set retired_at = null where h.account_id = excluded.account_id`,
        [handle, accountId],
      );
      if (rowCount === 0) throw refused('handle: this one is taken.');
      return handle;
    };
    return transaction(this.#pool, change, { promised: true });
  }
}

function randomHandle(): string {
  return Array.from({ length: RANDOM_LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
}

function refused(message: string): GatewayError {
  return new GatewayError('invalid_request', { message, param: 'handle' });
}
