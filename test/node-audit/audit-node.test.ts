import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { msat } from '../../src/amount.ts';
import type { ActingKey } from '../../src/accounts/acting-key.ts';
import { nodeAuditJob } from '../../src/jobs/audit-node.ts';
import { reconcileInvoices } from '../../src/jobs/reconcile-invoices.ts';
import { auditNode, compareBooks, type AuditedWallet } from '../../src/node-audit/audit-node.ts';
import { describeInvoice } from '../../src/invoices/invoice-seal.ts';
import { createLndWallet } from '../../src/lightning/lnd/lnd.ts';
import { openOrphans } from '../../src/invoices/orphans.ts';
import type { Wallet } from '../../src/lightning/wallet.ts';
import { createLog } from '../../src/log.ts';
import type { Observe } from '../../src/observation.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { FakeLnd } from '../support/fake-lnd.ts';
import { foreignInvoice } from '../support/foreign-invoice.ts';
import { addOwner, depositsOf, openFunding, TEST_ROOT } from '../support/funded.ts';
import { until } from '../support/until.ts';

const log = createLog('silent');
let database: TestDatabase;
let lnd: FakeLnd;
let wallet: Wallet;
let account: string;
let owner: ActingKey;
const closing: (() => Promise<void> | void)[] = [];

beforeEach(async () => {
  database = await createTestDatabase({ max: 20 });
  lnd = await new FakeLnd().start();
  // Every list takes several pages.
  lnd.page = 2;
  const options = { deadlineMs: 2_000, probeMs: 50, startMs: 0, macaroon: Buffer.from('0201', 'hex'), cert: lnd.cert };
  wallet = await createLndWallet({ socket: lnd.socket, pool: database.pool, log, observe: () => {}, ...options });
  owner = await addOwner(database.pool);
  account = owner.accountId;
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await wallet.close();
  lnd.stop();
  await database.drop();
});

function openGateway(observe: Observe = () => {}) {
  const { funding, close } = openFunding(database, wallet, { observe });
  closing.push(close);
  return funding;
}

/** A deposit, as its invoice's payment makes it. */
async function deposit(sats: number): Promise<{ id: string; paymentHash: Buffer }> {
  const funding = openGateway();
  const { invoice } = await funding.fund(owner, { amountSat: sats });
  lnd.settle(invoice.paymentHash);
  await funding.settled(invoice.paymentHash);
  return invoice;
}

/** A withdrawal that the ledger has in this state, of an invoice of 1,000 sats. */
async function withdrawal(state: string): Promise<{ id: string; bolt11: string; paymentHash: Buffer }> {
  const { paymentRequest, paymentHash } = foreignInvoice({ amountMsat: 1_000_000n });
  const id = randomUUID();
  const ended = state === 'paid' || state === 'failed';
  const { rows } = await database.pool.query<{ id: bigint }>(
    `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat)
     select 'withdrawal:' || $1, $2, 'withdrawal', 'wallet', 'lightning_receivable', 1005000, 0 where $3 returning id`,
    [paymentHash.toString('hex'), account, state === 'paid'],
  );
  await database.pool.query(
    `insert into withdrawals (id, account_id, key_id, backend, node_id, network, payment_hash, bolt11, amount_msat, fee_limit_msat, fee_msat, state,
       transfer_id, idempotency_sha256, expires_at, sent_at, deadline_at, resolved_at, next_check_at)
     values ($1, $2, $1, 'lnd', $3, 'regtest', $4, $5, 1000000, 10000, $6, $7, $8, '', now() + interval '1 hour', now(), now(),
       case when $9 then now() end, case when not $9 then now() end)`,
    [id, account, wallet.nodeId, paymentHash, paymentRequest, state === 'paid' ? 5_000n : null, state, rows[0]?.id ?? null, ended],
  );
  return { id, bolt11: paymentRequest, paymentHash };
}

