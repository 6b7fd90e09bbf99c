import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { Abort } from '../../src/providers/abort.ts';
import { ConnectionPool, type ExchangeHandler, type Trip } from '../../src/providers/connection-pool.ts';
import { createHttpProvider } from '../../src/providers/http-provider.ts';
import type { Provider, UpstreamAnswer } from '../../src/providers/provider.ts';
import { TEST_TLS } from '../support/tls.ts';
import { until } from '../support/until.ts';

const request = {
  wire: 'openai-chat' as const,
  headers: [],
  path: '/chat/completions',
  body: Buffer.from('{"model":"fake"}'),
  stream: false,
};
const BODY = '{"ok":true}';
const GOOD = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;

/** What a server does with one request. `trip`: which one of its connection it is, from 0. */
type Script = (socket: Socket, trip: number, connection: number) => void;

const good: Script = (socket) => void socket.write(GOOD);
const readAll = (answer: UpstreamAnswer): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = '';
    answer.read({ data: (chunk) => ((text += chunk.toString()), true), end: () => resolve(text), error: reject });
  });

let script: Script;
/** By connection, how many requests came over it. */
let trips: number[];
let sockets: Socket[];
let server: Server | undefined;
let provider: Provider | undefined;

function onConnection(socket: Socket): void {
  const connection = trips.push(0) - 1;
  let received = '';
  sockets.push(socket);
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString();
    if (!received.endsWith(request.body.toString())) return;
    received = '';
    const trip = trips[connection] ?? 0;
    trips[connection] = trip + 1;
    script(socket, trip, connection);
  });
}

