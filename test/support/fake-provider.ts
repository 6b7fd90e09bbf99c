import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { DeploymentConfig } from '../../src/config/gateway-file.ts';

/**
 * A scriptable OpenAI-compatible upstream on loopback.
 *
 *     const upstream = await startFakeProvider();
 *     const config = { deployments: [upstream.deployment()] };       // model: pureai/fake
 *
 * Left alone it gives every request a good answer, JSON or stream as asked, with usage (see `DEFAULT_USAGE`).
 * A test that wants something else says so before the request comes, one script a request, in order:
 *
 *     upstream.script((exchange) => exchange.json(completion({ content: 'hi', usage: null })));
 *     upstream.script((exchange) => exchange.error(500));
 *     upstream.script((exchange) => exchange.stream(['a', 'b'], { usage: null, done: false }));
 *     upstream.script((exchange) => exchange.reset());               // or: () => {} hangs for ever
 *
 * or takes the exchange in hand and decides when each chunk goes out, without any clock:
 *
 *     const held = upstream.hold();                                  // before the request is made
 *     const answer = fetch(…);
 *     const exchange = await held;                                   // the request has arrived
 *     exchange.startStream();
 *     await exchange.content('first ');                              // handed to the kernel when this resolves
 *     …the client reads it and leaves…
 *     await exchange.clientGone;                                     // the gateway has dropped the connection
 *
 * Every request is kept in `requests`; `received(n)` waits for the nth (from 1). `close()` drops everything.
 */
export interface FakeProvider {
  /** With `/v1`. */
  readonly baseUrl: string;
  readonly requests: readonly FakeExchange[];
  /** Connections open now. */
  readonly openConnections: number;
  /** An entry of `deployments` in the configuration that points here: model `pureai/fake`, $1 and $2 a million tokens. */
  deployment(overrides?: Partial<DeploymentConfig>): DeploymentConfig;
  /** What the next request without a script gets. */
  script(script: FakeScript): void;
  /** What every request without a script of its own gets from now on. */
  always(script: FakeScript): void;
  /** The next request without a script is answered by the caller, by hand. Resolves when it has arrived. */
  hold(): Promise<FakeExchange>;
  /** Waits until at least `count` requests have arrived; resolves with that one. */
  received(count: number): Promise<FakeExchange>;
  /** Drops the requests kept so far, in a test that makes very many. */
  forget(): void;
  /** Drops every connection and refuses new ones, until `accept()`. */
  refuse(): Promise<void>;
  accept(): Promise<void>;
  close(): Promise<void>;
}

export type FakeScript = (exchange: FakeExchange) => void | Promise<void>;

/** The counts that answers carry unless told otherwise. */
export const DEFAULT_USAGE = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };

export interface AnswerOptions {
  content?: string;
  /** Null: the answer carries none. Anything else is sent as it is, be it nonsense. */
  usage?: unknown;
  model?: string;
  finishReason?: string;
}

/** The body of a JSON answer. */
export function completion({
  content = 'Hello.',
  usage = DEFAULT_USAGE,
  model = 'fake',
  finishReason = 'stop',
}: AnswerOptions = {}): object {
  return {
    id: 'chatcmpl-fake',
    object: 'chat.completion',
    created: 1_735_689_600,
    model,
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: finishReason }],
    ...(usage !== null && { usage }),
  };
}

/** One event of a stream, with whatever members the test wants in its chunk. */
export function event(members: object): string {
  const chunk = { id: 'chatcmpl-fake', object: 'chat.completion.chunk', created: 1_735_689_600, model: 'fake', ...members };
  return `data: ${JSON.stringify(chunk)}\n\n`;
}

