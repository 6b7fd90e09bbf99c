import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { msat, picoUsd, type PicoUsdPerMsat } from '../../src/amount.ts';
import type { Admission, HoldLimits, HoldVerdict } from '../../src/ledger/hold.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPayer, admission, auditOf, openLedger, reservedAndSpent, settlement, type TestLedger } from '../support/holds.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

let database: TestDatabase;
let ledger: TestLedger;

beforeAll(async () => {
  database = await createTestDatabase();
  ledger = openLedger(database);
});

afterAll(async () => {
  await ledger.close();
  await database.drop();
});

afterEach(async () => expect(await auditOf(database.pool)).toEqual([]));

/** Two gateways' holds over the same database. */
async function withTwoGateways<T>(work: (ledgers: [TestLedger, TestLedger]) => Promise<T>, limits: Partial<HoldLimits> = {}): Promise<T> {
  const ledgers: [TestLedger, TestLedger] = [openLedger(database, limits), openLedger(database, limits)];
  try {
    return await work(ledgers);
  } finally {
    await Promise.all(ledgers.map((one) => one.close()));
  }
}

describe('a poisoned row in a batch', () => {
  it.each<[string, Partial<Admission>, string | RegExp]>([
    ['a cost beyond bigint', { perTokenPicoUsd: picoUsd(9_000_000_000_000_000_000n), leastTokens: 1_000, mostTokens: 1_000 }, '22003'],
    ['a number beyond bigint', { basePicoUsd: picoUsd(10n ** 30n) }, '22003'],
    ['a rate of zero', { picoUsdPerMsat: 0n as PicoUsdPerMsat }, '22012'],
    ['an id that is none', { requestId: 'no uuid' }, '22P02'],
    ['a negative price', { basePicoUsd: picoUsd(-50_000n) }, '23514'],
  ])('fails alone: %s', async (_, overrides, code) => {
    const payer = await addPayer(database.pool, { balanceMsat: 1_000n });
    const good = [admission(payer), admission(payer), admission(payer)];
    const poisoned = ledger.holds.admit(admission(payer, overrides)).catch((error: { code: string }) => error.code);
    const verdicts = good.map((request) => ledger.holds.admit(request));
    const second = ledger.holds.admit(admission(payer, overrides)).catch((error: { code: string }) => error.code);
    expect(await Promise.all(verdicts)).toMatchObject(good.map(() => ({ verdict: 'admitted' })));
    expect([await poisoned, await second]).toEqual([code, code]);
    expect(await holdsOf(database.pool, payer.accountId)).toHaveLength(3);
  });

  it('fails alone: a request id that is taken, or comes twice', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 1_000n });
    const taken = admission(payer);
    await ledger.holds.admit(taken);
    const twice = admission(payer);
    const blocker = ledger.holds.admit(admission(payer));
    const ends = [taken, twice, admission(payer), twice, admission(payer)].map((request) =>
      ledger.holds.admit(request).then(
        ({ verdict }) => verdict,
        (error: { code: string }) => error.code,
      ),
    );
    await blocker;
    expect(await Promise.all(ends)).toEqual(['23505', 'admitted', 'admitted', '23505', 'admitted']);
    expect(await holdsOf(database.pool, payer.accountId)).toHaveLength(5);
  });

  it('does not exist by limits that were lowered below what is used: settlements go through, admissions are refused', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 100n, freeLimit: 2 });
    const requests = [admission(payer), admission(payer), admission(payer)];
    const held = await Promise.all(requests.map(async (request) => ({ request, hold: await ledger.holds.admit(request) })));
    await database.pool.query('update accounts set free_limit = 0 where id = $1', [payer.accountId]);
    await database.pool.query('update api_keys set daily_budget_pico_usd = 1 where id = $1', [payer.keyId]);
    const refused = ledger.holds.admit(admission(payer));
    const settled = held.map(({ request, hold }, index) => ledger.holds.settle(settlement(request, hold, index === 0 ? undefined : 20n)));
    expect(await refused).toMatchObject({ verdict: 'budget' });
    expect(await Promise.all(settled)).toMatchObject([
      { verdict: 'voided' },
      { verdict: 'posted' },
      { verdict: 'posted', budgetLeftPicoUsd: 1n - 40_000n },
    ]);
    expect(await ledger.holds.admit(admission(payer, { basePicoUsd: picoUsd(0n), perTokenPicoUsd: picoUsd(0n) }))).toMatchObject({
      verdict: 'budget',
    });
  });

  it('is refused as a settlement: a negative charge', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 100n });
    const [bad, good] = [admission(payer), admission(payer)];
    const [badHold, goodHold] = [await ledger.holds.admit(bad), await ledger.holds.admit(good)];
    const blocker = ledger.holds.admit(admission(payer));
    const refused = ledger.holds.settle(settlement(bad, badHold, -5n)).catch((error: { code: string }) => error.code);
    const posted = ledger.holds.settle(settlement(good, goodHold, 5n));
    await blocker;
    expect(await refused).toBe('23514');
    expect(await posted).toMatchObject({ verdict: 'posted', chargedMsat: 5n });
  });
});

