import { Abort } from '../providers/abort.ts';
import type { Listed } from '../swap-list.ts';

/** Why a request under way is given up. */
export type AbortReason = 'client_gone' | 'lease_lost' | 'time_limit' | 'shutdown';

/** Whether and why a request under way is given up: once, for the first reason. */
export class Cancellation extends Abort implements Listed {
  place = -1;
  /** Undefined as long as the request is not given up. */
  reason: AbortReason | undefined;

  cancel(reason: AbortReason): void {
    this.reason ??= reason;
    this.abort();
  }
}
