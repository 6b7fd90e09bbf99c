import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { auditJob } from '../../src/jobs/audit-ledger.ts';
import { auditOnward, soundUntil, type OnwardOptions } from '../../src/ledger/sound-audit.ts';
import { transaction } from '../../src/db/postgres.ts';
import { createLog } from '../../src/log.ts';
import { logReader } from '../../src/telemetry/log-reader.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { everythingHappened } from '../support/history.ts';
import { addPayer, deposit, depositIn, openLedger, type Payer, type TestLedger } from '../support/holds.ts';
import { until } from '../support/until.ts';

const DAY = 24 * 3600;
const OPTIONS: OnwardOptions = { oldestHoldSeconds: 3_600, wholeEverySeconds: DAY, settledSeconds: 0 };

let database: TestDatabase;
let ledger: TestLedger;
let payer: Payer;

beforeEach(async () => {
  database = await createTestDatabase();
  ledger = openLedger(database);
  payer = await everythingHappened(database.pool, ledger);
});
afterEach(async () => {
  await ledger.close();
  await database.drop();
});

const audit = (changes: Partial<OnwardOptions> = {}) => auditOnward(database.pool, { ...OPTIONS, ...changes });
const rules = async (changes: Partial<OnwardOptions> = {}) => (await audit(changes)).map(({ rule }) => rule);
const kept = async () => (await database.pool.query('select * from sound_audits')).rows as Record<string, unknown>[];
/** Lets a day pass since the whole history was read. */
const nextDay = () => database.pool.query(`update sound_audits set whole_at = whole_at - interval '1 day'`);
const withoutTriggers = (sql: string) =>
  database.pool.query(`set session_replication_role = replica; ${sql}; set session_replication_role = default`);

describe('an audit that goes on from the one before', () => {
  it('reads everything first, and keeps how far it came and what it counted there', async () => {
    expect(await audit()).toEqual([]);
    const { rows } = await database.pool.query(
      `select max(id) as transfer_id, count(*) as transfers, sum(amount_msat) as amount_msat from transfers`,
    );
    expect(await kept()).toMatchObject(rows);
    await deposit(database.pool, payer.accountId, 5n);
    expect(await audit()).toEqual([]);
    const { rows: later } = await database.pool.query(
      `select max(id) as transfer_id, count(*) as transfers, sum(amount_msat) as amount_msat from transfers`,
    );
    expect(await kept()).toMatchObject(later);
  });

  it('finds what is new and wrong, again and again, and does not go on from there', async () => {
    await audit();
    const before = await kept();
    await deposit(database.pool, payer.accountId, 5n);
    await database.pool.query(`update invoices set received_msat = 6 where received_msat = 5`);
    const found = ['a paid invoice has exactly one deposit of the amount received, on its own account'];
    expect([await rules(), await rules()]).toEqual([found, found]);
    expect(await kept()).toEqual(before);
  });

  it('finds what is old and wrong once a day', async () => {
    await audit();
    await database.pool.query(`update sound_audits set sound_at = sound_at + interval '1 minute'`);
    await database.pool.query(`update invoices set received_msat = received_msat + 1 where received_msat = 500`);
    expect(await rules()).toEqual([]);
    await nextDay();
    expect(await rules()).toEqual(['a paid invoice has exactly one deposit of the amount received, on its own account']);
  });

  it('finds once a day that old transfers are gone, however well what depends on them was changed with them', async () => {
    await audit();
    await withoutTriggers(
      `delete from invoices where received_msat = 500; delete from transfers where amount_msat = 500;
       update accounts set posted_msat = 0, funded_at = null where posted_msat = 500`,
    );
    expect(await rules()).toEqual([]);
    await nextDay();
    expect(await rules()).toEqual(['the transfers that an earlier audit counted are all there, and as they were']);
  });

  it('does not go past a transfer that is still to be committed', async () => {
    const late = await database.pool.connect();
    const { accountId } = await addPayer(database.pool);
    await late.query('begin');
    await late.query(
      `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat)
       values ('late', $1, 'adjustment', 'revenue', 'wallet', 5, 5)`,
      [accountId],
    );
    await deposit(database.pool, payer.accountId, 5n);
    expect(await audit({ settledSeconds: 60 })).toEqual([]);
    await late.query('commit');
    late.release();
    expect((await rules({ settledSeconds: 60 })).length).toBeGreaterThan(0);
  });

  it('does not go past one whose commit waits, as for a standby, for however long', async () => {
    const [late, early] = [await addPayer(database.pool), await addPayer(database.pool)];
    await transaction(database.pool, async (client) => {
      await depositIn(client, late.accountId, 5n);
      await deposit(database.pool, early.accountId, 5n);
      expect(await audit()).toEqual([]);
    });
    expect(await audit()).toEqual([]);
    await nextDay();
    expect(await audit()).toEqual([]);
  });

  it('never goes back, however little of what is new it may count', async () => {
    await audit();
    const before = await kept();
    expect(await audit({ settledSeconds: 3_600 })).toEqual([]);
    expect(await kept()).toEqual(before);
    await nextDay();
    expect(await audit()).toEqual([]);
  });

  it('counts each transfer once, however many audit at once', async () => {
    await Promise.all(Array.from({ length: 6 }, () => audit()));
    for (let round = 0; round < 3; round++) {
      await deposit(database.pool, payer.accountId, 5n);
      expect(await Promise.all(Array.from({ length: 6 }, () => audit()))).toEqual(Array.from({ length: 6 }, () => []));
    }
    await nextDay();
    expect(await audit()).toEqual([]);
  });

  it('knows how far the ledger was sound, for an audit by hand', async () => {
    expect(await soundUntil(database.pool)).toBeUndefined();
    await audit();
    await nextDay();
    expect(await soundUntil(database.pool)).toMatchObject({ transferId: expect.any(BigInt) });
    expect(await soundUntil(database.pool, DAY)).toBeUndefined();
  });
});

describe('the job', () => {
  it('tells each broken rule in one error, with how many break it and some of them', async () => {
    await database.pool.query(
      `insert into accounts (id, free_streams, answer_salt) select gen_random_uuid(), 1, '' from generate_series(1, 30)`,
    );
    await database.pool.query(`update accounts set free_limit = 1e9::integer where free_used > 0`);
    const told: { level: number; rule: string; violations: number; examples: unknown[] }[] = [];
    const log = createLog('error', { write: (line: string) => void told.push(JSON.parse(line) as (typeof told)[number]) });
    const job = auditJob({
      pool: database.pool,
      log,
      observe: logReader(log),
      connectionString: database.connectionString,
      intervalMs: 3_600_000,
      oldestHoldSeconds: 3_600,
    });
    await until(() => told.length === 2);
    await job.stop();
    expect(told).toMatchObject([
      { level: 50, invariant: 4, rule: 'free streams at once are the pending free holds of streams', violations: 30 },
      { level: 50, invariant: 4, violations: 1 },
    ]);
    expect(told.map(({ examples }) => examples.length)).toEqual([5, 1]);
  });
});
