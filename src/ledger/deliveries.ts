import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from '../db/postgres.ts';
import type { Observe } from '../observation.ts';
import { SwapList, type Listed } from '../swap-list.ts';
import { refundedCharge } from './refund.ts';

/** An answer that is charged before it leaves. */
export interface Delivery {
  /** The answer has left, or nothing was charged for it. */
  done(): void;
  /** The answer did not leave and never will: its charge is given back, however long that takes. */
  giveBack(): void;
}

const REFUND_RETRIES_MS = [500, 1_000, 2_000, 4_000, 8_000];

/**
 * The answers of this process that are charged, or will be, and have not left yet. Every beat (`Instance`)
 * tells the database when the oldest of them began. If this process dies, another one gives back what was
 * charged since then and not delivered.
 */
export class Deliveries {
  readonly #pool: Pool;
  readonly #observe: Observe;
  readonly #open = new SwapList<OpenDelivery>();
  #emptied: (() => void)[] = [];
  #lastBeatMicros = 0n;

  constructor(pool: Pool, observe: Observe) {
    this.#pool = pool;
    this.#observe = observe;
  }

  /** To be called before the settlement begins. */
  begin(accountId: string, requestId: string): Delivery {
    const delivery: OpenDelivery = {
      place: -1,
      sinceMicros: this.#lastBeatMicros,
      done: () => this.#done(delivery),
      giveBack: () => void this.#giveBack(accountId, requestId, delivery),
    };
    this.#open.add(delivery);
    return delivery;
  }

  /**
   * Everything that this process charged up to this time was delivered or given back. Microseconds since 1970
   * on the database's clock; 0 before the first beat. A delivery that began after a beat was confirmed is
   * charged after it.
   */
  confirmedMicros(): bigint {
    let confirmed = this.#lastBeatMicros;
    for (const { sinceMicros } of this.#open) if (sinceMicros < confirmed) confirmed = sinceMicros;
    return confirmed;
  }

  /** Takes the database's time of a beat that was confirmed. */
  beat(atMicros: bigint): void {
    this.#lastBeatMicros = atMicros;
  }

  /** Resolves once every answer that was charged has left or was given back. */
  async drained(): Promise<void> {
    if (this.#open.size > 0) await new Promise<void>((resolve) => this.#emptied.push(resolve));
  }

  async #giveBack(accountId: string, requestId: string, delivery: OpenDelivery): Promise<void> {
    for (let attempt = 0; this.#open.has(delivery) && !this.#pool.ended; attempt++) {
      try {
        const refundedMsat = await refundedCharge(this.#pool, accountId, requestId);
        this.#observe({ kind: 'charge_given_back', requestId, refundedMsat });
        this.#done(delivery);
      } catch (error) {
        this.#observe({ kind: 'refund_late', requestId, err: error });
        await delay(REFUND_RETRIES_MS[Math.min(attempt, REFUND_RETRIES_MS.length - 1)], undefined, { ref: false });
      }
    }
  }

  #done(delivery: OpenDelivery): void {
    this.#open.delete(delivery);
    if (this.#open.size > 0) return;
    const emptied = this.#emptied;
    this.#emptied = [];
    for (const resolve of emptied) resolve();
  }
}

interface OpenDelivery extends Delivery, Listed {
  /** On the database's clock: the charge comes later than this. */
  sinceMicros: bigint;
}
