import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ActingKey } from '../src/accounts/acting-key.ts';
import { Deciding } from '../src/deciding.ts';
import { auditLedger } from '../src/ledger/audit.ts';
import { msat } from '../src/amount.ts';
import { auditNode } from '../src/node-audit/audit-node.ts';
import { KnownNodes } from '../src/lightning/known-nodes.ts';
import { openElsewhere } from '../src/lightning/other-nodes.ts';
import { createLog } from '../src/log.ts';
import { CannotReconcileError } from '../src/operator/reconciling.ts';
import { Withdrawing, type WithdrawingOptions } from '../src/withdrawing.ts';
import { createTestDatabase, type TestDatabase } from './support/database.ts';
import { FakePayments } from './support/fake-payments.ts';
import { FakeWallet } from './support/fake-wallet.ts';
import { foreignInvoice } from './support/foreign-invoice.ts';
import { addOwner, depositsOf, openFunding } from './support/funded.ts';
import { accountOf } from './support/ledger.ts';

const AT_ONCE = 20;
const PAST_EXPIRY_SECONDS = 3600 + 61;
const log = createLog('silent');

let database: TestDatabase;
let owner: ActingKey;
let node: FakeWallet;
let payments: FakePayments;
let now: FakeWallet;

beforeAll(async () => {
  database = await createTestDatabase({ max: 30 });
});
afterAll(async () => {
  await database.drop();
});
beforeEach(async () => {
  owner = await addOwner(database.pool);
  [node, now] = [new FakeWallet({ nodeId: `02before${randomUUID()}` }), new FakeWallet({ nodeId: `02now${randomUUID()}` })];
  payments = new FakePayments();
  const { funding, close } = openFunding(database, node);
  const { invoice } = await funding.fund(owner, { amountSat: 100 });
  await funding.credit(node.settle(invoice.paymentHash));
  await close();
});
afterEach(async () => {
  expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
});

const asked = (): WithdrawingOptions['wallet'] => {
  const { nodeId, backend, network } = node;
  return { nodeId, backend, network, payments, status: () => Promise.resolve({ ready: true }) };
};

/** A gateway that asks the node, and one that was moved away from it. */
const askingIt = (): Deciding => new Deciding({ pool: database.pool, wallets: [asked()], lacksOne: false });
const movedAway = (lacksOne = false): Deciding => new Deciding({ pool: database.pool, wallets: [now], lacksOne });

/** A withdrawal of 10 sats with one more held for its fee, whose outcome nobody has heard; `known` where the node had it under way. */
async function pending({ known = true, secondsLater = PAST_EXPIRY_SECONDS } = {}): Promise<string> {
  payments.outcome = { status: 'pending', known: true };
  payments.losesAnswers = true;
  const withdrawing = new Withdrawing({ pool: database.pool, wallet: asked(), log, observe: () => {}, allowed: true, maxFeePercent: 10 });
  const { paymentRequest } = foreignInvoice({ amountMsat: 10_000n });
  const bodySha256 = Buffer.alloc(32);
  const { withdrawal } = await withdrawing.withdraw({ owner, paymentRequest, idempotencyKey: randomUUID(), bodySha256 });
  await withdrawing.drained();
  await database.pool.query(
    `update withdrawals set expires_at = expires_at - make_interval(secs => $2), deadline_at = deadline_at - make_interval(secs => $2),
       known_at = case when $3 then known_at end where id = $1`,
    [withdrawal.id, secondsLater, known],
  );
  return withdrawal.id;
}

const stateOf = async (id: string) =>
  (await database.pool.query<{ state: string; failure: string | null }>(`select state, failure from withdrawals where id = $1`, [id]))
    .rows[0];
const money = async () => {
  const { posted_msat, held_msat } = await accountOf(database.pool, owner.accountId);
  return { posted: posted_msat, held: held_msat };
};
/** What a test left pending is no other test's. */
const ofNode = <T extends { nodeId: string }>(rows: readonly T[]): T[] => rows.filter(({ nodeId }) => nodeId === node.nodeId);
const refused = (reason: RegExp) => ({ name: 'CannotReconcileError', message: expect.stringMatching(reason) });

