import { GatewayError } from '../errors.ts';

export interface NodeCallOptions {
  /**
   * A call that no account made. Such calls take at most four fifths of the places and wait behind all
   * others.
   */
  yielding?: boolean;
}

interface Lane {
  readonly atOnce: number;
  readonly mostWaiting: number;
  readonly waiting: (() => void)[];
}

const YIELDING_SHARE = 0.8;

/**
 * Bounds how much the node is asked at once, so that calls do not pile up in a burst of refusals or at a slow
 * node.
 */
export class NodeQueue {
  readonly #first: Lane;
  readonly #yielding: Lane;
  #running = 0;
  #runningYielding = 0;

  constructor({ atOnce, mostWaiting }: { atOnce: number; mostWaiting: number }) {
    this.#first = { atOnce, mostWaiting, waiting: [] };
    this.#yielding = {
      atOnce: Math.floor(atOnce * YIELDING_SHARE),
      mostWaiting: Math.floor(mostWaiting * YIELDING_SHARE),
      waiting: [],
    };
  }

  /** Runs `call` when its turn has come. Rejects with GatewayError `overloaded` if too many wait already. */
  async run<T>(call: () => Promise<T>, { yielding = false }: NodeCallOptions = {}): Promise<T> {
    const lane = yielding ? this.#yielding : this.#first;
    if (!this.#hasRoom(yielding)) {
      const waiting = this.#first.waiting.length + this.#yielding.waiting.length;
      if (waiting >= lane.mostWaiting) throw new GatewayError('overloaded', { retryAfter: 1 });
      await new Promise<void>((resolve) => lane.waiting.push(resolve));
    } else this.#enter(yielding);
    try {
      return await call();
    } finally {
      this.#running--;
      if (yielding) this.#runningYielding--;
      this.#admitWaiting();
    }
  }

  #hasRoom(yielding: boolean): boolean {
    return this.#running < this.#first.atOnce && (!yielding || this.#runningYielding < this.#yielding.atOnce);
  }

  /** A free place goes to a call that waits, before a new call can take it. */
  #enter(yielding: boolean): void {
    this.#running++;
    if (yielding) this.#runningYielding++;
  }

  #admitWaiting(): void {
    for (const yielding of [false, true]) {
      const { waiting } = yielding ? this.#yielding : this.#first;
      while (waiting.length > 0 && this.#hasRoom(yielding)) {
        this.#enter(yielding);
        waiting.shift()?.();
      }
    }
  }
}
