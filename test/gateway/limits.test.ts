import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { chat, errorOf } from '../support/chat.ts';
import { completion, startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { answerOf, halfSent } from '../support/half-sent.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';

const PATH = '/v1/chat/completions';

let upstream: FakeProvider;
let gateway: TestGateway;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({
    deployments: [upstream.deployment(), upstream.deployment({ id: 'dear', prices: { input: 100, output: 200 }, tier: 'premium' })],
  });
});

afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

const post = (key: TestKey, members: object = {}, headers: Record<string, string> = {}) => gateway.post(PATH, chat(members), key, headers);

async function expectNothingTaken(key: TestKey, holds = 0): Promise<void> {
  expect(await holdsOf(gateway.pool, key.accountId)).toHaveLength(holds);
  expect(await gateway.audit()).toEqual([]);
}

describe("a key's daily budget", () => {
  it('refuses what it does not cover, says until when, and offers no invoice', async () => {
    const key = await gateway.newKey({ dailyBudgetUsd: 0.000_1 });
    const answer = await post(key);
    const error = await errorOf(answer);
    expect(answer.status).toBe(402);
    expect(error).toMatchObject({ type: 'budget_exceeded', code: 'budget_exhausted' });
    expect(error.funding).toBeUndefined();
    expect(answer.headers.get('x-should-retry')).toBe('false');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const { rows } = await gateway.pool.query<{ at: Date }>(
      `select (date_trunc('day', now() at time zone 'utc') + interval '1 day') at time zone 'utc' as at`,
    );
    expect(error.resets_at).toBe(rows[0]?.at.toISOString());
    await expectNothingTaken(key);
  });

  it('counts what is under way, and shrinks the output of a request without a cap of its own to what is left', async () => {
    // 111 tokens of prompt by their bound, and 256 to 600 tokens of output.
    const key = await gateway.newKey({ dailyBudgetUsd: 0.001_2 });
    const held = upstream.hold();
    const first = post(key);
    const exchange = await held;
    const granted = exchange.body['max_tokens'] as number;
    expect(granted).toBeGreaterThanOrEqual(500);
    expect(granted).toBeLessThan(600);
    expect((await errorOf(await post(key))).code).toBe('budget_exhausted');

    exchange.json(completion());
    const answer = await first;
    expect(answer.headers.get('x-pura-budget-remaining')).toBe('0.00118');
    expect((await post(key)).status).toBe(200);
    expect(await gateway.audit()).toEqual([]);
  });

  it('never lowers a cap that the client set', async () => {
    const key = await gateway.newKey({ dailyBudgetUsd: 0.001_2 });
    expect((await errorOf(await post(key, { max_tokens: 2_000 }))).code).toBe('budget_exhausted');
    expect((await post(key, { max_tokens: 400 })).status).toBe(200);
    expect((await upstream.received(upstream.requests.length)).body['max_tokens']).toBe(400);
  });

  it('is each key’s own', async () => {
    const owner = await gateway.newKey({ dailyBudgetUsd: 0 });
    const made = await gateway.post('/api/keys', { dailyBudgetUsd: 1 }, owner);
    const other = { ...owner, secret: ((await made.json()) as { key: string }).key };
    expect((await post(owner)).status).toBe(402);
    expect((await post(other)).status).toBe(200);
  });
});

describe('a cap on the cost of one request', () => {
  it.each<[string, object, Record<string, string>]>([
    ['by header', {}, { 'x-pura-max-cost-sats': '0' }],
    ['by routing.maxCost', { routing: { maxCost: 0.000_1 } }, {}],
    ['the lesser of both', { routing: { maxCost: 0.000_1 } }, { 'x-pura-max-cost-sats': '1000' }],
    ['with a cap on the output that it does not cover', { routing: { maxCost: 0.001 }, max_tokens: 600 }, {}],
  ])('refuses (%s) what it does not cover', async (_name, members, headers) => {
    const key = await gateway.newKey();
    const answer = await post(key, members, headers);
    const error = await errorOf(answer);
    expect(answer.status).toBe(402);
    expect(error).toMatchObject({ type: 'insufficient_funds', code: 'max_cost_exceeded' });
    expect(error.funding).toBeUndefined();
    await expectNothingTaken(key);
  });

  it('shrinks the output of a request without a cap of its own', async () => {
    const key = await gateway.newKey();
    const answer = await post(key, {}, { 'x-pura-max-cost-sats': '1' });
    expect(answer.status).toBe(200);
    const granted = (await upstream.received(upstream.requests.length)).body['max_tokens'] as number;
    expect(granted).toBeGreaterThanOrEqual(256);
    expect(granted).toBeLessThan(500);
    const [hold] = await holdsOf(gateway.pool, key.accountId);
    expect(hold?.amount_msat).toBe(0n);
  });

  it('drops the dear candidates of auto first', async () => {
    const key = await gateway.newKey();
    const answer = await post(key, { model: 'auto', routing: { quality: 'high', prefer: 'dear', maxCost: 0.001 } });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-pura-provider')).toBe('fake');
  });
});

