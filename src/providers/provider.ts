import type { Abort } from './abort.ts';

/** What the gateway needs of a provider of completions. Everything here speaks the OpenAI chat wire format. */

/** The tiers that `model: "auto"` chooses from, cheapest first. */
export type Tier = 'cheap' | 'mid' | 'premium';

/** One dispatch of one request to one deployment. */
export interface UpstreamRequest {
  /** Path below the provider's base URL, e.g. `/chat/completions`. */
  path: string;
  /** The serialised JSON body, made from the validated request. */
  body: Buffer;
  stream: boolean;
  /** The caller's own trace id, passed on where the provider takes one. */
  clientRequestId?: string | undefined;
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

/**
 * A provider: something that answers chat completions in the OpenAI wire format.
 * Adapters for other wires translate inside.
 */
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
  complete(request: UpstreamRequest, abort: Abort): Promise<UpstreamAnswer>;
  /** Takes the provider's credential out of a text that came from it. */
  censor?(text: string): string;
  /** Closes idle connections. */
  close(): Promise<void>;
}
