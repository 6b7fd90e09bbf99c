import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ActingKey } from '../../src/accounts/acting-key.ts';
import { msat, picoUsdFromUsd } from '../../src/amount.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import type { NodeBooks } from '../../src/lightning/node-books.ts';
import { invoicePreimage, paymentHashOf } from '../../src/invoices/invoice.ts';
import { describeInvoice, type InvoiceOwner } from '../../src/invoices/invoice-seal.ts';
import { noteOrphan, openOrphans, type Orphan } from '../../src/invoices/orphans.ts';
import { createLog } from '../../src/log.ts';
import { CannotReconcileError, Reconciling } from '../../src/operator/reconciling.ts';
import { Withdrawing } from '../../src/withdrawing.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { FakePayments } from '../support/fake-payments.ts';
import { FakeWallet } from '../support/fake-wallet.ts';
import { foreignInvoice } from '../support/foreign-invoice.ts';
import { addOwner, depositsOf, openFunding, TEST_ROOT } from '../support/funded.ts';
import { accountOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const NODE = '02fake';
const AT_ONCE = 20;
const wallet = new FakeWallet({ nodeId: NODE });

let database: TestDatabase;
let owner: ActingKey;
let reconciling: Reconciling;

beforeAll(async () => {
  database = await createTestDatabase({ max: 30 });
});
afterAll(async () => {
  await database.drop();
});
beforeEach(async () => {
  owner = await addOwner(database.pool);
  reconciling = open();
});
afterEach(async () => {
  expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  for (const orphan of await openOrphans(database.pool, NODE)) await reconciling.dismiss(orphan);
});

function open(): Reconciling {
  const options = { pool: database.pool, roots: [TEST_ROOT], dailyBudgetPicoUsd: picoUsdFromUsd('10') };
  return new Reconciling({ ...options, wallet });
}

/** What the node received for an invoice that the database has lost; `changes` of it. */
async function received(
  invoiceOwner: InvoiceOwner,
  changes: Partial<Orphan> & { root?: typeof TEST_ROOT } = {},
): Promise<Orphan & { invoiceId: string }> {
  const { root = TEST_ROOT, ...others } = changes;
  const invoiceId = randomUUID();
  const paymentHash = paymentHashOf(invoicePreimage([root], invoiceId));
  const orphan: Orphan = {
    ...{ direction: 'received', paymentHash, amountMsat: msat(50_001n), feeMsat: msat(0n), pending: false, happenedAt: new Date() },
    bolt11: foreignInvoice({ amountMsat: 50_000n, paymentHash }).paymentRequest,
    description: describeInvoice([root], { invoiceId, owner: invoiceOwner, amountSat: 50 }),
    ...others,
  };
  await noteOrphan(database.pool, NODE, orphan);
  return { ...orphan, invoiceId };
}

/** What the node paid for no withdrawal that the database knows. */
async function paid(changes: Partial<Orphan> = {}): Promise<Orphan> {
  const { paymentRequest, paymentHash } = foreignInvoice({ amountMsat: 30_000n });
  const orphan: Orphan = {
    ...{ direction: 'paid', paymentHash, amountMsat: msat(30_000n), feeMsat: msat(500n), pending: false, happenedAt: new Date() },
    ...{ bolt11: paymentRequest, description: null },
    ...changes,
  };
  await noteOrphan(database.pool, NODE, orphan);
  return orphan;
}

async function fund(sats: number): Promise<void> {
  const { funding, close } = openFunding(database, wallet);
  const { invoice } = await funding.fund(owner, { amountSat: sats });
  await funding.credit(wallet.settle(invoice.paymentHash));
  await close();
}

/** Each of many processes does the same at once; gives how many of them did it. */
async function inParallel(deal: (process: Reconciling) => Promise<boolean>): Promise<number> {
  const results = await Promise.all(Array.from({ length: AT_ONCE }, () => deal(open())));
  return results.filter(Boolean).length;
}

const balance = async () => (await accountOf(database.pool, owner.accountId)).posted_msat;

describe('a payment that the database has lost', () => {
  it('is credited with its invoice to the account in its seal, once, however many do so at once', async () => {
    const orphan = await received({ accountId: owner.accountId });
    expect(await reconciling.belongsTo(orphan)).toEqual({ accountId: owner.accountId });
    expect(await inParallel((process) => process.credit(orphan))).toBe(1);
    expect(await depositsOf(database.pool, owner.accountId)).toMatchObject({ postedMsat: 50_001n, deposits: [50_001n], funded: true });
    const { funding, close } = openFunding(database, wallet);
    expect(await funding.status(owner.accountId, orphan.invoiceId)).toMatchObject({ status: 'paid', amountSat: 50, receivedMsat: 50_001n });
    await close();
    expect(await reconciling.open()).toEqual([]);
    expect(await reconciling.credit(orphan)).toBe(false);
  });

  it('makes its payer, where nobody had a key, once', async () => {
    const payerKeyId = randomUUID();
    const orphan = await received({ payerKeyId });
    expect(await inParallel((process) => process.credit(orphan))).toBe(1);
    const { rows } = await database.pool.query<{ account_id: string; role: string }>(
      `select account_id, role from api_keys where id = $1`,
      [payerKeyId],
    );
    expect(rows).toMatchObject([{ role: 'owner' }]);
    expect((await depositsOf(database.pool, rows[0]?.account_id ?? '')).deposits).toEqual([50_001n]);
  });

  const UNKNOWN: [string, () => Promise<Orphan>][] = [
    ['without a seal', () => received({ accountId: owner.accountId }, { description: 'Pura top-up: 50 sats' })],
    ['sealed under another secret', () => received({ accountId: owner.accountId }, { root: { id: '0', secret: randomBytes(32) } })],
    ['of another invoice, with a seal copied from ours', () => received({ accountId: owner.accountId }, { paymentHash: randomBytes(32) })],
    ['of an account that is not in this database', () => received({ accountId: randomUUID() })],
  ];
  it.each(UNKNOWN)('%s is credited only to an account that the operator names', async (_which, make) => {
    const orphan = await make();
    expect(await reconciling.belongsTo(orphan)).toEqual({ unknown: expect.any(String) });
    await expect(reconciling.credit(orphan)).rejects.toThrow(CannotReconcileError);
    expect(await balance()).toBe(0n);
    await expect(reconciling.credit(orphan, randomUUID())).rejects.toThrow(/not in this database/);
    expect(await inParallel((process) => process.credit(orphan, owner.accountId))).toBe(1);
    expect(await balance()).toBe(50_001n);
  });

  it('is left to its own invoice where the ledger has that', async () => {
    const orphan = await received({ accountId: owner.accountId });
    await database.pool.query(
      `insert into invoices (id, account_id, backend, node_id, network, payment_hash, bolt11, amount_sat, state, expires_at, next_check_at)
       values ($1, $2, 'lnd', $3, 'regtest', $4, 'ln', 50, 'open', now(), now())`,
      [randomUUID(), owner.accountId, NODE, orphan.paymentHash],
    );
    await expect(reconciling.credit(orphan)).rejects.toThrow(CannotReconcileError);
    expect(await balance()).toBe(0n);
  });
});

describe('a payment that the node made and the database does not know', () => {
  it('is booked as a withdrawal of the account that the operator names, once', async () => {
    await fund(100);
    const orphan = await paid();
    await expect(reconciling.book(orphan)).rejects.toThrow(CannotReconcileError);
    expect(await inParallel((process) => process.book(orphan, owner.accountId))).toBe(1);
    expect(await accountOf(database.pool, owner.accountId)).toMatchObject({ posted_msat: 69_500n, held_msat: 0n });
    expect(await reconciling.open()).toEqual([]);
  });

  it('is booked on the withdrawal that counts as failed', async () => {
    await fund(100);
    const orphan = await paid();
    await database.pool.query(
      `insert into withdrawals (id, account_id, key_id, backend, node_id, network, payment_hash, bolt11, amount_msat, fee_limit_msat, state, failure,
         idempotency_sha256, expires_at, resolved_at)
       values ($1, $2, $3, 'lnd', $4, 'regtest', $5, $6, 30000, 100, 'failed', 'not_sent', '', now(), now())`,
      [randomUUID(), owner.accountId, owner.id, NODE, orphan.paymentHash, orphan.bolt11],
    );
    expect(await reconciling.belongsTo(orphan)).toEqual({ accountId: owner.accountId });
    expect(await inParallel((process) => process.book(orphan))).toBe(1);
    expect(await balance()).toBe(69_500n);
  });

  it('is not booked where the account has less, nor while the node still tries', async () => {
    await fund(30);
    const orphan = await paid();
    await expect(reconciling.book(orphan, owner.accountId)).rejects.toThrow(/does not have the 30500 msat/);
    const pending = await paid({ pending: true });
    await expect(reconciling.book(pending, owner.accountId)).rejects.toThrow(/still tries/);
    expect(await balance()).toBe(30_000n);
    expect(await reconciling.open()).toHaveLength(2);
  });

  it('costs what it did in the end, though it was found on its way', async () => {
    const orphan = await paid({ pending: true, feeMsat: msat(0n) });
    await noteOrphan(database.pool, NODE, { ...orphan, pending: false, feeMsat: msat(700n) });
    expect(await reconciling.open()).toMatchObject([{ pending: false, feeMsat: 700n }]);
  });
});

describe('withdrawals', () => {
  let node: FakePayments;
  /** What the node lists as paid. */
  let listed: Orphan[];
  const books: NodeBooks = {
    payments: (after) => {
      const entries = listed.map((payment, index) => ({
        ...{ index: BigInt(index + 1), paymentHash: payment.paymentHash, status: 'paid' as const, amountMsat: payment.amountMsat },
        ...{ feeMsat: payment.feeMsat, bolt11: payment.bolt11, createdAt: new Date() },
      }));
      return Promise.resolve({ entries: entries.filter(({ index }) => index > after), more: false });
    },
  };

  beforeEach(async () => {
    node = new FakePayments();
    listed = [];
    await database.pool.query(`delete from node_audits`);
    await database.pool.query(`insert into node_audits (node_id, met_at) values ($1, now() - interval '1 hour')`, [NODE]);
  });

  function withdrawals(itsBooks = books): Withdrawing {
    const paying = {
      backend: 'lnd',
      network: 'regtest',
      nodeId: NODE,
      payments: node,
      books: itsBooks,
      status: () => Promise.resolve({ ready: true }),
    } as const;
    return new Withdrawing({
      pool: database.pool,
      wallet: paying,
      log: createLog('silent'),
      observe: () => {},
      allowed: true,
      maxFeePercent: 1,
    });
  }

  /** The node pays, and nobody has compared its books yet; gives the payment's hash. */
  function paysUnknown(): Buffer {
    const { paymentRequest: bolt11, paymentHash } = foreignInvoice({ amountMsat: 30_000n });
    const made = { direction: 'paid', paymentHash, amountMsat: msat(30_000n), feeMsat: msat(500n), pending: false } as const;
    listed.push({ ...made, bolt11, description: null, happenedAt: new Date() });
    return paymentHash;
  }

  const wanted = () => ({
    ...{ owner, paymentRequest: foreignInvoice({ amountMsat: 10_000n }).paymentRequest, idempotencyKey: randomUUID() },
    bodySha256: Buffer.alloc(32),
  });

  it('wait while the node has paid what the ledger does not know, and go on when that is dealt with', async () => {
    await fund(100);
    const paymentHash = paysUnknown();

    // Nobody had compared: the first is held for, and found out before it is sent.
    const { withdrawal } = await withdrawals().withdraw(wanted());
    expect(withdrawal.state).toBe('creating');
    expect(await reconciling.open()).toMatchObject([{ direction: 'paid', paymentHash }]);
    await expect(withdrawals().withdraw(wanted())).rejects.toMatchObject({ code: 'lightning_unavailable', detail: { retryAfter: 300 } });
    await database.pool.query(`update withdrawals set next_check_at = now() where state = 'creating'`);
    await withdrawals().checkDue(10);
    expect(node.asked).toEqual([]);

    const [orphan] = await reconciling.open();
    expect(orphan && (await reconciling.book(orphan, owner.accountId))).toBe(true);
    await database.pool.query(`update withdrawals set next_check_at = now() where state = 'creating'`);
    await until(async () => {
      await withdrawals().checkDue(10);
      return (await withdrawals().status(owner.accountId, withdrawal.id)).state === 'paid';
    });
    expect(node.asked).toHaveLength(1);
    expect(await balance()).toBe(100_000n - 30_500n - 10_007n);
  });

  it('wait where the node paid for a database of before, that met it earlier than the backup tells', async () => {
    await fund(100);
    const paymentHash = paysUnknown();
    await database.pool.query(`update node_audits set met_at = now() + interval '1 minute'`);
    const theirs = { paymentHash: randomBytes(32), status: 'open', description: 'Pura top-up of 1 sat', createdAt: new Date() } as const;
    const { withdrawal } = await withdrawals({
      ...books,
      invoices: (after) => Promise.resolve({ entries: after === 0n ? [{ ...theirs, index: 1n }] : [], more: false }),
    }).withdraw(wanted());
    expect(withdrawal.state).toBe('creating');
    expect(node.asked).toEqual([]);
    expect(await reconciling.open()).toMatchObject([{ direction: 'paid', paymentHash }]);
  });

  it('wait while a deposit is lost', async () => {
    await fund(100);
    const orphan = await received({ accountId: owner.accountId });
    await expect(withdrawals().withdraw(wanted())).rejects.toMatchObject({ code: 'lightning_unavailable' });
    await reconciling.credit(orphan);
    expect((await withdrawals().withdraw(wanted())).withdrawal.state).toBe('paid');
  });

  it('that the node has paid are posted, though the database says that they were never sent', async () => {
    await fund(100);
    const request = wanted();
    node.away = true;
    paysUnknown();
    const { withdrawal } = await withdrawals().withdraw(request);
    expect(withdrawal.state).toBe('creating');
    node.away = false;
    node.recorded.set(withdrawal.paymentHash.toString('hex'), { status: 'paid', feeMsat: msat(3n) });
    // About to expire: by its row alone it would be released.
    await database.pool.query(`update withdrawals set expires_at = now(), next_check_at = now() where id = $1`, [withdrawal.id]);
    await withdrawals().checkDue(10);
    expect(await withdrawals().status(owner.accountId, withdrawal.id)).toMatchObject({ state: 'paid', feeMsat: 3n });
    expect(node.asked).toEqual([]);
    expect(await balance()).toBe(100_000n - 10_003n);
  });
});
