import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { createServer, type AddressInfo } from 'node:net';
import { chat, errorOf, ownPromptTokens } from '../support/chat.ts';
import { readStream } from '../support/chat-stream.ts';
import {
  completion,
  contentEvent,
  finishEvent,
  startFakeProvider,
  usageEvent,
  type FakeProvider,
  type FakeScript,
} from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, settledHold } from '../support/ledger.ts';

/** Every byte there is, in an order that makes neither text nor events. */
const GARBAGE = Buffer.from(Array.from({ length: 500_000 }, (_, index) => (index * 7_919 + (index >> 3)) & 0xff));
const CANARY = 'canary-upstream-key';

let upstream: FakeProvider;
let spare: FakeProvider;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  spare = await startFakeProvider();
  gateway = await startGateway({
    env: { UPSTREAM_TIMEOUT_SECONDS: '1' },
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

/** The cheapest first, whatever became of the requests before. */
const cheapest = { model: 'auto', routing: { cost_weight: 1 } };

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

  const TOLD: [name: string, event: string, told: string][] = [
    ['an error object', 'data: {"error":{"message":"context too long","type":"invalid_request_error"}}', 'context too long'],
    ['an error in words', 'data: {"error":"context too long"}', 'context too long'],
    ['an event of that name', 'event: error\ndata: {"message":"context too long","code":400}', 'context too long'],
    ['an event of that name, in words', 'event: error\ndata: context too long', 'context too long'],
    ["vLLM's object", 'data: {"object":"error","message":"context too long","code":400}', 'context too long'],
    ['a type', 'data: {"type":"error","message":"context too long"}', 'context too long'],
    ['a list', 'data: [{"error":{"message":"context too long","code":400}}]', 'context too long'],
    ['an address and a credential', `data: {"error":"no route to http://10.0.0.1:80/v1 with ${CANARY}"}`, 'no route to … with …'],
  ];

  it.each(TOLD)('by %s in place of a stream is told in its own words', async (_name, event, told) => {
    upstream.script(async (exchange) => {
      exchange.startStream();
      await exchange.send(`: queued\n\n${event}\n\n`);
      exchange.end();
    });
    const answer = await gateway.post('/v1/chat/completions', chat({ stream: true }), key);
    expect(await errorOf(answer)).toMatchObject({
      code: 'upstream_error',
      message: expect.stringContaining(`(fake: error event: ${told})`),
    });
  });

  it.each<[object, string]>([
    [{ error: { message: 'context too long' } }, 'context too long'],
    [{ error: 'context too long' }, 'context too long'],
    [{ object: 'error', message: 'context too long' }, 'context too long'],
  ])('by %j in place of a completion is too', async (body, told) => {
    upstream.script((exchange) => exchange.json(body));
    const answer = await gateway.post('/v1/chat/completions', chat(), key);
    expect(await errorOf(answer)).toMatchObject({
      code: 'upstream_error',
      message: expect.stringContaining(`(fake: error answer: ${told})`),
    });
  });

  const DEEP = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
  it.each([
    ['an answer', `{"choices":[{"message":{"content":"a","x":${DEEP}}}]}`, 'protocol'],
    [
      'an answer of a few thousand levels',
      `{"choices":[{"message":{"content":"a"}}],"x":${'['.repeat(5_000)}${']'.repeat(5_000)}}`,
      'protocol',
    ],
    ['an error', `{"error":{"message":${DEEP}}}`, 'protocol'],
  ])('by %s that is nested without end is its failure', async (_name, body, reason) => {
    upstream.script((exchange) => exchange.raw(body, { headers: { 'content-type': 'application/json' } }));
    const answer = await gateway.post('/v1/chat/completions', chat(), key);
    expect(await errorOf(answer)).toMatchObject({ code: 'upstream_error', message: expect.stringContaining(`(fake: ${reason})`) });
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'voided', posted_msat: 0n });
  });

  it.each([`{"choices":[],"x":${DEEP},"usage":U}`, `{"choices":[],"usage":{"x":${DEEP},"prompt_tokens":10,"completion_tokens":4}}`])(
    'but usage beside something that is nested without end is settled',
    async (data) => {
      upstream.script(async (exchange) => {
        exchange.startStream();
        await exchange.content('some');
        await exchange.send(`data: ${data.replace('U', '{"prompt_tokens":10,"completion_tokens":4}')}\n\ndata: [DONE]\n\n`);
        exchange.end();
      });
      const request = chat({ stream: true, stream_options: { include_usage: true } });
      const stream = await readStream(await gateway.post('/v1/chat/completions', request, key));
      expect(stream).toMatchObject({ content: 'some', done: true });
      expect(stream.chunks.at(-1)?.usage).toMatchObject({ prompt_tokens: 10, completion_tokens: 4 });
      // 10 × $1 and 4 × $2 a million tokens.
      expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'posted', posted_pico_usd: 18_000_000n });
    },
  );

  it.each([`{"error":{"message":${DEEP}}}`, `{"error":${DEEP}}`, `[${DEEP},{"error":"x"}]`])(
    'by an event that is nested without end is its failure',
    async (data) => {
      upstream.script(async (exchange) => {
        exchange.startStream();
        await exchange.send(`data: ${data}\n\n`);
        exchange.end();
      });
      const answer = await gateway.post('/v1/chat/completions', chat({ stream: true }), key);
      expect(await errorOf(answer)).toMatchObject({
        code: 'upstream_error',
        message: expect.stringMatching(/fake: e(rror event|mpty answer)\)/),
      });
    },
  );

  it.each([{ code: 402 }, { type: 'insufficient_quota' }])('by an error event about the operator, %j, is not', async (members) => {
    upstream.script(async (exchange) => {
      exchange.startStream();
      await exchange.send(`data: ${JSON.stringify({ error: { message: 'pay your bill', ...members } })}\n\n`);
      exchange.end();
    });
    const answer = await gateway.post('/v1/chat/completions', chat({ stream: true }), key);
    expect([answer.headers.get('x-should-retry'), answer.headers.get('retry-after')]).toEqual(['false', null]);
    expect((await errorOf(answer)).message).toContain('(fake: error event)');
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
      const answer = await gateway.post('/v1/chat/completions', chat(cheapest), key);

      expect(answer.status).toBe(200);
      expect(answer.headers.get('x-pura-provider')).toBe('spare');
      expect(answer.headers.get('x-pura-model')).toBe('pureai/spare');
      // 10 × $2 and 5 × $4 a million tokens.
      expect(answer.headers.get('x-pura-cost')).toBe('0.00004');
      expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'posted', posted_pico_usd: 40_000_000n });
    },
  );

  it('falls back for a stream that failed before its first byte', async () => {
    // A kept connection that is lost is made anew once.
    for (let time = 0; time < 2; time++) upstream.script((exchange) => exchange.reset());
    const answer = await gateway.post('/v1/chat/completions', chat({ ...cheapest, stream: true }), key);

    expect(answer.headers.get('x-pura-provider')).toBe('spare');
    expect(await readStream(answer)).toMatchObject({ content: 'Hello.', done: true, settled: { cost_msat: 40 } });
  });
});

