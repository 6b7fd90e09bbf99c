import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ActingKey } from '../../src/accounts/acting-key.ts';
import type { Funding } from '../../src/funding.ts';
import { createNotifications } from '../../src/db/notify.ts';
import { reconcileInvoices } from '../../src/jobs/reconcile-invoices.ts';
import { SimulatedWallet } from '../../src/lightning/simulated/simulated.ts';
import { createLog } from '../../src/log.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addOwner, depositsOf, openFunding, stopSchedule, TEST_ROOT } from '../support/funded.ts';
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
  const watcher = reconcileInvoices({ funding, wallet, connectionString: database.connectionString, log, observe: () => {} });
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
    await stopSchedule(database.pool);
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
    const { wallet, funding } = await startFake();
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    wallet.settle(invoice.paymentHash, { silently: true });
    await database.pool.query(`update invoices set next_check_at = now() where id = $1`, [invoice.id]);
    await credited();
  });
});

/** A gateway whose node does what a test says, and whose pauses end when the test says so. */
async function startFake(change: (funding: Funding) => Funding = (funding) => funding) {
  const wallet = new FakeWallet({ network: 'simulated' });
  const { funding, close } = openFunding(database, wallet);
  closing.push(close);
  const pauses: { ms: number; end(): void }[] = [];
  const pause = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
      pauses.push({ ms, end: resolve });
    });
  const watcher = reconcileInvoices({
    funding: change(funding),
    wallet,
    connectionString: database.connectionString,
    log,
    observe: () => {},
    pause,
  });
  closing.push(() => watcher.stop());
  await until(() => wallet.subscribers === 1);
  return { wallet, funding, pauses };
}
const credited = () => until(async () => (await depositsOf(database.pool, account)).deposits.length > 0);

describe('a lost subscription', () => {
  it('is made again at once, then after pauses that double up to ten seconds, and at once again after one that was in effect', async () => {
    const { wallet, pauses } = await startFake();
    wallet.refusesSubscriptions = true;
    wallet.cutSubscriptions();
    for (let lost = 1; lost <= 8; lost++) {
      await until(() => pauses.length === lost);
      if (lost === 8) wallet.refusesSubscriptions = false;
      pauses.at(-1)?.end();
    }
    await until(() => wallet.subscribers === 1);
    wallet.cutSubscriptions();
    await until(() => pauses.length === 9);
    expect(pauses.map(({ ms }) => ms)).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 250]);
  });

  it('has what was paid meanwhile credited as soon as the next is in effect, whatever the schedule', async () => {
    const { wallet, funding, pauses } = await startFake();
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    wallet.cutSubscriptions();
    await until(() => pauses.length === 1);
    await stopSchedule(database.pool);
    wallet.settle(invoice.paymentHash, { silently: true });
    pauses[0]?.end();
    await credited();
  });

  it('has it credited also where the database could not be asked at that moment', async () => {
    let failures = 0;
    const { wallet, funding, pauses } = await startFake((its) =>
      Object.assign(Object.create(its) as Funding, {
        async missedSettlements(): Promise<void> {
          if (pauses.length > 0 && failures++ < 2) throw new Error('the database is away');
          await its.missedSettlements();
        },
        checkDue: its.checkDue.bind(its),
        settled: its.settled.bind(its),
      }),
    );
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    wallet.cutSubscriptions();
    await until(() => pauses.length === 1);
    await stopSchedule(database.pool);
    wallet.settle(invoice.paymentHash, { silently: true });
    pauses[0]?.end();
    await credited();
    expect(failures).toBeGreaterThan(2);
  });
});

describe('a watcher that gets nothing done', () => {
  it('gives the lock to a gateway that can', async () => {
    const wallet = new FakeWallet({ network: 'simulated' });
    const { funding, close } = openFunding(database, wallet);
    closing.push(close);
    const stuck = Object.assign(Object.create(funding) as Funding, {
      missedSettlements: () => Promise.resolve(),
      checkDue: () => new Promise<number>(() => {}),
    });
    const options = { wallet, connectionString: database.connectionString, log, observe: () => {} };
    const first = reconcileInvoices({ ...options, funding: stuck, stallMs: 200 });
    await until(() => wallet.subscribers === 1);
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    await database.pool.query(`update invoices set next_check_at = now() where id = $1`, [invoice.id]);
    wallet.settle(invoice.paymentHash, { silently: true });
    const second = reconcileInvoices({ ...options, funding });
    closing.push(() => second.stop());
    await credited();
    await first.stop();
  });
});
