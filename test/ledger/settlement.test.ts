import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { msat, picoUsd } from '../../src/amount.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPayer, admission, auditOf, openLedger, reservedAndSpent, settlement, type TestLedger } from '../support/holds.ts';
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

describe('a settlement', () => {
  it('charges what it is told, never more than the hold, and releases the rest', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 100n });
    for (const [charge, charged] of [
      [7n, 7n],
      [20n, 20n],
      [1_000_000n, 20n],
    ] as const) {
      const request = admission(payer);
      const hold = await ledger.holds.admit(request);
      const before = (await accountOf(database.pool, payer.accountId)).posted_msat;
      expect(await ledger.holds.settle(settlement(request, hold, charge))).toMatchObject({
        verdict: 'posted',
        chargedMsat: charged,
        costPicoUsd: charged * 1_000n,
        availableMsat: before - charged,
      });
      expect(await accountOf(database.pool, payer.accountId)).toMatchObject({ posted_msat: before - charged, held_msat: 0n });
    }
    expect(await reservedAndSpent(database.pool, payer.keyId)).toMatchObject({ budget: [0n, 47_000n] });
    const { rows } = await database.pool.query(
      `select amount_msat as charged, balance_after_msat as left from transfers where account_id = $1 and kind = 'charge' order by id`,
      [payer.accountId],
    );
    expect(rows).toEqual([
      { charged: 7n, left: 93n },
      { charged: 20n, left: 73n },
      { charged: 20n, left: 53n },
    ]);
  });

  it('of nothing posts the hold without a transfer', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 100n });
    const request = admission(payer);
    expect(await ledger.holds.settle(settlement(request, await ledger.holds.admit(request), 0n))).toMatchObject({
      verdict: 'posted',
      chargedMsat: 0n,
      availableMsat: 100n,
    });
    const { rows } = await database.pool.query(`select from transfers where request_id = $1`, [request.requestId]);
    expect(rows).toHaveLength(0);
  });

  it('keeps the free slot of what was answered and gives that of a void back', async () => {
    const payer = await addPayer(database.pool, { freeLimit: 2 });
    const [answered, failed] = [admission(payer), admission(payer)];
    const [first, second] = [await ledger.holds.admit(answered), await ledger.holds.admit(failed)];
    expect(await ledger.holds.settle(settlement(answered, first, 15n))).toMatchObject({
      verdict: 'posted',
      chargedMsat: 0n,
      costPicoUsd: 15_000n,
      freeUsed: 2,
    });
    expect(await ledger.holds.settle(settlement(failed, second))).toMatchObject({ verdict: 'voided', costPicoUsd: 0n, freeUsed: 1 });
    expect(await accountOf(database.pool, payer.accountId)).toMatchObject({ free_used: 1, posted_msat: 0n });
  });

  it.each([
    ['posted', 7n, undefined],
    ['posted', 7n, 20n],
    ['voided', undefined, 20n],
  ] as const)('that comes a second time changes nothing and tells what was %s', async (state, first, second) => {
    const payer = await addPayer(database.pool, { balanceMsat: 100n });
    // A hold beside it, so that releasing too much would go unnoticed by the account's CHECKs.
    await ledger.holds.admit(admission(payer));
    const request = admission(payer);
    const hold = await ledger.holds.admit(request);
    expect(await ledger.holds.settle(settlement(request, hold, first))).toMatchObject({ verdict: state });
    const before = await accountOf(database.pool, payer.accountId);
    expect(await ledger.holds.settle(settlement(request, hold, second))).toMatchObject({
      verdict: `already_${state}`,
      chargedMsat: first ?? 0n,
      costPicoUsd: (first ?? 0n) * 1_000n,
      heldMsat: 20n,
    });
    expect(await accountOf(database.pool, payer.accountId)).toEqual(before);
  });

  it('that comes twice in one batch is carried out once, and both are told', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 100n });
    const request = admission(payer);
    const hold = await ledger.holds.admit(request);
    const blocker = ledger.holds.admit(admission(await addPayer(database.pool)));
    const both = [ledger.holds.settle(settlement(request, hold, 7n)), ledger.holds.settle(settlement(request, hold))];
    await blocker;
    expect(await Promise.all(both)).toMatchObject([
      { verdict: 'posted', chargedMsat: 7n, availableMsat: 93n },
      { verdict: 'already_posted', chargedMsat: 7n, availableMsat: 93n },
    ]);
  });

  it("does not touch another account's hold", async () => {
    const owner = await addPayer(database.pool, { balanceMsat: 100n });
    const other = await addPayer(database.pool, { balanceMsat: 100n });
    const request = admission(owner);
    const hold = await ledger.holds.admit(request);
    expect(await ledger.holds.settle({ ...settlement(request, hold, 7n), accountId: other.accountId })).toMatchObject({
      verdict: 'unknown_hold',
    });
    expect(await holdsOf(database.pool, owner.accountId)).toMatchObject([{ state: 'pending' }]);
  });
});

