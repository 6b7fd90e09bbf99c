import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { completion, startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

interface Funding {
  error: { code: string; funding: { invoiceId: string } };
}

let database: TestDatabase;
let upstream: FakeProvider;
let gateways: [TestGateway, TestGateway];

beforeAll(async () => {
  database = await createTestDatabase();
  upstream = await startFakeProvider();
  const start = () => startGateway({ database, deployments: [upstream.deployment()], env: { FREE_TIER_REQUESTS: '3' } });
  gateways = [await start(), await start()];
});

afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.close()));
  await upstream.close();
  await database.drop();
});

describe('two gateways on one database', () => {
  it('run exactly 10 of 200 parallel requests on a balance for 10, refuse the rest with one invoice, and charge 10', async () => {
    const [first, second] = gateways;
    const key = await first.newKey();
    await database.pool.query('update accounts set free_limit = 0 where id = $1', [key.accountId]);
    await first.fund(key, 100);
    // 4,800 tokens of output at 2 msat and a short prompt: between 1/10 and 1/11 of 100,000 msat.
    const body = { model: 'pureai/fake', max_tokens: 4_800, messages: [{ role: 'user', content: 'hi' }] };
    const dispatchedBefore = upstream.requests.length;
    let release = (): void => {};
    const released = new Promise<void>((resolve) => (release = resolve));
    upstream.always(async (exchange) => {
      await released;
      exchange.json(completion());
    });

    let refused = 0;
    const answers = Array.from({ length: 200 }, async (_, index) => {
      const answer = await (index % 2 === 0 ? first : second).post('/v1/chat/completions', body, key);
      if (answer.status === 402) refused++;
      return { status: answer.status, body: (await answer.json()) as Funding };
    });
    // None of those that run ends before all others are decided: no balance comes free in between.
    await until(() => refused === 190);
    expect(upstream.requests.length - dispatchedBefore).toBe(10);
    release();
    const results = await Promise.all(answers);

    expect(results.filter(({ status }) => status === 200)).toHaveLength(10);
    const refusals = results.filter(({ status }) => status === 402);
    expect(new Set(refusals.map(({ body: { error } }) => error.code))).toEqual(new Set(['insufficient_balance']));
    expect(new Set(refusals.map(({ body: { error } }) => error.funding.invoiceId)).size).toBe(1);
    expect(await accountOf(database.pool, key.accountId)).toMatchObject({ posted_msat: 100_000n - 10n * 20n, held_msat: 0n });
    const holds = await holdsOf(database.pool, key.accountId);
    expect(holds.map(({ state }) => state)).toEqual(Array.from({ length: 10 }, () => 'posted'));
    expect(await first.audit()).toEqual([]);
  });

  it('give the last free request to one of 100 parallel requests', async () => {
    const key = await gateways[0].newKey();
    upstream.always((exchange) => exchange.answer());
    const body = { model: 'pureai/fake', messages: [{ role: 'user', content: 'hi' }] };
    for (const gateway of gateways) expect((await gateway.post('/v1/chat/completions', body, key)).status).toBe(200);

    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const answer = await gateways[index % 2 === 0 ? 0 : 1].post('/v1/chat/completions', body, key);
        return { status: answer.status, body: (await answer.json()) as Funding };
      }),
    );

    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    const refusals = answers.filter(({ status }) => status === 402);
    expect(refusals).toHaveLength(99);
    expect(new Set(refusals.map(({ body: { error } }) => error.code))).toEqual(new Set(['free_tier_exceeded']));
    expect(new Set(refusals.map(({ body: { error } }) => error.funding.invoiceId)).size).toBe(1);
    expect(await accountOf(database.pool, key.accountId)).toMatchObject({ posted_msat: 0n, free_used: 3 });
    expect(await gateways[1].audit()).toEqual([]);
  });
});
