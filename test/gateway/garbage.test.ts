import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { createLog } from '../../src/log.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { randomFrom } from '../support/random.ts';

/** Another mix: `PURA_SEED=7 npm test -- garbage`. */
const SEED = Number(process.env['PURA_SEED'] ?? 402);
const CASES = 10_000;
const AT_ONCE = 16;

let gateway: TestGateway;
let key: TestKey;
/** What was logged as an error: nothing of all this is one. */
const errors: string[] = [];

beforeAll(async () => {
  const log = createLog('error', { write: (line) => void errors.push(line) });
  gateway = await startGateway({ log, env: { FREE_TIER_REQUESTS: '1000000', FREE_TIER_GLOBAL_DAILY_USD: '1000000' } });
  key = await gateway.newKey();
});

afterAll(() => gateway.close());

const random = randomFrom(SEED);
const oneOf = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
const some = <T>(most: number, make: () => T): T[] => Array.from({ length: Math.floor(random() * (most + 1)) }, make);

const VALUES: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 2 ** 53, 1e308, '', 'auto', '\0', '\ud800', '💥'.repeat(50), 'a'.repeat(5_000)],
  ...[[], {}, [[]], [null], { a: 1 }, { constructor: 1 }, '__proto__', { type: 'text' }, [1, 'a', null]],
];
const FIELDS = [
  ...[
    'model',
    'stream',
    'n',
    'max_tokens',
    'max_completion_tokens',
    'temperature',
    'top_p',
    'stop',
    'tools',
    'tool_choice',
    'user',
    'seed',
  ],
  ...['response_format', 'logprobs', 'top_logprobs', 'stream_options', 'routing', 'functions', 'function_call', 'logit_bias', 'modalities'],
  ...[
    'audio',
    'metadata',
    'store',
    'service_tier',
    'reasoning_effort',
    'prediction',
    'parallel_tool_calls',
    'prompt_cache_key',
    'nonsense',
  ],
];
const HEADERS = [
  ...['x-pura-max-cost-sats', 'x-pura-topup-sats', 'idempotency-key', 'x-client-request-id', 'x-provider-key', 'content-type', 'accept'],
  ...['content-encoding', 'authorization', 'expect', 'x-forwarded-for', 'origin', 'x-api-key', 'payment-signature'],
];
const HEADER_VALUES = [
  '',
  '0',
  '-1',
  '1e9',
  '9'.repeat(40),
  'gzip',
  'Bearer',
  'L402 a:b',
  'Payment x',
  'Basic eA==',
  'a'.repeat(3_000),
  'é',
];
const PATHS = [
  ...['POST /v1/chat/completions', 'POST /api/chat', 'POST /l402/v1/chat/completions', 'POST /api/keys', 'PATCH /api/keys/~'],
  ...['POST /api/wallet/fund', 'POST /api/wallet/withdraw', 'POST /dev/lightning/pay', 'GET /api/report?period=~', 'GET /invoice/~'],
  ...['GET /api/wallet/transactions?limit=~', 'GET /api/requests?cursor=~', 'GET /v1/models/~', 'GET /api/wallet/status?paymentHash=~'],
  ...['DELETE /api/keys/~', 'GET /assets/~', 'GET /%~', 'PUT /v1/~', 'OPTIONS /v1/chat/completions'],
];

function message(): unknown {
  const role = oneOf(['user', 'system', 'assistant', 'tool', 'developer', 'function', null]);
  const part = oneOf([
    { type: 'text', text: 'x' },
    { type: 'image_url', image_url: { url: oneOf(['data:', 'http://x/y.png', 5]) } },
    oneOf(VALUES),
  ]);
  const call = { id: 'a', type: 'function', function: { name: 'f', arguments: '{' } };
  return oneOf([
    { role: 'user', content: 'hi' },
    { role, content: oneOf([oneOf(VALUES), [part]]), tool_calls: [call] },
    { role, content: null, tool_call_id: oneOf(VALUES) },
    oneOf(VALUES),
  ]);
}

/** A body that is nearly one: with fields of any kind, cut off, with bytes changed, nested without end, or with a member twice. */
function body(): Buffer {
  const fields: Record<string, unknown> = random() < 0.8 ? { messages: oneOf([some(3, message), oneOf(VALUES)]) } : {};
  for (const name of some(3, () => oneOf(FIELDS))) fields[name] = oneOf(VALUES);
  const text = JSON.stringify(fields);
  const bytes = Buffer.from(text);
  return oneOf([
    () => bytes,
    () => bytes,
    () => bytes.subarray(0, Math.floor(random() * bytes.length)),
    () => {
      for (const at of some(3, () => Math.floor(random() * bytes.length))) bytes[at] = Math.floor(random() * 256);
      return bytes;
    },
    () => Buffer.from('['.repeat(Math.floor(random() * 20_000))),
    () => Buffer.from(`${text.slice(0, -1)},"messages":[{"role":"user","content":"twice"}],"Messages":[]}`),
  ])();
}

