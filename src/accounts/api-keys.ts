import { v7 as uuid } from 'uuid';
import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import type { PicoUsd } from '../ledger/amount.ts';
import type { Logger } from '../log.ts';
import { insertAccount } from './account.ts';
import { API_KEY_COLUMNS, apiKeyFromRow, type ApiKey, type ApiKeyRow, type KeyRole } from './api-key.ts';
import { KEY_CHANGED_CHANNEL, type KeyAuthenticator } from './key-authenticator.ts';
import type { KeySecrets } from './key-secret.ts';

/** What an owner chooses for a key. */
export interface KeySettings {
  label: string | null;
  dailyBudgetPicoUsd: PicoUsd;
  rateLimitRpm: number | null;
  rateLimitTpm: number | null;
  allowedModels: string[] | null;
  expiresAt: Date | null;
}

/** A key with its secret, which is known at this moment only. */
export interface IssuedKey {
  readonly key: ApiKey;
  readonly secret: string;
}

export interface ApiKeysOptions {
  pool: Pool;
  secrets: KeySecrets;
  authenticator: KeyAuthenticator;
  log: Logger;
}

/** Live keys of one account. */
const MAX_LIVE_KEYS = 100;

/** The API keys of accounts: made, listed, changed, revoked and rotated. A key of another account does not exist here. */
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

  /** Makes an account with its owner key, both or neither. */
  createAccount(settings: KeySettings): Promise<IssuedKey> {
    return transaction(this.#pool, async (client) => this.#insert(client, await insertAccount(client), 'owner', settings));
  }

  /** Makes another key of an account. Throws `not_permitted` where it has as many as it may. */
  create(accountId: string, role: KeyRole, settings: KeySettings): Promise<IssuedKey> {
    return transaction(this.#pool, async (client) => {
      await lockAccount(client, accountId);
      const { rows } = await client.query<{ live: number }>(COUNT_LIVE, [accountId]);
      if ((rows[0]?.live ?? 0) >= MAX_LIVE_KEYS) {
        throw new GatewayError('not_permitted', { message: `An account has at most ${MAX_LIVE_KEYS} keys. Revoke one first.` });
      }
      return this.#insert(client, accountId, role, settings);
    });
  }

  /** The account's keys, oldest first, revoked ones too. */
  async list(accountId: string): Promise<ApiKey[]> {
    const { rows } = await this.#pool.query<ApiKeyRow>(
      `select ${API_KEY_COLUMNS} from api_keys where account_id = $1 order by created_at, id`,
      [accountId],
    );
    return rows.map(apiKeyFromRow);
  }

  /** One key of the account, also when revoked. Throws `key_not_found`. */
  async find(accountId: string, keyId: string): Promise<ApiKey> {
    const { rows } = await this.#pool.query<ApiKeyRow>(`select ${API_KEY_COLUMNS} from api_keys where account_id = $1 and id = $2`, [
      accountId,
      keyId,
    ]);
    return onlyKey(rows);
  }

  /** Replaces the settings named in `changes`. Throws `key_not_found` where there is no such live key. */
  async change(accountId: string, keyId: string, changes: Partial<KeySettings>): Promise<ApiKey> {
    const names = (Object.keys(changes) as (keyof KeySettings)[]).filter((name) => changes[name] !== undefined);
    const assignments = names.map((name, index) => `${COLUMNS[name]} = $${index + 3}`);
    const { rows } = await this.#pool.query<ApiKeyRow>(
      `update api_keys set ${[...assignments, 'version = version + 1'].join(', ')}
       where account_id = $1 and id = $2 and revoked_at is null returning ${API_KEY_COLUMNS}`,
      [accountId, keyId, ...names.map((name) => changes[name])],
    );
    const key = onlyKey(rows);
    await this.#announce(keyId);
    return key;
  }

  /**
   * Ends a key for good; a revoked one stays revoked. Throws `key_not_found`, and `not_permitted` for the last owner
   * key of an account with a balance, which nobody could get at any more.
   */
  async revoke(accountId: string, keyId: string): Promise<void> {
    await transaction(this.#pool, async (client) => {
      await lockAccount(client, accountId);
      const { rows } = await client.query<{ revoked: boolean; strands: boolean }>(REVOCATION, [accountId, keyId]);
      const [key] = rows;
      if (!key) throw new GatewayError('key_not_found');
      if (key.revoked) return;
      if (key.strands) {
        throw new GatewayError('not_permitted', {
          message: 'This is the last owner key of an account with a balance. It can be rotated, not revoked.',
        });
      }
      await client.query('update api_keys set revoked_at = clock_timestamp(), version = version + 1 where id = $1', [keyId]);
    });
    await this.#announce(keyId);
  }

  /** Replaces a key's secret; the old one is dead once this resolves. Throws `key_not_found` where there is no such live key. */
  async rotate(accountId: string, keyId: string): Promise<IssuedKey> {
    const { secret, prefix, secretHash, secretId } = this.#secrets.create();
    const { rows } = await this.#pool.query<ApiKeyRow>(
      `update api_keys set secret_hash = $3, secret_id = $4, prefix = $5, version = version + 1
       where account_id = $1 and id = $2 and revoked_at is null returning ${API_KEY_COLUMNS}`,
      [accountId, keyId, secretHash, secretId, prefix],
    );
    const key = onlyKey(rows);
    await this.#announce(keyId);
    return { key, secret };
  }

  async #insert(client: PoolClient, accountId: string, role: KeyRole, settings: KeySettings): Promise<IssuedKey> {
    const { secret, prefix, secretHash, secretId } = this.#secrets.create();
    const { rows } = await client.query<ApiKeyRow>(
      `insert into api_keys (id, account_id, secret_hash, secret_id, prefix, role, label, daily_budget_pico_usd,
         rate_limit_rpm, rate_limit_tpm, allowed_models, expires_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) returning ${API_KEY_COLUMNS}`,
      [
        uuid(),
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
    return { key: onlyKey(rows), secret };
  }

  /** After the commit, and not with it: what waits for the commit must not wait for listeners. Others see a lost one within 5 s. */
  async #announce(keyId: string): Promise<void> {
    this.#authenticator.forget(keyId);
    try {
      await this.#pool.query('select pg_notify($1, $2)', [KEY_CHANGED_CHANNEL, keyId]);
    } catch (error) {
      this.#log.warn({ err: error, keyId }, 'could not announce that a key changed');
    }
  }
}

