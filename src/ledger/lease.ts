import type { Pool } from '../db/postgres.ts';
import type { Logger } from '../log.ts';

/**
 * The leases of the holds that this process owns. A hold whose lease has run out may be settled by any gateway's
 * sweeper, so an owner that could not renew for half a lease stops serving that request: it delivers nothing more.
 */
export interface Lease {
  /** False once the owner must not dispatch or deliver any more. Cheap: asked before every write. */
  held(): boolean;
  /** Told that the database extended the lease at a time not before `since` (of `performance.now()`). */
  renewed(since: number): void;
  /** Ends the lease's renewal: the hold is settled, or will be. */
  end(): void;
}

/** Locked holds are skipped: one that is being settled needs no renewal. A lease that ran out is never revived. */
const RENEW = `
  update holds set lease_until = clock_timestamp() + make_interval(secs => $2)
  where request_id in (
    select request_id from holds where request_id = any ($1) and state = 'pending' and lease_until > clock_timestamp()
    order by request_id for no key update skip locked
  ) returning request_id`;

export class Leases {
  readonly #pool: Pool;
  readonly #log: Logger;
  readonly #leaseMs: number;
  readonly #renewedAt = new Map<string, number>();
  readonly #onLost = new Map<string, () => void>();
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> | undefined;

  constructor(pool: Pool, log: Logger, leaseSeconds: number) {
    this.#pool = pool;
    this.#log = log;
    this.#leaseMs = leaseSeconds * 1000;
  }

  /** Renews each lease several times in its length, until `stop`. */
  start(): void {
    const round = () => {
      // Also while a renewal hangs: what is too old is given up in time.
      this.#giveUp();
      this.#renewing ??= this.renew().finally(() => (this.#renewing = undefined));
    };
    this.#timer = setInterval(round, this.#leaseMs / 6);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing;
  }

  /**
   * Takes over the lease of a hold that was asked for at `since` (of `performance.now()`).
   * @param onLost called at most once, when the lease could not be renewed in time.
   */
  take(requestId: string, since: number, onLost: () => void): Lease {
    this.#renewedAt.set(requestId, since);
    this.#onLost.set(requestId, onLost);
    const limitMs = this.#leaseMs / 2;
    return {
      held: () => performance.now() - (this.#renewedAt.get(requestId) ?? -Infinity) < limitMs,
      renewed: (at) => this.#renewed(requestId, at),
      end: () => this.#forget(requestId),
    };
  }

  /** One round of renewal; gives up those that are too old. */
  async renew(): Promise<void> {
    const since = performance.now();
    this.#giveUp();
    const due = [...this.#onLost.keys()].filter((requestId) => since - (this.#renewedAt.get(requestId) ?? since) >= this.#leaseMs / 7);
    if (due.length === 0) return;
    try {
      const { rows } = await this.#pool.query<{ request_id: string }>({
        name: 'renew_leases',
        text: RENEW,
        values: [due, this.#leaseMs / 1000],
      });
      for (const { request_id } of rows) this.#renewed(request_id, since);
    } catch (error) {
      this.#log.warn({ err: error, holds: due.length }, 'leases could not be renewed');
    }
  }

  #giveUp(): void {
    const now = performance.now();
    for (const [requestId, onLost] of [...this.#onLost]) {
      if (now - (this.#renewedAt.get(requestId) ?? -Infinity) < this.#leaseMs / 2) continue;
      // Its age stays known, so that `held` goes on answering false until the owner ends it.
      this.#onLost.delete(requestId);
      this.#log.warn({ requestId }, 'lost the lease of a hold');
      onLost();
    }
  }

  /** Only forward, and never for one that was given up: its owner has stopped. */
  #renewed(requestId: string, at: number): void {
    const last = this.#renewedAt.get(requestId);
    if (last !== undefined && at > last && this.#onLost.has(requestId)) this.#renewedAt.set(requestId, at);
  }

  #forget(requestId: string): void {
    this.#renewedAt.delete(requestId);
    this.#onLost.delete(requestId);
  }
}
