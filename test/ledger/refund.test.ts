import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  idempotencyKeyOf,
  lookUpAnswer,
  type EarlierAnswer,
  type IdempotencyKey,
  type Repeatable,
} from '../../src/records/stored-answer.ts';
import type { Admission } from '../../src/ledger/hold.ts';
import { refundCharge } from '../../src/ledger/refund.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { TEST_ROOT } from '../support/funded.ts';
import { addPayer, admission, auditOf, openLedger, reservedAndSpent, settlement, type Payer, type TestLedger } from '../support/holds.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';

let database: TestDatabase;
let ledgers: [TestLedger, TestLedger];

beforeAll(async () => {
  database = await createTestDatabase();
  ledgers = [openLedger(database), openLedger(database)];
});

afterAll(async () => {
  await Promise.all(ledgers.map((ledger) => ledger.close()));
  await database.drop();
});

afterEach(async () => expect(await auditOf(database.pool)).toEqual([]));

/** A request that was charged (or was free), with an answer under its Idempotency-Key where it has one. */
async function post(payer: Payer, idempotency?: IdempotencyKey): Promise<Admission> {
  const request = admission(payer, { idempotency });
  const [{ holds }] = ledgers;
  const hold = await holds.admit(request);
  const repeatable = idempotency && ((await lookUp(payer, idempotency).catch(() => null)) as Repeatable | null);
  expect(repeatable ?? null).toBeNull();
  await holds.settle({ ...settlement(request, hold, 7n), answer: idempotency && sealed.get(idempotency) });
  return request;
}

const lookUp = ({ accountId }: Payer, idempotency: IdempotencyKey) => lookUpAnswer(database.pool, [TEST_ROOT], accountId, idempotency);
const sealed = new Map<IdempotencyKey, Buffer>();

/** An Idempotency-Key nobody used, and what is stored under it once its request is settled. */
async function keyFor(payer: Payer): Promise<IdempotencyKey> {
  const idempotency = idempotencyKeyOf(randomBytes(8).toString('hex'), '/v1/chat/completions', Buffer.alloc(32, 1)) as IdempotencyKey;
  const { keeping } = (await lookUp(payer, idempotency)) as Repeatable;
  const answer = { status: 200, headers: {}, stream: false, body: Buffer.from('the answer'), lastBytes: 0 };
  sealed.set(idempotency, keeping(false)?.seal(answer) as Buffer);
  return idempotency;
}

const refundOn = (at: number, { accountId, requestId }: Admission) =>
  refundCharge((ledgers[at % 2] as TestLedger).pool, accountId, requestId);

describe('a refund', () => {
  it.each([
    ['a charge', { balanceMsat: 100n }],
    ['a free request', { freeLimit: 1 }],
  ])('gives %s back whole, once, however many ask for it on two gateways', async (_name, settings) => {
    const payer = await addPayer(database.pool, settings);
    const before = { account: await accountOf(database.pool, payer.accountId), sums: await reservedAndSpent(database.pool, payer.keyId) };
    const request = await post(payer);
    expect(await reservedAndSpent(database.pool, payer.keyId)).not.toEqual(before.sums);
    const refunds = await Promise.all(Array.from({ length: 12 }, (_, at) => refundOn(at, request)));
    expect(refunds.filter(Boolean)).toHaveLength(1);
    expect(await accountOf(database.pool, payer.accountId)).toEqual(before.account);
    expect(await reservedAndSpent(database.pool, payer.keyId)).toEqual(before.sums);
    // It is not charged again by who settles it late.
    const verdict = await ledgers[1].holds.settle(settlement(request, { ...(await ledgers[1].holds.admit(admission(payer))) }, 7n));
    expect(verdict).toMatchObject({ verdict: 'already_refunded' });
  });

  it('of what was voided, is pending or belongs to another account does nothing', async () => {
    const [payer, other] = [await addPayer(database.pool, { balanceMsat: 100n }), await addPayer(database.pool)];
    const [{ holds }] = ledgers;
    const voided = admission(payer);
    await holds.settle(settlement(voided, await holds.admit(voided)));
    const pending = admission(payer);
    await holds.admit(pending);
    const posted = await post(payer);
    expect(await Promise.all([voided, pending, { ...posted, accountId: other.accountId }].map((one) => refundOn(0, one)))).toEqual([
      false,
      false,
      false,
    ]);
    expect(await accountOf(database.pool, payer.accountId)).toMatchObject({ posted_msat: 93n, held_msat: 20n });
  });

  it('frees the Idempotency-Key with the answer under it: the repeat runs anew', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 100n });
    const idempotency = await keyFor(payer);
    const request = await post(payer, idempotency);
    const found = (await lookUp(payer, idempotency)) as EarlierAnswer;
    expect(await refundOn(0, request)).toBe(true);
    expect(await found.take(database.pool)).toBeNull();
    expect(await lookUp(payer, idempotency)).toHaveProperty('keeping');
  });

  it('and a repeat with the stored answer exclude each other, whichever is first', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 1_000n });
    const fates = new Set<string>();
    for (let round = 0; round < 40; round++) {
      const idempotency = await keyFor(payer);
      const request = await post(payer, idempotency);
      const repeats = (await Promise.all([lookUp(payer, idempotency), lookUp(payer, idempotency)])) as [EarlierAnswer, EarlierAnswer];
      const work = [
        () => refundOn(0, request),
        () => repeats[0].take(database.pool),
        () => refundOn(1, request),
        () => repeats[1].take(database.pool),
      ];
      const turned = round % 2 === 0 ? work : work.toReversed();
      const results = await Promise.all(turned.map(async (one) => one()));
      const answers = results.filter((result) => result !== null && typeof result === 'object');
      const refunds = results.filter((result) => result === true);
      expect([answers.length, refunds.length]).toEqual(answers.length > 0 ? [2, 0] : [0, 1]);
      fates.add(answers.length > 0 ? 'answered' : 'refunded');
    }
    expect(fates.size).toBe(2);
    expect((await holdsOf(database.pool, payer.accountId)).every(({ state }) => ['posted', 'refunded'].includes(state))).toBe(true);
  });
});
