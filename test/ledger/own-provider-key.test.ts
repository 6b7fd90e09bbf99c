import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { msat } from '../../src/amount.ts';
import { sweepHolds } from '../../src/jobs/sweep-holds.ts';
import type { Admission } from '../../src/ledger/hold.ts';
import { refundCharge } from '../../src/ledger/refund.ts';
import { readSpend } from '../../src/ledger/spend.ts';
import { readStatement } from '../../src/ledger/statement.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  addPayer,
  admission,
  auditOf,
  openLedger,
  reservedAndSpent,
  settlement,
  type Payer,
  type PayerSettings,
  type TestLedger,
} from '../support/holds.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';

const FEE = msat(30n);

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

/** A request under its caller's own provider key. */
const own = (payer: Payer, overrides: Partial<Admission> = {}) => admission(payer, { feeMsat: FEE, ...overrides });

describe("an admission under the caller's own provider key", () => {
  it.each<[string, PayerSettings, Partial<Admission>, Record<string, unknown>]>([
    ['holds the fee alone', { balanceMsat: 100n }, {}, { verdict: 'admitted', funding: 'byok', heldMsat: 30n, availableMsat: 70n }],
    ['tells its cost all the same', { balanceMsat: 100n }, { mostTokens: 500 }, { tokens: 500, costPicoUsd: 510_000n, heldMsat: 30n }],
    ['takes no free slot', { balanceMsat: 30n, freeLimit: 5 }, {}, { verdict: 'admitted', funding: 'byok', freeUsed: 0 }],
    ['needs neither money nor a free slot where there is no fee', {}, { feeMsat: msat(0n) }, { verdict: 'admitted', heldMsat: 0n }],
    ['takes nothing of a budget', { balanceMsat: 30n, budgetPicoUsd: 1n }, {}, { verdict: 'admitted', budgetLeftPicoUsd: 1n }],
    [
      'is refused one msat short of the fee',
      { balanceMsat: 29n },
      {},
      { verdict: 'fee', funding: null, heldMsat: 30n, availableMsat: 29n },
    ],
    ['is refused the fee although it could be free', { freeLimit: 5 }, {}, { verdict: 'fee', freeUsed: 0 }],
    ['is refused to another version of the key', { balanceMsat: 100n }, { keyVersion: 2 }, { verdict: 'key_changed' }],
  ])('%s', async (_, settings, overrides, verdict) => {
    const payer = await addPayer(database.pool, settings);
    expect(await ledger.holds.admit(own(payer, overrides))).toMatchObject(verdict);
    expect(await reservedAndSpent(database.pool, payer.keyId)).toMatchObject({ budget: [0n, 0n] });
  });

  it('is refused to all of many at once but those whose fee the wallet pays', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 59n });
    const other = openLedger(database);
    const verdicts = await Promise.all(
      Array.from({ length: 50 }, (_, at) => (at % 2 === 0 ? ledger : other).holds.admit(own(payer, { stream: at % 3 === 0 }))),
    );
    await other.close();
    expect(verdicts.filter((one) => one.verdict === 'admitted')).toHaveLength(1);
    expect(verdicts.filter((one) => one.verdict === 'fee')).toHaveLength(49);
    expect(await accountOf(database.pool, payer.accountId)).toEqual({ posted_msat: 59n, held_msat: 30n, free_used: 0, free_streams: 0 });
  });

  it('goes with others of its account in one batch, each by its own rules', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 50n, freeLimit: 1 });
    const asked = [admission(payer), own(payer), admission(payer), own(payer), own(payer, { feeMsat: msat(0n) })];
    const blocker = ledger.holds.admit(admission(await addPayer(database.pool)));
    const verdicts = asked.map((one) => ledger.holds.admit(one));
    await blocker;
    expect((await Promise.all(verdicts)).map(({ verdict, funding }) => funding ?? verdict)).toEqual([
      'free',
      'byok',
      'wallet',
      'fee',
      'byok',
    ]);
  });
});

