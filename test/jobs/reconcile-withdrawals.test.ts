import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { reconcileWithdrawals } from '../../src/jobs/reconcile-withdrawals.ts';
import { createLog } from '../../src/log.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});

it('withdrawals that are pending for long are told of at once and again and again, by one gateway of several', async () => {
  const told = [0, 0];
  const jobs = told.map((_none, index) =>
    reconcileWithdrawals({
      withdrawing: { checkDue: () => Promise.resolve(0), tellOfLong: async () => void (told[index] = (told[index] ?? 0) + 1) },
      connectionString: database.connectionString,
      log: createLog('silent'),
      tellMs: 1,
    }),
  );
  await until(() => told.some((times) => times >= 2));
  expect(told).toContain(0);
  await Promise.all(jobs.map((job) => job.stop()));
});