describe('the output of a request without a cap of its own', () => {
  let narrow: TestGateway;
  beforeAll(async () => {
    const small = upstream.deployment({ id: 'small', maxOutputTokens: 300 });
    const dear = upstream.deployment({ id: 'dear', prices: { input: 100, output: 200 } });
    const env = { FREE_TIER_MAX_COST_USD: '0.001', DEFAULT_MAX_TOKENS: '1000' };
    narrow = await startGateway({ deployments: [upstream.deployment(), small, dear], env });
  });
  afterAll(() => narrow.close());

  const PICO_USD = 1_000_000_000_000;
  /** A hundred sats, at 100,000 dollars a bitcoin. */
  const funded = { free: false, dailyBudgetUsd: 10, limitUsd: 0.1, outputPicoUsd: 200_000_000 };

  it.each([
    ['the free request’s limit', {}, {}, { free: true, dailyBudgetUsd: 10, limitUsd: 0.001, outputPicoUsd: 2_000_000 }],
    ['what is left of the budget', {}, {}, { free: true, dailyBudgetUsd: 0.0008, limitUsd: 0.0008, outputPicoUsd: 2_000_000 }],
    ['its own limit', {}, { 'x-pura-max-cost-sats': '1' }, { free: true, dailyBudgetUsd: 10, limitUsd: 0.001, outputPicoUsd: 2_000_000 }],
    ['the balance', { model: 'pureai/dear' }, {}, funded],
  ])(
    'is as much as is still paid for by %s, to the token',
    async (_what, members, headers, { free, dailyBudgetUsd, limitUsd, outputPicoUsd }) => {
      const key = await narrow.newKey({ dailyBudgetUsd });
      if (!free) {
        await narrow.pool.query('update accounts set free_limit = 0 where id = $1', [key.accountId]);
        await narrow.fund(key, 100);
      }
      expect((await narrow.post(PATH, chat(members), key, headers)).status).toBe(200);
      const granted = upstream.requests.at(-1)?.body['max_tokens'] as number;
      const [hold] = await holdsOf(narrow.pool, key.accountId);
      const left = limitUsd * PICO_USD - Number(hold?.amount_pico_usd);
      expect(granted).toBeGreaterThanOrEqual(256);
      expect(granted).toBeLessThan(1_000);
      expect([left >= 0, left < outputPicoUsd]).toEqual([true, true]);

      // A cap of the client's own is kept as it is, or refused.
      expect((await narrow.post(PATH, chat({ ...members, max_tokens: 999 }), key, headers)).status).toBe(402);
    },
  );

  it.each([
    ['the model gives', { model: 'pureai/small' }, 300],
    ['the operator’s default is', {}, 1_000],
  ])('is at most what %s', async (_what, members, most) => {
    const key = await narrow.newKey();
    await narrow.pool.query('update accounts set free_limit = 0 where id = $1', [key.accountId]);
    await narrow.fund(key, 1_000);
    expect((await narrow.post(PATH, chat(members), key)).status).toBe(200);
    expect(upstream.requests.at(-1)?.body['max_tokens']).toBe(most);
  });

  it('is never less than 256: then the request is refused', async () => {
    const key = await narrow.newKey({ dailyBudgetUsd: 0.0005 });
    const before = upstream.requests.length;
    expect((await errorOf(await narrow.post(PATH, chat(), key))).code).toBe('budget_exhausted');
    expect(upstream.requests.length).toBe(before);
  });
});

