import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { auditLedger } from '../../src/ledger/audit.ts';
import { whileLocked } from '../support/account-lock.ts';
import { beginStream, OpenStream } from '../support/chat-stream.ts';
import { chat } from '../support/chat.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { completion, finishEvent, startFakeProvider, usageEvent, type FakeExchange, type FakeProvider } from '../support/fake-provider.ts';
import { createSite, fundAccount, type GatewaySite } from '../support/gateway-process.ts';
import type { TestKey } from '../support/gateway.ts';
import { accountOf, holdsOf, settledHold } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const STREAMS = 50;
const GRACE_SECONDS = 2;
/** What settling and closing may take beyond the grace. */
const SETTLE_LIMIT_MS = 8_000;
const DEPOSIT_SATS = 1_000;

let upstream: FakeProvider;
let database: TestDatabase;
let site: GatewaySite;

beforeEach(async () => {
  [upstream, database] = await Promise.all([startFakeProvider(), createTestDatabase()]);
  site = createSite({ deployments: [upstream.deployment()], env: { DATABASE_URL: database.connectionString } });
});

afterEach(async () => {
  await site.close();
  await upstream.close();
  await database.drop();
});

async function finish(exchange: FakeExchange): Promise<void> {
  await exchange.send(finishEvent() + usageEvent() + 'data: [DONE]\n\n');
  exchange.end();
}

const audit = () => auditLedger(database.pool, { oldestHoldSeconds: 60 });

describe('a gateway told to stop', () => {
  it(`with ${STREAMS} streams open finishes those that end in time, ends the others with their bill, and exits with 0`, async () => {
    const gateway = await site.start({ SHUTDOWN_GRACE_SECONDS: String(GRACE_SECONDS) });
    const key = await gateway.newKey();
    await fundAccount(database, key, DEPOSIT_SATS);
    upstream.always(async (exchange) => {
      exchange.startStream();
      await exchange.content('begun ');
    });
    const streams = await Promise.all(
      Array.from({ length: STREAMS }, async () => {
        const stream = new OpenStream(await gateway.post('/v1/chat/completions', chat({ stream: true, max_tokens: 300 }), key));
        await stream.until('begun');
        return stream;
      }),
    );

    const stoppedAt = performance.now();
    const ended = gateway.end('SIGTERM');
    await until(() => gateway.output().includes('"stopping"'));
    // No new ones: refused, or the door is shut already.
    const late = await gateway.post('/v1/chat/completions', chat(), key).then(
      ({ status }) => status,
      () => 'refused',
    );
    expect([503, 'refused']).toContain(late);
    const inTime = upstream.requests.slice(0, STREAMS / 2);
    await Promise.all(inTime.map(finish));
    const answers = await Promise.all(streams.map((stream) => stream.rest()));
    expect(await ended).toMatchObject({ code: 0, signal: null });

    expect(performance.now() - stoppedAt).toBeLessThan(GRACE_SECONDS * 1000 + SETTLE_LIMIT_MS);
    expect(answers.filter(({ done }) => done)).toHaveLength(inTime.length);
    const charged = answers.reduce((sum, { settled }) => sum + BigInt(settled?.charged_msat ?? NaN), 0n);
    const holds = await holdsOf(database.pool, key.accountId);
    // The late one may have come in on a connection that was still open: nothing of it is charged.
    expect(holds.filter(({ state, posted_msat: posted }) => state === 'posted' && posted > 0n)).toHaveLength(STREAMS);
    expect(holds.filter(({ state }) => state !== 'posted').map(({ state }) => state)).toEqual(holds.length > STREAMS ? ['voided'] : []);
    const deposit = BigInt(DEPOSIT_SATS) * 1_000n;
    expect(await accountOf(database.pool, key.accountId)).toMatchObject({ posted_msat: deposit - charged, held_msat: 0n });
    expect(await audit()).toEqual([]);
  });

  it('lets its clients finish after one Ctrl-C, and ends at once after another', async () => {
    const gateway = await site.start();
    const { exchange, stream } = await beginStream(gateway, upstream, await gateway.newKey(), 'begun');

    // As the terminal and npm send it: twice, in an instant.
    gateway.signal('SIGINT');
    gateway.signal('SIGINT');
    await until(() => gateway.output().includes('"stopping"'));
    await exchange.content('and going on');
    await stream.until('and going on');

    let code: number | null | undefined;
    void gateway.ended.then((end) => (code = end.code));
    await until(() => {
      gateway.signal('SIGINT');
      return code !== undefined;
    });
    expect(code).toBe(1);
  });
});

