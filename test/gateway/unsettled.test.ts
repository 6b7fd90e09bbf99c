import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { openCuttable, type Cuttable } from '../regtest/cuttable.ts';
import { whileLocked } from '../support/account-lock.ts';
import { OpenStream } from '../support/chat-stream.ts';
import { chat, errorOf } from '../support/chat.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { completion, finishEvent, startFakeProvider, usageEvent, type FakeProvider } from '../support/fake-provider.ts';
import { sweepHolds } from '../../src/jobs/sweep-holds.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { openLedger, reservedAndSpent } from '../support/holds.ts';
import { accountOf, holdsOf, settledHold } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const PATH = '/v1/chat/completions';
const DEPOSIT_MSAT = 100_000n;

let upstream: FakeProvider;
let database: TestDatabase;
/** Between the gateway and its database. */
let way: Cuttable;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  database = await createTestDatabase();
  const { hostname, port } = new URL(database.connectionString);
  way = await openCuttable(`${hostname}:${port}`);
  const proxied = new URL(database.connectionString);
  proxied.host = way.socket;
  const deployments = [upstream.deployment(), upstream.deployment({ id: 'dear', tier: 'premium' })];
  gateway = await startGateway({ deployments, database: { ...database, connectionString: proxied.href } });
});

beforeEach(async () => {
  key = await gateway.newKey();
});

afterEach(async () => expect(await gateway.audit()).toEqual([]));

afterAll(async () => {
  await gateway.close();
  await way.close();
  await database.drop();
  await upstream.close();
});

async function fund(): Promise<void> {
  await database.pool.query('update accounts set free_limit = 0 where id = $1', [key.accountId]);
  await gateway.fund(key, 100);
}

/** Asks, and has the provider answer at a moment of the test's choice. */
async function ask(members: object = {}, headers: Record<string, string> = {}) {
  const held = upstream.hold();
  const answer = gateway.post(PATH, chat(members), key, headers);
  return { answer, exchange: await held };
}

/** The settlement is committed, its acknowledgement never comes, and the database is away until the client was told. */
async function loseAcknowledgement(headers: Record<string, string> = {}): Promise<Response> {
  const { answer, exchange } = await ask({}, headers);
  way.mute();
  exchange.json(completion({ content: 'worth its price' }));
  expect(await settledHold(database.pool, key.accountId)).toMatchObject({ state: 'posted' });
  const told = await answer;
  way.cut();
  way.restore();
  return told;
}

const givenBack = () => until(async () => (await holdsOf(database.pool, key.accountId))[0]?.state === 'refunded');

describe('a JSON answer whose settlement comes too late', () => {
  it.each([
    ['wallet', 'once'],
    ['free', undefined],
  ])('is a 503 that costs nothing (%s, Idempotency-Key: %s)', async (funding, idempotencyKey) => {
    const headers: Record<string, string> = idempotencyKey ? { 'idempotency-key': idempotencyKey } : {};
    if (funding === 'wallet') await fund();
    const before = await accountOf(database.pool, key.accountId);
    const { answer, exchange } = await ask({}, headers);
    await whileLocked(database.pool, key, async () => {
      exchange.json(completion());
      const told = await answer;
      expect(told.status).toBe(503);
      expect(await errorOf(told)).toMatchObject({ code: 'database_unavailable' });
    });
    // The try that was waiting for the lock may still have charged it: then that is given back.
    await until(async () => ['voided', 'refunded'].includes((await holdsOf(database.pool, key.accountId))[0]?.state ?? ''));
    expect(await accountOf(database.pool, key.accountId)).toEqual(before);
    expect((await gateway.post(PATH, chat(), key, headers)).headers.get('idempotency-replayed')).toBeNull();
  });

  it('although it was committed, is given back whole, and a repeat with its Idempotency-Key runs anew', async () => {
    const headers = { 'idempotency-key': 'once' };
    await fund();
    const told = await loseAcknowledgement(headers);
    expect([told.status, (await errorOf(told)).code]).toEqual([503, 'database_unavailable']);
    await givenBack();
    expect(await accountOf(database.pool, key.accountId)).toMatchObject({ posted_msat: DEPOSIT_MSAT, held_msat: 0n });
    expect((await reservedAndSpent(database.pool, key.id)).budget).toEqual([0n, 0n]);

    const requestsBefore = upstream.requests.length;
    const again = await gateway.post(PATH, chat(), key, headers);
    expect({ status: again.status, replayed: again.headers.get('idempotency-replayed') }).toEqual({ status: 200, replayed: null });
    expect(upstream.requests).toHaveLength(requestsBefore + 1);
    const charged = BigInt(again.headers.get('x-pura-charged-msat') ?? 0);
    expect(charged).toBeGreaterThan(0n);
    expect(await accountOf(database.pool, key.accountId)).toMatchObject({ posted_msat: DEPOSIT_MSAT - charged, held_msat: 0n });
  });

  it('although it was committed, gives the free request back', async () => {
    await loseAcknowledgement();
    await givenBack();
    expect(await accountOf(database.pool, key.accountId)).toMatchObject({ posted_msat: 0n, free_used: 0 });
  });
});

