import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Abort } from '../../src/providers/abort.ts';
import { createHttpProvider, type HttpProviderOptions } from '../../src/providers/http-provider.ts';
import type { BodyReader, Provider, UpstreamAnswer } from '../../src/providers/provider.ts';
import { ProviderError } from '../../src/providers/provider-error.ts';
import { completion, startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';

const NEVER = new Abort();
const request = {
  wire: 'openai-chat' as const,
  headers: [],
  path: '/chat/completions',
  body: Buffer.from('{"model":"fake"}'),
  stream: false,
};

/** Reads a whole body; rejects as the reader is told. */
function readAll(answer: UpstreamAnswer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    answer.read({ data: (chunk) => chunks.push(chunk) > 0, end: () => resolve(Buffer.concat(chunks)), error: reject });
  });
}

/** A reader that records, and lets a test wait for what it was given. */
class RecordingReader implements BodyReader {
  text = '';
  wantsMore = true;
  readonly ended: Promise<void>;
  readonly failed: Promise<ProviderError>;
  #onEnd!: () => void;
  #onFail!: (reason: ProviderError) => void;
  #onData = () => {};

  constructor() {
    this.ended = new Promise((resolve) => (this.#onEnd = resolve));
    this.failed = new Promise((resolve) => (this.#onFail = resolve));
  }

  data(chunk: Buffer): boolean {
    this.text += chunk.toString();
    this.#onData();
    return this.wantsMore;
  }

  end(): void {
    this.#onEnd();
  }

  error(reason: Error): void {
    this.#onFail(reason as ProviderError);
  }

  has(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#onData = () => {
        if (!this.text.includes(text)) return;
        this.#onData = () => {};
        resolve();
      };
      this.#onData();
    });
  }
}

describe('the OpenAI wire', () => {
  let upstream: FakeProvider;
  const providers: Provider[] = [];
  const servers: Server[] = [];
  const sockets: Socket[] = [];

  const connect = (options: Partial<HttpProviderOptions> = {}): Provider => {
    const provider = createHttpProvider({
      id: 'fake',
      baseUrl: upstream.baseUrl,
      passesHeaders: false,
      headersTimeoutMs: 5_000,
      ...options,
    });
    providers.push(provider);
    return provider;
  };

  /** A bare TCP server, for answers that no HTTP server would give. */
  const rawServer = async (onRequest: (socket: Socket) => void): Promise<string> => {
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.once('data', () => onRequest(socket));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  };

  beforeEach(async () => {
    upstream = await startFakeProvider();
  });

  afterEach(async () => {
    await Promise.all(providers.splice(0).map((provider) => provider.close()));
    for (const socket of sockets.splice(0)) socket.destroy();
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
    await upstream.close();
  });

  it('hands on status, headers and bytes as they came', async () => {
    upstream.script((exchange) => exchange.json(completion({ content: 'hi' }), { status: 201, headers: { 'x-request-id': 'req_1' } }));
    const answer = await connect().send(request, NEVER);
    expect(answer.status).toBe(201);
    expect(answer.headers['x-request-id']).toBe('req_1');
    expect(JSON.parse((await readAll(answer)).toString())).toEqual(completion({ content: 'hi' }));
  });

  it('sends the body untouched and only the headers on its list', async () => {
    await readAll(await connect({ apiKey: 'sk-test' }).send({ ...request, stream: true, clientRequestId: 'trace-1' }, NEVER));
    const [seen] = upstream.requests;
    expect(seen?.path).toBe('/v1/chat/completions');
    expect(seen?.rawBody).toEqual(request.body);
    const { host, connection, 'content-length': length, ...sent } = seen?.headers ?? {};
    expect([host, connection, length]).toEqual([expect.any(String), 'keep-alive', String(request.body.length)]);
    expect(sent).toEqual({
      authorization: 'Bearer sk-test',
      'content-type': 'application/json',
      accept: 'text/event-stream',
      'accept-encoding': 'identity',
      'x-client-request-id': 'trace-1',
    });
  });

  it('sends no credential where it has none', async () => {
    await readAll(await connect().send(request, NEVER));
    expect(upstream.requests[0]?.headers).not.toHaveProperty('authorization');
  });

  it('uses a connection again', async () => {
    const provider = connect();
    await readAll(await provider.send(request, NEVER));
    // A connection is free again a turn after its answer.
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    await readAll(await provider.send(request, NEVER));
    expect(upstream.openConnections).toBe(1);
  });

  it('does not follow redirects', async () => {
    upstream.script((exchange) => exchange.json({}, { status: 307, headers: { location: `${upstream.baseUrl}/elsewhere` } }));
    const answer = await connect().send(request, NEVER);
    expect(answer.status).toBe(307);
    expect(upstream.requests).toHaveLength(1);
  });

  it('hands on each chunk before the next is made', async () => {
    const held = upstream.hold();
    const answering = connect().send({ ...request, stream: true }, NEVER);
    const exchange = await held;
    exchange.startStream();
    const reader = new RecordingReader();
    (await answering).read(reader);
    await exchange.send('data: one\n\n');
    await reader.has('one');
    await exchange.send('data: two\n\n');
    await reader.has('two');
    exchange.end();
    await reader.ended;
    expect(reader.text).toBe('data: one\n\ndata: two\n\n');
  });

  it('keeps what arrives before anybody reads', async () => {
    const held = upstream.hold();
    const answering = connect().send(request, NEVER);
    const exchange = await held;
    exchange.startStream();
    const answer = await answering;
    await exchange.send('early');
    exchange.end();
    await exchange.clientGone;
    expect((await readAll(answer)).toString()).toBe('early');
  });

  it('lets a slow reader hold the sender back, and loses nothing', async () => {
    const held = upstream.hold();
    const answering = connect({ bodyTimeoutMs: 300 }).send(request, NEVER);
    const exchange = await held;
    exchange.startStream();
    const reader = new RecordingReader();
    reader.wantsMore = false;
    const answer = await answering;
    answer.read(reader);
    await exchange.send('first');
    await reader.has('first');
    const large = 'x'.repeat(32 * 1024 * 1024);
    let sent = false;
    const sending = exchange.send(large).then(() => (sent = true));
    for (let turn = 0; turn < 500; turn++) await new Promise(setImmediate);
    expect(sent).toBe(false);
    expect(reader.text.length).toBeLessThan(1024 * 1024);
    reader.wantsMore = true;
    answer.resume();
    await sending;
    exchange.end();
    await reader.ended;
    expect(reader.text.length).toBe('first'.length + large.length);
  });

  it('gives up on a refused connection', async () => {
    const { baseUrl } = upstream;
    await upstream.close();
    await expect(connect({ baseUrl }).send(request, NEVER)).rejects.toMatchObject({ kind: 'connect', retryable: true });
    upstream = await startFakeProvider();
  });

  it('gives up on an upstream that accepts and says nothing', async () => {
    upstream.script(() => {});
    await expect(connect({ headersTimeoutMs: 100 }).send(request, NEVER)).rejects.toMatchObject({ kind: 'timeout', retryable: true });
  });

  it('gives up on a body that stalls', async () => {
    upstream.script((exchange) => exchange.startStream());
    const answer = await connect({ bodyTimeoutMs: 100 }).send(request, NEVER);
    await expect(readAll(answer)).rejects.toMatchObject({ kind: 'timeout' });
  });

  it('reports a connection that is reset before the answer', async () => {
    upstream.script((exchange) => exchange.reset());
    await expect(connect().send(request, NEVER)).rejects.toMatchObject({ kind: 'reset', retryable: true });
  });

  it('reports a connection that is reset within the body, after what came', async () => {
    const held = upstream.hold();
    const answering = connect().send(request, NEVER);
    const exchange = await held;
    exchange.startStream();
    const reader = new RecordingReader();
    (await answering).read(reader);
    await exchange.send('half');
    await reader.has('half');
    exchange.reset();
    expect(await reader.failed).toMatchObject({ kind: 'reset' });
  });

  it('reports a body that is shorter than it said', async () => {
    const baseUrl = await rawServer((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort'));
    await expect(readAll(await connect({ baseUrl }).send(request, NEVER))).rejects.toBeInstanceOf(ProviderError);
  });

  it('reports an answer that is not HTTP', async () => {
    const baseUrl = await rawServer((socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n'));
    await expect(connect({ baseUrl }).send(request, NEVER)).rejects.toMatchObject({ kind: 'protocol' });
  });

  it('skips provisional answers', async () => {
    const baseUrl = await rawServer((socket) =>
      socket.end('HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok'),
    );
    const answer = await connect({ baseUrl }).send(request, NEVER);
    expect([answer.status, (await readAll(answer)).toString()]).toEqual([200, 'ok']);
  });

  it('breaks off a body over its limit and hangs up', async () => {
    const held = upstream.hold();
    const answering = connect({ maxBodyBytes: 1_000 }).send(request, NEVER);
    const exchange = await held;
    exchange.startStream();
    const reader = new RecordingReader();
    (await answering).read(reader);
    await exchange.send('x'.repeat(2_000));
    expect(await reader.failed).toMatchObject({ kind: 'protocol' });
    await exchange.clientGone;
    expect(reader.text.length).toBeLessThanOrEqual(1_000);
  });

  describe('an abort', () => {
    it('before the request sends nothing', async () => {
      const abort = new Abort();
      abort.abort();
      await expect(connect().send(request, abort)).rejects.toMatchObject({ kind: 'aborted', retryable: false });
      expect(upstream.requests).toHaveLength(0);
    });

    it('while connecting rejects at once, and nothing is sent', async () => {
      const abort = new Abort();
      const answering = connect().send(request, abort);
      abort.abort();
      await expect(answering).rejects.toMatchObject({ kind: 'aborted' });
      expect(upstream.requests).toHaveLength(0);
    });

    it('before the answer hangs up on the upstream', async () => {
      const abort = new Abort();
      const held = upstream.hold();
      const answering = connect().send(request, abort);
      const exchange = await held;
      abort.abort();
      await expect(answering).rejects.toMatchObject({ kind: 'aborted' });
      await exchange.clientGone;
    });

    it('within the body hangs up, and tells the reader once', async () => {
      const abort = new Abort();
      const held = upstream.hold();
      const answering = connect().send(request, abort);
      const exchange = await held;
      exchange.startStream();
      const reader = new RecordingReader();
      (await answering).read(reader);
      await exchange.send('some');
      await reader.has('some');
      abort.abort();
      expect(await reader.failed).toMatchObject({ kind: 'aborted' });
      await exchange.clientGone;
    });

    it('between head and reading is told to the reader when it comes', async () => {
      const abort = new Abort();
      const held = upstream.hold();
      const answering = connect().send(request, abort);
      const exchange = await held;
      exchange.startStream();
      const answer = await answering;
      abort.abort();
      await exchange.clientGone;
      await expect(readAll(answer)).rejects.toMatchObject({ kind: 'aborted' });
    });

    it('after the end changes nothing', async () => {
      const abort = new Abort();
      const answer = await connect().send(request, abort);
      const body = await readAll(answer);
      abort.abort();
      expect(body.length).toBeGreaterThan(0);
    });
  });
});

describe('a caller’s own key', () => {
  const OPERATORS = 'sk-operators-own-key';
  const CANARY = 'sk-canary-of-a-caller';

  it.each([
    ['bearer', 'authorization', 'Bearer '],
    ['x-api-key', 'x-api-key', ''],
    ['x-goog-api-key', 'x-goog-api-key', ''],
    ['api-key', 'api-key', ''],
  ] as const)('goes in place of the operator’s, as %s, for one exchange alone', async (auth, header, before) => {
    const upstream = await startFakeProvider();
    const options = { id: 'fake', passesHeaders: false, headersTimeoutMs: 5_000, auth, apiKey: OPERATORS, headers: ['x-version', '1'] };
    const provider = createHttpProvider({ ...options, baseUrl: `${upstream.baseUrl}?api-version=1` });
    try {
      await readAll(await provider.send({ ...request, credential: CANARY, headers: ['X-Version', '2'] }, NEVER));
      await readAll(await provider.send(request, NEVER));
      const [first, second] = upstream.requests;
      expect(first?.headers).toMatchObject({ [header]: before + CANARY, 'x-version': '2' });
      expect(JSON.stringify(first?.headers)).not.toContain(OPERATORS);
      expect(second?.headers).toMatchObject({ [header]: before + OPERATORS, 'x-version': '1' });
      expect(JSON.stringify(second?.headers)).not.toContain(CANARY);
      expect(first?.path).toMatch(/\/v1\/chat\/completions\?api-version=1$/);
    } finally {
      await provider.close();
      await upstream.close();
    }
  });

  it('is in no text that comes back, and neither is the operator’s', () => {
    const provider = createHttpProvider({
      id: 'fake',
      baseUrl: 'http://127.0.0.1:1/v1',
      passesHeaders: false,
      headersTimeoutMs: 1_000,
      apiKey: OPERATORS,
      secrets: ['value-of-a-header'],
    });
    const text = `no ${CANARY}, no ${OPERATORS}, no value-of-a-header`;
    expect(provider.censor?.(text, CANARY)).toBe('no …, no …, no …');
  });

  it('is needed where the operator has none: nothing is sent without', async () => {
    const upstream = await startFakeProvider();
    const provider = createHttpProvider({
      id: 'x',
      baseUrl: upstream.baseUrl,
      needsKey: true,
      passesHeaders: false,
      headersTimeoutMs: 5_000,
    });
    try {
      await expect(provider.send(request, NEVER)).rejects.toMatchObject({ kind: 'connect' });
      expect(upstream.requests).toHaveLength(0);
    } finally {
      await provider.close();
      await upstream.close();
    }
  });
});
