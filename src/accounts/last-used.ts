import type { Pool } from '../db/postgres.ts';
import type { Logger } from '../log.ts';

const WRITE_AGAIN_AFTER_MS = 60_000;
const COLLECT_MS = 2_000;

/**
 * Keeps `last_used_at` roughly true: at most one write a minute and key, many keys in one statement. It does
 * no harm if a crash loses some of them, or if all are lost while the database is away.
 */
export class LastUsed {
  readonly #pool: Pool;
  readonly #log: Logger;
  readonly #pending = new Map<string, Date>();
  readonly #written = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(pool: Pool, log: Logger) {
    this.#pool = pool;
    this.#log = log;
  }

  /** Notes that the key was used now. */
  mark(keyId: string): void {
    const now = Date.now();
    if (now - (this.#written.get(keyId) ?? -Infinity) < WRITE_AGAIN_AFTER_MS) return;
    this.#written.set(keyId, now);
    this.#pending.set(keyId, new Date(now));
    this.#timer ??= setTimeout(() => void this.flush(), COLLECT_MS).unref();
  }

  /** Writes what was noted. Never rejects. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const rows = [...this.#pending];
    this.#pending.clear();
    const old = Date.now() - WRITE_AGAIN_AFTER_MS;
    for (const [keyId, at] of this.#written) if (at < old) this.#written.delete(keyId);
    if (rows.length === 0) return;
    try {
      await this.#pool.query(WRITE, [rows.map(([keyId]) => keyId), rows.map(([, at]) => at)]);
    } catch (error) {
      this.#log.warn({ err: error }, 'could not write when keys were last used');
    }
  }
}

/**
 * Rows that another transaction is changing are left for the next time: two gateways must not wait for each
 * other here.
 */
const WRITE = `
  update api_keys k set last_used_at = greatest(k.last_used_at, u.at)
  from unnest($1::uuid[], $2::timestamptz[]) u (id, at),
    (select id from api_keys where id = any ($1::uuid[]) order by id for no key update skip locked) free
  where k.id = u.id and k.id = free.id`;
