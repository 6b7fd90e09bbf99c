import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { msat } from '../../src/amount.ts';
import { runwayOf } from '../../src/ledger/runway.ts';
import { readStatement, type TransferKind } from '../../src/ledger/statement.ts';
import { readStatementDays, readStatementSums } from '../../src/ledger/statement-days.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPayer, type Payer } from '../support/holds.ts';
import { randomFrom } from '../support/random.ts';

const LINES = 400;
const DAYS = 12;
const DAY_MS = 86_400_000;
const NOON = Date.UTC(2026, 4, 20, 12);
const seed = Date.now() % 100_000;

interface Line {
  at: Date;
  kind: TransferKind;
  msat: bigint;
  balanceMsat: bigint;
}

let database: TestDatabase;
let payer: Payer;
let lines: Line[];

/** A wallet's history of some days, among that of another wallet: movements come in bursts, and not on every day. */
beforeAll(async () => {
  database = await createTestDatabase({ max: 1 });
  payer = await addPayer(database.pool);
  const other = await addPayer(database.pool);
  const random = randomFrom(seed);
  const times = Array.from({ length: LINES }, () => NOON - Math.floor(random() ** 3 * DAYS * DAY_MS)).toSorted((a, b) => a - b);
  let balanceMsat = 0n;
  lines = [];
  for (const time of times) {
    const dice = random();
    const amount = BigInt(1 + Math.floor(random() * 5_000));
    const kind =
      balanceMsat < 5_000n || dice < 0.1
        ? 'deposit'
        : dice < 0.15
          ? 'refund'
          : dice < 0.2
            ? 'withdrawal'
            : dice < 0.25
              ? 'adjustment'
              : 'charge';
    const signed = kind === 'deposit' || kind === 'refund' || (kind === 'adjustment' && dice < 0.22) ? amount : -amount;
    balanceMsat += signed;
    lines.push({ at: new Date(time), kind, msat: signed, balanceMsat });
    const sides = signed > 0n ? ['lightning_receivable', 'wallet'] : ['wallet', 'revenue'];
    for (const { accountId } of random() < 0.5 ? [other, payer] : [payer]) {
      await database.pool.query(
        `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, request_id, invoice_id, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)`,
        [randomUUID(), accountId, kind, ...sides, amount, balanceMsat, randomUUID(), new Date(time)],
      );
    }
  }
});
afterAll(() => database.drop());

const sumOf = (some: Line[], kind: TransferKind) => some.filter((line) => line.kind === kind).reduce((sum, line) => sum + line.msat, 0n);

describe(`a statement of ${LINES} lines (seed ${seed})`, () => {
  it.each<[what: string, from: number, to: number]>([
    ['all of it', NOON - 13 * DAY_MS, NOON + DAY_MS],
    ['whole days', Date.UTC(2026, 4, 10), Date.UTC(2026, 4, 19)],
    ['parts of days', NOON - 3.3 * DAY_MS, NOON - 0.2 * DAY_MS],
    ['one afternoon', NOON - 5 * DAY_MS, NOON - 4.7 * DAY_MS],
    ['before it begins', NOON - 40 * DAY_MS, NOON - 30 * DAY_MS],
    ['after it ends', NOON + DAY_MS, NOON + 3 * DAY_MS],
  ])('%s: opening and lines make closing, in all and each day, and the same lines are listed', async (_what, from, to) => {
    const { pool } = database;
    const { accountId } = payer;
    const [begins, ends] = [new Date(from), new Date(to)];
    const inside = lines.filter(({ at }) => at >= begins && at < ends);
    const sums = await readStatementSums(pool, accountId, begins, ends);
    const balanceAt = (time: Date) => lines.findLast(({ at }) => at < time)?.balanceMsat ?? 0n;
    expect(sums).toEqual({
      openingMsat: balanceAt(begins),
      closingMsat: balanceAt(ends),
      depositsMsat: sumOf(inside, 'deposit'),
      chargesMsat: -sumOf(inside, 'charge'),
      refundsMsat: sumOf(inside, 'refund'),
      withdrawalsMsat: -sumOf(inside, 'withdrawal'),
      adjustmentsMsat: sumOf(inside, 'adjustment'),
    });

    const days = await readStatementDays(pool, accountId, begins, ends);
    const dayOf = ({ at }: { at: Date }) => at.toISOString().slice(0, 10);
    expect(days.map(({ day }) => day)).toEqual([...new Set(inside.map(dayOf))].toReversed());
    for (const [index, day] of days.entries()) {
      expect(day.openingMsat).toBe(days[index + 1]?.closingMsat ?? sums.openingMsat);
      expect(day.chargesMsat).toBe(
        -sumOf(
          inside.filter((line) => dayOf(line) === day.day),
          'charge',
        ),
      );
    }

    const listed = await readStatement(pool, { accountId, keyId: null, from: begins, to: ends, before: null, limit: LINES });
    expect(listed.map(({ amountMsat }) => amountMsat)).toEqual(inside.map((line) => line.msat).toReversed());
    for (const kind of ['charge', 'deposit', 'adjustment'] as const) {
      const some = await readStatement(pool, { accountId, keyId: null, kind, from: begins, to: ends, before: null, limit: LINES });
      expect(some.map(({ amountMsat }) => amountMsat)).toEqual(
        inside
          .filter((line) => line.kind === kind)
          .map((line) => line.msat)
          .toReversed(),
      );
    }
  });

  it('refuses more days than a page has', async () => {
    const [from, to] = [new Date(NOON - 101 * DAY_MS), new Date(NOON)];
    await expect(readStatementDays(database.pool, payer.accountId, from, to)).rejects.toThrow(RangeError);
  });
});

describe('a balance lasts', () => {
  it.each<[what: string, availableMsat: bigint, chargedMsat: bigint, elapsedDays: number, meanDailyMsat: bigint, daysLeft: number]>([
    ['what it is over the mean day', 9_000n, 7_000n, 7, 1_000n, 9],
    ['by the days that there are', 9_000n, 2_000n, 2, 1_000n, 9],
    ['no time where it is used up', 0n, 2_000n, 2, 1_000n, 0],
    ['by a mean that is rounded up', 10n, 1n, 7, 1n, 10],
  ])('%s', (_what, availableMsat, chargedMsat, elapsedDays, meanDailyMsat, daysLeft) => {
    expect(runwayOf(msat(availableMsat), msat(chargedMsat), elapsedDays * DAY_MS)).toEqual({ meanDailyMsat, daysLeft });
  });
});