describe('a gateway stopped for longer than its leases', () => {
  it('delivers nothing more of what another one has settled, and settles nothing twice', async () => {
    const leases = { HOLD_LEASE_SECONDS: '2' };
    const [frozen, other] = await Promise.all([site.start(leases), site.start(leases)]);
    const [key, payer] = [await frozen.newKey(), await frozen.newKey()];
    for (const account of [key, payer]) await fundAccount(database, account, DEPOSIT_SATS);

    // An answer that has not come yet, a stream after its first checkpoint, and one before it.
    const ask = async (from: TestKey) => {
      const held = upstream.hold();
      const answer = frozen.post('/v1/chat/completions', chat({ max_tokens: 300 }), from);
      return { exchange: await held, answer };
    };
    const { exchange: charging, answer: charged } = await ask(payer);
    const { exchange: json, answer } = await ask(key);
    const checkpointed = await beginStream(frozen, upstream, key, 'early');
    await until(async () => (await holdsOf(database.pool, key.accountId)).some(({ checkpoint_msat: checkpoint }) => checkpoint !== null));
    const fresh = await beginStream(frozen, upstream, key, 'late');
    // And, on an account of its own, an answer that has come and is about to be charged.
    await whileLocked(database.pool, payer, async (waiting) => {
      charging.json(completion({ content: 'unmetered' }));
      await until(async () => (await waiting()).length === 1);
      frozen.signal('SIGSTOP');
      await until(async () => (await waiting()).length === 0);
    });
    expect(await settledHold(database.pool, payer.accountId)).toMatchObject({ state: 'voided' });
    await settledHold(database.pool, key.accountId);
    const swept = await holdsOf(database.pool, key.accountId);
    const balance = await accountOf(database.pool, key.accountId);
    json.json(completion({ content: 'unmetered' }));
    for (const { exchange } of [checkpointed, fresh]) {
      await exchange.content('unmetered');
      await finish(exchange);
    }
    frozen.signal('SIGCONT');

    expect(swept.map(({ state }) => state)).toEqual(['voided', 'posted', 'voided']);
    for (const refusal of [await answer, await charged]) {
      expect(refusal.status).toBe(503);
      expect(await refusal.text()).not.toContain('unmetered');
    }
    for (const { stream } of [checkpointed, fresh]) await expect(stream.rest()).rejects.toThrow();
    for (const { stream } of [checkpointed, fresh]) expect(stream.raw).not.toContain('unmetered');

    // Both serve on; what was settled stays as it was.
    for (const gateway of [frozen, other]) expect((await gateway.post('/v1/chat/completions', chat(), key)).status).toBe(200);
    expect(await accountOf(database.pool, payer.accountId)).toMatchObject({ posted_msat: BigInt(DEPOSIT_SATS) * 1_000n, held_msat: 0n });
    const after = await holdsOf(database.pool, key.accountId);
    expect(after.slice(0, swept.length)).toEqual(swept);
    const since = after.slice(swept.length).reduce((sum, { posted_msat: posted }) => sum + posted, 0n);
    expect(await accountOf(database.pool, key.accountId)).toMatchObject({ posted_msat: balance.posted_msat - since, held_msat: 0n });
    expect(await audit()).toEqual([]);
  });
});