describe('two gateways on one database', () => {
  it('admit 64 requests of one key at once to exact holds and an exact budget, on a day without a row', async () => {
    await withTwoGateways(async ([first, second]) => {
      const payer = await addPayer(database.pool, { balanceMsat: 10_000n, budgetPicoUsd: 20_000n * 50n });
      const verdicts = await Promise.all(
        Array.from({ length: 64 }, (_, index) => (index % 2 ? first : second).holds.admit(admission(payer))),
      );
      const admitted = verdicts.filter(({ verdict }) => verdict === 'admitted');
      expect(admitted).toHaveLength(50);
      expect(verdicts.filter(({ verdict }) => verdict === 'budget')).toHaveLength(14);
      expect(await accountOf(database.pool, payer.accountId)).toMatchObject({ held_msat: 1_000n });
      expect(await holdsOf(database.pool, payer.accountId)).toHaveLength(50);
      expect(await reservedAndSpent(database.pool, payer.keyId)).toMatchObject({ budget: [1_000_000n, 0n] });
    });
  });

  it('admit exactly 10 of 200 parallel requests on a balance for exactly 10', async () => {
    await withTwoGateways(async ([first, second]) => {
      const payer = await addPayer(database.pool, { balanceMsat: 200n });
      const verdicts = await Promise.all(
        Array.from({ length: 200 }, (_, index) => (index % 2 ? first : second).holds.admit(admission(payer))),
      );
      expect(verdicts.filter(({ verdict }) => verdict === 'admitted')).toHaveLength(10);
      expect(verdicts.filter(({ verdict }) => verdict === 'used_up')).toHaveLength(190);
      expect(await accountOf(database.pool, payer.accountId)).toMatchObject({ posted_msat: 200n, held_msat: 200n });
    });
  });

  it('give the last free slot to one of 100 parallel requests', async () => {
    await withTwoGateways(async ([first, second]) => {
      const payer = await addPayer(database.pool, { freeLimit: 5 });
      for (let used = 0; used < 4; used++) await first.holds.admit(admission(payer));
      const verdicts = await Promise.all(
        Array.from({ length: 100 }, (_, index) => (index % 2 ? first : second).holds.admit(admission(payer))),
      );
      expect(verdicts.filter(({ verdict }) => verdict === 'admitted')).toHaveLength(1);
      expect(verdicts.filter(({ verdict }) => verdict === 'used_up')).toHaveLength(99);
      expect(await accountOf(database.pool, payer.accountId)).toMatchObject({ free_used: 5 });
    });
  });

  it('spend a free day to the last request and no further, whichever accounts ask', async () => {
    const { freeDay } = await reservedAndSpent(database.pool, (await addPayer(database.pool)).keyId);
    const limits = { freeDayPicoUsd: picoUsd(freeDay[0] + freeDay[1] + 7n * 20_000n) };
    await withTwoGateways(async ([first, second]) => {
      const payers = await Promise.all(Array.from({ length: 8 }, () => addPayer(database.pool, { freeLimit: 5 })));
      const asked = payers.flatMap((payer) => [first, second].map(({ holds }) => holds.admit(admission(payer))));
      const verdicts = (await Promise.all(asked)).map(({ verdict }) => verdict);
      expect(verdicts.filter((verdict) => verdict === 'admitted')).toHaveLength(7);
      expect(verdicts.filter((verdict) => verdict === 'daily_ceiling')).toHaveLength(9);
    }, limits);
  });

  it('settle a hold once, however often both of them try', async () => {
    await withTwoGateways(async ([first, second]) => {
      const payer = await addPayer(database.pool, { balanceMsat: 100n });
      const request = admission(payer);
      const hold = await first.holds.admit(request);
      const ends = await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          (index % 2 ? first : second).holds.settle(settlement(request, hold, index % 3 ? BigInt(index % 20) : undefined)),
        ),
      );
      const carriedOut = ends.filter(({ verdict }) => verdict === 'posted' || verdict === 'voided');
      expect(carriedOut).toHaveLength(1);
      for (const end of ends) {
        expect(end.verdict.replace('already_', '')).toBe(carriedOut[0]?.verdict);
        expect(end.chargedMsat).toBe(carriedOut[0]?.chargedMsat);
      }
    });
  });
});

