import type { Pool } from '../db/postgres.ts';
import type { Observe } from '../observation.ts';
import { SwapList, type Listed } from '../swap-list.ts';

/**
 * The leases of the holds that this process owns. A hold whose lease has run out may be settled by any gateway's
 * sweeper, so an owner that could not renew for half a lease stops serving that request: it delivers nothing more.
 */
export interface Lease {
  /** False once the owner must not dispatch or deliver any more. Cheap: asked before every write. */
  held(): boolean;
  /** Notes that the database extended the lease, at `since` (of `performance.now()`) or later. */
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
  readonly #observe: Observe;
  readonly #leaseMs: number;
  readonly #owned = new SwapList<OwnedLease>();
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> | undefined;

  constructor(pool: Pool, observe: Observe, leaseSeconds: number) {
    this.#pool = pool;
    this.#observe = observe;
    this.#leaseMs = leaseSeconds * 1000;
  }

  /** Renews each lease several times in its length, until `stop`. */
  start(): void {
    const round = () => {
      // This also happens while a renewal hangs: a lease that is too old is given up in time.
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
    const lease = new OwnedLease(this.#owned, { requestId, since, limitMs: this.#leaseMs / 2, onLost });
    this.#owned.add(lease);
    return lease;
  }

  /** One round of renewal; gives up those that are too old. */
  async renew(): Promise<void> {
    const since = performance.now();
    this.#giveUp();
    const due = new Map<string, OwnedLease>();
    for (const lease of this.#owned) if (since - lease.renewedAt >= this.#leaseMs / 7) due.set(lease.requestId, lease);
    if (due.size === 0) return;
    try {
      const { rows } = await this.#pool.query<{ request_id: string }>({
        name: 'renew_leases',
        text: RENEW,
        values: [[...due.keys()], this.#leaseMs / 1000],
      });
      for (const { request_id } of rows) due.get(request_id)?.renewed(since);
    } catch (error) {
      this.#observe({ kind: 'leases_not_renewed', err: error, holds: due.size });
    }
  }

  #giveUp(): void {
    for (const lease of this.#owned) {
      if (lease.held()) continue;
      this.#owned.delete(lease);
      this.#observe({ kind: 'lease_lost', requestId: lease.requestId });
      lease.onLost();
    }
  }
}

class OwnedLease implements Lease, Listed {
  place = -1;
  readonly requestId: string;
  readonly onLost: () => void;
  renewedAt: number;
  readonly #owned: SwapList<OwnedLease>;
  readonly #limitMs: number;

  constructor(owned: SwapList<OwnedLease>, { requestId, since, limitMs, onLost }: LeaseTaken) {
    this.#owned = owned;
    this.requestId = requestId;
    this.renewedAt = since;
    this.#limitMs = limitMs;
    this.onLost = onLost;
  }

  held(): boolean {
    return performance.now() - this.renewedAt < this.#limitMs;
  }

  /** Moves the lease forward only, and never after it was given up: its owner has stopped then. */
  renewed(at: number): void {
    if (at > this.renewedAt && this.#owned.has(this)) this.renewedAt = at;
  }

  end(): void {
    this.#owned.delete(this);
    this.renewedAt = -Infinity;
  }
}

interface LeaseTaken {
  requestId: string;
  since: number;
  limitMs: number;
  onLost: () => void;
}