/** An event that carries a piece of text. */
export function contentEvent(content: string): string {
  return event({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
}

/** The event that ends the text. */
export function finishEvent(finishReason = 'stop'): string {
  return event({ choices: [{ index: 0, delta: {}, finish_reason: finishReason }] });
}

/** The event without choices that carries the usage. */
export function usageEvent(usage: unknown = DEFAULT_USAGE): string {
  return event({ choices: [], usage });
}

/** One request that has arrived, and the means to answer it. */
export class FakeExchange {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawBody: Buffer;
  /** The body as JSON. */
  readonly body: Record<string, unknown>;
  /** Resolves when the connection is closed, by either side: for a client that left before its answer was complete. */
  readonly clientGone: Promise<void>;
  readonly #res: ServerResponse;

  constructor(req: IncomingMessage, res: ServerResponse, rawBody: Buffer) {
    this.path = req.url ?? '';
    this.headers = req.headers;
    this.rawBody = rawBody;
    this.body = JSON.parse(rawBody.toString() || '{}') as Record<string, unknown>;
    this.#res = res;
    this.clientGone = new Promise((resolve) => res.once('close', resolve));
  }

  /** Answers with a JSON body. */
  json(body: unknown, { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {}): void {
    this.#res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  }

  /** Answers with bytes as they are, and no header but these. */
  raw(body: string | Buffer, { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {}): void {
    this.#res.writeHead(status, headers).end(body);
  }

  /** Answers with an error as OpenAI words it. */
  error(status: number, message = 'The fake provider failed.', headers: Record<string, string> = {}): void {
    this.json({ error: { message, type: 'fake_error', param: null, code: null } }, { status, headers });
  }

  /** Answers with a whole stream of these pieces of text. `usage` null leaves the usage chunk out. */
  async stream(pieces: readonly string[], { usage = DEFAULT_USAGE, done = true }: { usage?: unknown; done?: boolean } = {}): Promise<void> {
    this.startStream();
    for (const piece of pieces) await this.content(piece);
    await this.send(finishEvent());
    if (usage !== null) await this.send(usageEvent(usage));
    if (done) await this.send('data: [DONE]\n\n');
    this.end();
  }

  /** Sends the head of a stream. */
  startStream(headers: Record<string, string> = {}, status = 200): void {
    this.startAnswer(status, { 'content-type': 'text/event-stream', ...headers });
  }

  /** Sends the head of an answer, with no header but these. */
  startAnswer(status: number, headers: Record<string, string>): void {
    this.#res.writeHead(status, headers);
    this.#res.flushHeaders();
  }

  /** Sends one piece of text as an event. */
  async content(text: string): Promise<void> {
    await this.send(contentEvent(text));
  }

  /**
   * Sends bytes as they are: half an event, half a character, a huge line. Resolves when the kernel has them, which
   * for more than its buffers hold means that the other side reads; also when the client has gone.
   */
  async send(bytes: string | Buffer): Promise<void> {
    await Promise.race([new Promise<void>((resolve) => this.#res.write(bytes, () => resolve())), this.clientGone]);
    // Lets what was written leave as a packet of its own.
    await new Promise(setImmediate);
  }

  /** Ends the answer. */
  end(): void {
    this.#res.end();
  }

  /** Resets the connection (RST), whatever of the answer has been sent. */
  reset(): void {
    this.#res.socket?.resetAndDestroy();
  }

  /** Gives the answer of a provider in good health. */
  async answer(): Promise<void> {
    if (this.body['stream'] === true) await this.stream(['Hello', '.']);
    else this.json(completion());
  }
}

/** Starts one on a free port of loopback. */
export async function startFakeProvider(): Promise<FakeProvider> {
  const requests: FakeExchange[] = [];
  const scripts: FakeScript[] = [];
  const waiting = new Set<() => void>();
  const sockets = new Set<Socket>();
  let fallback: FakeScript = (exchange) => exchange.answer();

  const server: Server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
    const parts: Buffer[] = [];
    req.on('data', (part: Buffer) => parts.push(part));
    // A client may leave at any moment; that is what some tests are about.
    res.on('error', () => {});
    req.on('error', () => {});
    req.on('end', () => {
      const exchange = new FakeExchange(req, res, Buffer.concat(parts));
      requests.push(exchange);
      for (const check of waiting) check();
      void (scripts.shift() ?? fallback)(exchange);
    });
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const listen = (on: number) => new Promise<void>((resolve) => server.listen(on, '127.0.0.1', resolve));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const baseUrl = `http://127.0.0.1:${port}/v1`;
  const shut = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };

  return {
    baseUrl,
    requests,
    get openConnections() {
      return sockets.size;
    },
    deployment: (overrides = {}) => ({
      id: 'fake',
      baseUrl,
      prices: { input: 1, output: 2 },
      tier: 'cheap',
      contextWindow: 128_000,
      maxOutputTokens: 16_384,
      capField: 'max_tokens',
      remoteImages: false,
      allowParameters: [],
      ...overrides,
    }),
    script: (script) => void scripts.push(script),
    always: (script) => void (fallback = script),
    hold: () => new Promise((resolve) => scripts.push(resolve)),
    received: (count) =>
      new Promise((resolve) => {
        const check = () => {
          const exchange = requests[count - 1];
          if (!exchange) return;
          waiting.delete(check);
          resolve(exchange);
        };
        waiting.add(check);
        check();
      }),
    forget: () => void (requests.length = 0),
    refuse: shut,
    accept: () => listen(port),
    close: shut,
  };
}
