import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { forgetAnswers } from '../../src/jobs/forget-answers.ts';
import { readLedgerSums, rollLedgerDays } from '../../src/ledger/ledger-days.ts';
import { refundCharge } from '../../src/ledger/refund.ts';
import { readSpend } from '../../src/ledger/spend.ts';
import { UsageHours } from '../../src/ledger/usage-hours.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPayer, admission, auditOf, openLedger, settlement, type Payer, type TestLedger } from '../support/holds.ts';
import { randomFrom } from '../support/random.ts';
import { until } from '../support/until.ts';

const PROGRAM = fileURLToPath(new URL('../support/job-process.ts', import.meta.url));
const START_LIMIT_MS = 30_000;
const RANDOM_KILLS = 4;

let database: TestDatabase;
let ledger: TestLedger;
let payer: Payer;
const running = new Set<ChildProcess>();

beforeAll(async () => {
  database = await createTestDatabase();
  ledger = openLedger(database);
});
afterAll(async () => {
  await ledger.close();
  await database.drop();
});
beforeEach(async () => {
  payer = await addPayer(database.pool, { balanceMsat: 1_000_000n });
  // What other tests left is added, so that a job's process begins with this test's own.
  await catchUp();
});
afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
});

async function start(job: string): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, [PROGRAM, database.connectionString, job], { stdio: 'ignore' });
  running.add(child);
  const ended = once(child, 'exit').then(() => running.delete(child));
  await once(child, 'spawn');
  return async () => {
    child.kill('SIGKILL');
    await ended;
  };
}

/** The same jobs in another process: they go on with what a killed one left behind. */
async function catchUp(): Promise<void> {
  await new UsageHours(database.pool, { ageSeconds: 0 }).catchUp();
  await rollLedgerDays(database.pool, 0);
  await forgetAnswers(database.pool);
}

async function charge(chargeMsat: bigint): Promise<string> {
  const asked = admission(payer, { mostTokens: 1_000, leastTokens: 1_000 });
  await ledger.holds.settle(settlement(asked, await ledger.holds.admit(asked), chargeMsat));
  return asked.requestId;
}

/** Every sum is what the holds and transfers say, to the msat. */
async function expectNothingLostOrDoubled(): Promise<void> {
  const { rows } = await database.pool.query<{ requests: number; charged: bigint; owed: bigint }>(
    `select (select count(*)::integer from holds where account_id = $1 and state = 'posted') as requests,
       (select coalesce(sum(posted_msat), 0)::bigint from holds where account_id = $1 and state = 'posted') as charged,
       (select coalesce(sum(case when credit = 'wallet' then amount_msat else -amount_msat end), 0)::bigint from transfers) as owed`,
    [payer.accountId],
  );
  const truth = rows[0] ?? { requests: -1, charged: -1n, owed: -1n };
  const { total, byKey } = await readSpend(database.pool, { accountId: payer.accountId, keyId: null, hours: 24, byKey: true });
  expect([total.requestCount, total.chargedMsat]).toEqual([truth.requests, truth.charged]);
  expect([...byKey.values()].reduce((sum, { chargedMsat }) => sum + chargedMsat, 0n)).toBe(truth.charged);
  const sums = await readLedgerSums(database.pool, 30);
  expect(Object.values(sums.total).reduce((sum, each) => sum + each, 0n)).toBe(truth.owed);
  expect(sums.owedMsat).toBe(truth.owed);
  expect(await auditOf(database.pool)).toEqual([]);
}

const isWaiting = async (): Promise<boolean> => {
  const { rowCount } = await database.pool.query(
    `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and pid <> pg_backend_pid()`,
  );
  return rowCount !== 0;
};
const isClosed = async (): Promise<boolean> =>
  (await database.pool.query('select from usage_rollup where closed_to > rolled_to and barrier is not null')).rowCount !== 0;

describe('a process killed in the midst of', () => {
  /** The job; what another transaction does, so that the job cannot go on; and how it shows that the job has come so far. */
  const points: [job: string, midst: string, held: string, reached: () => Promise<boolean>][] = [
    ['usage', 'closing', 'select from usage_rollup for update', isWaiting],
    ['usage', 'what it has closed and not added', 'select pg_current_xact_id()', isClosed],
    ...['usage_hours', 'usage_days', 'key_name_days', 'key_usage_hours'].map((table): (typeof points)[number] => [
      'usage',
      `adding to ${table}`,
      `lock table ${table} in share mode`,
      isWaiting,
    ]),
    ['ledger days', 'adding', 'lock table ledger_days in share mode', isWaiting],
    ['forget answers', 'forgetting', 'lock table idempotency in share mode', isWaiting],
  ];

  it.each(points)('%s: %s loses and doubles nothing', async (job, _midst, held, reached) => {
    await database.pool.query(
      `insert into idempotency (account_id, path, key, body_sha256, request_id, state, answer, expires_at, undelivered)
       select $1, '/', state, '', gen_random_uuid(), 'done', '', now() - interval '2 hours', state = 'undelivered'
       from (values ('delivered'), ('undelivered')) s (state)`,
      [payer.accountId],
    );
    const first = await charge(11n);
    for (const amountMsat of [23n, 47n]) await charge(amountMsat);
    const holder = await database.pool.connect();
    await holder.query('begin');
    try {
      await holder.query(held);
      const kill = await start(job);
      await until(reached, START_LIMIT_MS);
      await kill();
      await holder.query('commit');
    } finally {
      holder.release();
    }
    await until(async () => !(await isWaiting()));
    await expectNothingLostOrDoubled();
    await charge(101n);
    await refundCharge(database.pool, payer.accountId, first);
    await expectNothingLostOrDoubled();
    await catchUp();
    await expectNothingLostOrDoubled();
    const { rows } = await database.pool.query(
      `select (select closed_to = rolled_to and barrier is null from usage_rollup) as added,
         (select array_agg(key) from idempotency where account_id = $1) as kept, (select sum(requests) from usage_hours where account_id = $1)::integer as summed`,
      [payer.accountId],
    );
    expect(rows).toEqual([{ added: true, kept: ['undelivered'], summed: 3 }]);
  });

  const seed = Date.now() % 100_000;
  it(`all of it at any moment, while requests are charged and given back, loses and doubles nothing (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    for (let round = 0; round < RANDOM_KILLS; round++) {
      const kills = await Promise.all([start('usage'), start('ledger days')]);
      const charges = 20 + Math.floor(random() * 60);
      for (let n = 0; n < charges; n++) {
        const id = await charge(BigInt(1 + Math.floor(random() * 900)));
        if (random() < 0.2) await refundCharge(database.pool, payer.accountId, id);
      }
      await Promise.all(kills.map((kill) => kill()));
    }
    await expectNothingLostOrDoubled();
    await catchUp();
    await expectNothingLostOrDoubled();
  });
});