async function start(headersTimeoutMs = 5_000): Promise<void> {
  const listening = createServer(onConnection);
  server = listening;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${(listening.address() as AddressInfo).port}/v1`;
  provider = createHttpProvider({ id: 'fake', baseUrl, passesHeaders: false, headersTimeoutMs });
}

/** `ok`, or the kind of the failure. */
async function ask(abort = new Abort()): Promise<string> {
  if (!provider) throw new Error('start first');
  try {
    const answer = await provider.send(request, abort);
    return (await readAll(answer)) === BODY ? 'ok' : 'another body';
  } catch (error) {
    return (error as { kind: string }).kind;
  } finally {
    // A connection is free again once its answer's last event is over.
    await new Promise(setImmediate);
  }
}

const requests = (): number => trips.reduce((sum, count) => sum + count, 0);

beforeEach(() => {
  script = good;
  trips = [];
  sockets = [];
});
afterEach(async () => {
  await provider?.close();
  for (const socket of sockets) socket.destroy();
  await new Promise<unknown>((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  [server, provider] = [undefined, undefined];
});

const CLOSINGS: [name: string, close: (socket: Socket) => void][] = [
  ['with an end', (socket) => void socket.end()],
  ['with a reset', (socket) => void socket.resetAndDestroy()],
  ['at once', (socket) => void socket.destroy()],
];

describe.each(CLOSINGS)('a connection that the server closes %s', (_name, close) => {
  it('when a request comes over it a second time, is replaced by a fresh one, once', async () => {
    await start();
    for (let kept = 1; kept <= 3; kept++) {
      script = good;
      const before = requests();
      expect(await ask()).toBe('ok');
      script = (socket, trip, connection) => (trip === 0 ? good(socket, trip, connection) : close(socket));
      expect(await ask()).toBe('ok');
      // The first, the lost one, and its repetition.
      expect(requests() - before).toBe(3);
    }
    expect(trips.filter((count) => count === 2)).toHaveLength(3);
  });

  it('when the first request comes over it, has failed: the request may have been at work', async () => {
    await start();
    script = close;
    expect(await ask()).toBe('reset');
    expect(trips).toEqual([1]);
  });

  it('and its replacement too, has failed: there is no third attempt', async () => {
    await start();
    expect(await ask()).toBe('ok');
    script = close;
    expect(await ask()).toBe('reset');
    expect(trips).toEqual([2, 1]);
  });

  it('at whatever byte of its answer, is not replaced: once a byte has come, the request has been looked at', async () => {
    await start();
    const early = 'HTTP/1.1 103 Early Hints\r\nlink: </>\r\n\r\n';
    for (const whole of [GOOD, early + GOOD]) {
      for (let bytes = 1; bytes < whole.length; bytes++) {
        script = good;
        expect(await ask()).toBe('ok');
        const before = requests();
        script = (socket) => void socket.write(whole.slice(0, bytes), () => setImmediate(close, socket));
        expect(['reset', 'protocol']).toContain(await ask());
        expect([bytes, requests() - before]).toEqual([bytes, 1]);
      }
    }
  });
});

it('a provider that starts anew, all kept connections stale at once, loses no request', async () => {
  await start();
  const atOnce = 20;
  let waiting: (() => void)[] = [];
  script = (socket) => {
    waiting.push(() => socket.write(GOOD));
    if (waiting.length === atOnce) for (const answer of waiting) answer();
  };
  await Promise.all(Array.from({ length: atOnce }, () => ask()));
  expect(trips).toHaveLength(atOnce);
  waiting = [];
  script = (socket, trip, connection) => (connection < atOnce ? socket.destroy() : good(socket, trip, connection));
  expect(await Promise.all(Array.from({ length: atOnce }, () => ask()))).toEqual(Array.from({ length: atOnce }, () => 'ok'));
});

it('a close over TLS counts as no byte either', async () => {
  const tls = createTlsServer(TEST_TLS, onConnection);
  await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve));
  const pool = new ConnectionPool(`https://127.0.0.1:${(tls.address() as AddressInfo).port}`, {
    connect: { ca: TEST_TLS.cert },
    allowH2: false,
  });
  const unanswered = (): Promise<boolean> =>
    new Promise((resolve) => {
      let trip: Trip | undefined;
      const told = () => void setImmediate(() => resolve(trip?.isUnanswered() ?? false));
      const handler: ExchangeHandler = {
        onRequestStart: () => void (trip = handler.connection?.begin()),
        onResponseStart() {},
        onResponseData() {},
        onResponseEnd: told,
        onResponseError: told,
      };
      pool.dispatch({ method: 'POST', path: '/', body: request.body }, handler);
    });
  const overKept = () => trips.some((count) => count > 1);
  script = (socket, trip, connection) => (trip === 0 ? good(socket, trip, connection) : socket.end());
  await until(unanswered);
  expect(overKept()).toBe(true);
  trips = [];
  script = (socket, trip, connection) => (trip === 0 ? good(socket, trip, connection) : socket.end('H'));
  await until(async () => {
    expect(await unanswered()).toBe(false);
    return overKept();
  });
  await pool.destroy();
  await new Promise((resolve) => tls.close(resolve));
});

it('silence on a kept connection is no close: the request may be at work', async () => {
  await start(300);
  expect(await ask()).toBe('ok');
  script = () => {};
  expect(await ask()).toBe('timeout');
  expect(requests()).toBe(2);
});

it('what we end ourselves is not sent again', async () => {
  await start();
  expect(await ask()).toBe('ok');
  const abort = new Abort();
  script = () => abort.abort();
  expect(await ask(abort)).toBe('aborted');
  expect(requests()).toBe(2);
});

it('a repetition can be ended, and is ended with the provider', async () => {
  await start();
  expect(await ask()).toBe('ok');
  const abort = new Abort();
  script = (socket, trip) => (trip > 0 ? socket.destroy() : abort.abort());
  expect(await ask(abort)).toBe('aborted');

  script = good;
  expect(await ask()).toBe('ok');
  let repeated = false;
  script = (socket, trip) => (trip > 0 ? socket.destroy() : (repeated = true));
  const asking = ask();
  await until(() => repeated);
  await provider?.close();
  expect(await asking).toBe('connect');
});

it('a repetition leaves no connection open', async () => {
  await start();
  expect(await ask()).toBe('ok');
  script = (socket, trip, connection) => (trip === 0 ? good(socket, trip, connection) : socket.destroy());
  expect(await ask()).toBe('ok');
  await until(() => sockets.every((socket) => socket.destroyed || socket.readableEnded));
});
