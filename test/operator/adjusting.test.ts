import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { msat } from '../../src/amount.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { readActs } from '../../src/operator/acts.ts';
import { adjust, type Adjustment } from '../../src/operator/adjusting.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addAccount, addOwner, deposit } from '../support/funded.ts';
import { accountOf } from '../support/ledger.ts';
import { anAct } from '../support/operator.ts';
import { until } from '../support/until.ts';

const MOST_AT_ONCE = 16;

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase({ max: MOST_AT_ONCE });
});
afterAll(() => database.drop());

/** An account with 1000 sats. */
async function funded(): Promise<string> {
  const owner = await addOwner(database.pool);
  await deposit(database, owner, 1000);
  return owner.accountId;
}

function change(accountId: string, sats: number, act = anAct()): Adjustment {
  return { ...act, accountId, changeMsat: msat(BigInt(sats) * 1000n), network: 'regtest' };
}

const postedMsat = async (accountId: string) => (await accountOf(database.pool, accountId)).posted_msat;
const audit = () => auditLedger(database.pool, { oldestHoldSeconds: 3600 });

describe('an adjustment', () => {
  it('adds and takes, and stands in the record with what was before and after', async () => {
    const accountId = await funded();
    await adjust(database.pool, change(accountId, 250));
    await adjust(database.pool, change(accountId, -1250));
    expect(await postedMsat(accountId)).toBe(0n);
    const acts = await readActs(database.pool, { subject: { kind: 'account', id: accountId }, limit: 10 });
    expect(acts.map(({ act, details }) => [act, details['beforeMsat'], details['afterMsat']])).toEqual([
      ['adjust', '1250000', '0'],
      ['adjust', '1000000', '1250000'],
    ]);
    expect(await audit()).toEqual([]);
  });

  it('is done once, and its form says so where it is sent again with another amount', async () => {
    const accountId = await funded();
    const act = anAct();
    await adjust(database.pool, change(accountId, 250, act));
    await adjust(database.pool, change(accountId, 250, act));
    await expect(adjust(database.pool, change(accountId, 25, act))).rejects.toMatchObject({ code: 'idempotency_conflict' });
    expect(await postedMsat(accountId)).toBe(1_250_000n);
  });

  it('never takes what is reserved', async () => {
    const accountId = await funded();
    await database.pool.query('update accounts set held_msat = 400000 where id = $1', [accountId]);
    await expect(adjust(database.pool, change(accountId, -601))).rejects.toThrow(/at most 600000 msat/);
    await adjust(database.pool, change(accountId, -600));
    expect(await postedMsat(accountId)).toBe(400_000n);
    await database.pool.query('update accounts set held_msat = 0 where id = $1', [accountId]);
  });

  it.each([
    ['nothing', 0, /not nothing/],
    ['more than a bitcoin', 100_000_001, /up to 100,000,000/],
  ])('is not %s', async (_, sats, message) => {
    await expect(adjust(database.pool, change(await funded(), sats))).rejects.toThrow(message);
  });

  it('needs a reason', async () => {
    await expect(adjust(database.pool, change(await funded(), 1, anAct('  x ')))).rejects.toThrow(/Say why/);
  });

  it('gives nothing to who could never spend it, and nothing of another network', async () => {
    await expect(adjust(database.pool, change(await addAccount(database.pool), 1))).rejects.toThrow(/no owner key/);
    const ofMainnet = { ...change(await funded(), 1), network: 'mainnet' };
    await expect(adjust(database.pool, ofMainnet)).rejects.toThrow(/balances are of regtest/);
  });

  it('is found by the audit where nobody recorded it', async () => {
    const other = await createTestDatabase();
    try {
      const owner = await addOwner(other.pool);
      await deposit(other, owner, 10);
      await other.pool.query(
        `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat)
         values ('adjustment:0', $1, 'adjustment', 'write_off', 'wallet', 5, 10005)`,
        [owner.accountId],
      );
      await other.pool.query('update accounts set posted_msat = 10005 where id = $1', [owner.accountId]);
      const violations = await auditLedger(other.pool, { oldestHoldSeconds: 3600 });
      expect(violations.map(({ rule }) => rule)).toEqual(['every adjustment belongs to a write-off, or is what an operator has recorded']);
    } finally {
      await other.drop();
    }
  });
});

describe('many adjustments at once', () => {
  it('the same form sent many times acts once', async () => {
    const accountId = await funded();
    const once = change(accountId, -700);
    const acts = await Promise.all(Array.from({ length: MOST_AT_ONCE }, () => adjust(database.pool, once)));
    expect(new Set(acts.map(({ seq }) => seq)).size).toBe(1);
    expect(await postedMsat(accountId)).toBe(300_000n);
  });

  it('no two of them take the same sats', async () => {
    const accountId = await funded();
    const taken = await Promise.allSettled(Array.from({ length: MOST_AT_ONCE }, () => adjust(database.pool, change(accountId, -300))));
    expect(taken.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    expect(await postedMsat(accountId)).toBe(100_000n);
    expect(await audit()).toEqual([]);
  });

  it('refuses the id of a form for anything else', async () => {
    const act = anAct();
    await adjust(database.pool, change(await funded(), 1, act));
    await expect(adjust(database.pool, change(await funded(), 1, act))).rejects.toThrow(/something else already/);
  });
});

describe('a connection that is killed', () => {
  /** Kills whatever runs such a statement, once it does. */
  async function kill(statement: string): Promise<void> {
    await until(async () => {
      const { rowCount } = await database.pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and query like $1`,
        [`%${statement}%`],
      );
      return (rowCount ?? 0) > 0;
    });
  }

  it.each([
    ['before the transfer', 'lock table transfers in exclusive mode', 'insert into transfers'],
    ['with the transfer made and the record not', 'lock table admin_acts in exclusive mode', 'insert into admin_acts'],
  ])('%s leaves nothing behind, and the form acts once when it is sent again', async (_, lock, statement) => {
    const accountId = await funded();
    const once = change(accountId, -400);
    const blocker = await database.pool.connect();
    try {
      await blocker.query(`begin; ${lock}`);
      const [outcome] = await Promise.all([adjust(database.pool, once).catch((error: unknown) => error), kill(statement)]);
      expect(outcome).toBeInstanceOf(Error);
    } finally {
      await blocker.query('rollback');
      blocker.release();
    }
    expect(await postedMsat(accountId)).toBe(1_000_000n);
    await adjust(database.pool, once);
    await adjust(database.pool, once);
    expect(await postedMsat(accountId)).toBe(600_000n);
    expect(await audit()).toEqual([]);
  });
});
