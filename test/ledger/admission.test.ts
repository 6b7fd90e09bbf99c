import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Pool } from '../../src/db/postgres.ts';
import { picoUsd } from '../../src/amount.ts';
import type { Admission, HoldLimits } from '../../src/ledger/hold.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  addKey,
  addPayer,
  admission,
  auditOf,
  deposit,
  openLedger,
  settlement,
  type PayerSettings,
  type TestLedger,
} from '../support/holds.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';

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

/** A ledger of its own for a test with other limits. */
async function withLimits<T>(limits: Partial<HoldLimits>, work: (ledger: TestLedger) => Promise<T>): Promise<T> {
  const own = openLedger(database, limits);
  try {
    return await work(own);
  } finally {
    await own.close();
  }
}

/** The free day is one for all accounts of the database. */
async function freeDayUsed(): Promise<bigint> {
  const { rows } = await database.pool.query<{ used: bigint }>(
    'select coalesce(sum(reserved_pico_usd + spent_pico_usd), 0)::bigint as used from free_days',
  );
  return rows[0]?.used ?? 0n;
}

/** Makes today's requests yesterday's. */
async function letADayPass(pool: Pool): Promise<void> {
  await pool.query('update holds set budget_day = budget_day - 1');
  await pool.query('update accounts set free_day = free_day - 1');
  for (const table of ['budget_days', 'free_days']) {
    // From the oldest on, so that none meets the next one.
    const { rows } = await pool.query<{ day: string }>(`select distinct day from ${table} order by day`);
    for (const { day } of rows) await pool.query(`update ${table} set day = day - 1 where day = $1`, [day]);
  }
}

function dayBefore(day: string): string {
  return new Date(Date.parse(day) - 86_400_000).toISOString().slice(0, 10);
}