/** Sends what only a client of HTTP could send; gives the status. */
function send(agent: Agent): Promise<number> {
  const [method = '', path = ''] = (random() < 0.6 ? 'POST /v1/chat/completions' : oneOf(PATHS)).split(' ');
  const tail = encodeURIComponent(JSON.stringify(oneOf(VALUES))).slice(0, 200);
  const bytes = method === 'GET' || method === 'DELETE' || method === 'OPTIONS' ? Buffer.alloc(0) : body();
  const headers: Record<string, string> = { 'content-type': 'application/json', authorization: `Bearer ${key.secret}` };
  if (random() < 0.3) headers[oneOf(HEADERS)] = oneOf(HEADER_VALUES);
  const { hostname, port } = new URL(gateway.url);
  return new Promise((resolve, reject) => {
    const sent = request({ hostname, port, method, path: path.replace('~', tail), headers, agent }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0));
    });
    // An answer may come before the whole body has gone out, and end the connection.
    sent.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' || error.code === 'EPIPE' ? resolve(0) : reject(error),
    );
    sent.end(bytes);
  });
}

const START_LINES = [
  ...[
    'POST /v1/chat/completions HTTP/1.1',
    'POST /v1/chat/completions HTTP/1.0',
    'GET /~ HTTP/1.1',
    'POST /%ff HTTP/1.1',
    'FOO / HTTP/1.1',
  ],
  ...['POST //v1/chat/completions HTTP/1.1', 'POST http://elsewhere/v1/chat/completions HTTP/1.1', 'CONNECT a:1 HTTP/1.1'],
  ...['POST /v1/chat/completions HTTP/9.9', 'PRI * HTTP/2.0', '\x16\x03\x01'],
];
const HEADER_LINES = [
  ...[
    'Content-Length: 5',
    'Content-Length: -1',
    'Content-Length: 5, 6',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: chunked, identity',
  ],
  ...['Transfer-Encoding: xchunked', 'Host: a', 'Host: b', 'Authorization: Bearer x', 'Content-Type: application/json', 'Upgrade: h2c'],
  ...['Connection: keep-alive, Upgrade', `X: ${'a'.repeat(20_000)}`, 'Bad Header: x', ': x', 'X\0: 1', 'Expect: 100-continue', ' folded'],
];
const BODIES = ['{}', '5\r\n{"a":\r\n0\r\n\r\n', 'zz\r\n', '', '0\r\n\r\n'];

/** Sends bytes that are hardly HTTP; gives every status that came back on the connection. */
function sendRaw(): Promise<number[]> {
  const text = [oneOf(START_LINES), ...some(7, () => oneOf(HEADER_LINES)), '', oneOf(BODIES)].join('\r\n');
  const { hostname, port } = new URL(gateway.url);
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.end(text));
    socket.on('data', (bytes: Buffer) => (answer += bytes.toString('latin1')));
    socket.on('error', () => {});
    socket.on('close', () => resolve([...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))));
  });
}

async function many<T>(ask: () => Promise<T>): Promise<T[]> {
  const answers: T[] = [];
  let asked = 0;
  const one = async () => {
    while (asked++ < CASES) answers.push(await ask());
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return answers;
}

/** How often each status came. */
function counted(statuses: readonly number[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const status of statuses) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

describe(`garbage of ${2 * CASES} kinds (seed ${SEED})`, () => {
  it('in paths, headers and bodies is the fault of its sender, never of the gateway', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
    const counts = counted(await many(() => send(agent)));
    agent.destroy();
    expect(Object.keys(counts).filter((status) => Number(status) >= 500)).toEqual([]);
    // Garbage, but not only: what is right among it is served.
    expect(counts[200]).toBeGreaterThan(0);
    expect(counts[400]).toBeGreaterThan(CASES / 2);
  });

  it('in place of HTTP is refused, and ends with its connection', async () => {
    const counts = counted((await many(sendRaw)).flat());
    expect(Object.keys(counts).filter((status) => Number(status) >= 500)).toEqual([]);
    expect(counts[200]).toBeUndefined();
    expect(counts[400]).toBeGreaterThan(CASES / 2);
  });

  it('leaves a gateway that serves, a sound ledger and no error in the log', async () => {
    expect((await gateway.post('/v1/chat/completions', { messages: [{ role: 'user', content: 'hi' }] }, key)).status).toBe(200);
    expect(await gateway.audit()).toEqual([]);
    expect(errors).toEqual([]);
  });
});
