import type { Enrolled } from '../roster.ts';

/** Why a request under way is given up. */
export type AbortReason = 'client_gone' | 'lease_lost' | 'time_limit' | 'shutdown';

/**
 * Whether and why a request under way is given up: once, for the first reason. In place of an AbortController, whose making and
 * listening cost more than anything else that happens once a request here.
 */
export class Cancellation implements Enrolled {
  place = -1;
  /** Undefined as long as the request is not given up. */
  reason: AbortReason | undefined;
  #onCancel: (() => void) | undefined;

  cancel(reason: AbortReason): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    this.#onCancel?.();
  }

  /** Who is told at the moment of giving up; undefined: nobody any more. One at a time. */
  set onCancel(listener: (() => void) | undefined) {
    this.#onCancel = listener;
  }
}
