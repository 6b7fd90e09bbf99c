import type { ServerResponse } from 'node:http';
import type { ApiKey } from '../accounts/api-key.ts';
import type { FreeTicket } from '../admission/free-shares.ts';
import type { RateLimitTicket } from '../admission/rate-limit.ts';
import type { Msat, PicoUsd, PicoUsdPerMsat } from '../amount.ts';
import type { HoldVerdict } from '../ledger/hold.ts';
import type { Lease } from '../ledger/lease.ts';
import type { Spent } from '../metering/bill.ts';
import type { Quote } from '../metering/quote.ts';
import type { CallerKey } from '../providers/caller-key.ts';
import type { UpstreamAnswer } from '../providers/provider.ts';
import type { Keeping } from '../records/stored-answer.ts';
import type { Candidate } from '../routing/candidate.ts';
import type { Steps } from '../routing/cascade-steps.ts';
import type { Choice } from '../routing/choose.ts';
import type { Pass } from '../routing/gate.ts';
import type { InferenceRequest } from '../wires/request.ts';
import type { StreamReader, Surface } from '../wires/wire.ts';
import type { Cancellation } from './cancellation.ts';
import type { Climb } from './climb.ts';
import type { StreamClient } from './client-stream.ts';
import type { Head } from './head.ts';
import type { JsonAnswer } from './json-answer.ts';
import type { ProviderFailure } from '../providers/provider-failure.ts';
import type { RelayedStream, StreamEnd } from './relay.ts';
import type { StreamCopy } from './stream-copy.ts';
import type { Trail } from './trail.ts';

/** A request as it was read from its client. */
export interface Call {
  readonly requestId: string;
  readonly res: ServerResponse;
  /** What the head of every answer to it says. Nothing is set on `res`. */
  readonly head: Head;
  readonly path: string;
  readonly surface: Surface;
  readonly request: InferenceRequest;
  readonly apiKey: ApiKey;
  /** Fixed here for all that the request will cost. */
  readonly picoUsdPerMsat: PicoUsdPerMsat;
  /** On the monotonic clock. */
  readonly startedAt: number;
  readonly clientRequestId: string | undefined;
  /** The client's end of a streamed answer; null where it wants JSON. */
  readonly client: StreamClient | null;
  /** What is observed of it. */
  readonly trail: Trail;
}

/** Who may serve a request, and what it can cost at most. */
export interface Plan extends Choice {
  /** The candidates, by the steps in which they are asked: one step without a cascade. */
  readonly steps: Steps;
  readonly quote: Quote;
  /** The request's own cap; null where it has none. */
  readonly maxCostPicoUsd: PicoUsd | null;
  /** Where the caller's own key at the provider serves: that key, and what the operator asks for it. */
  readonly own: { readonly key: CallerKey; readonly feeMsat: Msat } | null;
}

/** Leave to send a request: its hold is committed. */
export interface Grant {
  readonly hold: HoldVerdict;
  readonly ticket: RateLimitTicket;
  /** Where the request is free: what of the day it takes from its sender's share. */
  readonly free: FreeTicket | null;
  readonly lease: Lease;
  readonly cancellation: Cancellation;
  /** Where a repeat may ask for the answer. */
  readonly keeping: Keeping | null;
  /** What of a stream was sent, as far as it can be kept. */
  readonly copy: StreamCopy | null;
  /** What the steps before this one came to: it is charged together with this one's. */
  readonly earlier: readonly Spent[];
  /** Who was asked under it, in order, and with what result. */
  readonly asked: Tried[];
}

/** A candidate that was asked, and how that went as far as its first word. */
export interface Tried {
  readonly candidate: Candidate;
  /** `ok`, `refused`, `http_error`, `client_gone`, or what happened instead of a status. */
  result: string;
  /** Null where no answer came. */
  status: number | null;
  /** Until its first word, or its failure. */
  latencyMs: number;
}

/** A request under way: what it is, what it may cost, and its leave. */
export interface UnderWay {
  readonly call: Call;
  readonly plan: Plan;
  readonly grant: Grant;
  /** What a cascade came to, once that is known; absent without one. */
  readonly climb?: Climb | undefined;
}

/** A candidate that was asked. */
export interface Asked {
  readonly candidate: Candidate;
  /** On the monotonic clock. */
  readonly dispatchedAt: number;
}

/** A candidate's failure. */
export interface Attempt extends ProviderFailure {
  readonly providerId: string;
}

/** What a request came to at the providers: an answer, or its beginning, or none. */
export type Leg =
  | (Asked & JsonAnswer & { readonly kind: 'json'; readonly answer: UpstreamAnswer })
  | (Asked & {
      readonly kind: 'stream';
      readonly answer: UpstreamAnswer;
      readonly stream: RelayedStream;
      readonly reader: StreamReader;
      /** Ended by `deliver`; all other attempts are over already. */
      readonly pass: Pass;
    })
  | (Asked & { readonly kind: 'refused'; readonly answer: UpstreamAnswer; readonly text: string })
  | (Asked & { readonly kind: 'client_gone' })
  | { readonly kind: 'failed'; readonly attempts: readonly Attempt[] };

/** How a request's answer ended, and what is needed to bill and to finish it. */
export type Ending = Exclude<Leg, { kind: 'stream' }> | (Extract<Leg, { kind: 'stream' }> & { readonly end: StreamEnd });
