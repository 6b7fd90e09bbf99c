import { hash } from 'node:crypto';
import type { Notifications } from '../db/notify.ts';
import type { Pool } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { WindowLimit, type Share } from '../window-limit.ts';
import { API_KEY_COLUMNS, apiKeyFromRow, type ApiKey, type ApiKeyRow } from './api-key.ts';
import { HashRenewal } from './hash-renewal.ts';
import { KeyCache } from './key-cache.ts';
import type { KeySecrets } from './key-secret.ts';
import { LastUsed } from './last-used.ts';

export interface KeyAuthenticatorOptions {
  pool: Pool;
  secrets: KeySecrets;
  notifications: Notifications;
  log: Logger;
  /** How many unknown secrets an address may try in a minute before the database is no longer asked for it. */
  unknownKeysPerMinute?: number;
  /** A monotonic clock in milliseconds. */
  now?: () => number;
}

/** The channel on which gateways tell each other the id of a key that has changed. */
export const KEY_CHANGED_CHANNEL = 'api_key_changed';

const MINUTE_MS = 60_000;
const CACHE = { lifetimeMs: 5_000, missLifetimeMs: 60_000, maxKeys: 50_000, maxMisses: 10_000 };

/**
 * Tells whose a secret is. Keys are cached for 5 seconds at most, dropped as soon as a change is announced, and not
 * cached at all while announcements cannot be heard. On metered paths the admission reads the key's row as well.
 */
export class KeyAuthenticator {
  readonly #pool: Pool;
  readonly #secrets: KeySecrets;
  readonly #notifications: Notifications;
  readonly #now: () => number;
  readonly #cache: KeyCache;
  readonly #lastUsed: LastUsed;
  readonly #renewal: HashRenewal;
  readonly #unknown: WindowLimit;
  readonly #lookups = new Map<string, Promise<ApiKey>>();
  readonly #stopListening: () => void;
  /** True once the channel is really listened to. */
  #listening = false;

  constructor({ pool, secrets, notifications, log, unknownKeysPerMinute = 60, now = () => performance.now() }: KeyAuthenticatorOptions) {
    this.#pool = pool;
    this.#secrets = secrets;
    this.#notifications = notifications;
    this.#now = now;
    this.#cache = new KeyCache({ ...CACHE, now });
    this.#lastUsed = new LastUsed(pool, log);
    this.#renewal = new HashRenewal(pool, secrets.newestId, log);
    this.#unknown = new WindowLimit({ points: unknownKeysPerMinute, windowMs: MINUTE_MS, now });
    this.#stopListening = notifications.listen(
      KEY_CHANGED_CHANNEL,
      (keyId) => this.forget(keyId),
      () => {
        this.#cache.clear();
        this.#lookups.clear();
        this.#listening = true;
      },
    );
  }

  /**
   * The key of a secret. Throws `invalid_api_key` if the secret is unknown, revoked or expired, and
   * `rate_limit_exceeded` if the sender's address has tried too many unknown secrets. `addressOf` is called
   * only if the database has to be asked.
   */
  async authenticate(secret: string, addressOf: () => string): Promise<ApiKey> {
    const digest = hash('sha256', secret, 'base64url');
    const caching = this.#listening && this.#notifications.connected;
    const cached = caching ? this.#cache.get(digest) : undefined;
    if (cached === null) throw new GatewayError('invalid_api_key');
    const key = cached ?? (await this.#lookUp(secret, digest, addressOf, caching));
    if (key.expiresAt && key.expiresAt.getTime() <= Date.now()) throw new GatewayError('invalid_api_key');
    this.#lastUsed.mark(key.id);
    return key;
  }

  /**
   * The live key row that a token stands for, by the row's id and the prefix of the secret that it had.
   * Throws `invalid_api_key` if the key is revoked, expired, or has another secret now. The caller notes the
   * use, with `used`.
   */
  async byId(keyId: string, prefix: string): Promise<ApiKey> {
    const digest = `${keyId} ${prefix}`;
    const caching = this.#listening && this.#notifications.connected;
    const cached = caching ? this.#cache.get(digest) : undefined;
    const key = cached ?? (await this.#queryById(keyId, digest));
    if (key.prefix !== prefix || (key.expiresAt && key.expiresAt.getTime() <= Date.now())) throw new GatewayError('invalid_api_key');
    return key;
  }

  /** Notes that a key that `byId` gave was used now. */
  used({ id }: ApiKey): void {
    this.#lastUsed.mark(id);
  }

  /** Forgets a key that has changed. The next request reads its row, and shares no lookup that began before. */
  forget(keyId: string): void {
    this.#cache.forget(keyId);
    this.#lookups.clear();
  }

  /** Writes what is still to be written. */
  async close(): Promise<void> {
    this.#stopListening();
    await Promise.all([this.#lastUsed.flush(), this.#renewal.flush()]);
  }

  /** Requests that come with the same secret at once share one query, unless a change could be missed. */
  #lookUp(secret: string, digest: string, addressOf: () => string, share: boolean): Promise<ApiKey> {
    const underWay = share ? this.#lookups.get(digest) : undefined;
    if (underWay) return underWay;
    const lookup = this.#query(secret, digest, addressOf());
    this.#lookups.set(digest, lookup);
    const done = (): void => {
      if (this.#lookups.get(digest) === lookup) this.#lookups.delete(digest);
    };
    lookup.then(done, done);
    return lookup;
  }

  async #query(secret: string, digest: string, address: string): Promise<ApiKey> {
    const hashes = this.#secrets.hashesOf(secret);
    const [fresh] = hashes;
    if (!fresh) throw new GatewayError('invalid_api_key');
    if (!this.#cache.knows(digest)) this.#refuseGuessing(address);
    const { epoch } = this.#cache;
    const readAt = this.#now();
    const { rows } = await this.#pool.query<HashedRow>({ name: 'key-by-secret', text: KEY_BY_SECRET, values: [hashes] });
    const [row] = rows;
    if (!row) {
      this.#cache.keepMiss(digest);
      this.#unknown.take(alone(address));
      throw new GatewayError('invalid_api_key');
    }
    if (row.secret_id !== this.#secrets.newestId) this.#renewal.note({ keyId: row.id, stored: row.secret_hash, fresh });
    const key = apiKeyFromRow(row);
    this.#cache.keep(digest, key, readAt, epoch);
    return key;
  }

  async #queryById(keyId: string, digest: string): Promise<ApiKey> {
    const { epoch } = this.#cache;
    const readAt = this.#now();
    const { rows } = await this.#pool.query<ApiKeyRow>({ name: 'key-by-id', text: KEY_BY_ID, values: [keyId] });
    const [row] = rows;
    if (!row) throw new GatewayError('invalid_api_key');
    const key = apiKeyFromRow(row);
    this.#cache.keep(digest, key, readAt, epoch);
    return key;
  }

  #refuseGuessing(address: string): void {
    const retryAfter = this.#unknown.secondsUntilFree(alone(address));
    if (retryAfter === 0) return;
    throw new GatewayError('rate_limit_exceeded', {
      message: 'Too many unknown API keys from this address.',
      retryAfter,
      limit: 'address',
    });
  }
}

const alone = (address: string): Share[] => [{ name: address, times: 1 }];

interface HashedRow extends ApiKeyRow {
  secret_id: string;
  secret_hash: Buffer;
}

const KEY_BY_ID = `select ${API_KEY_COLUMNS} from api_keys where id = $1 and revoked_at is null`;
const KEY_BY_SECRET = `select ${API_KEY_COLUMNS}, secret_id, secret_hash from api_keys where secret_hash = any ($1) and revoked_at is null`;
