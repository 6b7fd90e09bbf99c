import { Batch } from '../db/batch.ts';
import { Pipeline } from '../db/pipeline.ts';
import { queryConnected, type Pool } from '../db/postgres.ts';
import type { Observe } from '../observation.ts';
import { commit } from './commit.ts';
import type { Admission, Checkpoint, HoldLimits, HoldRow, HoldVerdict, Settlement } from './hold.ts';

/**
 * While the database works on one batch, the next one is already there, unless that is small and had better
 * grow.
 */
const BATCHES_AT_ONCE = 2;
const AHEAD_ROWS = 32;

/**
 * Holds: the ledger's reservations for requests under way. Each is placed before anything is sent upstream and resolved
 * exactly once, posted or voided. Concurrent callers share transactions (group commit).
 */
export class Holds {
  readonly #batch: Batch<HoldRow, HoldVerdict>;

  /** @param pool of connections that take statements ahead (`pipeline` of `createPool`). */
  constructor(pool: Pool, limits: HoldLimits, observe: Observe = () => {}) {
    const pipeline = new Pipeline(pool);
    const queryAlone: Parameters<typeof commit>[0] = (query) => queryConnected(pool, query);
    const queryAhead: Parameters<typeof commit>[0] = (query) => pipeline.query(query);
    this.#batch = new Batch({
      depth: BATCHES_AT_ONCE,
      aheadRows: AHEAD_ROWS,
      // A batch that may wait for a lock has a connection of its own, so that no other batch waits behind it.
      run: async (rows, wait) => {
        const startedAt = performance.now();
        const query = wait ? queryAlone : queryAhead;
        const verdicts = await commit(query, limits, rows, wait);
        observe({ kind: 'ledger_batch', rows, lane: wait, verdicts, startedAt, endedAt: performance.now() });
        return verdicts;
      },
    });
  }

  /**
   * Places a hold, or says why not. If this rejects (`NotCarriedOutError`, `OutcomeUnknownError`), do not
   * dispatch.
   */
  admit(admission: Omit<Admission, 'kind'>): Promise<HoldVerdict> {
    return this.#batch.submit({ ...admission, kind: 'admission', mustLand: false });
  }

  /**
   * Resolves a hold. Tries until the database has answered; a second settlement of a hold changes nothing.
   * The caller may still turn `void` on while this waits: later tries then release the hold.
   */
  settle(settlement: Settlement): Promise<HoldVerdict> {
    return this.#batch.submit(Object.assign(settlement, { mustLand: true }));
  }

  /**
   * Records what a crash would charge, and renews the lease. The verdict is `gone` if the hold is no longer
   * ours.
   */
  checkpoint(checkpoint: Omit<Checkpoint, 'kind'>): Promise<HoldVerdict> {
    return this.#batch.submit({ ...checkpoint, kind: 'checkpoint', mustLand: false });
  }

  /** Rows that wait for their verdict. */
  get queued(): number {
    return this.#batch.queued;
  }

  /** Resolves once no row is queued or under way. */
  drained(): Promise<void> {
    return this.#batch.drained();
  }
}