describe('a stream whose settlement comes too late', () => {
  it('ends with its pending figures, and is charged for what was delivered', async () => {
    await fund();
    const { answer, exchange } = await ask({ stream: true });
    exchange.startStream();
    await exchange.content('delivered ');
    const stream = new OpenStream(await answer);
    await stream.until('delivered');
    let rest: Awaited<ReturnType<OpenStream['rest']>> | undefined;
    await whileLocked(database.pool, key, async () => {
      await exchange.send(finishEvent() + usageEvent() + 'data: [DONE]\n\n');
      exchange.end();
      rest = await stream.rest();
    });
    expect(rest).toMatchObject({ done: true, settled: { pending: true } });
    const hold = await settledHold(database.pool, key.accountId);
    expect(hold).toMatchObject({ state: 'posted', posted_msat: 20n });
    expect(await accountOf(database.pool, key.accountId)).toMatchObject({ posted_msat: DEPOSIT_MSAT - 20n, held_msat: 0n });
  });
});

describe('a stream that another gateway settled at its checkpoint before it ended', () => {
  it('costs what that one charged, in the ledger, the last words and the record', async () => {
    await fund();
    const { answer, exchange } = await ask({ stream: true });
    exchange.startStream();
    await exchange.content('delivered ');
    const stream = new OpenStream(await answer);
    await stream.until('delivered');
    await until(async () => (await holdsOf(database.pool, key.accountId))[0]?.checkpoint_msat !== null);
    const { pool } = database;
    await pool.query(`update holds set lease_until = clock_timestamp() - interval '1 millisecond' where account_id = $1`, [key.accountId]);
    const other = openLedger(database, { leaseSeconds: 30 });
    expect(await sweepHolds({ pool, holds: other.holds, observe: () => {}, leaseSeconds: 0.05 })).toBe(1);
    await other.close();
    const [hold] = await holdsOf(pool, key.accountId);
    expect(hold?.posted_msat).toBeGreaterThan(0n);
    expect(hold?.posted_msat).toBeLessThan(20n);
    await exchange.send(finishEvent() + usageEvent() + 'data: [DONE]\n\n');
    exchange.end();
    const { settled } = await stream.rest();
    expect(settled?.charged_msat).toBe(Number(hold?.posted_msat));
    const { requests } = (await (await gateway.get('/api/requests', key)).json()) as { requests: object[] };
    expect(requests).toMatchObject([{ outcome: 'lease_lost', chargedMsat: Number(hold?.posted_msat) }]);
  });
});

describe('a stream that was held back until it was judged, and whose settlement comes too late', () => {
  it('is not delivered, and costs nothing', async () => {
    await fund();
    const before = await accountOf(database.pool, key.accountId);
    const { answer, exchange } = await ask({ model: 'auto', stream: true, routing: { cascade: true, cascade_threshold: 0 } });
    await whileLocked(database.pool, key, async () => {
      await exchange.stream(['held ', 'back']);
      const told = await answer;
      expect(told.status).toBe(503);
      const text = await told.text();
      expect(text).toContain('database_unavailable');
      expect(text).not.toContain('held ');
    });
    await until(async () => ['voided', 'refunded'].includes((await holdsOf(database.pool, key.accountId))[0]?.state ?? ''));
    expect(await accountOf(database.pool, key.accountId)).toEqual(before);
    const { requests } = (await (await gateway.get('/api/requests', key)).json()) as { requests: { outcome: string; costMsat: number }[] };
    expect(requests).toMatchObject([{ outcome: 'unsettled', costMsat: 0 }]);
  });
});

describe('a free request that is released', () => {
  it('locks its own free day, so that a request of the next day in the same transaction finds its own', async () => {
    await database.pool.query('update accounts set free_limit = 1 where id = $1', [key.accountId]);
    const first = await ask();
    // A day goes by; the new one has no free request yet.
    await database.pool.query(`update holds set budget_day = budget_day - 1`);
    await database.pool.query(`update accounts set free_day = free_day - 1`);
    await database.pool.query(`update budget_days set day = day - 1`);
    await database.pool.query(`update free_days set day = day - 1`);
    const backends = `select pid, query_start::text as at from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
    let second: Promise<Response> | undefined;
    await whileLocked(database.pool, key, async (waiting) => {
      first.exchange.error(500);
      await until(async () => (await waiting()).length === 1);
      second = gateway.post(PATH, chat(), key);
      const { rows } = await database.pool.query<{ at: string }>(backends);
      // The release gives up waiting and comes back, now in one batch with the admission.
      await until(async () => {
        const now = await database.pool.query<{ at: string }>(backends);
        return now.rows[0] !== undefined && now.rows[0].at !== rows[0]?.at;
      });
    });
    expect((await first.answer).status).toBe(503);
    expect((await second)?.status).toBe(200);
  });
});
