import { Batch, type BatchRow } from '../db/batch.ts';
import { Pipeline } from '../db/pipeline.ts';
import { queryConnected, type Pool } from '../db/postgres.ts';
import type { Msat, PicoUsd, PicoUsdPerMsat } from '../amount.ts';
import { commit } from './commit.ts';

/** A request for a hold: the cost is `base + tokens × perToken` for some number of tokens from `least` to `most`. */
export interface Admission {
  kind: 'admission';
  requestId: string;
  accountId: string;
  keyId: string;
  /** The version of the key row that the request was checked against; another one is refused. */
  keyVersion: number;
  basePicoUsd: PicoUsd;
  perTokenPicoUsd: PicoUsd;
  leastTokens: number;
  mostTokens: number;
  /** A request that costs more than this takes no free slot. */
  freeMaxPicoUsd: PicoUsd;
  rate: PicoUsdPerMsat;
  priceVersion: number;
  stream: boolean;
  /** `key` is a digest: no text of a client's goes into a batch. */
  idempotency?: { path: string; key: string; bodySha256: Buffer } | undefined;
}

/** What a request cost in the end. Never more than its hold: the rest of an overrun is the house's loss. */
export interface Settlement {
  kind: 'settlement';
  requestId: string;
  accountId: string;
  /** Releases the hold: nothing was delivered. A free slot goes back. */
  void: boolean;
  chargeMsat: Msat;
  costPicoUsd: PicoUsd;
  /** The hold's budget day where its funding is free. */
  freeDay: string | null;
  /** The encrypted answer that a repeat with the same Idempotency-Key gets. Kept as far as the account's day has room. */
  answer?: Buffer | undefined;
}

/** What would be charged if this process died now. Only moves forward. */
export interface Checkpoint {
  kind: 'checkpoint';
  requestId: string;
  accountId: string;
  chargeMsat: Msat;
  costPicoUsd: PicoUsd;
}

export type Funding = 'free' | 'wallet' | 'byok';

export type Refusal =
  | 'key_gone'
  | 'key_changed'
  | 'budget'
  | 'used_up'
  | 'too_costly'
  | 'daily_ceiling'
  | 'free_streams'
  | 'free_requests'
  | 'idempotency'
  | 'unknown_account';

/** The ledger's answer to a row, with the state of the account and the key after it. */
export interface HoldVerdict {
  verdict:
    | 'admitted'
    | Refusal
    | 'posted'
    | 'voided'
    | 'already_posted'
    | 'already_voided'
    | 'already_refunded'
    | 'already_pending'
    | 'unknown_hold'
    | 'kept'
    | 'gone';
  funding: Funding | null;
  /** Granted output tokens. */
  tokens: number;
  /** Held in the wallet; for a refusal, what the least of the request would have held. */
  heldMsat: Msat;
  chargedMsat: Msat;
  costPicoUsd: PicoUsd;
  availableMsat: Msat;
  freeUsed: number;
  freeLimit: number;
  budgetLeftPicoUsd: PicoUsd;
  budgetDay: string;
  funded: boolean;
}

export interface HoldLimits {
  freeRequests: number;
  /** What all accounts, and any one of them, may take of a day for free. */
  freeDayPicoUsd: PicoUsd;
  freeSharePicoUsd: PicoUsd;
  /** Free requests of an account at once: streams, and all of them. */
  freeStreams: number;
  freeAtOnce: number;
  /** Of stored answers, an account a day: of requests that it paid for, and of free ones. */
  answerBytes: number;
  freeAnswerBytes: number;
  leaseSeconds: number;
  instanceId: string;
}

/** What goes into a batch. */
export type HoldRow = (Admission | Settlement | Checkpoint) & BatchRow;

/** While the database works on one batch, the next one is already there; unless it is so small that it had better grow. */
const BATCHES_AT_ONCE = 2;
const AHEAD_ROWS = 32;

/**
 * Holds: the ledger's reservations for requests under way. Each is placed before anything is sent upstream and resolved
 * exactly once, posted or voided. Concurrent callers share transactions (group commit).
 */
export class Holds {
  readonly #batch: Batch<HoldRow, HoldVerdict>;

  /** @param pool of connections that take statements ahead (`pipeline` of `createPool`). */
  constructor(pool: Pool, limits: HoldLimits) {
    const pipeline = new Pipeline(pool);
    this.#batch = new Batch({
      depth: BATCHES_AT_ONCE,
      aheadRows: AHEAD_ROWS,
      // What may wait for a lock has a connection of its own, where nothing waits behind it.
      run: (rows, wait) => commit(wait ? (query) => queryConnected(pool, query) : (query) => pipeline.query(query), limits, rows, wait),
    });
  }

  /** Places a hold, or says why not. Rejects with `NotCarriedOutError` or `OutcomeUnknownError`: do not dispatch then. */
  admit(admission: Omit<Admission, 'kind'>): Promise<HoldVerdict> {
    return this.#batch.submit({ ...admission, kind: 'admission', mustLand: false });
  }

  /**
   * Resolves a hold. Tried until the database has answered; a second settlement of a hold changes nothing.
   * The caller may still turn `void` on while it waits: later tries release the hold.
   */
  settle(settlement: Settlement): Promise<HoldVerdict> {
    return this.#batch.submit(Object.assign(settlement, { mustLand: true }));
  }

  /** Records what a crash would charge, and renews the lease. `gone` where the hold is no longer ours. */
  checkpoint(checkpoint: Omit<Checkpoint, 'kind'>): Promise<HoldVerdict> {
    return this.#batch.submit({ ...checkpoint, kind: 'checkpoint', mustLand: false });
  }

  /** Resolves once no row is queued or under way. */
  drained(): Promise<void> {
    return this.#batch.drained();
  }
}