describe('a kept connection that the provider closes under a request', () => {
  it.each([false, true])('is made anew: one answer, one charge, and the provider is none the worse (stream: %s)', async (stream) => {
    const own = await startGateway({ deployments: [upstream.deployment()] });
    const owner = await own.newKey();
    await own.pool.query('update accounts set free_limit = 0 where id = $1', [owner.accountId]);
    await own.fund(owner, 1_000);
    const ask = async () => (await own.post('/v1/chat/completions', chat({ stream }), owner)).text();
    await ask();
    const before = upstream.requests.length;
    upstream.script((exchange) => exchange.reset());
    expect(await ask()).toContain('Hello');
    expect(upstream.requests.length - before).toBe(2);
    expect(upstream.requests.at(-1)?.rawBody).toEqual(upstream.requests.at(-2)?.rawBody);

    // Two answers of 10 and 5 tokens.
    expect(await accountOf(own.pool, owner.accountId)).toMatchObject({ posted_msat: 1_000_000n - 40n, held_msat: 0n });
    const { providers } = (await (await own.get('/api/status')).json()) as { providers: { id: string; status: string }[] };
    expect(providers.find(({ id }) => id === 'fake')?.status).toBe('active');
    expect(await own.audit()).toEqual([]);
    await own.close();
  });
});

