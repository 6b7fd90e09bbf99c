import type { Dispatcher } from 'undici';
import type { Abort } from './abort.ts';
import { ConnectionPool, type Connection, type ExchangeHandler, type Trip } from './connection-pool.ts';
import type { CredentialHeader } from './known-providers.ts';
import type { BodyReader, Provider, UpstreamAnswer, UpstreamRequest } from './provider.ts';
import { ProviderError, type ProviderErrorKind } from './provider-error.ts';

export interface HttpProviderOptions {
  /** As in `X-Pura-Provider`. */
  id: string;
  /** Where its wires are served, with the API's path and any query: `https://api.openai.com/v1`. */
  baseUrl: string;
  auth?: CredentialHeader | undefined;
  apiKey?: string | undefined;
  /** Whether a request without any key is none: it would be refused, or be answered at somebody else's cost. */
  needsKey?: boolean;
  /** Names and values in turn: more headers for every request. */
  headers?: readonly string[] | undefined;
  /** Values among `headers` that nobody may see, as in a credential. */
  secrets?: readonly string[] | undefined;
  /** Whether the answer's own headers (request id, rate limits) are handed on to clients. */
  passesHeaders: boolean;
  /** Whether the operator's traces go on there: no other server learns anything of them. */
  takesTraces?: boolean;
  /** To the first byte of the answer. */
  headersTimeoutMs: number;
  connectTimeoutMs?: number;
  /** Between two chunks of a body, while its reader wants more. */
  bodyTimeoutMs?: number;
  /** Larger bodies are broken off. */
  maxBodyBytes?: number;
}

const CONNECT_TIMEOUT_MS = 10_000;
const BODY_TIMEOUT_MS = 120_000;
const MAX_BODY_BYTES = 64 * 1024 * 1024;
/** Arrived before anybody reads: beyond this the connection is paused. */
const MAX_UNREAD_BYTES = 64 * 1024;
/** A shorter credential is a placeholder for servers that want none, and may be any word. */
const SHORTEST_SECRET = 8;
/** Idle connections are kept shorter than common servers keep theirs, so that none dies under a new request. */
const KEEP_ALIVE_MS = 4_000;

/**
 * A provider behind HTTP, whatever wires it speaks, over connections that are kept open. Redirects are not followed, and no compression is
 * asked for: what arrives is what the client gets.
 */
export function createHttpProvider(options: HttpProviderOptions): Provider {
  const { id, apiKey, passesHeaders, headersTimeoutMs, connectTimeoutMs = CONNECT_TIMEOUT_MS, bodyTimeoutMs = BODY_TIMEOUT_MS } = options;
  const base = new URL(options.baseUrl);
  const pool = new ConnectionPool(base.origin, {
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectTimeout: Math.min(connectTimeoutMs, headersTimeoutMs),
    headersTimeout: headersTimeoutMs,
    bodyTimeout: bodyTimeoutMs,
    maxResponseSize: -1,
    allowH2: false,
  });
  const secrets = [...(apiKey === undefined ? [] : [apiKey]), ...(options.secrets ?? [])];

  return {
    id,
    demo: false,
    passesHeaders,
    send(upstream: UpstreamRequest, abort: Abort): Promise<UpstreamAnswer> {
      const key = upstream.credential ?? apiKey;
      return new Promise((resolve, reject) => {
        if (abort.aborted) return reject(aborted());
        if (key === undefined && options.needsKey) return reject(new ProviderError('connect', `there is no key for ${id}`));
        const headers = [...headersOf(upstream, options), ...credentialHeader(options.auth, key)];
        const request = { method: 'POST', path: below(base, upstream.path), headers, body: upstream.body } as const;
        const exchange = new Exchange(resolve, reject, abort, options.maxBodyBytes ?? MAX_BODY_BYTES, () =>
          pool.dispatchFresh(request, exchange),
        );
        pool.dispatch(request, exchange);
      });
    },
    // Also as JSON writes them.
    censor: (text, credential = '') =>
      [...secrets, credential].flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]).reduce(without, text),
    close: () => pool.destroy(),
  };
}

/** The path and query of a request: both the base URL and the wire may bring a query. */
function below({ pathname, search }: URL, path: string): string {
  const query = search === '' || !path.includes('?') ? search : `&${search.slice(1)}`;
  return pathname.replace(/\/+$/, '') + path + query;
}

/** What a wire asks for goes before what the provider has of the same name. */
function headersOf(
  { stream, headers, clientRequestId, traceparent }: UpstreamRequest,
  { headers: own = [], takesTraces = false }: HttpProviderOptions,
): string[] {
  const asked = new Set(headers.filter((_text, index) => index % 2 === 0).map((name) => name.toLowerCase()));
  return [
    'content-type',
    'application/json',
    'accept',
    stream ? 'text/event-stream' : 'application/json',
    'accept-encoding',
    'identity',
    ...own.filter((_text, index) => !asked.has((own[index - (index % 2)] as string).toLowerCase())),
    ...headers,
    ...(clientRequestId === undefined ? [] : ['x-client-request-id', clientRequestId]),
    ...(takesTraces && typeof traceparent === 'string' ? ['traceparent', traceparent] : []),
  ];
}

