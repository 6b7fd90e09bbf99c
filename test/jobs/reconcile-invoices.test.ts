import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ActingKey } from '../../src/accounts/acting-key.ts';
import { createNotifications } from '../../src/db/notify.ts';
import { reconcileInvoices } from '../../src/jobs/reconcile-invoices.ts';
import { SimulatedWallet } from '../../src/lightning/simulated.ts';
import { createLog } from '../../src/log.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addOwner, depositsOf, openFunding, TEST_ROOT } from '../support/funded.ts';
import { FakeWallet } from '../support/fake-wallet.ts';
import { until } from '../support/until.ts';

const log = createLog('silent');
let database: TestDatabase;
let owner: ActingKey;
let account: string;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase({ max: 20 });
});
afterAll(async () => {
  await database.drop();
});
beforeEach(async () => {
  owner = await addOwner(database.pool);
  account = owner.accountId;
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** One gateway process: its own notifications, wallet and watcher. */
async function startGateway() {
  const notifications = createNotifications(database.connectionString);
  closing.push(() => notifications.close());
  await until(() => notifications.connected);
  const wallet = new SimulatedWallet({ pool: database.pool, notifications, root: TEST_ROOT });
  const { funding, close } = openFunding(database, wallet);
  closing.push(close);
  const watcher = reconcileInvoices({ funding, wallet, connectionString: database.connectionString, log });
  closing.push(() => watcher.stop());
  return { funding, wallet, watcher };
}

const watching = () =>
  until(async () => {
    const { rows } = await database.pool.query(
      `select 1 from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'advisory' and a.datname = current_database() and l.granted`,
    );
    return rows.length > 0;
  });

describe('the invoice watcher', () => {
  it('credits a payment within a second, without any client action, when the payer uses another gateway', async () => {
    const [first, second] = [await startGateway(), await startGateway()];
    await watching();
    const { invoice } = await first.funding.fund(owner, { amountSat: 500 });
    const told = new Promise<number>((resolve) => first.funding.subscribe(invoice.id, () => resolve(performance.now())));
    const paidAt = performance.now();
    await second.wallet.pay(invoice.bolt11);
    expect((await told) - paidAt).toBeLessThan(1_000);
    expect(await depositsOf(database.pool, account)).toMatchObject({ postedMsat: 500_000n, deposits: [500_000n] });
  });

  it('credits on its start what was paid while no gateway ran', async () => {
    const { funding, wallet, watcher } = await startGateway();
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    await watcher.stop();
    await wallet.pay(invoice.bolt11);
    expect(await depositsOf(database.pool, account)).toMatchObject({ deposits: [] });
    await startGateway();
    await until(async () => (await depositsOf(database.pool, account)).deposits.length > 0);
  });

  it('passes to another gateway when the one that watches stops', async () => {
    const [first, second] = [await startGateway(), await startGateway()];
    await watching();
    await first.watcher.stop();
    await watching();
    const { invoice } = await second.funding.fund(owner, { amountSat: 500 });
    await second.wallet.pay(invoice.bolt11);
    await until(async () => (await depositsOf(database.pool, account)).deposits.length > 0);
  });

  it('credits by its schedule what a node never told it', async () => {
    const wallet = new FakeWallet();
    const { funding, close } = openFunding(database, wallet);
    closing.push(close);
    const watcher = reconcileInvoices({ funding, wallet, connectionString: database.connectionString, log });
    closing.push(() => watcher.stop());
    await watching();
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    wallet.settle(invoice.paymentHash, { silently: true });
    await database.pool.query(`update invoices set next_check_at = now() where id = $1`, [invoice.id]);
    await until(async () => (await depositsOf(database.pool, account)).deposits.length > 0);
  });
});
