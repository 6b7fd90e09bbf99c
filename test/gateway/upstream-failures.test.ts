import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, type AddressInfo } from 'node:net';
import { chat, errorOf, ownPromptTokens } from '../support/chat.ts';
import { readStream } from '../support/chat-stream.ts';
import { completion, contentEvent, startFakeProvider, type FakeProvider, type FakeScript } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, settledHold } from '../support/ledger.ts';

const CANARY = 'canary-upstream-key';

let upstream: FakeProvider;
let spare: FakeProvider;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  spare = await startFakeProvider();
  gateway = await startGateway({
    env: { UPSTREAM_TIMEOUT_SECONDS: '0.3' },
    deployments: [
      upstream.deployment({ apiKey: CANARY }),
      spare.deployment({ id: 'spare', prices: { input: 2, output: 4 } }),
      upstream.deployment({ id: 'gone', baseUrl: `http://127.0.0.1:${await closedPort()}/v1`, apiKey: CANARY }),
    ],
  });
});

beforeEach(async () => {
  key = await gateway.newKey();
});

afterAll(async () => {
  await gateway.close();
  await Promise.all([upstream.close(), spare.close()]);
});

const hang: FakeScript = () => {};
const html: FakeScript = (exchange) => exchange.json('<html>', { headers: { 'content-type': 'text/html' } });
const errorEvent = 'data: {"error":{"message":"overloaded"}}\n\n';

const FAILURES: [name: string, script: FakeScript, stream: boolean, reason: string][] = [
  ['HTTP 500', (exchange) => exchange.error(500), false, 'HTTP 500'],
  ['HTTP 503 to a stream', (exchange) => exchange.error(503), true, 'HTTP 503'],
  ['a refusal of our own credential', (exchange) => exchange.error(401, `Bad key ${CANARY}`), false, 'HTTP 401'],
  ['a lack of permission', (exchange) => exchange.error(403), false, 'HTTP 403'],
  ['an unknown model', (exchange) => exchange.error(404), false, 'HTTP 404'],
  ['its rate limit', (exchange) => exchange.error(429), true, 'HTTP 429'],
  ['a redirect', (exchange) => exchange.json({}, { status: 302, headers: { location: 'http://127.0.0.1:1/' } }), false, 'HTTP 302'],
  ['silence', hang, false, 'timeout'],
  ['silence to a stream', hang, true, 'timeout'],
  ['silence after the head of a stream', (exchange) => exchange.startStream(), true, 'timeout'],
  ['a reset', (exchange) => exchange.reset(), false, 'reset'],
  ['a reset of a stream', (exchange) => exchange.reset(), true, 'reset'],
  ['a body that is not JSON', html, false, 'protocol'],
  ['a body that is not a stream', html, true, 'protocol'],
  ['JSON that is no completion', (exchange) => exchange.json({ ok: true }), false, 'protocol'],
  [
    'an empty stream',
    (exchange) => {
      exchange.startStream();
      exchange.end();
    },
    true,
    'empty answer',
  ],
  [
    'an error event before anything else',
    async (exchange) => {
      exchange.startStream();
      await exchange.send(errorEvent);
      exchange.end();
    },
    true,
    'error event',
  ],
];

describe('a provider that fails before the first byte', () => {
  it.each(FAILURES)('by %s costs nothing, gives the free slot back and is named without secrets', async (_name, script, stream, reason) => {
    upstream.script(script);
    const answer = await gateway.post('/v1/chat/completions', chat({ stream }), key);
    const text = await answer.text();

    expect(answer.status).toBe(503);
    expect(JSON.parse(text)).toMatchObject({ error: { type: 'api_error', code: 'upstream_error', param: null } });
    expect(text).toContain(`fake: ${reason}`);
    expect(text).not.toMatch(/canary|127\.0\.0\.1/);
    expect(answer.headers.get('x-pura-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'voided', posted_msat: 0n, posted_pico_usd: 0n });
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ free_used: 0, free_streams: 0, held_msat: 0n });
    expect(await gateway.audit()).toEqual([]);
  });

  it('by refusing the connection does too, also on a funded account', async () => {
    await gateway.pool.query('update accounts set free_limit = 0 where id = $1', [key.accountId]);
    await gateway.fund(key, 1000);
    const answer = await gateway.post('/v1/chat/completions', chat({ model: 'pureai/gone' }), key);

    expect(answer.status).toBe(503);
    expect((await errorOf(answer)).message).toContain('gone: connect');
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 1_000_000n, held_msat: 0n });
    expect(await gateway.audit()).toEqual([]);
  });

  it.each([500, 401, 403, 404, 408, 409, 429, 529])(
    'with HTTP %i under auto: the next candidate answers and is charged',
    async (status) => {
      upstream.script((exchange) => exchange.error(status));
      const answer = await gateway.post('/v1/chat/completions', chat({ model: 'auto' }), key);

      expect(answer.status).toBe(200);
      expect(answer.headers.get('x-pura-provider')).toBe('spare');
      expect(answer.headers.get('x-pura-model')).toBe('pureai/spare');
      // 10 × $2 and 5 × $4 a million tokens.
      expect(answer.headers.get('x-pura-cost')).toBe('0.00004');
      expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'posted', posted_pico_usd: 40_000_000n });
    },
  );

  it('falls back for a stream that failed before its first byte', async () => {
    upstream.script((exchange) => exchange.reset());
    const answer = await gateway.post('/v1/chat/completions', chat({ model: 'auto', stream: true }), key);

    expect(answer.headers.get('x-pura-provider')).toBe('spare');
    expect(await readStream(answer)).toMatchObject({ content: 'Hello.', done: true, settled: { cost_msat: 40 } });
  });
});