describe('what a provider says of its failure', () => {
  const failing = async (script: FakeScript, spareScript?: FakeScript): Promise<Response> => {
    upstream.script(script);
    if (spareScript) spare.script(spareScript);
    const model = spareScript ? { model: 'auto', routing: { cost_weight: 1, excludeProviders: ['gone'] } } : { model: 'pureai/fake' };
    return gateway.post('/v1/chat/completions', chat(model), key);
  };

  it('is told where waiting helps, without addresses or credentials', async () => {
    const answer = await failing((exchange) => exchange.error(500, `Out of memory at http://10.0.0.1:8000 with ${CANARY}`));
    expect((await errorOf(answer)).message).toBe('No provider could answer this request (fake: HTTP 500: Out of memory at … with …).');
    expect([answer.headers.get('retry-after'), answer.headers.get('x-should-retry')]).toEqual(['1', null]);
  });

  it('names the wait: the shortest of all', async () => {
    const limited =
      (seconds: string): FakeScript =>
      (exchange) =>
        exchange.error(429, 'Slow down.', { 'retry-after': seconds });
    const answer = await failing(limited('40'), limited('20'));
    expect((await errorOf(answer)).message).toContain('fake: HTTP 429: Slow down.; spare: HTTP 429: Slow down.');
    expect(answer.headers.get('retry-after')).toBe('20');
    expect((await failing(html, limited('30'))).headers.get('retry-after')).toBe('30');
  });

  it.each([401, 402, 403, 404])('is not to be waited for where only the operator can help: HTTP %i of every candidate', async (status) => {
    const answer = await failing(
      (exchange) => exchange.error(status, CANARY),
      (exchange) => exchange.error(403, CANARY),
    );
    expect([answer.status, answer.headers.get('x-should-retry'), answer.headers.get('retry-after')]).toEqual([503, 'false', null]);
    expect((await errorOf(answer)).message).toContain(`(fake: HTTP ${status}; spare: HTTP 403)`);
    const mixed = await failing(
      (exchange) => exchange.error(status),
      (exchange) => exchange.error(500),
    );
    expect([mixed.headers.get('x-should-retry'), mixed.headers.get('retry-after')]).toEqual([null, '1']);
  });
});

describe('an answer in a coding that nobody asked for', () => {
  const CODINGS: [coding: string, encode: (bytes: Buffer) => Buffer][] = [
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
    ['zstd', zstdCompressSync],
  ];
  const headers = (coding: string, type: string) => ({ headers: { 'content-encoding': coding, 'content-type': type } });

  it.each(CODINGS)('is decoded: %s', async (coding, encode) => {
    const json = encode(Buffer.from(JSON.stringify(completion({ content: 'hi' }))));
    upstream.script((exchange) => exchange.raw(json, headers(coding, 'application/json')));
    const answer = await gateway.post('/v1/chat/completions', chat(), key);
    expect(answer.headers.get('content-encoding')).toBeNull();
    expect(await answer.json()).toMatchObject({ choices: [{ message: { content: 'hi' } }] });

    const events = [contentEvent('first '), contentEvent('second'), finishEvent(), usageEvent(), 'data: [DONE]\n\n'];
    upstream.script((exchange) => exchange.raw(encode(Buffer.from(events.join(''))), headers(coding, 'text/event-stream')));
    const stream = await readStream(await gateway.post('/v1/chat/completions', chat({ stream: true }), key));
    expect(stream).toMatchObject({ content: 'first second', done: true });

    const detail = encode(Buffer.from(JSON.stringify({ detail: 'Too long.' })));
    upstream.script((exchange) => exchange.raw(detail, { status: 400, ...headers(coding, 'application/json') }));
    const refusal = await gateway.post('/v1/chat/completions', chat(), key);
    expect([refusal.status, (await errorOf(refusal)).message]).toEqual([400, 'Too long.']);
  });

  it.each([
    ['compress', Buffer.from('{}')],
    ['gzip', Buffer.from('not gzip')],
    ['gzip', gzipSync(Buffer.from(JSON.stringify(completion()))).subarray(0, 30)],
  ])('that cannot be read fails before the first byte, and costs nothing: %s', async (coding, bytes) => {
    for (const stream of [false, true]) {
      upstream.script((exchange) => exchange.raw(bytes, headers(coding, stream ? 'text/event-stream' : 'application/json')));
      const answer = await gateway.post('/v1/chat/completions', chat({ stream }), key);
      expect([answer.status, (await errorOf(answer)).code]).toEqual([503, 'upstream_error']);
      expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ free_used: 0, held_msat: 0n });
    }
    upstream.script((exchange) => exchange.raw(bytes, { status: 400, ...headers(coding, 'application/json') }));
    expect((await gateway.post('/v1/chat/completions', chat(), key)).status).toBe(400);
  });
});