function credentialHeader(auth: CredentialHeader = 'bearer', key: string | undefined): string[] {
  if (key === undefined) return [];
  return auth === 'bearer' ? ['authorization', `Bearer ${key}`] : [auth, key];
}

function without(text: string, secret: string): string {
  return secret.length < SHORTEST_SECRET ? text : text.replaceAll(secret, '…');
}

/** One request and its answer: undici's callbacks on one side, `UpstreamAnswer` on the other. */
class Exchange implements ExchangeHandler, UpstreamAnswer {
  connection: Connection | undefined;
  status = 0;
  headers: UpstreamAnswer['headers'] = {};
  readonly #resolve: (answer: UpstreamAnswer) => void;
  readonly #reject: (reason: ProviderError) => void;
  readonly #abort: Abort;
  readonly #maxBodyBytes: number;
  readonly #sendAgain: () => void;
  #controller: Dispatcher.DispatchController | undefined;
  #trip: Trip | undefined;
  #reader: BodyReader | undefined;
  #unread: Buffer[] = [];
  #receivedBytes = 0;
  #ended = false;
  #failure: ProviderError | undefined;
  #delivered = false;

  constructor(
    resolve: (answer: UpstreamAnswer) => void,
    reject: (reason: ProviderError) => void,
    abort: Abort,
    maxBodyBytes: number,
    sendAgain: () => void,
  ) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#abort = abort;
    this.#maxBodyBytes = maxBodyBytes;
    this.#sendAgain = sendAgain;
    abort.onAbort = () => this.#fail(aborted());
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#trip = this.connection?.begin();
    // Ended while it still waited for a connection.
    if (this.#failure) controller.abort(this.#failure);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: UpstreamAnswer['headers']): void {
    // 103 Early Hints and the like come before the answer.
    if (status < 200) return;
    this.status = status;
    this.headers = headers;
    this.#resolve(this);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#failure) return;
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes > this.#maxBodyBytes) {
      return this.#fail(new ProviderError('protocol', `answer larger than ${this.#maxBodyBytes} bytes`));
    }
    if (!this.#reader) {
      this.#unread.push(chunk);
      if (this.#receivedBytes > MAX_UNREAD_BYTES) controller.pause();
    } else if (!this.#reader.data(chunk)) {
      controller.pause();
    }
  }

  onResponseEnd(): void {
    this.#ended = true;
    this.#finish();
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    const failure = this.#failure ?? providerError(error);
    // The server closed a kept connection while the request was on its way: it has not been looked at (RFC 9110, 9.2.2). A fresh
    // connection has no such trip, so this happens once.
    if (failure.kind === 'reset' && this.#trip?.isUnanswered()) this.#sendAgain();
    else this.#fail(failure);
  }

  read(reader: BodyReader): void {
    this.#reader = reader;
    const unread = this.#unread;
    this.#unread = [];
    let wantsMore = true;
    for (const chunk of unread) wantsMore = reader.data(chunk);
    if (wantsMore) this.resume();
    else this.#controller?.pause();
    this.#finish();
  }

  resume(): void {
    // Another exchange's bytes may be being parsed right now, and the parser is not reentrant.
    queueMicrotask(() => this.#controller?.resume());
  }

  #fail(failure: ProviderError): void {
    if (this.#ended || this.#delivered) return;
    this.#failure ??= failure;
    this.#unread = [];
    this.#controller?.abort(this.#failure);
    this.#reject(this.#failure);
    this.#finish();
  }

  /** Tells the reader how it ended, once both are known. */
  #finish(): void {
    if (!this.#ended && !this.#failure) return;
    this.#abort.onAbort = undefined;
    if (!this.#reader || this.#delivered) return;
    this.#delivered = true;
    if (this.#failure) this.#reader.error(this.#failure);
    else this.#reader.end();
  }
}

function aborted(): ProviderError {
  return new ProviderError('aborted', 'the request was aborted');
}

const KINDS: Readonly<Record<string, ProviderErrorKind>> = {
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  UND_ERR_SOCKET: 'reset',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'protocol',
  UND_ERR_HEADERS_OVERFLOW: 'protocol',
  UND_ERR_DESTROYED: 'connect',
  UND_ERR_CLOSED: 'connect',
  ECONNREFUSED: 'connect',
  ENOTFOUND: 'connect',
  EAI_AGAIN: 'connect',
  EHOSTUNREACH: 'connect',
  ENETUNREACH: 'connect',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timeout',
};

function providerError(error: Error): ProviderError {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return new ProviderError(kindOf(error.name, code), error.message, error);
}

function kindOf(name: string, code: string): ProviderErrorKind {
  if (KINDS[code]) return KINDS[code];
  if (name === 'HTTPParserError' || code.startsWith('UND_ERR_')) return 'protocol';
  // TLS: an expired or foreign certificate, a failed handshake.
  return /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_|UNABLE_|SELF_)/.test(code) ? 'connect' : 'reset';
}