/** The wallet, with what the node says of single payments: the same as in its list. */
const audited = (): AuditedWallet => ({
  nodeId: wallet.nodeId,
  ...(wallet.books && { books: wallet.books }),
  lookupInvoice: (hash) => wallet.lookupInvoice(hash),
  payments: {
    pay: () => Promise.reject(new Error('nobody pays here')),
    async lookupPayment(hash) {
      const found = lnd.payments.find(({ payment_hash }) => payment_hash === hash.toString('hex'));
      if (!found) return null;
      if (found.status === 'SUCCEEDED') return { status: 'paid', feeMsat: msat(BigInt(found.fee_msat)) };
      return found.status === 'FAILED' ? { status: 'failed', failure: 'other' } : { status: 'pending', known: true };
    },
  },
});

const violations = async (options: { full: boolean }) =>
  (await compareBooks(database.pool, audited(), options)).violations.map(({ invariant, subject, expected, found }) => {
    expect(invariant).toBe(9);
    return [subject, expected, found];
  });

/** The invoice and its deposit are gone, as from a backup that was made before. */
async function forget({ id }: { id: string }): Promise<void> {
  await database.pool.query(`
    begin; set local session_replication_role = replica;
    delete from transfers where invoice_id = '${id}'; delete from invoices where id = '${id}'; commit`);
}

function settleLongAgo(paymentHash: Buffer): void {
  lnd.settle(paymentHash, { silently: true });
  Object.assign(lnd.invoices.get(paymentHash.toString('hex')) ?? {}, { settle_date: String(Math.floor(Date.now() / 1000) - 3_600) });
}

