import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { picoUsdFromUsd } from '../../src/amount.ts';
import { readLevels, watchLevels } from '../../src/jobs/watch-levels.ts';
import { createLog } from '../../src/log.ts';
import type { Observation } from '../../src/observation.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { FakeWallet } from '../support/fake-wallet.ts';
import { addOwner, openFunding } from '../support/funded.ts';
import { addPayer, admission, openLedger } from '../support/holds.ts';
import { until } from '../support/until.ts';

const config = { FREE_TIER_GLOBAL_DAILY_USD: picoUsdFromUsd('100') };
const UNABLE = { backend: 'nwc' } as const;
let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database.drop());

describe('the levels', () => {
  it('of an empty database are nothing, and what no wallet tells is unknown', async () => {
    expect(await readLevels({ pool: database.pool, wallet: UNABLE, config })).toEqual({
      owedMsat: 0n,
      heldMsat: 0n,
      spendableMsat: null,
      receivableMsat: null,
      freeSpentPicoUsd: 0n,
      freeReservedPicoUsd: 0n,
      freeCeilingPicoUsd: picoUsdFromUsd('100'),
      invoicesOpen: 0,
      checkOverdueSeconds: 0,
      withdrawalsPending: 0,
      withdrawalOldestSeconds: 0,
      orphans: 0,
      holdsPending: 0,
      holdOldestSeconds: 0,
      autopayPaused: 0,
    });
  });

  it('are those of the ledger, the open invoices and the node', async () => {
    const ledger = openLedger(database);
    const { holds } = ledger;
    const paying = await addPayer(database.pool, { balanceMsat: 500_000n });
    const free = await addPayer(database.pool, { freeLimit: 5 });
    const { heldMsat } = await holds.admit(admission(paying));
    const { costPicoUsd } = await holds.admit(admission(free));
    await database.pool.query(`update holds set created_at = now() - interval '90 seconds'`);
    const { funding, close } = openFunding(database, new FakeWallet({ network: 'simulated' }));
    await funding.fund(await addOwner(database.pool), { amountSat: 500 });
    await Promise.all([close(), ledger.close()]);
    await database.pool.query(`update invoices set next_check_at = now() - interval '20 minutes' where state <> 'paid'`);
    const wallet = { ...UNABLE, means: () => Promise.resolve({ spendableMsat: 7n, receivableMsat: null }) };
    const levels = await readLevels({ pool: database.pool, wallet, config });
    expect(levels).toMatchObject({
      ...{ owedMsat: 500_000n, heldMsat, spendableMsat: 7n, receivableMsat: null, freeReservedPicoUsd: costPicoUsd },
      ...{ invoicesOpen: 1, holdsPending: 2 },
    });
    expect([levels.holdOldestSeconds, levels.checkOverdueSeconds].map((seconds) => Math.floor(seconds / 30))).toEqual([3, 40]);
    expect(heldMsat).toBeGreaterThan(0n);
    expect(costPicoUsd).toBeGreaterThan(0n);
  });

  it('are known where the node is away', async () => {
    const wallet = { ...UNABLE, means: () => Promise.reject(new Error('away')) };
    expect(await readLevels({ pool: database.pool, wallet, config })).toMatchObject({ owedMsat: 0n, spendableMsat: null });
  });

  it('are told by one of the gateways that share a database, and by another one after it', async () => {
    const told: [string, Observation][] = [];
    const start = (name: string) =>
      watchLevels({
        ...{ pool: database.pool, wallet: UNABLE, config, connectionString: database.connectionString, intervalMs: 1 },
        log: createLog('silent'),
        observe: (one) => told.push([name, one]),
      });
    const first = start('first');
    await until(() => told.length > 2);
    const second = start('second');
    await until(() => told.length > 50);
    expect(new Set(told.map(([name]) => name))).toEqual(new Set(['first']));
    await first.stop();
    await until(() => told.some(([name]) => name === 'second'));
    await second.stop();
    expect(told.every(([, { kind }]) => kind === 'levels')).toBe(true);
  });
});