describe('rate limits', () => {
  it('of requests a minute: 429 with Retry-After in seconds, in the header and the body', async () => {
    const key = await gateway.newKey({ rateLimitRpm: 2 });
    expect((await post(key)).status).toBe(200);
    expect((await post(key)).headers.get('x-pura-ratelimit-remaining-requests')).toBe('0');
    const answer = await post(key);
    const error = await errorOf(answer);

    expect(answer.status).toBe(429);
    expect(error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded', message: 'Rate limit exceeded: 2 RPM' });
    const retryAfter = Number(answer.headers.get('retry-after'));
    expect(Number.isInteger(retryAfter)).toBe(true);
    expect(retryAfter).toBeGreaterThanOrEqual(1);
    expect(retryAfter).toBeLessThanOrEqual(60);
    expect(answer.headers.get('retry_after')).toBe(String(retryAfter));
    expect(error.retry_after).toBe(retryAfter);
    expect(answer.headers.get('x-pura-ratelimit-limit-requests')).toBe('2');
    await expectNothingTaken(key, 2);
  });

  it('count a 402', async () => {
    const key = await gateway.newKey({ rateLimitRpm: 1, dailyBudgetUsd: 0 });
    expect((await post(key)).status).toBe(402);
    expect((await post(key)).status).toBe(429);
  });

  it.each<[number, object | string, Record<string, string>]>([
    [400, { ...chat(), temperature: 'hot' }, {}],
    [400, '{"messages":', {}],
    [400, chat(), { 'idempotency-key': 'ü' }],
    [404, { ...chat(), model: 'gpt-99' }, {}],
    [413, `[${'0,'.repeat(200_000)}0]`, {}],
    [413, 'x'.repeat(11 * 1024 * 1024), {}],
    [415, chat(), { 'content-type': 'text/plain' }],
  ])('count a %i, which has cost its reading: %#', async (status, body, headers) => {
    const key = await gateway.newKey({ rateLimitRpm: 2 });
    const refused = () => gateway.post('/v1/chat/completions', body, key, headers);
    expect((await refused()).status).toBe(status);
    expect((await post(key)).status).toBe(200);
    const limited = await refused();
    expect(limited.status).toBe(429);
    expect(limited.headers.get('retry-after')).toMatch(/^[1-9]\d?$/);
    await expectNothingTaken(key, 1);
  });

  it('that are used up refuse a request before its body has come, let alone been read', async () => {
    const key = await gateway.newKey({ rateLimitRpm: 1 });
    expect((await post(key)).status).toBe(200);
    const parse = jest.spyOn(JSON, 'parse');
    const socket = await halfSent(gateway.url, { headers: { authorization: `Bearer ${key.secret}` } });
    expect(await answerOf(socket)).toMatch(/^HTTP\/1.1 429 /);
    expect(parse).not.toHaveBeenCalled();
    parse.mockRestore();
    socket.destroy();
  });

  it('of tokens a minute take prompt and output cap, and give back what was not used', async () => {
    const key = await gateway.newKey({ rateLimitTpm: 1_200 });
    expect((await errorOf(await post(key, { max_tokens: 1_200 }))).message).toBe('Rate limit exceeded: 1200 TPM');
    for (let round = 0; round < 3; round++) expect((await post(key, { max_tokens: 1_000 })).status).toBe(200);
    expect((await post(key, { max_tokens: 1 })).headers.get('x-pura-ratelimit-limit-tokens')).toBe('1200');
  });

  it('of free streams: the fifth at once is refused, and the next one runs when one has ended', async () => {
    const key = await gateway.newKey();
    const exchanges = Array.from({ length: 4 }, () => upstream.hold());
    const streams = exchanges.map(() => post(key, { stream: true }));
    const started = await Promise.all(exchanges);
    const fifth = await post(key, { stream: true });
    expect(fifth.status).toBe(429);
    expect((await errorOf(fifth)).message).toContain('free streams');
    expect((await post(key)).status).toBe(200);

    await Promise.all(started.map((exchange) => exchange.stream(['Hi'])));
    for (const stream of streams) await (await stream).text();
    expect((await post(key, { stream: true })).status).toBe(200);
    expect(await gateway.audit()).toEqual([]);
  });
});

describe("a key's models", () => {
  it('are the only ones it may use, by name and under auto', async () => {
    const key = await gateway.newKey({ allowedModels: ['pureai/dear'] });
    const answer = await post(key);
    expect(answer.status).toBe(403);
    expect(await errorOf(answer)).toMatchObject({ type: 'permission_error', code: 'model_not_allowed', param: 'model' });
    await expectNothingTaken(key);
    expect((await post(key, { model: 'auto', max_tokens: 10 })).headers.get('x-pura-model')).toBe('pureai/dear');
  });
});

describe('a leaked inference key', () => {
  it('can neither raise its limits nor make keys, and spends within its own', async () => {
    const owner = await gateway.newKey();
    const made = await gateway.post('/api/keys', { dailyBudgetUsd: 0.000_7, rateLimitRpm: 3, allowedModels: ['pureai/fake'] }, owner);
    const { id, key: secret } = (await made.json()) as { id: string; key: string };
    const leaked: TestKey = { id, accountId: owner.accountId, secret };

    await expect(gateway.patchKey(leaked, { dailyBudgetUsd: 1_000, rateLimitRpm: null })).rejects.toThrow('not_permitted');
    expect((await gateway.post('/api/keys', {}, leaked)).status).toBe(403);
    expect((await gateway.post(`/api/keys/${owner.id}/rotate`, {}, leaked)).status).toBe(403);
    expect((await post(leaked, { model: 'pureai/dear', max_tokens: 1 })).status).toBe(403);
    const statuses = await Promise.all(Array.from({ length: 6 }, async () => (await post(leaked)).status));
    expect(statuses.filter((status) => status === 429)).toHaveLength(3);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(1);
    expect(await accountOf(gateway.pool, owner.accountId)).toMatchObject({ posted_msat: 0n, held_msat: 0n });
    expect(await gateway.audit()).toEqual([]);
  });
});
