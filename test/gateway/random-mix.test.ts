import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';
import { RandomMix } from '../support/random-mix.ts';
import { randomFrom } from '../support/random.ts';
import { until } from '../support/until.ts';

/** Another mix: `PURA_SEED=7 npm test -- random-mix`. */
const SEED = Number(process.env['PURA_SEED'] ?? 402);
const REQUESTS = 400;
const FUNDED_SATS = 300;

let database: TestDatabase;
let upstream: FakeProvider;
let gateways: TestGateway[];

beforeAll(async () => {
  database = await createTestDatabase();
  upstream = await startFakeProvider();
  const options = {
    database,
    deployments: [upstream.deployment(), upstream.deployment({ id: 'spare' })],
    env: { FREE_TIER_REQUESTS: '40', UPSTREAM_TIMEOUT_SECONDS: '8' },
  };
  gateways = [await startGateway(options), await startGateway(options)];
});

afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.close()));
  await upstream.close();
  await database.drop();
});

describe(`a random mix of ${REQUESTS} requests on two gateways (seed ${SEED})`, () => {
  it('leaves every hold resolved, every charge as it was told, every msat accounted for, and nothing under way', async () => {
    const [first] = gateways as [TestGateway, TestGateway];
    const keys = await Promise.all(Array.from({ length: 5 }, () => first.newKey()));
    for (const key of keys.slice(0, 3)) await first.fund(key, FUNDED_SATS);
    const mix = new RandomMix({ gateways, keys, random: randomFrom(SEED) });
    upstream.always(mix.behave);

    const told = await mix.run(REQUESTS);
    await until(() => gateways.every(({ server }) => server.gateway.requests.underWay === 0));

    const holds = (await Promise.all(keys.map(({ accountId }) => holdsOf(database.pool, accountId)))).flat();
    expect(holds.filter(({ state }) => state === 'pending')).toEqual([]);
    const posted = new Map(holds.map((hold) => [hold.request_id, Number(hold.posted_msat)]));
    expect(told.filter(({ requestId, chargedMsat }) => posted.get(requestId) !== chargedMsat)).toEqual([]);
    expect(told.length).toBeGreaterThan(REQUESTS / 10);

    for (const [index, key] of keys.entries()) {
      const spent = (await holdsOf(database.pool, key.accountId)).reduce((sum, { posted_msat }) => sum + posted_msat, 0n);
      const paidIn = index < 3 ? BigInt(FUNDED_SATS) * 1000n : 0n;
      expect(await accountOf(database.pool, key.accountId)).toMatchObject({ posted_msat: paidIn - spent, held_msat: 0n, free_streams: 0 });
    }
    expect(await first.audit()).toEqual([]);
  });
});