const COLUMNS: Record<keyof KeySettings, string> = {
  label: 'label',
  dailyBudgetPicoUsd: 'daily_budget_pico_usd',
  rateLimitRpm: 'rate_limit_rpm',
  rateLimitTpm: 'rate_limit_tpm',
  allowedModels: 'allowed_models',
  expiresAt: 'expires_at',
};

/** Two keys of an account must not be judged at once: each would count on the other. Waits a second at most, as requests do. */
async function lockAccount(client: PoolClient, accountId: string): Promise<void> {
  await client.query("set local lock_timeout = '1s'");
  await client.query('select from accounts where id = $1 for no key update', [accountId]);
}

const LIVE = 'revoked_at is null and (expires_at is null or expires_at > clock_timestamp())';
const COUNT_LIVE = `select count(*)::integer as live from api_keys where account_id = $1 and ${LIVE}`;
const REVOCATION = `
  select k.revoked_at is not null as revoked,
    k.role = 'owner' and a.posted_msat > 0 and not exists (
      select from api_keys where account_id = $1 and id <> $2 and role = 'owner' and ${LIVE}
    ) as strands
  from api_keys k join accounts a on a.id = k.account_id
  where k.account_id = $1 and k.id = $2`;

function onlyKey(rows: ApiKeyRow[]): ApiKey {
  const [row] = rows;
  if (!row) throw new GatewayError('key_not_found');
  return apiKeyFromRow(row);
}
