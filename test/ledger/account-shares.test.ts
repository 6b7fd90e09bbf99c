import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { picoUsd } from '../../src/amount.ts';
import type { Admission, HoldLimits, HoldVerdict } from '../../src/ledger/hold.ts';
import { refundCharge } from '../../src/ledger/refund.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addKey, addPayer, admission, auditOf, openLedger, settlement, type Payer, type TestLedger } from '../support/holds.ts';
import { accountOf } from '../support/ledger.ts';

/** What each request of these tests costs. */
const COST = 20_000n;

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(() => database.drop());

afterEach(async () => expect(await auditOf(database.pool)).toEqual([]));

/** Two gateways with the limits of a test. */
async function onTwoGateways(limits: Partial<HoldLimits>, work: (ledgers: [TestLedger, TestLedger]) => Promise<void>): Promise<void> {
  const ledgers: [TestLedger, TestLedger] = [openLedger(database, limits), openLedger(database, limits)];
  try {
    await work(ledgers);
  } finally {
    await Promise.all(ledgers.map((ledger) => ledger.close()));
  }
}

interface Asked {
  request: Admission;
  verdict: HoldVerdict;
}

/** All at once, in turn on both gateways and by several keys of the account. */
async function askTogether(
  ledgers: readonly TestLedger[],
  howMany: number,
  payer: Payer,
  overrides: Partial<Admission> = {},
): Promise<Asked[]> {
  const keys = [payer.keyId, await addKey(database.pool, payer.accountId), await addKey(database.pool, payer.accountId)];
  const requests = Array.from({ length: howMany }, (_, at) =>
    admission({ ...payer, keyId: keys[at % 3] ?? '' }, { ...overrides, requestId: randomUUID() }),
  );
  return Promise.all(
    requests.map(async (request, at) => ({ request, verdict: await (ledgers[at % 2] as TestLedger).holds.admit(request) })),
  );
}