describe('a withdrawal whose node had the payment and has no record of it', () => {
  it.each([
    ['booked with the fee that the operator names', { paid: msat(300n) }, { state: 'paid', failure: null }, 89_700n],
    ['released', { paid: undefined }, { state: 'failed', failure: 'given_up' }, 100_000n],
  ])('is %s, once, however many do so at once', async (_what, decision, state, posted) => {
    const id = await pending();
    payments.recorded.clear();
    expect(ofNode(await askingIt().undecided())).toMatchObject([{ id, forgotten: true }]);
    const done = await Promise.all(Array.from({ length: AT_ONCE }, () => askingIt().decide(id, decision)));
    expect(done.filter(Boolean)).toHaveLength(1);
    expect(await stateOf(id)).toEqual(state);
    expect(await money()).toEqual({ posted, held: 0n });
    expect(ofNode(await askingIt().undecided())).toEqual([]);
    // Nor does the audit ask for what the operator has answered.
    expect(await auditNode(database.pool, { ...asked(), lookupInvoice: (hash) => node.lookupInvoice(hash) })).toEqual([]);
  });

  it('is one outcome where one books and another releases at once', async () => {
    const id = await pending();
    payments.recorded.clear();
    const decisions = Array.from({ length: AT_ONCE }, (_, index) => ({ paid: index % 2 === 0 ? msat(0n) : undefined }));
    const done = await Promise.all(decisions.map((decision) => askingIt().decide(id, decision)));
    expect(done.filter(Boolean)).toHaveLength(1);
    const winner = decisions[done.indexOf(true)];
    expect(await money()).toEqual({ posted: winner?.paid === undefined ? 100_000n : 90_000n, held: 0n });
  });

  it.each<[string, () => Promise<string>, RegExp]>([
    ['the node knows the payment', () => pending(), /on record, or cannot be asked/],
    [
      'the node cannot be asked',
      async () => {
        const id = await pending();
        payments.recorded.clear();
        payments.away = true;
        return id;
      },
      /on record, or cannot be asked/,
    ],
    [
      'the node never had it',
      async () => {
        const id = await pending({ known: false });
        payments.recorded.clear();
        return id;
      },
      /released by itself/,
    ],
    [
      'its invoice can still be paid',
      async () => {
        const id = await pending({ secondsLater: 3600 - 120 });
        payments.recorded.clear();
        return id;
      },
      /can still be paid: decide in 3 minutes/,
    ],
    ['there is none', async () => randomUUID(), /knows no withdrawal/],
  ])('is left alone where %s', async (_why, make, reason) => {
    const id = await make();
    const before = await money();
    for (const decision of [{ paid: msat(0n) }, { paid: undefined }])
      await expect(askingIt().decide(id, decision)).rejects.toMatchObject(refused(reason));
    expect(await money()).toEqual(before);
  });

  it('takes no fee above what is held, and nothing twice', async () => {
    const id = await pending();
    payments.recorded.clear();
    await expect(askingIt().decide(id, { paid: msat(1_001n) })).rejects.toThrow(CannotReconcileError);
    expect(await askingIt().decide(id, { paid: msat(1_000n) })).toBe(true);
    expect(await askingIt().decide(id, { paid: undefined })).toBe(false);
    expect(await money()).toEqual({ posted: 89_000n, held: 0n });
  });

  it('that was booked is no violation any more, once the operator says that it was paid', async () => {
    const id = await pending();
    const [hash = ''] = payments.asked;
    payments.recorded.set(hash, { status: 'paid', feeMsat: msat(5n) });
    const withdrawing = new Withdrawing({ pool: database.pool, wallet: asked(), log, observe: () => {}, allowed: true, maxFeePercent: 10 });
    await database.pool.query(`update withdrawals set next_check_at = now() where id = $1`, [id]);
    await withdrawing.checkDue(10);
    await expect(askingIt().decide(id, { paid: msat(0n) })).rejects.toMatchObject(refused(/on record/));
    payments.recorded.clear();
    const audited = () => auditNode(database.pool, { ...asked(), lookupInvoice: (paid) => node.lookupInvoice(paid) });
    expect(await audited()).toHaveLength(1);
    expect(await askingIt().decide(id, { paid: msat(0n) })).toBe(true);
    expect(await audited()).toEqual([]);
    expect(await money()).toEqual({ posted: 89_995n, held: 0n });
  });
});

describe('what is open with a node that is gone for good', () => {
  it('is told of no more, and its withdrawals can be decided, once the operator says so', async () => {
    const id = await pending({ known: false });
    const { funding, close } = openFunding(database, node);
    const { invoice } = await funding.fund(owner, { amountSat: 7 });
    await close();
    expect(ofNode(await movedAway().undecided())).toMatchObject([{ id, nodeId: node.nodeId, forgotten: false }]);
    await expect(movedAway().decide(id, { paid: undefined })).rejects.toMatchObject(refused(/add --gone 02before/));

    expect(await movedAway().giveUp(node.nodeId)).toBe(true);
    expect(await movedAway().giveUp(node.nodeId)).toBe(false);
    expect(ofNode(await movedAway().elsewhere())).toEqual([{ nodeId: node.nodeId, invoices: 0, withdrawals: 1 }]);
    expect(await movedAway().decide(id, { paid: undefined })).toBe(true);
    expect(ofNode(await movedAway().elsewhere())).toEqual([]);
    expect(await money()).toEqual({ posted: 100_000n, held: 0n });

    // Who holds an invoice of that node is asked for another one, instead of to wait for ever.
    const after = openFunding(database, now);
    expect(await after.funding.confirm(invoice)).toMatchObject({ status: 'pending' });
    await after.close();
  });

  it('is followed again should the node answer after all', async () => {
    const { funding, close } = openFunding(database, node);
    const { invoice } = await funding.fund(owner, { amountSat: 7 });
    await movedAway().giveUp(node.nodeId);
    expect(ofNode(await openElsewhere(database.pool, [now.nodeId]))).toEqual([]);
    await new KnownNodes(database.pool).remember({ nodeId: node.nodeId, network: 'regtest' }, Buffer.from(randomUUID()));
    expect(ofNode(await openElsewhere(database.pool, [now.nodeId]))).toEqual([{ nodeId: node.nodeId, invoices: 1, withdrawals: 0 }]);
    await funding.credit(node.settle(invoice.paymentHash, { silently: true }));
    expect((await depositsOf(database.pool, owner.accountId)).deposits).toEqual([100_000n, 7_000n]);
    await close();
  });

  it('stays as it is where the node is asked, or may be the one that cannot be reached, or has nothing open', async () => {
    await pending({ known: false });
    await expect(askingIt().giveUp(node.nodeId)).rejects.toMatchObject(refused(/decides for itself/));
    await expect(movedAway(true).giveUp(node.nodeId)).rejects.toMatchObject(refused(/cannot be reached/));
    await expect(movedAway().giveUp('02other')).rejects.toMatchObject(refused(/nothing is open/));
  });

  it('is no withdrawal to decide while its invoice can still be paid', async () => {
    const id = await pending({ known: false, secondsLater: 0 });
    await movedAway().giveUp(node.nodeId);
    await expect(movedAway().decide(id, { paid: undefined })).rejects.toMatchObject(refused(/can still be paid/));
    expect(await money()).toEqual({ posted: 100_000n, held: 11_000n });
  });
});
