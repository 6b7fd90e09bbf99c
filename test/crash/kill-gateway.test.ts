import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Pool } from '../../src/db/postgres.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { whileLocked } from '../support/account-lock.ts';
import { beginStream, OpenStream } from '../support/chat-stream.ts';
import { chat, ownPromptTokens } from '../support/chat.ts';
import { completion, DEFAULT_USAGE, startFakeProvider, type FakeExchange, type FakeProvider } from '../support/fake-provider.ts';
import { createSite, fundAccount, type GatewayProcess, type GatewaySite, type SharedDatabase } from '../support/gateway-process.ts';
import type { TestKey } from '../support/gateway.ts';
import { accountOf, holdsOf, settledHold } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const LEASE_SECONDS = '2';
const DEPOSIT_MSAT = 100_000n;

let upstream: FakeProvider;
let site: GatewaySite;
let gateway: GatewayProcess;
let database: SharedDatabase;
let pool: Pool;

beforeAll(async () => {
  upstream = await startFakeProvider();
  site = createSite({
    deployments: [upstream.deployment(), upstream.deployment({ id: 'spare' }), upstream.deployment({ id: 'mid', tier: 'mid' })],
    env: { HOLD_LEASE_SECONDS: LEASE_SECONDS },
  });
  gateway = await site.start();
  database = await site.database();
  ({ pool } = database);
});

afterAll(async () => {
  await site.close();
  await upstream.close();
});

/** The gateway dies and another one takes its place; the embedded PostgreSQL, which outlived it, is adopted. */
async function killAndRestart(): Promise<void> {
  const { signal } = await gateway.end('SIGKILL');
  expect(signal).toBe('SIGKILL');
  gateway = await site.start();
  expect(gateway.output()).toContain('(found running)');
}

/** How a request ended, as its client saw it. */
function outcomeOf(answer: Promise<Response>): Promise<string> {
  return answer.then(
    ({ status }) => `HTTP ${status}`,
    () => 'cut off',
  );
}

async function fundedKey(): Promise<TestKey> {
  const key = await gateway.newKey();
  await fundAccount(database, key, 100);
  return key;
}

const audit = () => auditLedger(pool, { oldestHoldSeconds: 60 });

