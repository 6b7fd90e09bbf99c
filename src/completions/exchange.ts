import type { ServerResponse } from 'node:http';
import type { ApiKey } from '../accounts/api-key.ts';
import type { RateLimitTicket } from '../admission/rate-limit.ts';
import type { PicoUsdPerMsat } from '../ledger/amount.ts';
import type { HoldVerdict } from '../ledger/hold.ts';
import type { Lease } from '../ledger/lease.ts';
import type { Choice } from '../routing/candidates.ts';
import type { AbortReason } from './dispatch.ts';
import type { Quote } from './quote.ts';
import type { ChatRequest } from './request.ts';
import { MAX_STORED_BYTES, type Repeatable } from './stored-answer.ts';

/** A request as read from the client. */
export interface Call {
  requestId: string;
  res: ServerResponse;
  path: string;
  request: ChatRequest;
  key: ApiKey;
  /** Fixed here for all that the request will cost. */
  rate: PicoUsdPerMsat;
  /** On the monotonic clock. */
  startedAt: number;
  clientRequestId: string | undefined;
}

/** A request that was admitted: all that is needed to carry it out and to bill it. */
export interface Exchange extends Call {
  choice: Choice;
  quote: Quote;
  hold: HoldVerdict;
  ticket: RateLimitTicket;
  lease: Lease;
  abort: AbortController;
  repeatable: Repeatable | null;
  /** What of a stream was sent, where a repeat may ask for it. */
  kept: Kept | null;
}

/** Why a request under way is given up, if it is. */
export function abortReason({ abort }: Exchange): AbortReason | undefined {
  return abort.signal.reason as AbortReason | undefined;
}

/** A copy of a stream, as long as it is small enough to be stored. */
export class Kept {
  #chunks: Buffer[] = [];
  #bytes = 0;

  add(events: Buffer): void {
    this.#bytes += events.length;
    if (this.#bytes <= MAX_STORED_BYTES) this.#chunks.push(Buffer.from(events));
    else this.#chunks = [];
  }

  /** All of it; null where it was too much. */
  bytes(): Buffer | null {
    return this.#bytes <= MAX_STORED_BYTES ? Buffer.concat(this.#chunks) : null;
  }
}