describe('an admission', () => {
  it.each<[string, PayerSettings, Partial<Admission>, Record<string, unknown>]>([
    [
      'takes a free slot before the wallet',
      { balanceMsat: 100n, freeLimit: 1 },
      {},
      { verdict: 'admitted', funding: 'free', heldMsat: 0n, freeUsed: 1, availableMsat: 100n },
    ],
    [
      'takes the wallet where no free slot is left',
      { balanceMsat: 100n },
      {},
      { verdict: 'admitted', funding: 'wallet', heldMsat: 20n, availableMsat: 80n, funded: true },
    ],
    [
      'takes the wallet where it costs more than a free request may',
      { balanceMsat: 100n, freeLimit: 1 },
      { freeMaxPicoUsd: picoUsd(19_999n) },
      { verdict: 'admitted', funding: 'wallet', freeUsed: 0 },
    ],
    ['holds all of a balance that just suffices', { balanceMsat: 20n }, {}, { verdict: 'admitted', heldMsat: 20n, availableMsat: 0n }],
    [
      'rounds what it holds up',
      { balanceMsat: 100n },
      { basePicoUsd: picoUsd(10_001n) },
      { verdict: 'admitted', heldMsat: 21n, costPicoUsd: 20_001n },
    ],
    [
      'is refused one msat short',
      { balanceMsat: 19n },
      {},
      { verdict: 'used_up', funding: null, heldMsat: 20n, availableMsat: 19n, funded: true },
    ],
    ['is refused without funds: no free requests', {}, {}, { verdict: 'used_up', funded: false, freeUsed: 0, freeLimit: 0 }],
    [
      'is refused without funds: too costly to be free',
      { freeLimit: 1 },
      { freeMaxPicoUsd: picoUsd(19_999n) },
      { verdict: 'too_costly', freeUsed: 0, freeLimit: 1 },
    ],
    [
      'is refused beyond the budget',
      { balanceMsat: 100n, budgetPicoUsd: 19_999n },
      {},
      { verdict: 'budget', budgetLeftPicoUsd: 19_999n, availableMsat: 100n },
    ],
    ['is refused beyond the budget, free or not', { freeLimit: 1, budgetPicoUsd: 19_999n }, {}, { verdict: 'budget', freeUsed: 0 }],
    ['spends the last of a budget', { balanceMsat: 100n, budgetPicoUsd: 20_000n }, {}, { verdict: 'admitted', budgetLeftPicoUsd: 0n }],
    ['is refused to another version of the key', { balanceMsat: 100n }, { keyVersion: 2 }, { verdict: 'key_changed' }],
    ['is refused to an unknown key', { balanceMsat: 100n }, { keyId: randomUUID() }, { verdict: 'key_gone' }],
    ['is refused to an unknown account', {}, { accountId: randomUUID() }, { verdict: 'unknown_account' }],
    [
      'of a free model needs neither slot nor balance',
      {},
      { basePicoUsd: picoUsd(0n), perTokenPicoUsd: picoUsd(0n) },
      { verdict: 'admitted', funding: 'wallet', heldMsat: 0n, tokens: 10 },
    ],
    [
      "takes the operator's free limit where the account has none",
      { freeLimit: null },
      {},
      { verdict: 'admitted', funding: 'free', freeLimit: 3 },
    ],
  ])('%s', async (_, settings, overrides, verdict) => {
    const payer = await addPayer(database.pool, settings);
    const request = admission(payer, overrides);
    const hold = await ledger.holds.admit(request);
    expect(hold).toMatchObject(verdict);
    const holds = await holdsOf(database.pool, payer.accountId);
    expect(holds.map(({ request_id }) => request_id)).toEqual(hold.verdict === 'admitted' ? [request.requestId] : []);
  });

  it.each<[string, PayerSettings, Partial<Admission>, number]>([
    ['the most that was asked for', { balanceMsat: 10_000n }, {}, 500],
    ['what the balance pays for', { balanceMsat: 110n }, {}, 100],
    ['what the budget pays for', { balanceMsat: 10_000n, budgetPicoUsd: 110_999n }, {}, 100],
    ['what the budget pays for, where it is free', { freeLimit: 1, budgetPicoUsd: 110_999n }, {}, 100],
    ['what a free request may cost', { freeLimit: 1, balanceMsat: 10_000n }, { freeMaxPicoUsd: picoUsd(110_999n) }, 100],
    ['exactly the least', { balanceMsat: 20n }, {}, 10],
    ['the cap of the client, which is never lowered', { balanceMsat: 10_000n }, { leastTokens: 400, mostTokens: 400 }, 400],
  ])('is granted %s', async (_, settings, overrides, tokens) => {
    const payer = await addPayer(database.pool, settings);
    const hold = await ledger.holds.admit(admission(payer, { leastTokens: 10, mostTokens: 500, ...overrides }));
    expect(hold).toMatchObject({ verdict: 'admitted', tokens, costPicoUsd: 10_000n + BigInt(tokens) * 1_000n });
  });

  it('is refused rather than granted less than the client asked for', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 409n });
    expect(await ledger.holds.admit(admission(payer, { leastTokens: 400, mostTokens: 400 }))).toMatchObject({
      verdict: 'used_up',
      heldMsat: 410n,
    });
  });

  it('is granted what is left of the free day, and costs or is refused beyond it', async () => {
    const used = await freeDayUsed();
    await withLimits({ freeDayPicoUsd: picoUsd(used + 110_999n) }, async ({ holds }) => {
      const rich = await addPayer(database.pool, { freeLimit: 5, balanceMsat: 1_000n });
      const first = admission(rich, { mostTokens: 500 });
      const hold = await holds.admit(first);
      expect(hold).toMatchObject({ funding: 'free', tokens: 100 });
      expect(await holds.admit(admission(rich))).toMatchObject({ verdict: 'admitted', funding: 'wallet' });
      const poor = await addPayer(database.pool, { freeLimit: 5 });
      expect(await holds.admit(admission(poor))).toMatchObject({ verdict: 'daily_ceiling', freeUsed: 0 });
      await holds.settle(settlement(first, hold));
      expect(await holds.admit(admission(poor))).toMatchObject({ verdict: 'admitted', funding: 'free' });
    });
  });

  it('keeps an account to its free streams at once, whether it could pay for more or not', async () => {
    await withLimits({ freeStreams: 2 }, async ({ holds }) => {
      const payer = await addPayer(database.pool, { freeLimit: 10 });
      const streams = [admission(payer, { stream: true }), admission(payer, { stream: true }), admission(payer, { stream: true })] as const;
      const verdicts = await Promise.all(streams.map((stream) => holds.admit(stream)));
      expect(verdicts.map(({ verdict }) => verdict)).toEqual(['admitted', 'admitted', 'free_streams']);
      expect(await holds.admit(admission(payer))).toMatchObject({ verdict: 'admitted', funding: 'free' });
      if (verdicts[0]) await holds.settle(settlement(streams[0], verdicts[0], 1n));
      expect(await holds.admit(admission(payer, { stream: true }))).toMatchObject({ verdict: 'admitted', funding: 'free' });
      await deposit(database.pool, payer.accountId, 100n);
      expect(await holds.admit(admission(payer, { stream: true }))).toMatchObject({ verdict: 'admitted', funding: 'wallet' });
    });
  });

  it.each([
    ['revoked', `revoked_at = now()`, 'key_gone'],
    ['expired', `expires_at = now()`, 'key_gone'],
    ['changed', `version = version + 1`, 'key_changed'],
  ])('is refused to a key that was %s after it was read', async (_, change, verdict) => {
    const payer = await addPayer(database.pool, { balanceMsat: 100n, freeLimit: 1 });
    await addKey(database.pool, payer.accountId);
    await database.pool.query(`update api_keys set ${change} where id = $1`, [payer.keyId]);
    expect(await ledger.holds.admit(admission(payer))).toMatchObject({ verdict });
    expect(await accountOf(database.pool, payer.accountId)).toMatchObject({ held_msat: 0n, free_used: 0 });
  });
});