function countsOf(asked: readonly Asked[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { verdict } of asked) {
    const name = verdict.verdict === 'admitted' ? `${verdict.funding}` : verdict.verdict;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

const admittedOf = (asked: readonly Asked[]) => asked.filter(({ verdict }) => verdict.verdict === 'admitted');

describe('free requests at once', () => {
  it.each([false, true])('are limited to an account, however many ask on two gateways (stream: %s)', (stream) =>
    onTwoGateways({ freeAtOnce: 5, freeStreams: 100 }, async (ledgers) => {
      const payer = await addPayer(database.pool, { freeLimit: 100 });
      const asked = await askTogether(ledgers, 40, payer, { stream });
      expect(countsOf(asked)).toEqual({ free: 5, free_requests: 35 });
      expect(countsOf(await askTogether(ledgers, 4, await addPayer(database.pool, { freeLimit: 100 }), { stream }))).toEqual({ free: 4 });

      const [posted, voided, ...rest] = admittedOf(asked) as [Asked, Asked, ...Asked[]];
      await ledgers[1].holds.settle(settlement(posted.request, posted.verdict, 3n));
      await ledgers[0].holds.settle(settlement(voided.request, voided.verdict));
      expect(countsOf(await askTogether(ledgers, 10, payer, { stream }))).toEqual({ free: 2, free_requests: 8 });
      expect(rest).toHaveLength(3);
      expect(await accountOf(database.pool, payer.accountId)).toMatchObject({ free_used: 6 });
    }),
  );

  it('over the limit are paid from the wallet, as far as it goes', () =>
    onTwoGateways({ freeAtOnce: 2 }, async (ledgers) => {
      const payer = await addPayer(database.pool, { freeLimit: 100, balanceMsat: 60n });
      expect(countsOf(await askTogether(ledgers, 12, payer))).toEqual({ free: 2, wallet: 3, free_requests: 7 });
    }));
});

describe('the share of a day that one account has for free', () => {
  it('is never passed, to the pico-dollar, however many ask on two gateways, and leaves the rest to others', () =>
    onTwoGateways({ freeSharePicoUsd: picoUsd(7n * COST + COST - 1n) }, async (ledgers) => {
      const payer = await addPayer(database.pool, { freeLimit: 100 });
      expect(countsOf(await askTogether(ledgers, 40, payer))).toEqual({ free: 7, daily_ceiling: 33 });
      expect(countsOf(await askTogether(ledgers, 3, await addPayer(database.pool, { freeLimit: 100 })))).toEqual({ free: 3 });
    }));

  it('shortens an answer to what is left of it', () =>
    onTwoGateways({ freeSharePicoUsd: picoUsd(COST + 5_000n) }, async ([{ holds }]) => {
      const payer = await addPayer(database.pool, { freeLimit: 100 });
      expect(await holds.admit(admission(payer, { leastTokens: 1, mostTokens: 50 }))).toMatchObject({
        verdict: 'admitted',
        tokens: 15,
        costPicoUsd: COST + 5_000n,
      });
    }));

  it('is taken by what was spent, given back by what was released or refunded, and new every day', () =>
    onTwoGateways({ freeSharePicoUsd: picoUsd(3n * COST) }, async (ledgers) => {
      const payer = await addPayer(database.pool, { freeLimit: 100 });
      const [{ holds }] = ledgers;
      const asked = admittedOf(await askTogether(ledgers, 5, payer)) as [Asked, Asked, Asked];
      // Spends half of the first, none of the second, all of the third: half a request less than two is left.
      await Promise.all([
        holds.settle(settlement(asked[0].request, asked[0].verdict, 10n)),
        ledgers[1].holds.settle(settlement(asked[1].request, asked[1].verdict)),
        holds.settle(settlement(asked[2].request, asked[2].verdict, 20n)),
      ]);
      expect(countsOf(await askTogether(ledgers, 6, payer))).toEqual({ free: 1, daily_ceiling: 5 });
      await refundCharge(database.pool, payer.accountId, asked[0].request.requestId);
      await refundCharge(database.pool, payer.accountId, asked[0].request.requestId);
      expect(countsOf(await askTogether(ledgers, 6, payer))).toEqual({ free: 1, daily_ceiling: 5 });

      await database.pool.query(`update holds set budget_day = budget_day - 1 where account_id = $1`, [payer.accountId]);
      await database.pool.query(`update budget_days set day = day - 1 where account_id = $1`, [payer.accountId]);
      const { rows } = await database.pool.query<{ reserved: bigint; spent: bigint }>(
        `select sum(amount_pico_usd) filter (where state = 'pending')::bigint as reserved, sum(posted_pico_usd) filter (where state = 'posted')::bigint as spent
         from holds where account_id = $1`,
        [payer.accountId],
      );
      await database.pool.query(
        `with moved as (update free_days set reserved_pico_usd = reserved_pico_usd - $1, spent_pico_usd = spent_pico_usd - $2 returning day)
         insert into free_days (day, reserved_pico_usd, spent_pico_usd) select day - 1, $1, $2 from moved`,
        [rows[0]?.reserved, rows[0]?.spent],
      );
      await database.pool.query(`update accounts set free_day = free_day - 1 where id = $1`, [payer.accountId]);
      expect(countsOf(await askTogether(ledgers, 6, payer))).toEqual({ free: 3, daily_ceiling: 3 });
    }));
});

describe('stored answers', () => {
  const idempotency = () => ({ path: '/', key: randomUUID(), bodySha256: Buffer.alloc(32) });

  /** Requests with an Idempotency-Key each, settled all at once with answers of so many bytes. */
  async function store(ledgers: readonly TestLedger[], payer: Payer, sizes: readonly number[]): Promise<Record<string, number>> {
    const requests = sizes.map(() => admission(payer, { idempotency: idempotency() }));
    const held = await Promise.all(requests.map((request, at) => (ledgers[at % 2] as TestLedger).holds.admit(request)));
    await Promise.all(
      requests.map((request, at) =>
        (ledgers[at % 2] as TestLedger).holds.settle({
          ...settlement(request, held[at] as HoldVerdict, 1n),
          answer: Buffer.alloc(sizes[at] ?? 0, 1),
        }),
      ),
    );
    const { rows } = await database.pool.query<{ state: string; count: bigint }>(
      'select state, count(*) from idempotency where request_id = any ($1) group by 1',
      [requests.map(({ requestId }) => requestId)],
    );
    return Object.fromEntries(rows.map(({ state, count: number }) => [state, Number(number)]));
  }

  it('take no more than the bytes that an account has in a day, however many are settled at once on two gateways', () =>
    onTwoGateways({ answerBytes: 1_050 }, async (ledgers) => {
      const [payer, other] = [
        await addPayer(database.pool, { balanceMsat: 10_000n }),
        await addPayer(database.pool, { balanceMsat: 10_000n }),
      ];
      const outcomes = await Promise.all([
        store(
          ledgers,
          payer,
          Array.from({ length: 30 }, () => 100),
        ),
        store(ledgers, other, [100, 100]),
      ]);
      expect(outcomes).toEqual([{ done: 10, interrupted: 20 }, { done: 2 }]);
      expect(await store(ledgers, payer, [50])).toEqual({ done: 1 });
      expect(await store(ledgers, payer, [1])).toEqual({ interrupted: 1 });
      await database.pool.query('update accounts set answer_day = answer_day - 1 where id = $1', [payer.accountId]);
      expect(await store(ledgers, payer, [1_050])).toEqual({ done: 1 });
    }));

  it('of free requests take no more than few bytes of their own', () =>
    onTwoGateways({ answerBytes: 1_050, freeAnswerBytes: 250 }, async (ledgers) => {
      const payer = await addPayer(database.pool, { balanceMsat: 10_000n, freeLimit: 100 });
      const many = Array.from({ length: 30 }, () => 100);
      expect(await store(ledgers, payer, many)).toEqual({ done: 2, interrupted: 28 });
      expect(await store(ledgers, payer, [50])).toEqual({ done: 1 });
      expect(await store(ledgers, payer, [1])).toEqual({ interrupted: 1 });
      await database.pool.query('update accounts set free_limit = 0 where id = $1', [payer.accountId]);
      expect(await store(ledgers, payer, many)).toEqual({ done: 10, interrupted: 20 });
      await database.pool.query('update accounts set free_limit = 100, answer_day = answer_day - 1 where id = $1', [payer.accountId]);
      expect(await store(ledgers, payer, [250])).toEqual({ done: 1 });
      await database.pool.query('update accounts set free_limit = 0 where id = $1', [payer.accountId]);
      expect(await store(ledgers, payer, [1_050])).toEqual({ done: 1 });
    }));

  it('that are too large for any day leave the room to those that are settled with them', () =>
    onTwoGateways({ freeAnswerBytes: 250 }, async ([ledger]) => {
      const payer = await addPayer(database.pool, { freeLimit: 100 });
      expect(await store([ledger, ledger], payer, [10, 251, 100, 100])).toEqual({ done: 3, interrupted: 1 });
    }));
});
