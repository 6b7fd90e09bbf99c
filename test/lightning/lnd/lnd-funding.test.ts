import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { ActingKey } from '../../../src/accounts/acting-key.ts';
import { reconcileInvoices } from '../../../src/jobs/reconcile-invoices.ts';
import { auditLedger } from '../../../src/ledger/audit.ts';
import { auditNode } from '../../../src/node-audit/audit-node.ts';
import { createLndWallet } from '../../../src/lightning/lnd/lnd.ts';
import { createLog } from '../../../src/log.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { FakeLnd } from '../../support/fake-lnd.ts';
import { addOwner, depositsOf, openFunding, stopSchedule } from '../../support/funded.ts';
import { until } from '../../support/until.ts';

const log = createLog('silent');
let database: TestDatabase;
let lnd: FakeLnd;
let owner: ActingKey;
let account: string;
const closing: (() => Promise<void> | void)[] = [];

beforeEach(async () => {
  database = await createTestDatabase({ max: 20 });
  lnd = await new FakeLnd().start();
  owner = await addOwner(database.pool);
  account = owner.accountId;
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  lnd.stop();
  await database.drop();
});

/** One gateway process with its own connection to the node; `watching` where it also watches it. */
async function startGateway({ watching = true } = {}) {
  const options = { deadlineMs: 2_000, probeMs: 50, startMs: 0, macaroon: Buffer.from('0201', 'hex'), cert: lnd.cert };
  const wallet = await createLndWallet({ socket: lnd.socket, pool: database.pool, log, observe: () => {}, ...options });
  closing.push(() => wallet.close());
  const { funding, close } = openFunding(database, wallet);
  closing.push(close);
  if (watching) {
    const watcher = reconcileInvoices({ funding, wallet, connectionString: database.connectionString, log, observe: () => {} });
    closing.push(() => watcher.stop());
    await until(() => lnd.subscribers > 0);
  }
  return { funding, wallet };
}

/** Everything that LND told before this is dealt with: the index moves over a settlement only once each before was. */
async function dealtWith({ funding, wallet }: Awaited<ReturnType<typeof startGateway>>): Promise<void> {
  const marker = await addOwner(database.pool);
  const { invoice } = await funding.fund(marker, { amountSat: 1 });
  lnd.settle(invoice.paymentHash);
  const index = Number(lnd.invoices.get(invoice.paymentHash.toString('hex'))?.settle_index);
  await until(async () => {
    const { rows } = await database.pool.query<{ settle_index: bigint }>(`select settle_index from lightning_nodes where node_id = $1`, [
      wallet.nodeId,
    ]);
    return Number(rows[0]?.settle_index) >= index;
  });
}

const deposits = async () => (await depositsOf(database.pool, account)).deposits;
const audit = async (wallet: Parameters<typeof auditNode>[1]) => [
  ...(await auditLedger(database.pool, { oldestHoldSeconds: 3660 })),
  ...(await auditNode(database.pool, wallet)),
];

describe('a payment that LND settles', () => {
  it('is one deposit for a hundred events on two gateways at once, and their lookups', async () => {
    const [first, second] = [await startGateway(), await startGateway({ watching: false })];
    const { invoice } = await first.funding.fund(owner, { amountSat: 500 });
    lnd.settle(invoice.paymentHash, { silently: true });
    const state = await second.wallet.lookupInvoice(invoice.paymentHash);
    if (!state) throw new Error('the node forgot its invoice');
    await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        lnd.tell(invoice.paymentHash);
        const { funding } = index % 2 ? first : second;
        await (index % 3 ? funding.settled(invoice.paymentHash) : funding.credit(state));
      }),
    );
    await until(async () => (await deposits()).length > 0);
    await dealtWith(first);
    expect(await deposits()).toEqual([500_000n]);
    expect(await audit(first.wallet)).toEqual([]);
  });

  it('stays paid when the node tells of the open invoice after it', async () => {
    const gateway = await startGateway();
    const { funding, wallet } = gateway;
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    lnd.settle(invoice.paymentHash, { receivedMsat: 600_000n });
    await until(async () => (await deposits()).length > 0);
    const stored = lnd.invoices.get(invoice.paymentHash.toString('hex'));
    Object.assign(stored ?? {}, { state: 'OPEN' });
    lnd.tell(invoice.paymentHash);
    await dealtWith(gateway);
    expect((await funding.status(account, invoice.id)).status).toBe('paid');
    Object.assign(stored ?? {}, { state: 'SETTLED' });
    expect(await deposits()).toEqual([600_000n]);
    expect(await audit(wallet)).toEqual([]);
  });

  it('is credited when it settled while the node could not be reached, by the next subscription', async () => {
    const { funding, wallet } = await startGateway();
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    lnd.stop();
    await stopSchedule(database.pool);
    lnd.settle(invoice.paymentHash, { silently: true });
    await lnd.start();
    await until(async () => (await deposits()).length > 0);
    expect(await audit(wallet)).toEqual([]);
  });

  it('is credited though nothing ever tells of it, and a node that freezes first only delays that', async () => {
    const { funding, wallet } = await startGateway();
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    lnd.frozen = true;
    await stopSchedule(database.pool);
    lnd.settle(invoice.paymentHash, { silently: true });
    await until(() => lnd.subscribers === 0);
    lnd.frozen = false;
    await until(async () => (await deposits()).length > 0);
    expect(await audit(wallet)).toEqual([]);
  });
});

describe('the audit of the node', () => {
  it('finds a payment without its deposit, and a deposit without its payment', async () => {
    const { funding, wallet } = await startGateway({ watching: false });
    const [missed, invented] = [await funding.fund(owner, { amountSat: 500 }), await funding.fund(owner, { amountSat: 600 })];
    lnd.settle(missed.invoice.paymentHash, { silently: true });
    lnd.settle(invented.invoice.paymentHash, { silently: true });
    await funding.settled(invented.invoice.paymentHash);
    expect(await audit(wallet)).toEqual([]);

    const long = String(Math.floor(Date.now() / 1000) - 60);
    Object.assign(lnd.invoices.get(missed.invoice.paymentHash.toString('hex')) ?? {}, { settle_date: long });
    Object.assign(lnd.invoices.get(invented.invoice.paymentHash.toString('hex')) ?? {}, { state: 'OPEN', settle_date: '0' });
    expect((await audit(wallet)).map(({ invariant, subject, expected, found }) => ({ invariant, subject, expected, found }))).toEqual(
      expect.arrayContaining([
        { invariant: 9, subject: missed.invoice.id, expected: '500000', found: '0' },
        { invariant: 9, subject: invented.invoice.id, expected: '0', found: '600000' },
      ]),
    );
  });
});
