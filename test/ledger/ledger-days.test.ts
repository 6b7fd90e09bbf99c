import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addOwner, deposit } from '../support/funded.ts';
import { anAct } from '../support/operator.ts';
import { readLedgerSums, rollLedgerDays } from '../../src/ledger/ledger-days.ts';
import { adjust } from '../../src/operator/adjusting.ts';
import { msat } from '../../src/amount.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const sumOf = (values: Iterable<bigint>) => [...values].reduce((sum, value) => sum + value, 0n);

/** As the transfers themselves have it. */
async function byHand(): Promise<Record<string, bigint>> {
  const { rows } = await database.pool.query<{ kind: string; sum: bigint }>(
    `select kind, sum(case when credit = 'wallet' then amount_msat else -amount_msat end)::bigint as sum from transfers group by kind`,
  );
  return Object.fromEntries(rows.map(({ kind, sum }) => [kind, sum]));
}

async function move(): Promise<void> {
  const owner = await addOwner(database.pool);
  await deposit(database, owner, 100);
  await adjust(database.pool, { ...anAct(), accountId: owner.accountId, changeMsat: msat(-1_001n), network: 'regtest' });
}

it('is the ledger to the msat, whatever was added up already and however many add at once', async () => {
  await move();
  for (let round = 0; round < 3; round++) {
    await Promise.all([move(), rollLedgerDays(database.pool, 0), rollLedgerDays(database.pool, 0), move()]);
    const { owedMsat, total, days } = await readLedgerSums(database.pool, 30);
    const truth = await byHand();
    expect(total).toMatchObject(truth);
    expect(sumOf(Object.values(total))).toBe(owedMsat);
    expect(sumOf(days.map(({ movements }) => movements.deposit))).toBe(truth['deposit']);
  }
});

it('leaves out of its days what is older, and keeps that in its total', async () => {
  await database.pool.query(`update ledger_days set day = day - 40`);
  await rollLedgerDays(database.pool, 0);
  const { total, days, owedMsat } = await readLedgerSums(database.pool, 30);
  expect(total).toMatchObject(await byHand());
  expect(sumOf(Object.values(total))).toBe(owedMsat);
  expect(sumOf(days.flatMap(({ movements }) => Object.values(movements)))).toBeLessThan(owedMsat);
});

it('counts no transfer twice, and misses none that committed late', async () => {
  const late = await database.pool.connect();
  const owner = await addOwner(database.pool);
  await deposit(database, owner, 10);
  await late.query('begin');
  await late.query(
    `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat)
     values ('write-off:late', $1, 'adjustment', 'wallet', 'write_off', 7, 9993)`,
    [owner.accountId],
  );
  await late.query('update accounts set posted_msat = posted_msat - 7 where id = $1', [owner.accountId]);
  await move();
  await rollLedgerDays(database.pool, 0);
  await late.query('commit');
  late.release();
  expect((await readLedgerSums(database.pool, 30)).total).toMatchObject(await byHand());
  await rollLedgerDays(database.pool, 0);
  const { total, owedMsat } = await readLedgerSums(database.pool, 30);
  expect(total).toMatchObject(await byHand());
  expect(sumOf(Object.values(total))).toBe(owedMsat);
});