describe('a gateway killed', () => {
  it('before it called the provider: its hold is released, and the free request comes back', async () => {
    const key = await gateway.newKey();
    const before = upstream.requests.length;
    let outcome = Promise.resolve('');

    // The admission waits for the row; the gateway is stopped, so that it cannot see that it came through.
    await whileLocked(pool, key, async (waiting) => {
      outcome = outcomeOf(gateway.post('/v1/chat/completions', chat(), key));
      await until(async () => (await waiting()).length === 1);
      gateway.signal('SIGSTOP');
    });
    await until(async () => (await holdsOf(pool, key.accountId)).length === 1);
    expect(await accountOf(pool, key.accountId)).toMatchObject({ free_used: 1 });
    await killAndRestart();

    expect(await outcome).toBe('cut off');
    expect(await settledHold(pool, key.accountId)).toMatchObject({ state: 'voided', funding: 'free', posted_msat: 0n });
    expect(await accountOf(pool, key.accountId)).toMatchObject({ free_used: 0 });
    expect(upstream.requests).toHaveLength(before);
    expect(await audit()).toEqual([]);
  });

  it('after one provider failed, while another was asked: the hold is released, and nothing is charged', async () => {
    const key = await fundedKey();
    const before = upstream.requests.length;
    upstream.script((exchange) => exchange.error(503));
    const held = upstream.hold();
    const outcome = outcomeOf(gateway.post('/v1/chat/completions', chat({ model: 'auto' }), key));
    await held;
    expect(await holdsOf(pool, key.accountId)).toMatchObject([{ state: 'pending' }]);
    await killAndRestart();

    expect(await outcome).toBe('cut off');
    expect(upstream.requests).toHaveLength(before + 2);
    expect(await settledHold(pool, key.accountId)).toMatchObject({ state: 'voided', posted_msat: 0n });
    expect(await accountOf(pool, key.accountId)).toMatchObject({ posted_msat: DEPOSIT_MSAT, held_msat: 0n });
    expect(await audit()).toEqual([]);
  });

  it('after the answer came, before its charge was committed: the client got nothing and pays nothing', async () => {
    const key = await fundedKey();
    const held = upstream.hold();
    const outcome = outcomeOf(gateway.post('/v1/chat/completions', chat(), key));
    const exchange = await held;

    await whileLocked(pool, key, async (waiting) => {
      exchange.json(completion());
      await until(async () => (await waiting()).length === 1);
      await gateway.end('SIGKILL');
      // The server does not notice that its client is gone: its statement ends with the limit on waiting for a lock.
      await until(async () => (await waiting()).length === 0);
    });
    await killAndRestart();

    expect(await outcome).toBe('cut off');
    expect(await settledHold(pool, key.accountId)).toMatchObject({ state: 'voided', posted_msat: 0n });
    expect(await accountOf(pool, key.accountId)).toMatchObject({ posted_msat: DEPOSIT_MSAT, held_msat: 0n });
    expect(await audit()).toEqual([]);
  });

  it('after its charge was committed, before the answer was sent: charged once, and a repeat gets the stored answer', async () => {
    const key = await fundedKey();
    const idempotent = { 'idempotency-key': 'one-answer-only' };
    const held = upstream.hold();
    const outcome = outcomeOf(gateway.post('/v1/chat/completions', chat(), key, idempotent));
    const exchange = await held;
    const dispatched = upstream.requests.length;

    await whileLocked(pool, key, async (waiting) => {
      exchange.json(completion({ content: 'paid for' }));
      await until(async () => (await waiting()).length === 1);
      gateway.signal('SIGSTOP');
    });
    const { posted_msat: charged } = await settledHold(pool, key.accountId);
    await killAndRestart();

    expect(await outcome).toBe('cut off');
    const repeat = await gateway.post('/v1/chat/completions', chat(), key, idempotent);
    expect(repeat.status).toBe(200);
    expect(repeat.headers.get('idempotency-replayed')).toBe('true');
    expect(repeat.headers.get('x-pura-charged-msat')).toBe(String(charged));
    expect(await repeat.json()).toMatchObject({ choices: [{ message: { content: 'paid for' } }] });
    expect(upstream.requests).toHaveLength(dispatched);
    expect(charged).toBeGreaterThan(0n);
    expect(await accountOf(pool, key.accountId)).toMatchObject({ posted_msat: DEPOSIT_MSAT - charged, held_msat: 0n });
    expect(await audit()).toEqual([]);
  });

  it('after its charge was committed, before the answer was sent, without an Idempotency-Key: the charge is given back', async () => {
    const key = await fundedKey();
    const held = upstream.hold();
    const outcome = outcomeOf(gateway.post('/v1/chat/completions', chat(), key));
    const exchange = await held;

    await whileLocked(pool, key, async (waiting) => {
      exchange.json(completion());
      await until(async () => (await waiting()).length === 1);
      gateway.signal('SIGSTOP');
    });
    expect((await settledHold(pool, key.accountId)).posted_msat).toBeGreaterThan(0n);
    await killAndRestart();

    expect(await outcome).toBe('cut off');
    await until(async () => (await accountOf(pool, key.accountId)).posted_msat === DEPOSIT_MSAT);
    expect(await holdsOf(pool, key.accountId)).toMatchObject([{ state: 'refunded' }]);
    const report = (await (await gateway.get('/api/wallet/balance', key)).json()) as { dailySpendUsd: number };
    expect(report.dailySpendUsd).toBe(0);
    expect(await audit()).toEqual([]);
  });

  it('in the middle of a stream: the charge is its last checkpoint, no more than was delivered', async () => {
    const key = await fundedKey();
    const delivered = 'four words were delivered ';
    const { exchange, stream } = await beginStream(gateway, upstream, key, delivered);
    const checkpointed = await until(async () => (await holdsOf(pool, key.accountId))[0]?.checkpoint_msat);
    await exchange.content('and then some more of them came ');
    await stream.until('came');

    await killAndRestart();

    await expect(stream.rest()).rejects.toThrow();
    expect(await settledHold(pool, key.accountId)).toMatchObject({ state: 'posted', posted_msat: checkpointed });
    // 1 msat a token of the prompt and 2 of the answer, by the gateway's own count.
    expect(checkpointed).toBe(BigInt(ownPromptTokens(chat()) + 2 * Math.ceil(delivered.length / 4)));
    expect(await accountOf(pool, key.accountId)).toMatchObject({ posted_msat: DEPOSIT_MSAT - checkpointed, held_msat: 0n });
    expect(await audit()).toEqual([]);
  });

  const cascade = (stream: boolean) => ({ ...chat({ stream, max_tokens: 300 }), model: 'auto', routing: { cascade: true } });
  const WEAK = "I don't know, and I'm not sure that anybody does.";
  const weakly = (exchange: FakeExchange) =>
    exchange.body['stream'] === true ? exchange.stream([WEAK]) : exchange.json(completion({ content: WEAK }));

  it.each([false, true])('between two steps of a cascade: the client got nothing and pays nothing (stream: %s)', async (stream) => {
    const key = await fundedKey();
    upstream.script(weakly);
    const held = upstream.hold();
    const outcome = outcomeOf(gateway.post('/v1/chat/completions', cascade(stream), key));
    expect((await held).body).toMatchObject({ model: 'mid' });
    await killAndRestart();

    expect(await outcome).toBe('cut off');
    expect(await settledHold(pool, key.accountId)).toMatchObject({ state: 'voided', posted_msat: 0n, checkpoint_msat: null });
    expect(await accountOf(pool, key.accountId)).toMatchObject({ posted_msat: DEPOSIT_MSAT, held_msat: 0n });
    expect(await audit()).toEqual([]);
  });

  it('in the middle of the last step of a cascade: the charge is its last checkpoint, with the steps before', async () => {
    const key = await fundedKey();
    upstream.script(weakly);
    const held = upstream.hold();
    const answer = gateway.post('/v1/chat/completions', cascade(true), key);
    const exchange = await held;
    const delivered = 'four words were delivered ';
    exchange.startStream();
    await exchange.content(delivered);
    const stream = new OpenStream(await answer);
    await stream.until(delivered);
    const checkpointed = await until(async () => (await holdsOf(pool, key.accountId))[0]?.checkpoint_msat);
    await killAndRestart();

    await expect(stream.rest()).rejects.toThrow();
    expect(await settledHold(pool, key.accountId)).toMatchObject({ state: 'posted', posted_msat: checkpointed });
    // 10 tokens of prompt and 5 of the answer before, as the provider counted them.
    const before = DEFAULT_USAGE.prompt_tokens + 2 * DEFAULT_USAGE.completion_tokens;
    expect(checkpointed).toBe(BigInt(before + ownPromptTokens(chat()) + 2 * Math.ceil(delivered.length / 4)));
    expect(await audit()).toEqual([]);
  });
});