describe("a settlement under the caller's own provider key", () => {
  it.each([
    ['what was delivered costs the fee', 12n, 'posted', 70n, 12_000n],
    ['what was generated and not delivered costs nothing, but is on record', 0n, 'posted', 100n, 0n],
    ['nothing is owed for nothing', undefined, 'voided', 100n, 0n],
  ] as const)('%s', async (_, cost, verdict, left, spent) => {
    const payer = await addPayer(database.pool, { balanceMsat: 100n, freeLimit: 3 });
    const request = own(payer);
    const hold = await ledger.holds.admit(request);
    expect(await ledger.holds.settle(settlement(request, hold, cost))).toMatchObject({ verdict, availableMsat: left, costPicoUsd: spent });
    expect(await accountOf(database.pool, payer.accountId)).toMatchObject({ posted_msat: left, held_msat: 0n, free_used: 0 });
    expect(await reservedAndSpent(database.pool, payer.keyId)).toMatchObject({ budget: [0n, 0n] });
  });

  it('is in the statement with the fee, and in the spend with both', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 100n });
    const request = own(payer);
    await ledger.holds.settle(settlement(request, await ledger.holds.admit(request), 12n));
    const lines = await readStatement(database.pool, { accountId: payer.accountId, keyId: payer.keyId, before: null, limit: 5 });
    expect(lines).toMatchObject([{ kind: 'charge', amountMsat: -30n, balanceAfterMsat: 70n, requestId: request.requestId }]);
    const { total } = await readSpend(database.pool, { accountId: payer.accountId, keyId: null, hours: 1 });
    expect(total).toMatchObject({ requestCount: 1, costPicoUsd: 12_000n, costMsat: 12n, chargedMsat: 30n });
  });

  it('is given back whole, fee and all, and once', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 100n });
    const request = own(payer);
    await ledger.holds.settle(settlement(request, await ledger.holds.admit(request), 12n));
    const refunds = await Promise.all([1, 2, 3].map(() => refundCharge(database.pool, payer.accountId, request.requestId)));
    expect(refunds.filter(Boolean)).toHaveLength(1);
    expect(await accountOf(database.pool, payer.accountId)).toMatchObject({ posted_msat: 100n, held_msat: 0n });
    expect(await reservedAndSpent(database.pool, payer.keyId)).toMatchObject({ budget: [0n, 0n] });
  });

  it.each([
    ['the fee where something had been delivered', 5n, 'posted', 70n],
    ['nothing where nothing had', null, 'voided', 100n],
  ] as const)('by the sweeper charges %s', async (_, checkpoint, state, left) => {
    const payer = await addPayer(database.pool, { balanceMsat: 100n });
    const request = own(payer, { stream: true });
    const hold = await ledger.holds.admit(request);
    const { requestId, accountId } = request;
    if (checkpoint !== null) {
      const { chargeMsat, costPicoUsd } = settlement(request, hold, checkpoint);
      await ledger.holds.checkpoint({ requestId, accountId, chargeMsat, costPicoUsd });
    }
    await database.pool.query(`update holds set lease_until = clock_timestamp() - interval '1 millisecond' where request_id = $1`, [
      requestId,
    ]);
    await sweepHolds({ pool: database.pool, holds: ledger.holds, observe: () => {}, leaseSeconds: 0.05 });
    expect(await holdsOf(database.pool, accountId)).toMatchObject([{ state, funding: 'byok', posted_msat: 100n - left }]);
    expect(await accountOf(database.pool, accountId)).toMatchObject({ posted_msat: left, held_msat: 0n });
  });

  it.each([
    ['an account that has paid', 100n, 'done'],
    ['one that never has, as a free one’s', 0n, 'interrupted'],
  ] as const)('keeps the answer within the room of %s', async (_, balanceMsat, state) => {
    const roomy = openLedger(database, { answerBytes: 100, freeAnswerBytes: 10 });
    const payer = await addPayer(database.pool, { balanceMsat });
    const request = own(payer, {
      feeMsat: msat(0n),
      idempotency: { path: '/', key: randomBytes(32).toString('hex'), bodySha256: randomBytes(32) },
    });
    const hold = await roomy.holds.admit(request);
    await roomy.holds.settle({ ...settlement(request, hold, 12n), answer: Buffer.alloc(50) });
    await roomy.close();
    const { rows } = await database.pool.query('select state from idempotency where request_id = $1', [request.requestId]);
    expect(rows).toEqual([{ state }]);
  });
});
