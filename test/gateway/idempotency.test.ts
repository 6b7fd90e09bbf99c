import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { chat, errorOf, ownPromptTokens } from '../support/chat.ts';
import { OpenStream } from '../support/chat-stream.ts';
import { completion, finishEvent, startFakeProvider, usageEvent, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, holdsOf, settledHold } from '../support/ledger.ts';

const PATH = '/v1/chat/completions';

let upstream: FakeProvider;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({ env: { FREE_TIER_REQUESTS: '0' }, deployments: [upstream.deployment()] });
});

beforeEach(async () => {
  key = await gateway.newKey();
  await gateway.fund(key, 100);
});

afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

const post = (members: object = {}, idempotencyKey = 'once', path = PATH) =>
  gateway.post(path, chat(members), key, { 'idempotency-key': idempotencyKey });

describe('a repeat with the same Idempotency-Key and body', () => {
  it.each([
    ['JSON', {}],
    ['a stream', { stream: true }],
    ['a stream with usage', { stream: true, stream_options: { include_usage: true } }],
  ])('gets the same answer under the same id, marked, and is charged once (%s)', async (_name, members) => {
    const requestsBefore = upstream.requests.length;
    const first = await post(members);
    const body = await first.text();
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    for (let round = 0; round < 2; round++) {
      const again = await post(members);
      expect(again.status).toBe(200);
      expect(again.headers.get('idempotency-replayed')).toBe('true');
      for (const name of ['x-pura-request-id', 'content-type', 'x-pura-cost', 'x-pura-provider', 'x-pura-model']) {
        expect(again.headers.get(name)).toBe(first.headers.get(name));
      }
      expect(await again.text()).toBe(body);
    }
    expect(upstream.requests.length).toBe(requestsBefore + 1);
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 99_980n, held_msat: 0n });
    expect(await gateway.audit()).toEqual([]);
  });

  it('is served by a gateway that was started afterwards', async () => {
    const body = await (await post()).text();
    const other = await startGateway({ database: gateway.database, deployments: [upstream.deployment()] });
    const again = await other.post(PATH, chat(), key, { 'idempotency-key': 'once' });
    expect(await again.text()).toBe(body);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    await other.close();
  });

  it('counts as a request against the rate limits, before its answer is read', async () => {
    await gateway.patchKey(key, { rateLimitRpm: 3 });
    expect((await post()).status).toBe(200);
    for (let repeat = 0; repeat < 2; repeat++) expect((await post()).headers.get('idempotency-replayed')).toBe('true');
    const refused = await post();
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await errorOf(refused)).code).toBe('rate_limit_exceeded');
  });

  it('runs once however many come at once', async () => {
    const requestsBefore = upstream.requests.length;
    const held = upstream.hold();
    const answers = Array.from({ length: 20 }, () => post());
    const exchange = await held;
    // Each that did not run knows so before the one that runs has ended.
    const statuses: number[] = [];
    const waits: number[] = [];
    const all = answers.map(async (answer) => {
      const { status, headers } = await answer;
      statuses.push(status);
      if (status === 409) waits.push(Number(headers.get('retry-after')));
      if (statuses.length === 19) exchange.json(completion());
    });
    await Promise.all(all);

    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(waits).toEqual(Array.from({ length: 19 }, () => 1));
    expect(upstream.requests.length).toBe(requestsBefore + 1);
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 99_980n });
    expect((await post()).headers.get('idempotency-replayed')).toBe('true');
  });
});

