import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import { once } from 'node:events';
import { chat, ownPromptTokens } from '../support/chat.ts';
import { OpenStream, readStream } from '../support/chat-stream.ts';
import {
  DEFAULT_USAGE,
  finishEvent,
  startFakeProvider,
  usageEvent,
  type FakeExchange,
  type FakeProvider,
} from '../support/fake-provider.ts';
import { separatePool, startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, holdsOf, settledHold } from '../support/ledger.ts';
import { until } from '../support/until.ts';

let upstream: FakeProvider;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({ env: { FREE_TIER_REQUESTS: '0' }, deployments: [upstream.deployment()] });
});

beforeEach(async () => {
  key = await gateway.newKey();
  await gateway.fund(key, 1000);
});

afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

/** Sends a stream request whose answer the test gives by hand; `leave` makes the client go. */
async function startChat(members: object = {}): Promise<{ exchange: FakeExchange; answer: Promise<Response>; leave: () => void }> {
  const held = upstream.hold();
  const client = new AbortController();
  const answer = gateway.post('/v1/chat/completions', chat(members), key, {}, client.signal);
  // A client that left is not interested in its own error.
  answer.catch(() => {});
  return { exchange: await held, answer, leave: () => client.abort() };
}

/** How long the provider was kept at work after `leave`, in ms. */
async function msUntilAborted(exchange: FakeExchange, leave: () => void): Promise<number> {
  const leftAt = performance.now();
  leave();
  await exchange.clientGone;
  return performance.now() - leftAt;
}

/** Makes a request that has to wait for what `statement` locks, and leaves meanwhile. */
async function leaveWhileLocked(on: TestGateway, statement: string): Promise<void> {
  const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  const locking = separatePool(gateway.database);
  const lock = await locking.connect();
  await lock.query('begin');
  await lock.query(statement);
  const client = new AbortController();
  on.post('/v1/chat/completions', chat(), key, {}, client.signal).catch(() => {});
  await until(async () => (await locking.query(waiting)).rowCount);
  client.abort();
  // By the time these are answered the gateway has seen the connection close.
  await on.get('/health');
  await on.get('/health');
  await lock.query('rollback');
  lock.release();
  await locking.end();
}

const OWN_PROMPT_MSAT = BigInt(ownPromptTokens(chat()));

