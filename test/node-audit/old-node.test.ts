import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ActingKey } from '../../src/accounts/acting-key.ts';
import { followOldNode } from '../../src/jobs/follow-old-node.ts';
import { OpenElsewhereWatch } from '../../src/jobs/open-elsewhere-watch.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { msat } from '../../src/amount.ts';
import { openElsewhere } from '../../src/lightning/other-nodes.ts';
import { createLog } from '../../src/log.ts';
import type { Observe } from '../../src/observation.ts';
import { Withdrawing, type WithdrawingOptions } from '../../src/withdrawing.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { FakePayments } from '../support/fake-payments.ts';
import { FakeWallet } from '../support/fake-wallet.ts';
import { foreignInvoice } from '../support/foreign-invoice.ts';
import { addOwner, depositsOf, openFunding } from '../support/funded.ts';
import { accountOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const log = createLog('silent');
let database: TestDatabase;
let owner: ActingKey;
let before: FakeWallet;
let now: FakeWallet;
/** What the node of before says of payments. */
let oldPayments: FakePayments;
let newPayments: FakePayments;

beforeAll(async () => {
  database = await createTestDatabase({ max: 30 });
});
afterAll(async () => {
  expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  await database.drop();
});
beforeEach(async () => {
  owner = await addOwner(database.pool);
  [before, now] = [new FakeWallet({ nodeId: `02before${randomUUID()}` }), new FakeWallet({ nodeId: `02now${randomUUID()}` })];
  [oldPayments, newPayments] = [new FakePayments(), new FakePayments()];
});

/** An open invoice of the node of before. */
async function invoiceOfBefore(sats = 500) {
  const { funding, close } = openFunding(database, before);
  const { invoice } = await funding.fund(owner, { amountSat: sats });
  await close();
  return invoice;
}

const paying = (wallet: FakeWallet, payments: FakePayments): WithdrawingOptions['wallet'] => {
  const { nodeId, backend, network } = wallet;
  return { nodeId, backend, network, payments, status: () => Promise.resolve({ ready: true }) };
};

/** The gateway after the move; `follows` where its configuration still names the node of before. */
function moved({ follows }: { follows: boolean }) {
  const { funding, close } = openFunding(database, now, follows ? { oldWallets: [before] } : {});
  const withdrawing = new Withdrawing({
    ...{ pool: database.pool, wallet: paying(now, newPayments), log, observe: () => {}, allowed: true, maxFeePercent: 1 },
    ...(follows && { oldWallets: [paying(before, oldPayments)] }),
  });
  return { funding, withdrawing, close };
}

async function following<T>(work: () => Promise<T>): Promise<T> {
  const { funding, withdrawing, close } = moved({ follows: true });
  const job = followOldNode({ funding, withdrawing, nodeId: before.nodeId, connectionString: database.connectionString, log });
  try {
    return await work();
  } finally {
    await job.stop();
    await close();
  }
}

const deposits = async () => (await depositsOf(database.pool, owner.accountId)).deposits;

describe('an invoice of the node before', () => {
  it('is credited by the word of its own node, once, though nobody asks', async () => {
    const invoice = await invoiceOfBefore();
    before.settle(invoice.paymentHash, { silently: true });
    await following(() => until(async () => (await deposits()).length > 0));
    const { funding, close } = moved({ follows: true });
    await Promise.all(Array.from({ length: 10 }, () => funding.confirm(invoice)));
    await close();
    expect(await deposits()).toEqual([500_000n]);
    expect(now.lookups).toBe(0);
  });

  it('is not credited by the word of the new node, whatever that says', async () => {
    const invoice = await invoiceOfBefore();
    await now.createInvoice({ amountMsat: msat(1n), expirySeconds: 60, preimage: Buffer.alloc(0) });
    const { funding, close } = moved({ follows: true });
    await funding.credit({ paymentHash: invoice.paymentHash, status: 'settled', receivedMsat: msat(9n) });
    expect(await deposits()).toEqual([]);
    await close();
  });

  it('cannot be called unpaid by a gateway that cannot ask its node', async () => {
    const invoice = await invoiceOfBefore();
    before.settle(invoice.paymentHash, { silently: true });
    const { funding, close } = moved({ follows: false });
    await expect(funding.confirm(invoice)).rejects.toMatchObject({ code: 'lightning_unavailable' });
    expect(await funding.status(owner.accountId, invoice.id)).toMatchObject({ status: 'pending' });
    await close();
    const after = moved({ follows: true });
    before.away = true;
    await expect(after.funding.confirm(invoice)).rejects.toMatchObject({ code: 'lightning_unavailable' });
    before.away = false;
    expect(await after.funding.confirm(invoice)).toMatchObject({ status: 'paid' });
    await after.close();
  });

  it('is made once more by no other node, where its creation was left half done', async () => {
    before.loseAnswers = true;
    const { funding, close } = openFunding(database, before);
    const topUp = { amountSat: 700, idempotencyKey: randomUUID(), bodySha256: Buffer.alloc(32) };
    await expect(funding.fund(owner, topUp)).rejects.toMatchObject({ code: 'lightning_unavailable' });
    await close();
    const after = moved({ follows: true });
    // Paid all the same, it is credited, with the text that its own node has.
    const [paymentHash] = [...before.node.values()].map((state) => state.paymentHash);
    const { invoice: another } = await after.funding.fund(owner, topUp);
    expect(another.paymentHash).not.toEqual(paymentHash);
    if (!paymentHash) throw new Error('no invoice');
    before.settle(paymentHash, { silently: true });
    await after.funding.missedSettlements(before.nodeId);
    await after.funding.checkDue(10, undefined, before.nodeId);
    expect(await deposits()).toEqual([700_000n]);
    await after.close();
  });
});

describe('a withdrawal of the node before', () => {
  /** Sent by the node of before, and not heard of since. */
  async function sentBefore(): Promise<string> {
    const { funding, close } = openFunding(database, before);
    const { invoice } = await funding.fund(owner, { amountSat: 100 });
    await funding.credit(before.settle(invoice.paymentHash));
    await close();
    oldPayments.losesAnswers = true;
    oldPayments.outcome = { status: 'pending', known: true };
    const withdrawing = new Withdrawing({
      pool: database.pool,
      wallet: paying(before, oldPayments),
      log,
      observe: () => {},
      allowed: true,
      maxFeePercent: 1,
    });
    const { paymentRequest } = foreignInvoice({ amountMsat: 10_000n });
    const { withdrawal } = await withdrawing.withdraw({
      owner,
      paymentRequest,
      idempotencyKey: randomUUID(),
      bodySha256: Buffer.alloc(32),
    });
    await withdrawing.drained();
    await database.pool.query(`update withdrawals set next_check_at = now() where id = $1`, [withdrawal.id]);
    return withdrawal.id;
  }

  it.each([
    ['posted', { status: 'paid', feeMsat: msat(7n) }, 89_993n],
    ['released', { status: 'failed', failure: 'no_route' }, 100_000n],
  ] as const)('is %s by the word of its own node', async (_what, outcome, posted) => {
    const id = await sentBefore();
    const [hash] = oldPayments.asked;
    oldPayments.recorded.set(hash ?? '', outcome);
    await following(() =>
      until(async () => {
        const { rows } = await database.pool.query<{ state: string }>(`select state from withdrawals where id = $1`, [id]);
        return rows[0]?.state === outcome.status;
      }),
    );
    expect(await accountOf(database.pool, owner.accountId)).toMatchObject({ posted_msat: posted, held_msat: 0n });
    expect(newPayments.lookups).toBe(0);
  });

  it('that was never sent is released, and sent by no other node', async () => {
    const id = await sentBefore();
    await database.pool.query(`update withdrawals set state = 'creating', sent_at = null, deadline_at = null where id = $1`, [id]);
    oldPayments.recorded.clear();
    const { withdrawing, close } = moved({ follows: true });
    await withdrawing.checkDue(10);
    await withdrawing.checkDue(10, before.nodeId);
    await close();
    expect(await withdrawing.status(owner.accountId, id)).toMatchObject({ state: 'failed', failure: 'not_sent' });
    expect(newPayments.asked).toEqual([]);
  });
});

describe('what is open with a node that is not asked any more', () => {
  it('is told again and again, and in the reason, until the node is followed or has had its last word', async () => {
    await invoiceOfBefore();
    const others = (await openElsewhere(database.pool, [before.nodeId])).map(({ nodeId }) => nodeId);
    const told: unknown[] = [];
    const observe: Observe = (one) => void told.push(one);
    const watch = new OpenElsewhereWatch({ pool: database.pool, nodeIds: [now.nodeId, ...others], observe });
    await watch.look();
    await watch.look();
    expect(told).toEqual([0, 1].map(() => ({ kind: 'open_elsewhere', nodeId: before.nodeId, invoices: 1, withdrawals: 0 })));
    expect(watch.reason).toBe('1 invoices and 0 withdrawals of another node are open, and it is not asked');

    const followed = new OpenElsewhereWatch({ pool: database.pool, nodeIds: [now.nodeId, before.nodeId, ...others], observe });
    await followed.look();
    expect(followed.reason).toBeUndefined();
    await database.pool.query(
      `update invoices set next_check_at = null, state = 'canceled', expires_at = now() - interval '1 day' where node_id = $1`,
      [before.nodeId],
    );
    await watch.look();
    expect(watch.reason).toBeUndefined();
    expect(told).toHaveLength(2);
  });
});
