import type { Pool } from '../db/postgres.ts';
import type { Logger } from '../log.ts';

/** A key that was found by a hash under an older root secret. */
export interface StaleHash {
  keyId: string;
  stored: Buffer;
  /** Of the same secret, under the newest root. */
  fresh: Buffer;
}

const COLLECT_MS = 2_000;

/**
 * When a key is used, stores its hash under the newest root secret, so that an older secret can be retired.
 * This happens in the background, many keys in one statement. What a crash loses is renewed at the key's next
 * use.
 */
export class HashRenewal {
  readonly #pool: Pool;
  readonly #newestId: string;
  readonly #log: Logger;
  readonly #pending = new Map<string, StaleHash>();
  #timer: NodeJS.Timeout | undefined;

  constructor(pool: Pool, newestId: string, log: Logger) {
    this.#pool = pool;
    this.#newestId = newestId;
    this.#log = log;
  }

  /** Notes a key whose hash is to be renewed. */
  note(stale: StaleHash): void {
    this.#pending.set(stale.keyId, stale);
    this.#timer ??= setTimeout(() => void this.flush(), COLLECT_MS).unref();
  }

  /** Writes what was noted. Never rejects. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const rows = [...this.#pending.values()];
    this.#pending.clear();
    if (rows.length === 0) return;
    const columns = [rows.map(({ keyId }) => keyId), rows.map(({ stored }) => stored), rows.map(({ fresh }) => fresh)];
    try {
      await this.#pool.query(RENEW, [...columns, this.#newestId]);
    } catch (error) {
      this.#log.warn({ err: error }, 'could not renew the hashes of keys');
    }
  }
}

/**
 * A key that was rotated meanwhile has another hash, and keeps it. The version stays, because the secret is
 * the same. Rows that another transaction is changing are left for the next time.
 */
const RENEW = `
  update api_keys k set secret_hash = u.fresh, secret_id = $4
  from unnest($1::uuid[], $2::bytea[], $3::bytea[]) u (id, stored, fresh),
    (select id from api_keys where id = any ($1::uuid[]) order by id for no key update skip locked) free
  where k.id = u.id and k.id = free.id and k.secret_hash = u.stored`;