describe('an Idempotency-Key', () => {
  it('that was used with another body is a conflict, which clients shall not retry', async () => {
    await post();
    const answer = await post({ temperature: 1 });
    expect(answer.status).toBe(409);
    expect(answer.headers.get('x-should-retry')).toBe('false');
    expect(await errorOf(answer)).toMatchObject({ type: 'invalid_request_error', code: 'idempotency_conflict' });
    expect(await holdsOf(gateway.pool, key.accountId)).toHaveLength(1);
  });

  it('is told to be in progress, with Retry-After', async () => {
    const held = upstream.hold();
    const first = post();
    const exchange = await held;
    const second = await post();
    expect(second.status).toBe(409);
    expect(second.headers.get('retry-after')).toBe('1');
    expect((await errorOf(second)).code).toBe('idempotency_in_progress');
    exchange.json(completion());
    expect((await first).status).toBe(200);
  });

  it('belongs to an account and a path', async () => {
    const requestsBefore = upstream.requests.length;
    await post({ stream: false });
    expect((await post({ stream: false }, 'once', '/api/chat')).headers.get('idempotency-replayed')).toBeNull();
    key = await gateway.newKey();
    await gateway.fund(key, 100);
    expect((await post({ stream: false })).headers.get('idempotency-replayed')).toBeNull();
    expect(upstream.requests.length).toBe(requestsBefore + 3);
  });

  it.each<[string, () => void, number]>([
    ["a provider's 4xx", () => upstream.script((exchange) => exchange.error(400)), 400],
    ["a provider's failure", () => upstream.script((exchange) => exchange.error(500)), 503],
  ])('is free again after %s', async (_name, prepare, status) => {
    prepare();
    expect((await post()).status).toBe(status);
    const again = await post();
    expect({ status: again.status, replayed: again.headers.get('idempotency-replayed') }).toEqual({ status: 200, replayed: null });
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 99_980n });
  });

  it('is free again after a 402', async () => {
    key = await gateway.newKey();
    expect((await post()).status).toBe(402);
    await gateway.fund(key, 100);
    expect((await post()).status).toBe(200);
  });

  it('whose stream was left is interrupted: the repeat learns what it cost, and nothing runs again', async () => {
    const requestsBefore = upstream.requests.length;
    const held = upstream.hold();
    const client = new AbortController();
    const leaving = gateway.post(PATH, chat({ stream: true }), key, { 'idempotency-key': 'once' }, client.signal);
    const exchange = await held;
    exchange.startStream();
    await exchange.content('four');
    await new OpenStream(await leaving).until('four');
    client.abort();
    const { request_id } = await settledHold(gateway.pool, key.accountId);

    const again = await post({ stream: true });
    expect(again.status).toBe(409);
    expect(await errorOf(again)).toMatchObject({ code: 'idempotency_interrupted', request_id, cost_msat: ownPromptTokens(chat()) + 2 });
    expect(upstream.requests.length).toBe(requestsBefore + 1);
    expect(await gateway.audit()).toEqual([]);
  });

  it('whose answer is too large to keep is interrupted', async () => {
    upstream.script((exchange) => exchange.json(completion({ content: 'x'.repeat(1_100_000) })));
    expect((await post()).status).toBe(200);
    expect((await errorOf(await post())).code).toBe('idempotency_interrupted');
  });

  it.each([false, true])('whose request was free gives the same answer, for few bytes a day (stream: %s)', async (stream) => {
    const requestsBefore = upstream.requests.length;
    await gateway.pool.query('update accounts set free_limit = 3 where id = $1', [key.accountId]);
    const body = await (await post({ stream })).text();
    expect(body).toContain('Hello');
    const again = await post({ stream });
    expect(again.headers.get('x-pura-funding')).toBe('free');
    expect({ replayed: again.headers.get('idempotency-replayed'), body: await again.text() }).toEqual({ replayed: 'true', body });

    const large = 'x'.repeat(256 * 1024);
    upstream.script(async (exchange) => {
      if (!stream) return exchange.json(completion({ content: large }));
      exchange.startStream();
      await exchange.content(large);
      await exchange.send(finishEvent() + usageEvent() + 'data: [DONE]\n\n');
      exchange.end();
    });
    expect(await (await post({ stream }, 'large')).text()).toContain(large);
    expect((await errorOf(await post({ stream }, 'large'))).code).toBe('idempotency_interrupted');

    await gateway.pool.query(
      `update accounts set answer_day = (now() at time zone 'utc')::date, free_answer_bytes = 256 * 1024 - 10 where id = $1`,
      [key.accountId],
    );
    expect(await (await post({ stream }, 'full')).text()).toContain('Hello');
    expect((await errorOf(await post({ stream }, 'full'))).code).toBe('idempotency_interrupted');
    // The room of what is paid for is another.
    await (await post({ stream }, 'paid')).text();
    expect((await post({ stream }, 'paid')).headers.get('idempotency-replayed')).toBe('true');
    expect(upstream.requests.length).toBe(requestsBefore + 4);
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 99_980n, free_used: 3 });
    expect(await gateway.audit()).toEqual([]);
  });

  it('whose answer does not fit into what the account may store in a day is interrupted, and charged once', async () => {
    await gateway.pool.query(
      `update accounts set answer_day = (now() at time zone 'utc')::date, answer_bytes = 64 * 1024 * 1024 - 10 where id = $1`,
      [key.accountId],
    );
    expect((await post()).status).toBe(200);
    expect((await errorOf(await post())).code).toBe('idempotency_interrupted');
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 99_980n });
  });

  it('keeps no readable answer in the database', async () => {
    upstream.script((exchange) => exchange.json(completion({ content: 'canary text' })));
    await post({}, 'canary key');
    const { rows } = await gateway.pool.query<{ dump: string; answer: Buffer }>(
      'select i::text as dump, answer from idempotency i where account_id = $1',
      [key.accountId],
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]?.dump).not.toContain('canary');
    expect(rows[0]?.answer.includes('canary')).toBe(false);
  });
});