describe('the node and the ledger', () => {
  it('agree on what was deposited, what was paid out and what is still open', async () => {
    for (const sats of [100, 200, 300]) await deposit(sats);
    await openGateway().fund(owner, { amountSat: 400 });
    const paid = await withdrawal('paid');
    lnd.pay({ bolt11: paid.bolt11, fee_msat: '5000' });
    const failed = await withdrawal('failed');
    lnd.pay({ bolt11: failed.bolt11, status: 'FAILED' });
    const sent = await withdrawal('sent');
    lnd.pay({ bolt11: sent.bolt11, status: 'IN_FLIGHT' });
    for (const full of [true, false, false]) expect(await violations({ full })).toEqual([]);
  });

  it.each([true, false])('differ where the node received what the ledger has lost, looking at everything: %s', async (full) => {
    await deposit(100);
    const lost = await deposit(500);
    await deposit(300);
    await forget(lost);
    const hash = lost.paymentHash.toString('hex');
    for (let turn = 0; turn < 3; turn++) expect(await violations({ full })).toEqual([[hash, '500000', '0']]);
    expect(await openOrphans(database.pool, wallet.nodeId)).toMatchObject([{ direction: 'received', amountMsat: 500_000n }]);
  });

  it.each([true, false])(
    'differ where a payment came late to an invoice that was looked at before, looking at everything: %s',
    async (full) => {
      const { invoice } = await openGateway().fund(owner, { amountSat: 500 });
      for (const sats of [100, 200, 300]) await deposit(sats);
      expect(await violations({ full })).toEqual([]);
      settleLongAgo(invoice.paymentHash);
      for (let turn = 0; turn < 2; turn++) expect(await violations({ full })).toEqual([[invoice.id, '500000', '0']]);
    },
  );

  it.each([true, false])('differ where a withdrawal that counts as failed was paid, looking at everything: %s', async (full) => {
    const failed = await withdrawal('failed');
    lnd.pay({ bolt11: failed.bolt11, status: 'IN_FLIGHT' });
    const hash = failed.paymentHash.toString('hex');
    expect(await violations({ full })).toEqual([[hash, '1000000', '0']]);
    lnd.pay({ bolt11: failed.bolt11, status: 'FAILED' });
    expect(await violations({ full })).toEqual([]);
    lnd.pay({ bolt11: failed.bolt11, status: 'SUCCEEDED' });
    expect(await violations({ full: true })).toEqual([[hash, '1000000', '0']]);
  });

  it.each([true, false])('differ where the node paid for nothing that the ledger knows, looking at everything: %s', async (full) => {
    lnd.pay({ bolt11: foreignInvoice({ amountMsat: 700_000n }).paymentRequest, fee_msat: '1000' });
    const [payment] = lnd.payments;
    for (let turn = 0; turn < 2; turn++) expect(await violations({ full })).toEqual([[payment?.payment_hash, '701000', '0']]);
  });

  it.each([true, false])(
    'differ where the node paid for a database that met it before this one did, looking at everything: %s',
    async (full) => {
      lnd.pay({ bolt11: foreignInvoice({ amountMsat: 1_000n }).paymentRequest, creation_time_ns: '1700000000000000000' });
      await forget(await deposit(100));
      lnd.pay({ bolt11: foreignInvoice({ amountMsat: 700_000n }).paymentRequest });
      const [, payment] = lnd.payments;
      // As after the restore of a backup from before the gateway was moved to this node.
      await database.pool.query(`update node_audits set met_at = now() + interval '1 minute', payment_index = 2`);
      for (let turn = 0; turn < 2; turn++) expect(await violations({ full })).toContainEqual([payment?.payment_hash, '700000', '0']);
      expect(await openOrphans(database.pool, wallet.nodeId)).toHaveLength(2);
    },
  );

  it.each([true, false])(
    'differ where a withdrawal was paid with another amount, or not at all, looking at everything: %s',
    async (full) => {
      const other = await withdrawal('paid');
      lnd.pay({ bolt11: other.bolt11, fee_msat: '1000' });
      const unpaid = await withdrawal('paid');
      lnd.pay({ bolt11: unpaid.bolt11, status: 'FAILED' });
      for (let turn = 0; turn < 2; turn++) {
        expect(await violations({ full })).toEqual([
          [other.id, '1001000', '1005000'],
          [unpaid.id, '0', '1005000'],
        ]);
      }
    },
  );

  it('differ where a deposit is of no payment, though the node lists no such invoice', async () => {
    const invented = await deposit(600);
    lnd.invoices.delete(invented.paymentHash.toString('hex'));
    for (const full of [true, false, false]) expect(await violations({ full })).toEqual([[invented.id, '0', '600000']]);
  });

  it("agree where the operator uses the node, too: others' invoices, keysends, payments to itself and those of before", async () => {
    lnd.settle(lnd.addInvoice('coffee', 1_000n));
    lnd.settle(lnd.addInvoice('', 1_000n));
    lnd.addInvoice('tea', 1_000n);
    lnd.pay({ payment_hash: '01'.repeat(32) });
    const own = lnd.invoices.get(lnd.addInvoice('channels', 9_000n).toString('hex'));
    lnd.pay({ bolt11: own?.payment_request ?? '' });
    lnd.pay({ bolt11: foreignInvoice({ amountMsat: 1_000n }).paymentRequest, creation_time_ns: '1700000000000000000' });
    const audit = await compareBooks(database.pool, wallet, { full: true });
    expect(audit).toEqual({ violations: [], foreign: 7, notCompared: [] });
    expect(await openOrphans(database.pool, wallet.nodeId)).toEqual([]);
  });

  it('read again only what was not final', async () => {
    for (const sats of [100, 200, 300, 400, 500]) await deposit(sats);
    await violations({ full: false });
    lnd.calls = {};
    await violations({ full: false });
    expect(lnd.calls).toMatchObject({ listInvoices: 1, listPayments: 1 });
  });

  it('make of a withdrawal that the node pays one that was sent, whatever its row says', async () => {
    const { id, bolt11 } = await withdrawal('creating');
    lnd.pay({ bolt11 });
    expect(await violations({ full: false })).toEqual([]);
    expect((await database.pool.query(`select state from withdrawals where id = $1`, [id])).rows).toEqual([{ state: 'sent' }]);
  });

  it('are told apart by the job, as an error each time', async () => {
    const lost = await deposit(500);
    await forget(lost);
    const errors: unknown[] = [];
    const told: Observe = (one) => void errors.push(one);
    const job = nodeAuditJob({
      pool: database.pool,
      wallet,
      log,
      observe: told,
      connectionString: database.connectionString,
      intervalMs: 20,
    });
    closing.push(() => job.stop());
    await until(() => errors.length >= 2);
    const subject = lost.paymentHash.toString('hex');
    expect(errors.slice(0, 2)).toMatchObject([{ violation: { invariant: 9, subject } }, { violation: { invariant: 9, subject } }]);
  });
});