describe('an account whose row another transaction has locked', () => {
  it('is refused within about a second, and nobody else waits; what must land lands when the lock is gone', async () => {
    const locked = await addPayer(database.pool, { balanceMsat: 1_000n });
    const running = admission(locked);
    const hold = await ledger.holds.admit(running);
    const others = await Promise.all(Array.from({ length: 5 }, () => addPayer(database.pool, { balanceMsat: 1_000n })));
    const locker = await database.pool.connect();
    try {
      await locker.query('begin');
      await locker.query('select from accounts where id = $1 for update', [locked.accountId]);
      const began = performance.now();
      const refusal = { afterMs: 0 };
      const refused = ledger.holds.admit(admission(locked)).catch((error: { reason: string }) => {
        refusal.afterMs = performance.now() - began;
        return error.reason;
      });
      let landed = false;
      const settled = ledger.holds.settle(settlement(running, hold, 7n)).then((verdict) => {
        landed = true;
        return verdict;
      });
      while (refusal.afterMs === 0) {
        for (const payer of others) {
          const asked = performance.now();
          const request = admission(payer);
          const own = await ledger.holds.admit(request);
          expect(await ledger.holds.settle(settlement(request, own, 1n))).toMatchObject({ verdict: 'posted' });
          expect(performance.now() - asked).toBeLessThan(900);
        }
      }
      expect(await refused).toBe('locked');
      expect(refusal.afterMs).toBeGreaterThan(900);
      expect(refusal.afterMs).toBeLessThan(8_000);
      expect(landed).toBe(false);
      await locker.query('commit');
      expect(await settled).toMatchObject({ verdict: 'posted', chargedMsat: 7n });
    } finally {
      locker.release();
    }
  });

  it('leaves room for all others, also where many accounts are locked at once', async () => {
    const locked = await Promise.all(Array.from({ length: 12 }, () => addPayer(database.pool, { balanceMsat: 1_000n })));
    const free = await addPayer(database.pool, { balanceMsat: 1_000n });
    const running = await Promise.all(
      locked.map(async (payer) => {
        const request = admission(payer);
        return { request, hold: await ledger.holds.admit(request) };
      }),
    );
    const locker = await database.pool.connect();
    try {
      await locker.query('begin');
      await locker.query('select from accounts where id = any ($1) for update', [locked.map(({ accountId }) => accountId)]);
      const settled = running.map(({ request, hold }) => ledger.holds.settle(settlement(request, hold, 3n)));
      await until(async () => {
        const { rows } = await database.pool.query(
          `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        );
        return rows.length >= 4;
      });
      const asked = performance.now();
      expect(await ledger.holds.admit(admission(free))).toMatchObject({ verdict: 'admitted' });
      expect(performance.now() - asked).toBeLessThan(900);
      await locker.query('commit');
      expect(await Promise.all(settled)).toMatchObject(running.map(() => ({ verdict: 'posted', chargedMsat: 3n })));
    } finally {
      locker.release();
    }
  });
});

describe('a batch in a database that was just made', () => {
  it('finds its holds by their ids, and not among all that are pending', async () => {
    const own = await createTestDatabase({ max: 1 });
    const { holds, pool, close } = openLedger(own, {}, { max: 1 });
    const payer = await addPayer(own.pool, { balanceMsat: 10_000n });
    const requests = Array.from({ length: 20 }, () => admission(payer));
    const held = await Promise.all(requests.map((request) => holds.admit(request)));
    await Promise.all(
      requests.map(({ requestId, accountId }) =>
        holds.checkpoint({ requestId, accountId, chargeMsat: msat(1n), costPicoUsd: picoUsd(1n) }),
      ),
    );
    await Promise.all(requests.map((request, index) => holds.settle(settlement(request, held[index] as HoldVerdict, 5n))));
    await pool.query('select pg_stat_force_next_flush()');
    const { rows } = await own.pool.query<{ indexrelname: string; idx_scan: bigint }>(
      `select indexrelname, idx_scan from pg_stat_user_indexes where relname = 'holds'`,
    );
    const scans = Object.fromEntries(rows.map(({ indexrelname, idx_scan }) => [indexrelname, idx_scan]));
    expect(scans['holds_pending']).toBe(0n);
    expect(scans['holds_pkey']).toBeGreaterThan(0n);
    await close();
    await own.drop();
  });
});