describe('a checkpoint', () => {
  it('moves forward only, within the hold, and only while the hold is pending', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 100n });
    const request = admission(payer);
    const hold = await ledger.holds.admit(request);
    const checkpoint = (amount: bigint) =>
      ledger.holds.checkpoint({
        requestId: request.requestId,
        accountId: payer.accountId,
        chargeMsat: msat(amount),
        costPicoUsd: picoUsd(amount * 1_000n),
      });
    for (const [amount, kept] of [
      [5n, 5n],
      [3n, 5n],
      [9n, 9n],
      [50n, 20n],
    ] as const) {
      expect(await checkpoint(amount)).toMatchObject({ verdict: 'kept' });
      expect(await holdsOf(database.pool, payer.accountId)).toMatchObject([{ state: 'pending', checkpoint_msat: kept }]);
    }
    await ledger.holds.settle(settlement(request, hold, 1n));
    expect(await checkpoint(10n)).toMatchObject({ verdict: 'gone' });
  });
});

describe('an Idempotency-Key', () => {
  const idempotency = (key: string) => ({ path: '/v1/chat/completions', key, bodySha256: randomBytes(32) });
  const stateOf = async (requestId: string) => {
    const { rows } = await database.pool.query<{ state: string; answer: Buffer | null }>(
      'select state, answer from idempotency where request_id = $1',
      [requestId],
    );
    return rows[0] ?? null;
  };

  it('is taken with the hold: a repeat takes nothing, also in the same batch', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 1_000n });
    const repeats = Array.from({ length: 20 }, () => admission(payer, { idempotency: idempotency('same') }));
    const verdicts = await Promise.all(repeats.map((repeat) => ledger.holds.admit(repeat)));
    expect(verdicts.map(({ verdict }) => verdict).sort()).toEqual(['admitted', ...Array.from({ length: 19 }, () => 'idempotency')]);
    expect(await accountOf(database.pool, payer.accountId)).toMatchObject({ held_msat: 20n });
    expect(await ledger.holds.admit(admission(payer, { idempotency: idempotency('other') }))).toMatchObject({ verdict: 'admitted' });
  });

  it('is not taken by a refused admission', async () => {
    const payer = await addPayer(database.pool);
    const request = admission(payer, { idempotency: idempotency('refused') });
    expect(await ledger.holds.admit(request)).toMatchObject({ verdict: 'used_up' });
    expect(await stateOf(request.requestId)).toBeNull();
  });

  it('keeps the answer with the charge, is interrupted by a charge without one, and is freed by a void', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 1_000n });
    const start = async (key: string) => {
      const request = admission(payer, { idempotency: idempotency(key) });
      return { request, hold: await ledger.holds.admit(request) };
    };
    const [done, interrupted, voided] = [await start('done'), await start('interrupted'), await start('voided')];
    expect(await stateOf(done.request.requestId)).toMatchObject({ state: 'running' });
    await ledger.holds.settle({ ...settlement(done.request, done.hold, 5n), answer: Buffer.from('sealed') });
    await ledger.holds.settle(settlement(interrupted.request, interrupted.hold, 5n));
    await ledger.holds.settle(settlement(voided.request, voided.hold));
    expect(await stateOf(done.request.requestId)).toEqual({ state: 'done', answer: Buffer.from('sealed') });
    expect(await stateOf(interrupted.request.requestId)).toEqual({ state: 'interrupted', answer: null });
    expect(await stateOf(voided.request.requestId)).toBeNull();
    expect((await start('done')).hold).toMatchObject({ verdict: 'idempotency' });
    expect((await start('voided')).hold).toMatchObject({ verdict: 'admitted' });
    await database.pool.query(`update idempotency set expires_at = now() - interval '1 second' where account_id = $1`, [payer.accountId]);
    expect((await start('done')).hold).toMatchObject({ verdict: 'admitted' });
    expect((await start('voided')).hold).toMatchObject({ verdict: 'idempotency' });
  });
});