describe("a provider's 4xx about the request", () => {
  it.each([400, 413, 422, 451])('%i is passed on with its body, tried nowhere else, and costs nothing', async (status) => {
    const requestsBefore = spare.requests.length;
    upstream.script((exchange) =>
      exchange.json(
        { error: { message: 'Too long.', type: 'invalid_request_error', param: 'messages', code: 'context_length_exceeded' } },
        { status },
      ),
    );
    const answer = await gateway.post('/v1/chat/completions', chat({ model: 'auto' }), key);

    expect(answer.status).toBe(status);
    expect(await answer.json()).toEqual({
      error: { message: 'Too long.', type: 'invalid_request_error', param: 'messages', code: 'context_length_exceeded' },
    });
    expect(answer.headers.get('x-pura-cost')).toBe('0');
    expect(spare.requests.length).toBe(requestsBefore);
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'voided' });
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ free_used: 0 });
  });

  it('that is not an error object becomes one of ours', async () => {
    upstream.script((exchange) => exchange.json('<html>internal</html>', { status: 400 }));
    const answer = await gateway.post('/v1/chat/completions', chat({ stream: true }), key);

    expect(answer.status).toBe(400);
    expect(await errorOf(answer)).toMatchObject({ code: 'invalid_request', message: expect.not.stringContaining('html') });
  });
});

describe('a provider that fails after the first byte', () => {
  const cases: [string, FakeScript][] = [
    ['a reset', (exchange) => exchange.reset()],
    ['an end without a finish', (exchange) => exchange.end()],
    ['a line of 5 MB', async (exchange) => exchange.send(contentEvent('x'.repeat(5 * 1024 * 1024)))],
  ];

  it.each(cases)('by %s: an error event, no [DONE], the delivered part is charged', async (_name, finish) => {
    const request = chat({ stream: true });
    upstream.script(async (exchange) => {
      exchange.startStream();
      await exchange.content('twelve bytes');
      await finish(exchange);
    });
    const answer = await gateway.post('/v1/chat/completions', request, key);
    const stream = await readStream(answer);

    expect(stream).toMatchObject({ content: 'twelve bytes', done: false, error: { code: 'upstream_error', type: 'api_error' } });
    const costPicoUsd = BigInt(ownPromptTokens(request) * 1_000_000 + 3 * 2_000_000);
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'posted', posted_pico_usd: costPicoUsd });
    expect(stream.settled?.cost_msat).toBe(Number(costPicoUsd / 1_000_000n));
    expect(await gateway.audit()).toEqual([]);
  });

  it('by an error event of its own: that is passed on, and the stream ends without [DONE]', async () => {
    upstream.script(async (exchange) => {
      exchange.startStream();
      await exchange.content('some');
      await exchange.send(errorEvent);
      await exchange.send('data: [DONE]\n\n');
      exchange.end();
    });
    const answer = await gateway.post('/v1/chat/completions', chat({ stream: true }), key);

    expect(await readStream(answer)).toMatchObject({ content: 'some', done: false, error: { message: 'overloaded' } });
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'posted' });
  });

  it('by breaking a JSON answer off: nothing was delivered, nothing is charged', async () => {
    const body = JSON.stringify(completion());
    upstream.script(async (exchange) => {
      exchange.startStream({ 'content-type': 'application/json', 'content-length': String(body.length) });
      await exchange.send(body.slice(0, 40));
      exchange.reset();
    });
    const answer = await gateway.post('/v1/chat/completions', chat(), key);

    expect(answer.status).toBe(503);
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'voided' });
    expect(await gateway.audit()).toEqual([]);
  });
});

async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
