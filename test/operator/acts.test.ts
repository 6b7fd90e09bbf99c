import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { performAct, readActs } from '../../src/operator/acts.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { anAct } from '../support/operator.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const onGateway = (reason?: string) => ({ ...anAct(reason), act: 'log_level' as const, subject: { kind: 'gateway' as const, id: 'all' } });

it('records who did what, on what, and why, newest first and by page', async () => {
  for (const level of ['debug', 'info', 'warn']) await performAct(database.pool, onGateway(`to ${level}`), async () => ({ level }));
  const first = await readActs(database.pool, { limit: 2 });
  expect(first.map(({ by, act, reason, details }) => [by.name, act, reason, details])).toEqual([
    ['alice', 'log_level', 'to warn', { level: 'warn' }],
    ['alice', 'log_level', 'to info', { level: 'info' }],
  ]);
  const rest = await readActs(database.pool, { limit: 2, before: first.at(-1)?.seq ?? null });
  expect(rest.map(({ reason }) => reason)).toEqual(['to debug']);
});

it('records nothing of what fails', async () => {
  const act = onGateway('it will fail');
  await expect(performAct(database.pool, act, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect((await readActs(database.pool, { limit: 10 })).map(({ id }) => id)).not.toContain(act.id);
});

it.each(['update admin_acts set reason = $$other$$', 'delete from admin_acts', 'truncate admin_acts'])(
  'lets nobody %s',
  async (statement) => {
    await performAct(database.pool, onGateway(), async () => ({}));
    await expect(database.pool.query(statement)).rejects.toThrow(/append-only|referenced in a foreign key/);
  },
);