describe('an answer whose type says nothing', () => {
  it.each([[{}], [{ 'content-type': 'application/octet-stream' }], [{ 'content-type': 'text/plain; charset=utf-8' }]])(
    'is what its body is: %j',
    async (headers) => {
      upstream.script((exchange) => exchange.raw(JSON.stringify(completion({ content: 'hi' })), { headers }));
      const answer = await gateway.post('/v1/chat/completions', chat(), key);
      expect(await answer.json()).toMatchObject({ choices: [{ message: { content: 'hi' } }] });

      const events = [contentEvent('hi'), finishEvent(), usageEvent(), 'data: [DONE]\n\n'].join('');
      upstream.script((exchange) => exchange.raw(events, { headers }));
      const stream = await gateway.post('/v1/chat/completions', chat({ stream: true }), key);
      expect(await readStream(stream)).toMatchObject({ content: 'hi', done: true });

      for (const body of ['Service starting\n\nplease wait\n\n', '{"ok":true}', JSON.stringify({ error: 'x' }), '<p>\n\n</p>', '']) {
        for (const asStream of [false, true]) {
          upstream.script((exchange) => exchange.raw(body, { headers }));
          const failed = await gateway.post('/v1/chat/completions', chat({ stream: asStream }), key);
          expect([failed.status, (await errorOf(failed)).code]).toEqual([503, 'upstream_error']);
        }
      }
    },
  );
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
    const answer = await gateway.post('/v1/chat/completions', chat(cheapest), key);

    expect(answer.status).toBe(status);
    expect(await answer.json()).toEqual({
      error: { message: 'Too long.', type: 'invalid_request_error', param: 'messages', code: 'context_length_exceeded' },
    });
    expect(answer.headers.get('x-pura-cost')).toBe('0');
    expect(spare.requests.length).toBe(requestsBefore);
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'voided' });
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ free_used: 0 });
  });

  it.each<[string, unknown, string]>([
    ['vLLM’s object', { object: 'error', message: 'maximum context length', type: 'BadRequestError', code: 400 }, 'maximum context length'],
    ['a detail', { detail: 'maximum context length' }, 'maximum context length'],
    ['a list', [{ error: { message: 'maximum context length', code: 400 } }], 'maximum context length'],
    ['an error as text', { error: 'maximum context length' }, 'maximum context length'],
  ])('of another shape is told in an error object: %s', async (_shape, body, message) => {
    upstream.script((exchange) => exchange.json(body, { status: 400 }));
    const answer = await gateway.post('/v1/chat/completions', chat(), key);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([400, 'application/json']);
    expect(await errorOf(answer)).toMatchObject({ message, type: expect.any(String), code: expect.anything() });
  });

  it('never shows our credential', async () => {
    upstream.script((exchange) => exchange.error(400, `Not with ${CANARY}.`));
    expect(await (await gateway.post('/v1/chat/completions', chat(), key)).text()).not.toContain(CANARY);
  });

  it('that breaks off is still what its status says', async () => {
    upstream.script(async (exchange) => {
      exchange.startStream({ 'content-type': 'application/json' }, 422);
      await exchange.send('{"error"');
      exchange.reset();
    });
    expect((await gateway.post('/v1/chat/completions', chat(), key)).status).toBe(422);
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
    ['bytes that are no stream', async (exchange) => exchange.send(GARBAGE).then(() => exchange.end())],
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

  it('by an error event of its own: its words are passed on, and the stream ends without [DONE]', async () => {
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

  it('is seen to fail, by that too', async () => {
    const own = await startGateway({ deployments: [upstream.deployment()] });
    upstream.script(async (exchange) => {
      exchange.startStream();
      await exchange.content('some');
      exchange.reset();
    });
    await (await own.post('/v1/chat/completions', chat({ stream: true }), await own.newKey())).text();
    const { providers } = (await (await own.get('/api/status')).json()) as { providers: { id: string; status: string }[] };
    expect(providers.find(({ id }) => id === 'fake')?.status).toBe('degraded');
    await own.close();
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
