import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { auditLedger } from '../../src/ledger/audit.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { createSite, fundAccount, type GatewaySite } from '../support/gateway-process.ts';
import { RandomMix, type Told } from '../support/random-mix.ts';
import { randomFrom } from '../support/random.ts';
import { until } from '../support/until.ts';

/** An hour of another mix: `PURA_MINUTES=60 PURA_SEED=7 npm run test:faults -- long-mix`. */
const SEED = Number(process.env['PURA_SEED'] ?? 402);
const MINUTES = Number(process.env['PURA_MINUTES'] ?? 2);
const REQUESTS_A_ROUND = 400;
const TOPUP_SATS = 300;
/** More that a gateway may have in use at the end than half-way. */
const GROWTH_MEGABYTES = 100;
const LIMIT_MS = 60_000;

let database: TestDatabase;
let upstream: FakeProvider;
let site: GatewaySite;

beforeEach(async () => {
  [upstream, database] = await Promise.all([startFakeProvider(), createTestDatabase()]);
  site = createSite({
    deployments: [upstream.deployment(), upstream.deployment({ id: 'spare' })],
    env: { DATABASE_URL: database.connectionString, FREE_TIER_REQUESTS: '40', UPSTREAM_TIMEOUT_SECONDS: '8', HOLD_LEASE_SECONDS: '3' },
  });
});

afterEach(async () => {
  await site.close();
  await upstream.close();
  await database.drop();
});

/** The charges that the ledger has otherwise than the clients were told. */
async function toldOtherwise(told: readonly Told[]): Promise<unknown[]> {
  const { rows } = await database.pool.query(
    `select t.id, t.charged, h.state, h.posted_msat from unnest($1::uuid[], $2::bigint[]) t (id, charged)
     left join holds h on h.request_id = t.id where h.posted_msat is distinct from t.charged`,
    [told.map(({ requestId }) => requestId), told.map(({ chargedMsat }) => chargedMsat)],
  );
  return rows;
}

async function pendingHolds(): Promise<number> {
  const { rows } = await database.pool.query<{ pending: number }>(`select count(*)::integer as pending from holds where state = 'pending'`);
  return rows[0]?.pending ?? NaN;
}

it(
  `${MINUTES} minutes of a random mix on two gateways leave no msat unaccounted for (seed ${SEED})`,
  async () => {
    const gateways = await Promise.all([site.start(), site.start()]);
    const [first] = gateways;
    const keys = await Promise.all(Array.from({ length: 5 }, () => first.newKey()));
    const random = randomFrom(SEED);
    const mix = new RandomMix({ gateways, keys, random });
    upstream.always(mix.behave);
    let answered = 0;
    let halfWay = Infinity;
    const resident = () => Math.max(...gateways.map((gateway) => gateway.residentMegabytes()));
    const endAt = performance.now() + MINUTES * 60_000;
    while (performance.now() < endAt) {
      const payer = keys[Math.floor(random() * 3)];
      if (payer) await fundAccount(database, payer, TOPUP_SATS);
      const told = await mix.run(REQUESTS_A_ROUND);
      answered += told.length;
      await until(async () => (await pendingHolds()) === 0, LIMIT_MS);
      expect(await toldOtherwise(told)).toEqual([]);
      expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
      upstream.forget();
      if (halfWay === Infinity && performance.now() > endAt - MINUTES * 30_000) halfWay = resident();
    }
    process.stderr.write(`${answered} answers, each charged as told; at most ${resident().toFixed(0)} MB a gateway\n`);
    expect(resident() - halfWay).toBeLessThan(GROWTH_MEGABYTES);
    for (const gateway of gateways) expect(await gateway.end('SIGTERM')).toMatchObject({ code: 0 });
    // Nothing of all that was unforeseen.
    for (const gateway of gateways) expect(gateway.output()).not.toContain('"level":50');
  },
  MINUTES * 60_000 + 2 * LIMIT_MS,
);
