import type { BatchRow } from '../db/batch.ts';
import type { Msat, PicoUsd, PicoUsdPerMsat } from '../amount.ts';

/** A request for a hold: the cost is `base + tokens × perToken` for some number of tokens from `least` to `most`. */
export interface Admission {
  kind: 'admission';
  requestId: string;
  accountId: string;
  keyId: string;
  /**
   * The version of the key row that the request was checked against. If the row has another version, the hold
   * is refused.
   */
  keyVersion: number;
  basePicoUsd: PicoUsd;
  perTokenPicoUsd: PicoUsd;
  leastTokens: number;
  mostTokens: number;
  /** A request that costs more than this takes no free slot. */
  freeMaxPicoUsd: PicoUsd;
  picoUsdPerMsat: PicoUsdPerMsat;
  priceVersion: number;
  stream: boolean;
  /** The operator's fee where the client's own key at the provider serves. Then it is all that is held, and there is nothing free about it. */
  feeMsat?: Msat | undefined;
  /** `key` is a digest: a batch holds no text that a client wrote. */
  idempotency?: { path: string; key: string; bodySha256: Buffer } | undefined;
}

/** What a request cost in the end. Never more than its hold: the rest of an overrun is the house's loss. */
export interface Settlement {
  kind: 'settlement';
  requestId: string;
  accountId: string;
  /** True if nothing was delivered: the hold is released, and a free slot goes back. */
  void: boolean;
  chargeMsat: Msat;
  costPicoUsd: PicoUsd;
  /** The hold's budget day where it is free. */
  freeDay: string | null;
  /**
   * The encrypted answer for repeats with the same Idempotency-Key. Kept if the account's day still has room
   * for it.
   */
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

/** What a request is paid from: the free tier, the wallet, or the client's own account at the provider. */
export type PaidBy = 'free' | 'wallet' | 'byok';

export type Refusal =
  | 'key_gone'
  | 'key_changed'
  | 'budget'
  | 'used_up'
  | 'too_costly'
  | 'daily_ceiling'
  | 'fee'
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
  funding: PaidBy | null;
  /** Granted output tokens. */
  tokens: number;
  /** Held in the wallet. For a refusal: what the smallest grant would have held. */
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
  /** What all accounts together, and one account alone, may take for free on one day. */
  freeDayPicoUsd: PicoUsd;
  freeSharePicoUsd: PicoUsd;
  /** The free requests that an account may have at once: streams, and all of them together. */
  freeStreams: number;
  freeAtOnce: number;
  /** The bytes of stored answers per account and day: of paid requests, and of free ones. */
  answerBytes: number;
  freeAnswerBytes: number;
  leaseSeconds: number;
  instanceId: string;
}

/** What goes into a batch. */
export type HoldRow = (Admission | Settlement | Checkpoint) & BatchRow;
