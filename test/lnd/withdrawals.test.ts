import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { cancelHodlInvoice, createHodlInvoice, createInvoice, deletePayment, getInvoice, getPayment, settleHodlInvoice } from 'lightning';
import { msat } from '../../src/amount.ts';
import type { WithdrawalView } from '../../src/withdrawals/withdrawal.ts';
import { openCuttable, type Cuttable } from '../regtest/cuttable.ts';
import { runCommand } from '../regtest/lnd-command.ts';
import { startLndGateway, type LndGateway } from '../regtest/lnd-gateway.ts';
import { startRegtest, type Regtest } from '../regtest/regtest.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { foreignInvoice } from '../support/foreign-invoice.ts';
import type { TestKey } from '../support/gateway.ts';
import { accountOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const PATH = '/api/wallet/withdraw';
/** Fewer bytes than the call to pay has, which carries an invoice, and more than any other call once connected. */
const A_CALL_TO_PAY = 300;

let regtest: Regtest;
let database: TestDatabase;
let way: Cuttable;
let gateway: LndGateway;

beforeAll(async () => {
  [regtest, database] = await Promise.all([startRegtest(), createTestDatabase({ max: 20 })]);
  way = await openCuttable(regtest.gateway.socket);
  gateway = await start();
});
afterAll(async () => {
  await gateway?.close();
  await way?.close();
  await database?.drop();
  await regtest?.close();
});
afterEach(async () => {
  expect(await gateway.audit()).toEqual([]);
});

async function start(): Promise<LndGateway> {
  const macaroon = await regtest.gateway.leastMacaroon({ pays: true });
  return startLndGateway(regtest.gateway, {
    database,
    socket: way.socket,
    env: { WITHDRAWALS: 'true', LND_MACAROON: macaroon.toString('hex') },
  });
}

/** A new account with a deposit of 10,000 sats. */
async function funded(): Promise<TestKey> {
  const key = await gateway.newKey();
  const { paymentRequest } = await gateway.topUp(key, 10_000);
  await regtest.pay(paymentRequest);
  await gateway.credited(key, [10_000_000n]);
  return key;
}

async function withdraw(key: TestKey, paymentRequest: string): Promise<WithdrawalView> {
  const answer = await gateway.post(PATH, { paymentRequest }, key, { 'idempotency-key': randomUUID() });
  if (answer.status !== 202) throw new Error(`no withdrawal: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as WithdrawalView;
}

async function ended(key: TestKey, { withdrawalId }: WithdrawalView): Promise<WithdrawalView> {
  return until(async () => {
    // Without the pauses between two lookups, which grow to a minute.
    await gateway.pool.query(`update withdrawals set next_check_at = now() where id = $1 and next_check_at is not null`, [withdrawalId]);
    const view = (await (await gateway.get(`${PATH}?withdrawalId=${withdrawalId}`, key)).json()) as WithdrawalView;
    return view.status !== 'pending' && view;
  }, 60_000);
}

const money = async ({ accountId }: TestKey) => {
  const { posted_msat, held_msat } = await accountOf(gateway.pool, accountId);
  return { posted: posted_msat, held: held_msat };
};

/** How often LND was asked about a withdrawal. */
async function checksOf(id: string): Promise<number> {
  const { rows } = await gateway.pool.query<{ checks: number }>(`select checks from withdrawals where id = $1`, [id]);
  return rows[0]?.checks ?? 0;
}

/** An invoice of the payer's that is paid only when the test says so. */
async function heldInvoice(): Promise<{ request: string; id: string; secret: string }> {
  const secret = randomBytes(32);
  const id = createHash('sha256').update(secret).digest('hex');
  const { request } = await createHodlInvoice({ lnd: regtest.payer.lnd, id, tokens: 2_000 });
  return { request, id, secret: secret.toString('hex') };
}

/** Resolves once the payment is on its way and waits at the payer's. */
async function arrived(id: string): Promise<void> {
  await until(async () => (await getInvoice({ lnd: regtest.payer.lnd, id })).is_held === true, 20_000);
}

describe('a withdrawal through a real LND', () => {
  it('is paid before it is answered, and costs the amount where the route is free', async () => {
    const key = await funded();
    const { request, id } = await createInvoice({ lnd: regtest.payer.lnd, mtokens: '3000123' });
    const withdrawal = await withdraw(key, request);
    expect(withdrawal).toMatchObject({ status: 'paid', amountMsat: 3_000_123, feeMsat: 0 });
    expect(await getInvoice({ lnd: regtest.payer.lnd, id })).toMatchObject({ is_confirmed: true, received_mtokens: '3000123' });
    expect(await money(key)).toEqual({ posted: 6_999_877n, held: 0n });
  });

  it('gives everything back where there is no way to the payee', async () => {
    const key = await funded();
    const withdrawal = await ended(key, await withdraw(key, foreignInvoice({ amountMsat: 1_000_000n }).paymentRequest));
    expect(withdrawal).toMatchObject({ status: 'failed', failure: 'no_route' });
    expect(await money(key)).toEqual({ posted: 10_000_000n, held: 0n });
  });

  it('stays held while the payee holds it, and is given back when they cancel', async () => {
    const key = await funded();
    const invoice = await heldInvoice();
    const withdrawal = await withdraw(key, invoice.request);
    expect(withdrawal.status).toBe('pending');
    await arrived(invoice.id);
    expect(await money(key)).toEqual({ posted: 10_000_000n, held: 2_020_000n });
    await cancelHodlInvoice({ lnd: regtest.payer.lnd, id: invoice.id });
    expect(await ended(key, withdrawal)).toMatchObject({ status: 'failed' });
    expect(await money(key)).toEqual({ posted: 10_000_000n, held: 0n });
  });

  it('is posted once when it settles while the gateway is down', async () => {
    const key = await funded();
    const invoice = await heldInvoice();
    const withdrawal = await withdraw(key, invoice.request);
    await arrived(invoice.id);
    await gateway.close();
    await settleHodlInvoice({ lnd: regtest.payer.lnd, secret: invoice.secret });
    gateway = await start();
    expect(await ended(key, withdrawal)).toMatchObject({ status: 'paid', feeMsat: 0 });
    expect(await money(key)).toEqual({ posted: 8_000_000n, held: 0n });
  });

  it('is posted once though LND is killed while it is on its way', async () => {
    const key = await funded();
    const invoice = await heldInvoice();
    const withdrawal = await withdraw(key, invoice.request);
    await arrived(invoice.id);
    await regtest.gateway.kill();
    await gateway.pool.query(`update withdrawals set next_check_at = now() where id = $1`, [withdrawal.withdrawalId]);
    await until(
      async () =>
        (await gateway.pool.query(`select from withdrawals where id = $1 and checks > 2`, [withdrawal.withdrawalId])).rowCount === 1,
      20_000,
    );
    expect(await money(key)).toMatchObject({ held: 2_020_000n });
    await regtest.gateway.start(regtest.btcd);
    await regtest.reconnected();
    await settleHodlInvoice({ lnd: regtest.payer.lnd, secret: invoice.secret });
    expect(await ended(key, withdrawal)).toMatchObject({ status: 'paid' });
    expect(await money(key)).toEqual({ posted: 8_000_000n, held: 0n });
  });

  it('whose call to pay is held up in the network is not released meanwhile, and is posted once when that arrives', async () => {
    const key = await funded();
    const { request, id } = await createInvoice({ lnd: regtest.payer.lnd, tokens: 9_000 });
    way.holdNext(A_CALL_TO_PAY);
    const { withdrawalId, status } = await withdraw(key, request);
    expect([status, way.held]).toEqual(['pending', 1]);
    // Long past the time that LND had to look for a route, it says on a new connection, again and again, that it knows nothing of it.
    await gateway.pool.query(`update withdrawals set deadline_at = now() - interval '1 day' where id = $1`, [withdrawalId]);
    const { payments } = gateway.server.wallet;
    const unknown = () => payments?.lookupPayment(Buffer.from(id, 'hex')).then((found) => found === null);
    await until(async () => (await unknown()?.catch(() => false)) ?? false, 90_000);
    const before = await checksOf(withdrawalId);
    await until(async () => {
      await gateway.pool.query(`update withdrawals set next_check_at = now() where id = $1`, [withdrawalId]);
      return (await checksOf(withdrawalId)) > before + 3;
    }, 60_000);
    expect(await money(key)).toEqual({ posted: 10_000_000n, held: 9_090_000n });
    way.release();
    expect(await ended(key, { withdrawalId } as WithdrawalView)).toMatchObject({ status: 'paid' });
    expect(await getInvoice({ lnd: regtest.payer.lnd, id })).toMatchObject({ is_confirmed: true, received: 9_000 });
    expect(await money(key)).toEqual({ posted: 1_000_000n, held: 0n });
  });

  it('whose record was deleted stays held, until the operator says what became of it', async () => {
    const key = await funded();
    const { request, id } = await heldInvoice();
    const { withdrawalId } = await withdraw(key, request);
    await arrived(id);
    const known = async () =>
      (await gateway.pool.query(`select from withdrawals where id = $1 and known_at is not null`, [withdrawalId])).rowCount === 1;
    await until(known);
    const reconcile = (...args: string[]) => runCommand('reconcile', args, database, regtest.gateway);
    const decide = ['--withdrawal', withdrawalId, '--release'];
    expect(await reconcile(...decide)).toMatchObject({
      code: 1,
      out: expect.stringContaining('not done: its node has the payment on record'),
    });
    await gateway.close();
    await cancelHodlInvoice({ lnd: regtest.payer.lnd, id });
    await until(async () => (await getPayment({ lnd: regtest.gateway.lnd, id })).is_failed);
    await deletePayment({ lnd: regtest.gateway.lnd, id });
    gateway = await start();

    const listed = await reconcile();
    expect(listed).toMatchObject({ code: 1, out: expect.stringContaining(`withdrawal ${withdrawalId}: 2020000 msat of account`) });
    expect((await reconcile(...decide)).out).toContain('not done: its invoice can still be paid');
    const past = `now() - interval '2 minutes'`;
    await gateway.pool.query(`update withdrawals set expires_at = ${past}, deadline_at = ${past}, next_check_at = now() where id = $1`, [
      withdrawalId,
    ]);
    expect(await money(key)).toEqual({ posted: 10_000_000n, held: 2_020_000n });
    const decided = await reconcile(...decide);
    expect(decided).toMatchObject({ code: 0, out: expect.stringContaining(`withdrawal ${withdrawalId}: released`) });
    expect(decided.out).toContain("a withdrawal was released, by the operator's word");
    expect(await money(key)).toEqual({ posted: 10_000_000n, held: 0n });
  });

  it('of an invoice that has expired by the clock of LND is refused, and leaves no record', async () => {
    const expiresAt = Date.now() + 1_000;
    const { request, id } = await createInvoice({ lnd: regtest.payer.lnd, tokens: 1_000, expires_at: new Date(expiresAt).toISOString() });
    await until(() => Date.now() > expiresAt + 1_000);
    const { payments } = gateway.server.wallet;
    const paying = payments?.pay({ bolt11: request, maxFeeMsat: msat(10_000n), tryMs: 5_000, startBy: Infinity });
    await expect(paying).rejects.toMatchObject({ cause: { message: expect.stringContaining('invoice expired') } });
    expect(await payments?.lookupPayment(Buffer.from(id, 'hex'))).toBeNull();
  });

  it('that was never sent is one that LND knows nothing of', async () => {
    const { payments } = gateway.server.wallet;
    expect(await payments?.lookupPayment(randomBytes(32))).toBeNull();
  });
});