describe('the job that compares', () => {
  it('tells of a known invoice that is paid and not credited only where that is still so at its next look', async () => {
    const { invoice } = await openGateway().fund(owner, { amountSat: 500 });
    settleLongAgo(invoice.paymentHash);
    const errors: unknown[] = [];
    const told: Observe = (one) => void errors.push(one);
    const compare = (intervalMs: number) =>
      nodeAuditJob({ pool: database.pool, wallet, log, observe: told, connectionString: database.connectionString, intervalMs });
    lnd.calls = {};
    const once = compare(60_000);
    await until(() => (lnd.calls['listPayments'] ?? 0) > 0);
    await once.stop();
    expect(errors).toEqual([]);
    const job = compare(20);
    closing.push(() => job.stop());
    await until(() => errors.length > 0);
    expect(errors[0]).toMatchObject({ violation: { subject: invoice.id, expected: '500000', found: '0' } });
  });
});

describe('a settlement under our name that the ledger does not know', () => {
  const sealed = () => describeInvoice([TEST_ROOT], { invoiceId: randomUUID(), owner: { accountId: account }, amountSat: 5 });

  it('is kept and told once before the place in the settlements moves over it, however many gateways hear of it', async () => {
    const errors: unknown[] = [];
    const told: Observe = (one) => void errors.push(one);
    const hash = lnd.addInvoice(sealed(), 5_000n);
    const watcher = reconcileInvoices({
      funding: openGateway(told),
      wallet,
      connectionString: database.connectionString,
      log,
      observe: () => {},
    });
    closing.push(() => watcher.stop());
    await until(() => lnd.subscribers > 0);
    lnd.settle(hash);
    const index = BigInt(lnd.invoices.get(hash.toString('hex'))?.settle_index ?? '0');
    await until(async () => {
      const { rows } = await database.pool.query<{ settle_index: bigint }>(`select settle_index from lightning_nodes`);
      return rows[0]?.settle_index === index;
    });
    expect(await openOrphans(database.pool, wallet.nodeId)).toMatchObject([
      { direction: 'received', paymentHash: hash, amountMsat: 5_000n },
    ]);
    await Promise.all(Array.from({ length: 10 }, () => openGateway(told).settled(hash)));
    expect(errors).toMatchObject([{ paymentHash: hash.toString('hex'), receivedMsat: 5_000n }]);
  });

  it('is not passed over while it cannot be kept', async () => {
    const hash = lnd.addInvoice(sealed(), 5_000n);
    lnd.settle(hash, { silently: true });
    await database.pool.query(`alter table orphans rename to elsewhere`);
    await expect(openGateway().settled(hash)).rejects.toThrow(/orphans/);
    await database.pool.query(`alter table elsewhere rename to orphans`);
    await openGateway().settled(hash);
    expect(await openOrphans(database.pool, wallet.nodeId)).toHaveLength(1);
  });

  it("is none of ours where the operator's own invoice says nothing of us", async () => {
    const hash = lnd.addInvoice('coffee\0', 5_000n);
    lnd.settle(hash);
    await openGateway().settled(hash);
    expect(await openOrphans(database.pool, wallet.nodeId)).toEqual([]);
    expect(await auditNode(database.pool, wallet)).toEqual([]);
    expect((await depositsOf(database.pool, account)).deposits).toEqual([]);
  });
});
