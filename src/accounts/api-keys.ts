import { v7 as uuid } from 'uuid';
import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import type { PicoUsd } from '../amount.ts';
import type { Logger } from '../log.ts';
import { insertAccount } from './account.ts';
import { LIVE_KEY, lockAccountAs, type ActingKey } from './acting-key.ts';
import { API_KEY_COLUMNS, apiKeyFromRow, type ApiKey, type ApiKeyRow, type KeyRole } from './api-key.ts';
import { KEY_CHANGED_CHANNEL, type KeyAuthenticator } from './key-authenticator.ts';
import type { KeySecrets } from './key-secret.ts';
import { keepWayIn } from './way-in.ts';

/** What an owner chooses for a key. */
export interface KeySettings {
  label: string | null;
  dailyBudgetPicoUsd: PicoUsd;
  rateLimitRpm: number | null;
  rateLimitTpm: number | null;
  allowedModels: string[] | null;
  expiresAt: Date | null;
}

/** What an owner may change of a key. */
export type KeyChanges = Partial<KeySettings & { role: KeyRole }>;

/** A key with its secret, which is known at this moment only. */
export interface IssuedKey {
  readonly key: ApiKey;
  readonly secret: string;
}

/** Some of an account's keys. */
export interface KeyPage {
  /** Only keys that come after this one. */
  after?: string | null | undefined;
  /** Only keys that come before this one: the last of them. */
  before?: string | null | undefined;
  limit: number;
  /** Only keys whose label begins with this, in any case, or whose prefix it is. */
  q?: string | null | undefined;
  /** Live ones may be used now; an expired one is neither live nor revoked. */
  state?: 'live' | 'revoked' | 'all' | undefined;
}

export interface ApiKeysOptions {
  pool: Pool;
  secrets: KeySecrets;
  authenticator: KeyAuthenticator;
  log: Logger;
}

/** The key was made, or its secret replaced, by the same request sent before: its secret has been shown, and is not known any more. */
export class KeyMadeError extends Error {
  override readonly name = 'KeyMadeError';
}

/** Live keys of one account. */
const MAX_LIVE_KEYS = 100;

/**
 * The API keys of accounts: made, listed, changed, revoked and rotated. A key of another account does not
 * exist here. Every write decides in its own transaction whether the key that asks for it is still an owner
 * key, and throws what `lockAccountAs` throws.
 */
export class ApiKeys {
  readonly #pool: Pool;
  readonly #secrets: KeySecrets;
  readonly #authenticator: KeyAuthenticator;
  readonly #log: Logger;

  constructor({ pool, secrets, authenticator, log }: ApiKeysOptions) {
    this.#pool = pool;
    this.#secrets = secrets;
    this.#authenticator = authenticator;
    this.#log = log;
  }

