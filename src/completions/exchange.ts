import type { ServerResponse } from 'node:http';
import type { ApiKey } from '../accounts/api-key.ts';
import type { FreeTicket } from '../admission/free-shares.ts';
import type { RateLimitTicket } from '../admission/rate-limit.ts';
import type { PicoUsdPerMsat } from '../amount.ts';
import type { HoldVerdict } from '../ledger/hold.ts';
import type { Lease } from '../ledger/lease.ts';
import type { Choice } from '../routing/choose.ts';
import type { Head } from './answer.ts';
import type { Cancellation } from './cancellation.ts';
import type { ClientStream } from './client-stream.ts';
import type { Quote } from '../metering/quote.ts';
import type { ChatRequest } from '../wires/openai-chat/request.ts';
import type { Keeping } from '../records/stored-answer.ts';

/** A request as read from the client. */
export interface Call {
  requestId: string;
  res: ServerResponse;
  /** What the head of every answer to it says. Nothing is set on `res`. */
  head: Head;
  path: string;
  request: ChatRequest;
  key: ApiKey;
  /** Fixed here for all that the request will cost. */
  rate: PicoUsdPerMsat;
  /** On the monotonic clock. */
  startedAt: number;
  clientRequestId: string | undefined;
  /** The client's end of a streamed answer; null where it wants JSON. */
  client: ClientStream | null;
}

/** A request that was admitted: all that is needed to carry it out and to bill it. */
export interface Exchange extends Call {
  choice: Choice;
  quote: Quote;
  hold: HoldVerdict;
  ticket: RateLimitTicket;
  /** Where the request is free: what of the day it takes from its sender's share. */
  free: FreeTicket | null;
  lease: Lease;
  cancellation: Cancellation;
  /** Where a repeat may ask for the answer. */
  keeping: Keeping | null;
  /** What of a stream was sent, as far as it can be kept. */
  kept: Kept | null;
}

/** A copy of a stream, as long as it is small enough to be stored. */
export class Kept {
  readonly #mostBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  add(events: Buffer): void {
    this.#bytes += events.length;
    if (this.#bytes <= this.#mostBytes) this.#chunks.push(Buffer.from(events));
    else this.#chunks = [];
  }

  /** All of it; null where it was too much. */
  bytes(): Buffer | null {
    return this.#bytes <= this.#mostBytes ? Buffer.concat(this.#chunks) : null;
  }
}
