import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { chat } from '../support/chat.ts';
import { readStream } from '../support/chat-stream.ts';
import { completion, startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { settledHold } from '../support/ledger.ts';

let upstream: FakeProvider;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({
    env: {
      FREE_TIER_REQUESTS: '5',
      OPENAI_API_KEY: 'sk-canary',
      ALLOW_SIMULATED: 'true',
      OPENAI_BASE_URL: upstream.baseUrl,
      MARKUP_PERCENT: '50',
    },
    deployments: [upstream.deployment(), upstream.deployment({ id: 'tiny', prices: { input: 0.0002, output: 0.0002 } })],
  });
  key = await gateway.newKey({ rateLimitRpm: 100, rateLimitTpm: 10_000_000 });
});

afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

const PLAIN_DECIMAL = /^\d+(\.\d{1,12})?$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe('the headers of an answer', () => {
  const ours = {
    'x-pura-provider': /^fake$/,
    'x-pura-model': /^pureai\/fake$/,
    'x-pura-tier': /^cheap$/,
    'x-pura-cost': PLAIN_DECIMAL,
    'x-pura-cost-msat': /^\d+$/,
    'x-pura-budget-remaining': PLAIN_DECIMAL,
    'x-pura-balance': /^0$/,
    'x-pura-quality': /^high$/,
    'x-pura-explored': /^false$/,
    'x-pura-request-id': UUID,
    'x-request-id': UUID,
    'x-client-request-id': /^trace-1$/,
    'x-pura-ratelimit-limit-requests': /^100$/,
    'x-pura-ratelimit-remaining-requests': /^\d+$/,
    'x-pura-ratelimit-reset-requests': /^\d+$/,
    'x-pura-ratelimit-limit-tokens': /^10000000$/,
    'x-pura-ratelimit-remaining-tokens': /^\d+$/,
    'x-pura-ratelimit-reset-tokens': /^\d+$/,
    'x-content-type-options': /^nosniff$/,
  };

  it.each([
    [
      'JSON',
      false,
      { 'x-pura-cost': /^0\.00003$/, 'x-pura-cost-kind': /^settled$/, 'x-pura-cost-msat': /^30$/, 'x-pura-charged-msat': /^0$/ },
    ],
    ['a stream', true, { 'x-pura-cost-kind': /^estimate$/, 'cache-control': /no-transform/ }],
  ])('are all there on %s', async (_name, stream, more) => {
    const body = JSON.stringify(chat({ stream, routing: { quality: 'high' } }));
    const answer = await gateway.post('/v1/chat/completions', body, key, { 'x-client-request-id': 'trace-1' });
    await answer.arrayBuffer();

    expect(answer.status).toBe(200);
    const wrong = Object.entries({ ...ours, ...more }).filter(([name, value]) => !value.test(answer.headers.get(name) ?? 'missing'));
    expect(wrong).toEqual([]);
    expect(answer.headers.get('x-pura-body-sha256')).toBe(createHash('sha256').update(body).digest('hex'));
    expect(answer.headers.get('x-pura-funding')).toBe('free');
    expect(answer.headers.get('x-pura-free-remaining')).toBe(stream ? '3' : '4');
    expect((await settledHold(gateway.pool, key.accountId)).request_id).toBe(answer.headers.get('x-pura-request-id'));
  });

  it('give the cost of a stream as it was quoted: the hold, which the settled figures do not pass', async () => {
    const answer = await gateway.post('/v1/chat/completions', chat({ stream: true, max_tokens: 100 }), key);
    const { settled } = await readStream(answer);
    const quoted = Number(answer.headers.get('x-pura-cost-msat'));
    expect(quoted).toBeGreaterThan(300);
    expect(settled).toMatchObject({
      cost_msat: 30,
      charged_msat: 0,
      funding: 'free',
      balance_sats: 0,
      request_id: answer.headers.get('x-pura-request-id'),
    });
  });

  it.each([
    ['JSON', { max_tokens: 16_385 }, '16384'],
    ['a stream', { max_completion_tokens: 128_000, stream: true }, '16384'],
    ['the model’s own maximum', { max_tokens: 16_384 }, null],
    ['no cap', {}, null],
  ])('say what a cap above the model’s maximum was taken as: %s', async (_name, members, taken) => {
    const answer = await gateway.post('/v1/chat/completions', chat(members), await gateway.newKey());
    await answer.arrayBuffer();
    expect([answer.status, answer.headers.get('x-pura-output-cap')]).toEqual([200, taken]);
    expect(upstream.requests.at(-1)?.body['max_tokens']).toBe('max_tokens' in members || 'stream' in members ? 16_384 : 4_096);
  });

  it('say so in a refusal and in a repeat too', async () => {
    const owner = await gateway.newKey();
    const ask = () => gateway.post('/v1/chat/completions', chat({ max_tokens: 99_999 }), owner, { 'idempotency-key': 'capped' });
    upstream.script((exchange) => exchange.error(400));
    const answers = [await ask(), await ask(), await ask()];
    expect(answers.map(({ status, headers }) => [status, headers.get('x-pura-output-cap')])).toEqual(
      [400, 200, 200].map((status) => [status, '16384']),
    );
    expect(answers[2]?.headers.get('idempotency-replayed')).toBe('true');
  });

  it('write a small cost as a plain decimal', async () => {
    const answer = await gateway.post('/v1/chat/completions', chat({ model: 'pureai/tiny' }), key);
    // 15 tokens of 200 pico-dollars and half as much again.
    expect(answer.headers.get('x-pura-cost')).toBe('0.0000000045');
    expect(answer.headers.get('x-pura-cost-msat')).toBe('1');
  });

  it("tell the wallet's part on a funded account", async () => {
    const funded = await gateway.newKey();
    await gateway.pool.query('update accounts set free_limit = 0 where id = $1', [funded.accountId]);
    await gateway.fund(funded, 100);
    const answer = await gateway.post('/api/chat', chat({ stream: false }), funded);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'x-pura-funding': 'wallet',
      'x-pura-charged-msat': '30',
      'x-pura-balance': '99',
      'x-pura-free-remaining': '0',
      'x-pura-budget-remaining': '9.99997',
    });
  });

  it('do not echo an end-to-end id that is no token', async () => {
    const answer = await gateway.post('/v1/chat/completions', chat(), key, { 'x-client-request-id': 'with a blank' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-client-request-id')).toBeNull();
  });
});