describe('a client that leaves', () => {
  it('during its upload: nothing is held, sent or charged', async () => {
    const requestsBefore = upstream.requests.length;
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1');
    await once(socket, 'connect');
    const head = [
      'POST /v1/chat/completions HTTP/1.1',
      'Host: x',
      'Content-Type: application/json',
      'Content-Length: 1000',
      `Authorization: Bearer ${key.secret}`,
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n{"model":`);
    // Answered after the half body was read, because both go through the same loop.
    await gateway.get('/health');
    socket.destroy();
    await once(socket, 'close');

    expect((await gateway.post('/v1/chat/completions', chat(), key)).status).toBe(200);
    expect(upstream.requests.length).toBe(requestsBefore + 1);
    expect(await holdsOf(gateway.pool, key.accountId)).toHaveLength(1);
    expect(await gateway.audit()).toEqual([]);
  });

  it('while its key is looked up: is not waited for', async () => {
    const own = await startGateway({ database: gateway.database, deployments: [upstream.deployment()] });
    await leaveWhileLocked(own, 'lock table api_keys in access exclusive mode');
    // Waits for every request that is inside.
    await own.close();
    expect(await holdsOf(gateway.pool, key.accountId)).toEqual([]);
  });

  it('while its hold is placed: nothing is sent or charged', async () => {
    const requestsBefore = upstream.requests.length;
    await leaveWhileLocked(gateway, `select from accounts where id = '${key.accountId}' for update`);

    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'voided', posted_msat: 0n });
    expect(upstream.requests.length).toBe(requestsBefore);
    const { requests } = (await (await gateway.get('/api/requests', key)).json()) as { requests: Record<string, unknown>[] };
    expect(requests).toMatchObject([{ outcome: 'client_gone', status: 499, chargedMsat: 0 }]);
    expect(await gateway.audit()).toEqual([]);
  });

  it.each([false, true])(
    'before the first byte (stream: %s): aborted within a second, prompt and hidden tokens charged',
    async (stream) => {
      const { exchange, leave } = await startChat({ stream });
      expect(await msUntilAborted(exchange, leave)).toBeLessThan(1_000);

      const hold = await settledHold(gateway.pool, key.accountId);
      expect(hold.state).toBe('posted');
      // At 50 tokens a second of 2 msat it is more than the prompt alone, and within the hold.
      expect(hold.posted_msat).toBeGreaterThan(OWN_PROMPT_MSAT);
      expect(hold.posted_msat).toBeLessThanOrEqual(hold.amount_msat);
      expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 1_000_000n - hold.posted_msat, held_msat: 0n });
      expect(await gateway.audit()).toEqual([]);
    },
  );

  it('before the first byte: is never charged more than its hold', async () => {
    const { exchange, leave } = await startChat({ max_tokens: 1 });
    await msUntilAborted(exchange, leave);
    expect((await settledHold(gateway.pool, key.accountId)).posted_msat).toBe(OWN_PROMPT_MSAT + 2n);
  });

  it('in the middle of a stream: aborted within a second, prompt and what was delivered are charged', async () => {
    const { exchange, answer, leave } = await startChat({ stream: true });
    exchange.startStream();
    await exchange.content('twelve bytes');
    await new OpenStream(await answer).until('twelve bytes');
    expect(await msUntilAborted(exchange, leave)).toBeLessThan(1_000);

    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'posted', posted_msat: OWN_PROMPT_MSAT + 6n });
    expect(await gateway.audit()).toEqual([]);
  });

  it('before the usage chunk of a finished answer: the usage is still waited for and charged', async () => {
    const { exchange, answer, leave } = await startChat({ stream: true });
    exchange.startStream();
    await exchange.content('Hello');
    await exchange.send(finishEvent());
    await new OpenStream(await answer).until('"finish_reason":"stop"');
    leave();
    // By the time these are answered the gateway has seen the connection close.
    await gateway.get('/health');
    await gateway.get('/health');
    expect(await holdsOf(gateway.pool, key.accountId)).toMatchObject([{ state: 'pending' }]);
    await exchange.send(usageEvent({ ...DEFAULT_USAGE, completion_tokens: 50 }));

    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'posted', posted_msat: 110n });
    await exchange.clientGone;
  });

  it('before a usage chunk that never comes: aborted after two seconds, the own count is charged', async () => {
    const { exchange, answer, leave } = await startChat({ stream: true });
    exchange.startStream();
    await exchange.content('four');
    await exchange.send(finishEvent());
    await new OpenStream(await answer).until('"finish_reason":"stop"');
    expect(await msUntilAborted(exchange, leave)).toBeLessThan(3_000);

    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'posted', posted_msat: OWN_PROMPT_MSAT + 2n });
  });

  it('after [DONE]: pays what the stream told it', async () => {
    const { exchange, answer, leave } = await startChat({ stream: true });
    await exchange.stream(['Hello']);
    const { settled, done } = await readStream(await answer);
    leave();

    expect({ done, charged: settled?.charged_msat }).toEqual({ done: true, charged: 20 });
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'posted', posted_msat: 20n });
    expect(await gateway.audit()).toEqual([]);
  });

  it('is on record as gone, with what it was charged', async () => {
    const { exchange, answer, leave } = await startChat({ stream: true });
    exchange.startStream();
    await exchange.content('twelve bytes');
    await new OpenStream(await answer).until('twelve bytes');
    await msUntilAborted(exchange, leave);
    await settledHold(gateway.pool, key.accountId);

    const { requests } = (await (await gateway.get('/api/requests', key)).json()) as { requests: Record<string, unknown>[] };
    expect(requests).toMatchObject([{ outcome: 'client_gone', chargedMsat: Number(OWN_PROMPT_MSAT) + 6, completionTokens: 3 }]);
  });

  it('says nothing about the provider: its success rate stays whole', async () => {
    const { providers } = (await (await gateway.get('/api/status')).json()) as {
      providers: { id: string; status: string; windows: Record<string, { successRate: number | null }> }[];
    };
    const fake = providers.find(({ id }) => id === 'fake');
    expect([fake?.status, fake?.windows['1h']?.successRate]).toEqual(['active', 1]);
  });
});
