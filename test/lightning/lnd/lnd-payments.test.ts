import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ActingKey } from '../../../src/accounts/acting-key.ts';
import { auditLedger } from '../../../src/ledger/audit.ts';
import { createLndWallet } from '../../../src/lightning/lnd/lnd.ts';
import type { Wallet } from '../../../src/lightning/wallet.ts';
import { createLog } from '../../../src/log.ts';
import { Withdrawing } from '../../../src/withdrawing.ts';
import { openCuttable, type Cuttable } from '../../regtest/cuttable.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { FakeLnd } from '../../support/fake-lnd.ts';
import { foreignInvoice } from '../../support/foreign-invoice.ts';
import { addOwner, deposit } from '../../support/funded.ts';
import { accountOf } from '../../support/ledger.ts';
import { until } from '../../support/until.ts';

const log = createLog('silent');
/** Fewer than the call to pay has, which carries an invoice, and more than any other call. */
const A_CALL_TO_PAY = 300;

let database: TestDatabase;
let lnd: FakeLnd;
let way: Cuttable;
let wallet: Wallet;
let withdrawing: Withdrawing;
let owner: ActingKey;
/** The clock by which the gateway finds a connection dead. */
let nowMs: number;

beforeAll(async () => {
  database = await createTestDatabase({ max: 10 });
});
afterAll(async () => {
  await database.drop();
});
beforeEach(async () => {
  nowMs = 0;
  lnd = await new FakeLnd().start();
  way = await openCuttable(lnd.socket);
  wallet = await connect({ deadlineMs: 300 });
  withdrawing = new Withdrawing({ pool: database.pool, wallet, log, observe: () => {}, allowed: true, maxFeePercent: 1, answerMs: 10 });
  owner = await addOwner(database.pool);
  await deposit(database, owner, 1_000);
});
afterEach(async () => {
  expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  lnd.stop();
  await withdrawing.drained();
  await wallet.close();
  await way.close();
});

function connect({ deadlineMs }: { deadlineMs: number }): Promise<Wallet> {
  const node = { socket: way.socket, macaroon: randomBytes(64), cert: lnd.cert };
  return createLndWallet({ ...node, pool: database.pool, log, observe: () => {}, deadlineMs, now: () => nowMs });
}

/** Asks for a withdrawal of 10 sats; gives its id and its payment hash in hex. */
async function withdraw(): Promise<{ id: string; hash: string }> {
  const { paymentRequest, paymentHash } = foreignInvoice();
  const bodySha256 = createHash('sha256').update(paymentRequest).digest();
  const { withdrawal } = await withdrawing.withdraw({
    owner,
    paymentRequest,
    idempotencyKey: randomUUID(),
    bodySha256,
  });
  return { id: withdrawal.id, hash: paymentHash.toString('hex') };
}

/** Lets `seconds` pass in the database and at the node, and has the node asked what became of the withdrawal. */
async function check(id: string, seconds = 0): Promise<void> {
  const { clockMs } = lnd.router;
  lnd.router.clockMs = () => clockMs() + seconds * 1000;
  await database.pool.query(
    `update withdrawals set next_check_at = now(), deadline_at = deadline_at - make_interval(secs => $2),
       expires_at = expires_at - make_interval(secs => $2)
     where id = $1`,
    [id, seconds],
  );
  await withdrawing.checkDue(10);
}
const money = async () => {
  const { posted_msat, held_msat } = await accountOf(database.pool, owner.accountId);
  return { posted: posted_msat, held: held_msat };
};

/** A withdrawal whose call to pay is held up on its way to LND, which is asked on a new connection since. */
async function heldUp(): Promise<{ id: string; hash: string }> {
  way.holdNext(A_CALL_TO_PAY);
  const asked = await withdraw();
  await until(() => way.held === 1);
  await check(asked.id);
  nowMs += 30_000;
  await check(asked.id);
  await wallet.payments?.lookupPayment(Buffer.from(asked.hash, 'hex'));
  return asked;
}

describe('a call to pay that is held up on its way to LND', () => {
  it('pays what is still held, though LND knew nothing of it again and again', async () => {
    const { id, hash } = await heldUp();
    for (const seconds of [0, 95, 100, 1_800, 1_590]) await check(id, seconds);
    expect(await money()).toEqual({ posted: 1_000_000n, held: 11_000n });
    expect(lnd.router.asked).toBe(0);
    way.release();
    await until(() => lnd.router.payments.get(hash)?.status === 'SUCCEEDED');
    await check(id);
    expect(await money()).toEqual({ posted: 989_993n, held: 0n });
  });

  it('pays nothing any more once its withdrawal has been released', async () => {
    const { id } = await heldUp();
    await check(id, 3_670);
    // Lookups at the same moment count as one, and the gateway may be at one of its own.
    await until(async () => {
      await check(id);
      return (await money()).held === 0n;
    });
    expect(await money()).toEqual({ posted: 1_000_000n, held: 0n });
    expect(await withdrawing.status(owner.accountId, id)).toMatchObject({ state: 'failed', failure: 'unknown_to_node' });
    way.release();
    await until(() => lnd.router.asked === 1);
    expect(lnd.router.payments.size).toBe(0);
  });
});

describe('what LND has on record of a payment', () => {
  const lookup = (hash: string) => wallet.payments?.lookupPayment(Buffer.from(hash, 'hex'));

  it('is that it succeeded, failed, has it under way, or knows none', async () => {
    const paid = await withdraw();
    expect(await until(() => lookup(paid.hash))).toEqual({ status: 'paid', feeMsat: 7n });
    lnd.router.outcome = 'FAILED';
    const failed = await withdraw();
    expect(await until(() => lookup(failed.hash))).toEqual({ status: 'failed', failure: 'no_route' });
    lnd.router.outcome = 'IN_FLIGHT';
    const pending = await withdraw();
    expect(await until(() => lookup(pending.hash))).toEqual({ status: 'pending', known: true });
    expect(await lookup(randomBytes(32).toString('hex'))).toBeNull();
  });

  it('may be that it says nothing for a while, which is no word of having the payment', async () => {
    lnd.router.outcome = 'IN_FLIGHT';
    lnd.router.betweenAttempts = true;
    const { hash } = await withdraw();
    await until(() => lnd.router.payments.size === 1);
    const patient = await connect({ deadlineMs: 5_000 });
    expect(await patient.payments?.lookupPayment(Buffer.from(hash, 'hex'))).toEqual({ status: 'pending', known: false });
    await patient.close();
  });

  it('costs no more than the fee limit, though LND paid more, and the rest is free again', async () => {
    lnd.router.feeMsat = 50_000n;
    const { id } = await withdraw();
    await until(() => lnd.router.payments.size === 1);
    await check(id);
    expect(await withdrawing.status(owner.accountId, id)).toMatchObject({ state: 'paid', feeMsat: 1_000n });
    expect(await money()).toEqual({ posted: 989_000n, held: 0n });
  });

  it('is not to be had from a frozen LND, which is connected to afresh after thirty seconds of that', async () => {
    lnd.router.outcome = 'IN_FLIGHT';
    const { hash } = await withdraw();
    await until(() => lookup(hash));
    way.mute();
    for (nowMs = 0; nowMs < 30_000; nowMs += 5_000) await expect(lookup(hash)).rejects.toMatchObject({ code: 'lightning_unavailable' });
    way.restore();
    // The old connection is as silent as before.
    await expect(lookup(hash)).rejects.toMatchObject({ code: 'lightning_unavailable' });
    expect(await lookup(hash)).toEqual({ status: 'pending', known: true });
  });
});
