import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import bolt11 from 'bolt11';
import { createNotifications, type Notifications } from '../../../src/db/notify.ts';
import { msat } from '../../../src/amount.ts';
import { SimulatedWallet } from '../../../src/lightning/simulated/simulated.ts';
import type { InvoiceState } from '../../../src/lightning/wallet.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { foreignInvoice } from '../../support/foreign-invoice.ts';
import { TEST_ROOT } from '../../support/funded.ts';
import { until } from '../../support/until.ts';

let database: TestDatabase;
let notifications: Notifications;
let wallet: SimulatedWallet;

beforeAll(async () => {
  database = await createTestDatabase();
  notifications = createNotifications(database.connectionString);
  wallet = new SimulatedWallet({ pool: database.pool, notifications, root: TEST_ROOT });
  await until(() => notifications.connected);
});

afterAll(async () => {
  await notifications.close();
  await database.drop();
});

const create = (preimage = randomBytes(32), amountMsat = msat(21_000n)) =>
  wallet.createInvoice({ amountMsat, description: 'Pura top-up: 21 sats', expirySeconds: 600, preimage });

describe('the simulated node', () => {
  it('signs regtest invoices that any decoder reads', async () => {
    const preimage = randomBytes(32);
    const { bolt11: text, paymentHash, expiresAt } = await create(preimage);
    const decoded = bolt11.decode(text);
    expect(text).toMatch(/^lnbcrt210n1/);
    expect(decoded.millisatoshis).toBe('21000');
    expect(decoded.payeeNodeKey).toBe(wallet.nodeId);
    expect(decoded.tagsObject).toMatchObject({
      payment_hash: createHash('sha256').update(preimage).digest('hex'),
      description: 'Pura top-up: 21 sats',
      expire_time: 600,
      min_final_cltv_expiry: 80,
    });
    expect(decoded.tagsObject.payment_secret).toMatch(/^[0-9a-f]{64}$/);
    expect(decoded.tagsObject.feature_bits).toMatchObject({ payment_secret: { required: true }, var_onion_optin: { required: true } });
    expect(paymentHash.toString('hex')).toBe(decoded.tagsObject.payment_hash);
    expect(decoded.timeExpireDate).toBe(expiresAt.getTime() / 1000);
  });

  it('commits to what a wallet was shown, and keeps the description for its own books', async () => {
    const metadata = '[["text/plain","for alice@pura.example"]]';
    const asked = { amountMsat: msat(21_000n), description: 'ours', metadata, expirySeconds: 600, preimage: randomBytes(32) };
    const { bolt11: text, paymentHash } = await wallet.createInvoice(asked);
    const { purpose_commit_hash: hash, description } = bolt11.decode(text).tagsObject;
    expect({ hash, description }).toEqual({ hash: createHash('sha256').update(metadata).digest('hex'), description: undefined });
    await wallet.pay(text);
    expect(await wallet.lookupInvoice(paymentHash)).toMatchObject({ status: 'settled', description: 'ours' });
    const { entries } = await wallet.books.invoices(0n);
    expect(entries.find(({ bolt11: listed }) => listed === text)?.description).toBe('ours');
  });

  it('is the same node after a restart, and another one under another secret', () => {
    const again = new SimulatedWallet({ pool: database.pool, notifications, root: TEST_ROOT });
    const other = new SimulatedWallet({ pool: database.pool, notifications, root: { id: '0', secret: Buffer.alloc(32, 8) } });
    expect(again.nodeId).toBe(wallet.nodeId);
    expect(other.nodeId).not.toBe(wallet.nodeId);
  });

  it('makes one invoice of one preimage, however often and however parallel it is asked', async () => {
    const preimage = randomBytes(32);
    const made = await Promise.all(Array.from({ length: 10 }, () => create(preimage)));
    expect(new Set(made.map(({ bolt11: text }) => text)).size).toBe(1);
  });

  it('gives the preimage to whoever pays, once', async () => {
    const preimage = randomBytes(32);
    const { bolt11: text, paymentHash } = await create(preimage);
    const paid = await Promise.allSettled(Array.from({ length: 5 }, () => wallet.pay(text.toUpperCase())));
    const accepted = paid.filter((payment) => payment.status === 'fulfilled');
    expect(accepted.map(({ value }) => value.toString('hex'))).toEqual([preimage.toString('hex')]);
    await expect(wallet.pay(text)).rejects.toMatchObject({ code: 'invalid_request', message: 'The invoice is already paid.' });
    await expect(wallet.lookupInvoice(paymentHash)).resolves.toMatchObject({ status: 'settled', receivedMsat: 21_000n });
  });

  it.each([
    ['text that is no invoice', 'lnbcrt1nonsense', undefined, 'invalid_request'],
    ['an empty text', '', undefined, 'invalid_request'],
    ['less than the amount', 'own', msat(20_999n), 'invalid_request'],
    ['more than twice the amount', 'own', msat(42_001n), 'invalid_request'],
  ])('refuses to pay %s', async (_name, text, amount, code) => {
    const invoice = text === 'own' ? (await create()).bolt11 : text;
    await expect(wallet.pay(invoice, amount)).rejects.toMatchObject({ code });
  });

  it('refuses an invoice of another node, and one that has expired', async () => {
    const { bolt11: text, paymentHash } = await create();
    await database.pool.query(`update simulated_invoices set expires_at = now() where payment_hash = $1`, [paymentHash]);
    await expect(wallet.pay(text)).rejects.toMatchObject({ code: 'invalid_request', message: 'The invoice has expired.' });
    await database.pool.query(`delete from simulated_invoices where payment_hash = $1`, [paymentHash]);
    await expect(wallet.pay(text)).rejects.toMatchObject({ code: 'invoice_not_found' });
  });

  it('pays others once, and not what has expired', async () => {
    const { payments } = wallet;
    const pay = async ({ paymentRequest, paymentHash }: { paymentRequest: string; paymentHash: Buffer }) => {
      await payments.pay({ bolt11: paymentRequest, maxFeeMsat: msat(1_000n), tryMs: 1_000, startBy: Infinity });
      return payments.lookupPayment(paymentHash);
    };
    const invoice = foreignInvoice();
    expect([await pay(invoice), await pay(invoice)]).toEqual(Array.from({ length: 2 }, () => ({ status: 'paid', feeMsat: 1_000n })));
    expect(await pay(foreignInvoice({ ageSeconds: 3_601 }))).toBeNull();
  });

  it('knows nothing of a hash it never saw', async () => {
    await expect(wallet.lookupInvoice(randomBytes(32))).resolves.toBeNull();
  });

  it("tells a watcher of another process's payment, with the amount received", async () => {
    const theirs = createNotifications(database.connectionString);
    const watcher = new SimulatedWallet({ pool: database.pool, notifications: theirs, root: TEST_ROOT });
    const stop = new AbortController();
    const seen: InvoiceState[] = [];
    let watching: Promise<void> | undefined;
    await new Promise<void>((subscribed) => {
      watching = watcher.watchSettlements((state) => void seen.push(state), stop.signal, subscribed);
    });
    const { bolt11: text, paymentHash } = await create();
    await wallet.pay(text, msat(30_000n));
    await until(() => seen.length > 0);
    expect(seen[0]).toMatchObject({ paymentHash, status: 'settled', receivedMsat: 30_000n });
    stop.abort();
    await watching;
    await theirs.close();
  });
});
