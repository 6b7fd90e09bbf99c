import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { createNotifications, type Notifications } from '../src/db/notify.ts';
import type { ActingKey } from '../src/accounts/acting-key.ts';
import { auditLedger } from '../src/ledger/audit.ts';
import { writeOff } from '../src/ledger/write-off.ts';
import { watchNetwork } from '../src/jobs/watch-network.ts';
import { SimulatedWallet } from '../src/lightning/simulated/simulated.ts';
import { createLog } from '../src/log.ts';
import { Withdrawing } from '../src/withdrawing.ts';
import { logReader } from '../src/telemetry/log-reader.ts';
import { createTestDatabase, type TestDatabase } from './support/database.ts';
import { FakePayments } from './support/fake-payments.ts';
import { FakeWallet } from './support/fake-wallet.ts';
import { foreignInvoice } from './support/foreign-invoice.ts';
import { startGateway } from './support/gateway.ts';
import { addOwner, depositsOf, openFunding, TEST_ROOT } from './support/funded.ts';

/** Two gateways that share a new database, one of them with play money. */
let database: TestDatabase;
let notifications: Notifications;
let play: ReturnType<typeof openFunding> & { wallet: SimulatedWallet };
let real: ReturnType<typeof openFunding> & { wallet: FakeWallet };
let node: FakePayments;
let owner: ActingKey;
let told: { level: number; msg: string }[];

const log = createLog('error', { write: (line: string) => void told.push(JSON.parse(line) as (typeof told)[number]) });
const sha256 = Buffer.alloc(32);
const unavailable = { code: 'lightning_unavailable', message: expect.stringContaining('another network') };

beforeEach(async () => {
  told = [];
  database = await createTestDatabase({ max: 30 });
  notifications = createNotifications(database.connectionString);
  const wallet = new SimulatedWallet({ pool: database.pool, notifications, root: TEST_ROOT });
  play = { wallet, ...openFunding(database, wallet, { observe: logReader(log) }) };
  const fake = new FakeWallet();
  real = { wallet: fake, ...openFunding(database, fake, { observe: logReader(log) }) };
  node = new FakePayments();
  owner = await addOwner(database.pool);
});
afterEach(async () => {
  await Promise.all([play.close(), real.close(), notifications.close()]);
  await database.drop();
});

/** Offers one invoice each, has both paid, and gives what credits them. */
async function bothPaid() {
  const ofPlay = (await play.funding.fund(owner, { amountSat: 100 })).invoice;
  const ofReal = (await real.funding.fund(owner, { amountSat: 7 })).invoice;
  await play.wallet.pay(ofPlay.bolt11);
  const settled = {
    play: await play.wallet.lookupInvoice(ofPlay.paymentHash),
    real: real.wallet.settle(ofReal.paymentHash, { silently: true }),
  };
  if (!settled.play) throw new Error('the simulated node forgot its invoice');
  return { creditPlay: () => play.funding.credit(settled.play as never), creditReal: () => real.funding.credit(settled.real), ofReal };
}

function withdrawing(): Withdrawing {
  const wallet = {
    backend: 'lnd',
    network: 'regtest',
    nodeId: real.wallet.nodeId,
    payments: node,
    status: async () => ({ ready: true }),
  } as const;
  return new Withdrawing({ pool: database.pool, wallet, log, observe: logReader(log), allowed: true, maxFeePercent: 1 });
}
const withdraw = (by: Withdrawing) =>
  by.withdraw({ owner, paymentRequest: foreignInvoice().paymentRequest, idempotencyKey: randomUUID(), bodySha256: sha256 });

describe('play money and real money on one database', () => {
  it('are credited one or the other, whoever is first of many at once', async () => {
    const { creditPlay, creditReal } = await bothPaid();
    await Promise.allSettled(Array.from({ length: 12 }, (_, index) => (index % 2 ? creditPlay() : creditReal())));
    const { deposits } = await depositsOf(database.pool, owner.accountId);
    expect([[100_000n], [7_000n]]).toContainEqual(deposits);
    expect(told.map(({ level }) => level)).toContain(50);
    expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  });

  it('do not pay each other out: no withdrawal of real sats is made on a balance of play money, however many ask at once', async () => {
    const { creditPlay } = await bothPaid();
    await creditPlay();
    const by = withdrawing();
    const answers = await Promise.allSettled(Array.from({ length: 8 }, () => withdraw(by)));
    expect(answers.map((answer) => (answer.status === 'rejected' ? (answer.reason as unknown) : null))).toEqual(
      Array.from({ length: 8 }, () => expect.objectContaining(unavailable)),
    );
    expect(node.asked).toEqual([]);
    expect(told).toMatchObject([{ level: 50, msg: expect.stringContaining('npm run write-off') }]);
  });

  it('are not sent either, where the network changed after a withdrawal was accepted', async () => {
    const { creditReal } = await bothPaid();
    await creditReal();
    node.absent = true;
    const by = withdrawing();
    await by.withdraw({
      owner,
      paymentRequest: foreignInvoice({ amountMsat: 1_000n }).paymentRequest,
      idempotencyKey: 'w',
      bodySha256: sha256,
    });
    node.absent = false;
    await database.pool.query(`update ledger_network set network = 'simulated'`);
    await database.pool.query('update withdrawals set next_check_at = now()');
    await by.checkDue(10);
    expect(node.asked).toEqual([]);
  });

  it('are not offered: nobody is asked to pay what could not be credited', async () => {
    const { creditPlay } = await bothPaid();
    await creditPlay();
    const offered = real.wallet.creations;
    await expect(real.funding.fund(owner, { amountSat: 7 })).rejects.toMatchObject(unavailable);
    await expect(real.funding.offer(owner, { shortfallMsat: 8_000_000n as never })).rejects.toMatchObject(unavailable);
    await expect(real.funding.offerKeyless({ shortfallMsat: 1n as never })).rejects.toMatchObject(unavailable);
    expect(real.wallet.creations).toBe(offered);
  });

  it('wait for the write-off: what was paid and could not be credited is credited after it', async () => {
    const { creditPlay, creditReal, ofReal } = await bothPaid();
    await creditPlay();
    await expect(creditReal()).rejects.toMatchObject(unavailable);
    expect(await real.funding.status(owner.accountId, ofReal.id)).toMatchObject({ status: 'pending' });
    await writeOff(database.pool, 'simulated');
    await creditReal();
    expect(await depositsOf(database.pool, owner.accountId)).toMatchObject({ postedMsat: 7_000n });
    expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  });
});

describe('a gateway whose wallet is not of the network of the balances', () => {
  it('serves nobody on them, and serves again once they are written off', async () => {
    const gateway = await startGateway({ database });
    const key = await gateway.newKey();
    const look = () =>
      watchNetwork({
        pool: database.pool,
        wallet: gateway.server.wallet,
        gateway: gateway.server.gateway.requests,
        observe: logReader(log),
      });
    const ask = async () => (await gateway.post('/v1/chat/completions', { messages: [{ role: 'user', content: 'hi' }] }, key)).status;
    expect(await ask()).toBe(200);

    const paid = await real.funding.fund(owner, { amountSat: 7 });
    await real.funding.credit(real.wallet.settle(paid.invoice.paymentHash));
    await look();
    expect([await ask(), (await gateway.post('/l402/v1/chat/completions', {})).status]).toEqual([503, 503]);
    expect(told).toMatchObject([{ level: 50, balances: 'regtest', wallet: 'simulated' }]);

    await writeOff(database.pool, 'regtest');
    await look();
    expect(await ask()).toBe(200);
    await gateway.close();
  });
});