describe('the day of an admission', () => {
  it("is the database's UTC day: a key's budget begins anew, and an old request is settled on its own day", async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 1_000n, budgetPicoUsd: 50_000n });
    const yesterday = admission(payer);
    const held = await ledger.holds.admit(yesterday);
    const { rows } = await database.pool.query<{ today: string }>(`select (now() at time zone 'utc')::date as today`);
    expect(held.budgetDay).toBe(rows[0]?.today);
    await letADayPass(database.pool);

    expect(await ledger.holds.admit(admission(payer, { mostTokens: 500 }))).toMatchObject({ tokens: 40, budgetLeftPicoUsd: 0n });
    await ledger.holds.settle(settlement(yesterday, held, 5n));
    const days = await database.pool.query(
      'select reserved_pico_usd as reserved, spent_pico_usd as spent from budget_days where key_id = $1 order by day',
      [payer.keyId],
    );
    expect(days.rows).toEqual([
      { reserved: 0n, spent: 5_000n },
      { reserved: 50_000n, spent: 0n },
    ]);
    const other = await addKey(database.pool, payer.accountId, 20_000n);
    expect(await ledger.holds.admit(admission({ ...payer, keyId: other }))).toMatchObject({ verdict: 'admitted', budgetLeftPicoUsd: 0n });
  });

  it('counts a slot that a void of the same batch gave back, also as the first free request of the day', async () => {
    const payer = await addPayer(database.pool, { freeLimit: 1 });
    const old = admission(payer);
    const hold = await ledger.holds.admit(old);
    await letADayPass(database.pool);

    const blocker = ledger.holds.admit(admission(await addPayer(database.pool)));
    const voided = ledger.holds.settle(settlement(old, { ...hold, budgetDay: dayBefore(hold.budgetDay) }));
    const admitted = ledger.holds.admit(admission(payer));
    expect(await Promise.all([blocker, voided, admitted])).toMatchObject([
      { verdict: 'used_up' },
      { verdict: 'voided' },
      { verdict: 'admitted', funding: 'free', freeUsed: 1 },
    ]);
  });
});
