import type { WireName } from '../wires/wire.ts';
import type { Abort } from './abort.ts';

/** What the gateway needs of a provider: to carry a request there and the answer back, in whatever wire. */

/** The tiers that `model: "auto"` chooses from, cheapest first. */
export type Tier = 'cheap' | 'mid' | 'premium';

/** One dispatch of one request to one deployment. */
export interface UpstreamRequest {
  wire: WireName;
  /** Path below the provider's base URL for this wire, e.g. `/chat/completions`. */
  path: string;
  /** Names and values in turn: more headers than the provider's own. */
  headers: readonly string[];
  /** The serialised JSON body, made from the validated request. */
  body: Buffer;
  stream: boolean;
  /** The caller's own trace id, passed on where the provider takes one. */
  clientRequestId?: string | undefined;
  /** The span that this is one of (W3C Trace Context), for servers that take part in the operator's traces; null where nothing is traced. */
  traceparent?: string | null | undefined;
  /** The caller's own key, in place of the operator's, for this exchange alone. */
  credential?: string | undefined;
}

/** The receiver of an answer's body. */
export interface BodyReader {
  /** Takes a chunk of decoded bytes; false asks the sender to pause until `resume()`. */
  data(chunk: Buffer): boolean;
  end(): void;
  /** The body broke off: connection lost, aborted, or over its size limit. */
  error(reason: Error): void;
}

/** An answer whose status and headers have arrived and whose body has not been read yet. */
export interface UpstreamAnswer {
  status: number;
  /** Names in lower case. */
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Starts the flow of the body into `reader`. Called exactly once. */
  read(reader: BodyReader): void;
  /** Goes on after `data` returned false. */
  resume(): void;
}

/** A provider: whatever answers requests in one wire or several. What is said in them is the concern of `wires/`. */
export interface Provider {
  /** Stable id, as in `X-Pura-Provider`: `openai`, `demo`, or a deployment's own. */
  readonly id: string;
  /** True for the built-in demo, which is marked as such everywhere. */
  readonly demo: boolean;
  /** True where `x-request-id`, `openai-*` and `x-ratelimit-*` of the answer are passed on to the client. */
  readonly passesHeaders: boolean;
  /**
   * Sends the request and resolves when the answer's status and headers are here, whatever the status.
   * Rejects with a `ProviderError` when there is no answer: connection refused or lost, time-out, abort.
   * @param abort ends the exchange at any time, also while the body flows. The provider is the one that it tells.
   */
  send(request: UpstreamRequest, abort: Abort): Promise<UpstreamAnswer>;
  /** Takes the credential that was sent out of a text that came back: the operator's own, and the caller's where there was one. */
  censor?(text: string, credential?: string): string;
  /** Closes idle connections. */
  close(): Promise<void>;
}