  /** Makes an account with its owner key, and with what `more` adds to it: all or nothing. */
  createAccount(settings: KeySettings, more?: (client: PoolClient, accountId: string) => Promise<void>): Promise<IssuedKey> {
    return transaction(this.#pool, async (client) => {
      const accountId = await insertAccount(client);
      const issued = await this.#insert(client, accountId, 'owner', settings);
      await more?.(client, accountId);
      return issued;
    });
  }

  /**
   * Makes another key of the owner's account. Throws `not_permitted` if the account has as many as it may, and `KeyMadeError` if there is a
   * key of this `id`.
   */
  create(owner: ActingKey, role: KeyRole, settings: KeySettings, id = uuid()): Promise<IssuedKey> {
    return this.#as(owner, async (client) => {
      const { rows } = await client.query<{ live: number }>(COUNT_LIVE, [owner.accountId]);
      if ((rows[0]?.live ?? 0) >= MAX_LIVE_KEYS) {
        throw new GatewayError('not_permitted', { message: `An account has at most ${MAX_LIVE_KEYS} keys. Revoke one first.` });
      }
      const issued = await this.#insert(client, owner.accountId, role, settings, id);
      await keepWayIn(client, owner.accountId);
      return issued;
    });
  }

  /**
   * The account's keys, oldest first, revoked ones too unless told otherwise: up to `limit` of those that come after the key `after`, or right
   * before the key `before`.
   */
  async list(accountId: string, { after = null, before = null, limit, q = null, state = 'all' }: KeyPage): Promise<ApiKey[]> {
    const [place, comparison, order] = before === null ? [after, '>', 'asc'] : [before, '<', 'desc'];
    const { rows } = await this.#pool.query<ApiKeyRow>(
      `select ${API_KEY_COLUMNS} from api_keys
       where account_id = $1 and ($2::uuid is null or (created_at, id) ${comparison} (select created_at, id from api_keys where id = $2 and account_id = $1))
         and ${OF_STATE[state]} and ($4::text is null or prefix = $4 or starts_with(lower(label), lower($4)))
       order by created_at ${order}, id ${order} limit $3`,
      [accountId, place, limit, q],
    );
    const keys = rows.map(apiKeyFromRow);
    return before === null ? keys : keys.reverse();
  }

  /** The keys of the account among `ids`, by id: revoked ones too. */
  async named(accountId: string, ids: readonly string[]): Promise<Map<string, ApiKey>> {
    const { rows } = await this.#pool.query<ApiKeyRow>(
      `select ${API_KEY_COLUMNS} from api_keys where account_id = $1 and id = any ($2::uuid[])`,
      [accountId, ids],
    );
    return new Map(rows.map((row) => [row.id, apiKeyFromRow(row)]));
  }

  /** One key of the account, also when revoked. Throws `key_not_found`. */
  find(accountId: string, keyId: string): Promise<ApiKey> {
    return this.#read(this.#pool, accountId, keyId);
  }

  /**
   * Replaces what is named in `changes`. Throws `key_not_found` where there is no such live key, and `last_owner_key` where the account
   * would lose its last way in.
   */
  async change(owner: ActingKey, keyId: string, changes: KeyChanges): Promise<ApiKey> {
    const names = (Object.keys(changes) as (keyof KeyChanges)[]).filter((name) => changes[name] !== undefined);
    const assignments = names.map((name, index) => `${COLUMNS[name]} = $${index + 3}`);
    const key = await this.#as(owner, async (client) => {
      const { rows } = await client.query<ApiKeyRow>(
        `update api_keys set ${[...assignments, 'version = version + 1'].join(', ')}
         where account_id = $1 and id = $2 and revoked_at is null returning ${API_KEY_COLUMNS}`,
        [owner.accountId, keyId, ...names.map((name) => changes[name])],
      );
      const changed = onlyKey(rows);
      if (changes.role === 'inference' || changes.expiresAt) await keepWayIn(client, owner.accountId);
      return changed;
    });
    await this.#announce(keyId);
    return key;
  }

  /** Ends a key for good; a revoked one stays revoked. Throws as `change` does. */
  async revoke(owner: ActingKey, keyId: string): Promise<void> {
    const { accountId } = owner;
    await this.#as(owner, async (client) => {
      const { rows } = await client.query<{ role: KeyRole }>(REVOKE, [accountId, keyId]);
      const [revoked] = rows;
      if (revoked?.role === 'owner') await keepWayIn(client, accountId);
      if (!revoked) await this.#read(client, accountId, keyId);
    });
    await this.#announce(keyId);
  }

  /**
   * Replaces a key's secret; the old one is dead once this resolves. Throws `key_not_found` where there is no such live key, and
   * `KeyMadeError` where its secret is not that of `oldPrefix` any more.
   */
  async rotate(owner: ActingKey, keyId: string, oldPrefix?: string): Promise<IssuedKey> {
    const { secret, prefix, secretHash, secretId } = this.#secrets.create();
    const key = await this.#as(owner, async (client) => {
      const before = await this.#read(client, owner.accountId, keyId);
      if (oldPrefix !== undefined && before.revokedAt === null && before.prefix !== oldPrefix) throw new KeyMadeError();
      const { rows } = await client.query<ApiKeyRow>(
        `update api_keys set secret_hash = $3, secret_id = $4, prefix = $5, version = version + 1
         where account_id = $1 and id = $2 and revoked_at is null returning ${API_KEY_COLUMNS}`,
        [owner.accountId, keyId, secretHash, secretId, prefix],
      );
      return onlyKey(rows);
    });
    await this.#announce(keyId);
    return { key, secret };
  }

  #as<T>(owner: ActingKey, work: (client: PoolClient) => Promise<T>): Promise<T> {
    const act = async (client: PoolClient): Promise<T> => {
      await lockAccountAs(client, owner, 'owner');
      return work(client);
    };
    return transaction(this.#pool, act, { promised: true });
  }

  async #read(database: Pool | PoolClient, accountId: string, keyId: string): Promise<ApiKey> {
    const { rows } = await database.query<ApiKeyRow>(`select ${API_KEY_COLUMNS} from api_keys where account_id = $1 and id = $2`, [
      accountId,
      keyId,
    ]);
    return onlyKey(rows);
  }

  async #insert(client: PoolClient, accountId: string, role: KeyRole, settings: KeySettings, id = uuid()): Promise<IssuedKey> {
    const { secret, prefix, secretHash, secretId } = this.#secrets.create();
    const { rows } = await client.query<ApiKeyRow>(
      `insert into api_keys (id, account_id, secret_hash, secret_id, prefix, role, label, daily_budget_pico_usd,
         rate_limit_rpm, rate_limit_tpm, allowed_models, expires_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict (id) do nothing returning ${API_KEY_COLUMNS}`,
      [
        id,
        accountId,
        secretHash,
        secretId,
        prefix,
        role,
        settings.label,
        settings.dailyBudgetPicoUsd,
        settings.rateLimitRpm,
        settings.rateLimitTpm,
        settings.allowedModels,
        settings.expiresAt,
      ],
    );
    if (rows.length === 0) throw new KeyMadeError();
    return { key: onlyKey(rows), secret };
  }

  /**
   * Comes after the commit and not with it, because what waits for the commit must not wait for listeners. If
   * an announcement is lost, other gateways see the change within 5 s.
   */
  async #announce(keyId: string): Promise<void> {
    this.#authenticator.forget(keyId);
    try {
      await this.#pool.query('select pg_notify($1, $2)', [KEY_CHANGED_CHANNEL, keyId]);
    } catch (error) {
      this.#log.warn({ err: error, keyId }, 'could not announce that a key changed');
    }
  }
}

const COLUMNS: Record<keyof KeyChanges, string> = {
  role: 'role',
  label: 'label',
  dailyBudgetPicoUsd: 'daily_budget_pico_usd',
  rateLimitRpm: 'rate_limit_rpm',
  rateLimitTpm: 'rate_limit_tpm',
  allowedModels: 'allowed_models',
  expiresAt: 'expires_at',
};

const OF_STATE = { live: LIVE_KEY, revoked: 'revoked_at is not null', all: 'true' };
const COUNT_LIVE = `select count(*)::integer as live from api_keys where account_id = $1 and ${LIVE_KEY}`;
const REVOKE = `
  update api_keys set revoked_at = clock_timestamp(), version = version + 1
  where account_id = $1 and id = $2 and revoked_at is null returning role`;

function onlyKey(rows: ApiKeyRow[]): ApiKey {
  const [row] = rows;
  if (!row) throw new GatewayError('key_not_found');
  return apiKeyFromRow(row);
}