describe('the body of a JSON answer', () => {
  it('keeps what the provider wrote, its model and fields unknown to us included, and tells the cost', async () => {
    const usage = {
      prompt_tokens: 10,
      completion_tokens: 5,
      total_tokens: 15,
      prompt_tokens_details: { cached_tokens: 0, odd: true },
      other: 1,
    };
    const given = { ...completion({ model: 'fake-2026-01-01', usage }), system_fingerprint: 'fp', custom: { deep: [1, null] } };
    upstream.script((exchange) => exchange.json(given));
    const answer = await gateway.post('/v1/chat/completions', chat(), await gateway.newKey());

    expect(await answer.json()).toEqual({
      ...given,
      usage: {
        ...usage,
        input_cost_usd: 0.000015,
        output_cost_usd: 0.000015,
        cache_input_cost_usd: 0,
        total_cost_usd: 0.00003,
        total_cost_msat: 30,
        latency_ms: expect.any(Number),
        ttft_ms: expect.any(Number),
      },
    });
  });

  it('names the model where the provider does not', async () => {
    upstream.script((exchange) => exchange.json(completion({ model: '' })));
    const answer = await gateway.post('/v1/chat/completions', chat(), await gateway.newKey());
    expect(await answer.json()).toMatchObject({ model: 'pureai/fake' });
  });

  it('has the defaults of its path: /api/chat streams, /v1 does not', async () => {
    const fresh = await gateway.newKey();
    expect((await gateway.post('/api/chat', chat(), fresh)).headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect((await gateway.post('/v1/chat/completions', chat(), fresh)).headers.get('content-type')).toMatch(/^application\/json/);
  });
});

describe('an OpenAI upstream', () => {
  const theirs = {
    'x-request-id': 'req_1',
    'openai-processing-ms': '7',
    'x-ratelimit-remaining-requests': '99',
    'set-cookie': 'a=b',
    'x-internal': 'secret',
  };

  it('has its request id and limits passed on, and nothing else', async () => {
    upstream.script((exchange) => exchange.json(completion({ model: 'gpt-4o-mini' }), { headers: theirs }));
    const answer = await gateway.post('/v1/chat/completions', chat({ model: 'gpt-4o-mini' }), await gateway.newKey());
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'x-pura-provider': 'openai',
      'x-request-id': 'req_1',
      'openai-processing-ms': '7',
      'x-ratelimit-remaining-requests': '99',
    });
    expect(answer.headers.get('set-cookie')).toBeNull();
    expect(answer.headers.get('x-internal')).toBeNull();
  });

  it("is the only one: a deployment's own headers stay here", async () => {
    upstream.script((exchange) => exchange.json(completion(), { headers: theirs }));
    const answer = await gateway.post('/v1/chat/completions', chat(), await gateway.newKey());
    expect(answer.headers.get('x-request-id')).toMatch(UUID);
    expect(answer.headers.get('x-ratelimit-remaining-requests')).toBeNull();
  });

  it('gets the credential of its own, the trace id, and none of the client’s headers', async () => {
    const fresh = await gateway.newKey();
    const headers = {
      'x-client-request-id': 'trace-2',
      'x-pura-max-cost-sats': '100000',
      'openai-organization': 'org',
      cookie: 'a=b',
      'x-forwarded-host': 'evil',
    };
    await gateway.post('/v1/chat/completions', chat({ model: 'gpt-4o-mini', user: 'alice' }), fresh, headers);
    const { headers: sent, body } = await upstream.received(upstream.requests.length);
    expect(Object.keys(sent).toSorted()).toEqual([
      'accept',
      'accept-encoding',
      'authorization',
      'connection',
      'content-length',
      'content-type',
      'host',
      'x-client-request-id',
    ]);
    expect(sent.authorization).toBe('Bearer sk-canary');
    expect(body).toMatchObject({ model: 'gpt-4o-mini', store: false });
    expect(body['user']).not.toBe('alice');
  });
});
