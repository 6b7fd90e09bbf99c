import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ActingKey } from '../../../src/accounts/acting-key.ts';
import type { Nip47Transaction } from '@getalby/sdk/nwc';
import bolt11 from 'bolt11';
import type { Logger } from 'pino';
import { ConfigError } from '../../../src/config/config-error.ts';
import { createNotifications, type Notifications } from '../../../src/db/notify.ts';
import type { GatewayError } from '../../../src/errors.ts';
import type { Funding } from '../../../src/funding.ts';
import { reconcileInvoices } from '../../../src/jobs/reconcile-invoices.ts';
import { msat, picoUsdFromUsd } from '../../../src/amount.ts';
import type { Invoice } from '../../../src/invoices/invoice.ts';
import { auditNode, compareBooks } from '../../../src/node-audit/audit-node.ts';
import { describeInvoice } from '../../../src/invoices/invoice-seal.ts';
import { createNwcWallet, type NwcWalletOptions } from '../../../src/lightning/nwc/nwc.ts';
import { openOrphans } from '../../../src/invoices/orphans.ts';
import { SimulatedWallet } from '../../../src/lightning/simulated/simulated.ts';
import type { SettlementListener, Wallet } from '../../../src/lightning/wallet.ts';
import { createLog } from '../../../src/log.ts';
import { Reconciling } from '../../../src/operator/reconciling.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { addOwner, depositsOf, openFunding, stopSchedule, TEST_ROOT } from '../../support/funded.ts';
import { startNostrRelay, type NostrRelay } from '../../support/nostr-relay.ts';
import { RECEIVE_ONLY, startNwcService, type NwcService, type NwcServiceOptions } from '../../support/nwc-wallet-service.ts';
import { until } from '../../support/until.ts';

const NOTIFICATION = 23197;
const log = createLog('silent');
const unavailable = { code: 'lightning_unavailable' };

let database: TestDatabase;
let notifications: Notifications;
let node: SimulatedWallet;
let relay: NostrRelay;
let owner: ActingKey;
let account: string;
/** What the gateways of a test did about each settlement that their wallet told them of; settles once they have acted on it. */
let heard: Promise<unknown>[];
const closing: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  database = await createTestDatabase({ max: 20 });
  notifications = createNotifications(database.connectionString);
  node = new SimulatedWallet({ pool: database.pool, notifications, root: TEST_ROOT });
});
afterAll(async () => {
  await notifications.close();
  await database.drop();
});
beforeEach(async () => {
  relay = await startNostrRelay();
  owner = await addOwner(database.pool);
  account = owner.accountId;
  heard = [];
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await relay.stop();
});

async function startService(options: Partial<NwcServiceOptions> = {}): Promise<NwcService> {
  const service = await startNwcService({ relayUrl: relay.url, node, ...options });
  closing.push(() => service.disconnect());
  return service;
}

async function connect(service: Pick<NwcService, 'url'>, options: Partial<NwcWalletOptions> = {}): Promise<Wallet> {
  const wallet = await createNwcWallet({
    url: service.url,
    pool: database.pool,
    log,
    observe: () => {},
    deadlineMs: 1_000,
    probeMs: 200,
    startMs: 1_500,
    ...options,
  });
  closing.push(() => wallet.close());
  return wallet;
}

/** A gateway process that takes payments through the wallet; resolves once it watches. */
async function startGateway(wallet: Wallet): Promise<Funding> {
  const { funding, close } = openFunding(database, wallet);
  closing.push(close);
  const watches = new Promise<void>((resolve) => {
    const watched = {
      watchSettlements: (onSettled: SettlementListener, signal: AbortSignal, onSubscribed = () => {}) => {
        const listener: SettlementListener = (state) => {
          const acting = onSettled(state);
          heard.push(Promise.resolve(acting));
          return acting;
        };
        return wallet.watchSettlements(listener, signal, () => {
          onSubscribed();
          resolve();
        });
      },
    };
    const watcher = reconcileInvoices({ funding, wallet: watched, connectionString: database.connectionString, log, observe: () => {} });
    closing.push(() => watcher.stop());
  });
  await watches;
  return funding;
}

const deposits = async () => (await depositsOf(database.pool, account)).deposits;
const credited = (expected: bigint[]) => until(async () => String(await deposits()) === String(expected));
/** Lets the schedule's next check come now. */
const makeDue = () =>
  database.pool.query(`update invoices set next_check_at = now() where account_id = $1 and next_check_at is not null`, [account]);
/** Nothing is credited although the gateway was told of a settlement, asked the wallet in every way that it does, and acted on the answers. */
const notCredited = async (funding: Funding, { id, paymentHash }: Invoice) => {
  await until(() => heard.length > 0);
  await Promise.all(heard);
  await funding.settled(paymentHash);
  expect((await funding.status(account, id)).status).toBe('pending');
  await makeDue();
  await funding.checkDue(50);
  expect(await deposits()).toEqual([]);
};

describe('a wallet over Nostr Wallet Connect', () => {
  it('makes the invoice, and its payment is credited once, within a second, at what was received', async () => {
    const service = await startService();
    const wallet = await connect(service);
    expect(wallet).toMatchObject({ backend: 'nwc', network: 'regtest', nodeId: service.walletPubkey, takesPreimage: false });
    expect(await wallet.status()).toEqual({ ready: true });
    const funding = await startGateway(wallet);
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    expect(bolt11.decode(invoice.bolt11)).toMatchObject({ millisatoshis: '500000', payeeNodeKey: node.nodeId });
    const paidAt = performance.now();
    await service.pay(invoice.bolt11, { amountMsat: 700_000n });
    await credited([700_000n]);
    expect(performance.now() - paidAt).toBeLessThan(1_000);
    expect(await auditNode(database.pool, wallet)).toEqual([]);
  });

  it('tells of a payment under our name that the database has lost, which is kept to be credited', async () => {
    const sealed = describeInvoice([TEST_ROOT], { invoiceId: randomUUID(), owner: { accountId: account }, amountSat: 5 });
    const invoice = { amountMsat: msat(5_000n), description: sealed, expirySeconds: 600, preimage: randomBytes(32) };
    const { bolt11: text, paymentHash } = await node.createInvoice(invoice);
    const service = await startService({ tells: (found) => ({ ...found, description: sealed, invoice: text }) });
    const wallet = await connect(service);
    await startGateway(wallet);
    await service.pay(text);
    const [orphan] = await until(async () => {
      const orphans = await openOrphans(database.pool, wallet.nodeId);
      return orphans.length > 0 && orphans;
    });
    expect(orphan).toMatchObject({ paymentHash, amountMsat: 5_000n, bolt11: text });
    const options = { pool: database.pool, wallet, roots: [TEST_ROOT], dailyBudgetPicoUsd: picoUsdFromUsd('10') };
    expect(orphan && (await new Reconciling(options).credit(orphan))).toBe(true);
    expect(await deposits()).toEqual([5_000n]);
    expect(await auditNode(database.pool, wallet)).toEqual([]);
  });

  describe('that nobody told of', () => {
    /** Payments under our name to invoices that the database has lost, newest first, as the wallet lists them. */
    async function lost(count: number): Promise<Partial<Nip47Transaction>[]> {
      const listed: Partial<Nip47Transaction>[] = [];
      const seconds = Math.floor(Date.now() / 1000);
      for (let index = 0; index < count; index++) {
        const description = describeInvoice([TEST_ROOT], { invoiceId: randomUUID(), owner: { accountId: account }, amountSat: 5 });
        const preimage = randomBytes(32);
        const { bolt11: invoice, paymentHash } = await node.createInvoice({
          ...{ amountMsat: msat(5_000n), description, expirySeconds: 600, preimage },
        });
        const paid = { type: 'incoming', state: 'settled', amount: 5_000, settled_at: seconds } as const;
        listed.unshift({ ...paid, invoice, description, payment_hash: paymentHash.toString('hex'), created_at: seconds - 100 + index });
      }
      return listed;
    }
    const others: unknown[] = [
      null,
      { type: 'outgoing', state: 'settled', payment_hash: '01'.repeat(32), amount: 7_000, settled_at: 1, description: 'Pura top-up' },
      { type: 'incoming', state: 'pending', payment_hash: '02'.repeat(32), amount: 7_000, description: 'Pura top-up' },
      { type: 'incoming', state: 'settled', payment_hash: '03'.repeat(32), amount: 7_000, settled_at: 1, description: 'coffee' },
      { type: 'incoming', state: 'settled', amount: 'much' },
    ];
    const orphansOf = async ({ nodeId }: Wallet) =>
      (await openOrphans(database.pool, nodeId)).map(({ paymentHash }) => paymentHash.toString('hex'));

    it.each<[string, (all: unknown[]) => NwcService['listed']]>([
      [
        'pages as it is asked to',
        (all) =>
          ({ offset = 0, limit = all.length }) =>
            all.slice(offset, offset + limit),
      ],
      [
        'has smaller pages than it is asked for',
        (all) =>
          ({ offset = 0 }) =>
            all.slice(offset, offset + 7),
      ],
      ['gives all at once, however often it is asked', (all) => () => all],
    ])('is found in the list of a wallet that %s', async (_how, lists) => {
      const service = await startService();
      const wallet = await connect(service);
      const missing = await lost(45);
      service.listed = lists([...missing, ...others]);
      expect(await auditNode(database.pool, wallet)).toHaveLength(45);
      expect(new Set(await orphansOf(wallet))).toEqual(new Set(missing.map(({ payment_hash }) => payment_hash)));
      // What came since, and was made before what was found then.
      const [late] = await lost(1);
      service.listed = lists([...missing, { ...late, created_at: Math.floor(Date.now() / 1000) - 6 * 86_400 }, ...others]);
      await compareBooks(database.pool, wallet, { full: false });
      expect(await orphansOf(wallet)).toContain(late?.payment_hash);
    });

    it.each<[string, NwcService['listed']]>([
      ['says that it lists and does not', undefined],
      ['lists what is no list', () => 'none' as unknown as unknown[]],
      ['lists the last few only', () => []],
    ])('is found as without a list where the wallet %s', async (_how, lists) => {
      await relay.faults({ drop: [NOTIFICATION] });
      const service = await startService();
      const wallet = await connect(service);
      const { funding, close } = openFunding(database, wallet);
      const { invoice } = await funding.fund(owner, { amountSat: 500 });
      await close();
      service.listed = lists;
      const seconds = Math.floor(Date.now() / 1000) - 3_600;
      service.tells = (found) => ({ ...found, state: 'settled', settled_at: seconds, amount: 500_000 });
      expect(await auditNode(database.pool, wallet)).toMatchObject([{ subject: invoice.id, expected: '500000', found: '0' }]);
      await database.pool.query(`update invoices set state = 'expired', next_check_at = now() + interval '1 hour' where id = $1`, [
        invoice.id,
      ]);
    });
  });

  it('is credited once however often the payment is notified of', async () => {
    await relay.faults({ twice: [NOTIFICATION] });
    const service = await startService();
    const funding = await startGateway(await connect(service));
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    await service.pay(invoice.bolt11, { notifications: 10 });
    await credited([500_000n]);
    await makeDue();
    const { invoice: next } = await funding.fund(owner, { amountSat: 600 });
    await service.pay(next.bolt11);
    await credited([500_000n, 600_000n]);
    await Promise.all(heard);
    expect(await deposits()).toEqual([500_000n, 600_000n]);
  });

  it('is credited by lookup where the notification is lost', async () => {
    await relay.faults({ drop: [NOTIFICATION] });
    const service = await startService();
    const funding = await startGateway(await connect(service));
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    await service.pay(invoice.bolt11);
    await makeDue();
    await credited([500_000n]);
  });

  it('is credited once the relay is back where that was down at the payment', async () => {
    const service = await startService();
    const wallet = await connect(service);
    const funding = await startGateway(wallet);
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    await relay.kill();
    await stopSchedule(database.pool);
    await service.pay(invoice.bolt11);
    await expect(funding.fund(owner, { amountSat: 600 })).rejects.toMatchObject(unavailable);
    await expect(wallet.lookupInvoice(invoice.paymentHash)).rejects.toMatchObject(unavailable);
    await relay.start();
    await credited([500_000n]);
    await until(async () => (await wallet.status()).ready);
  });

  it('is credited once the wallet is back where that was offline after the payment', async () => {
    const service = await startService();
    const funding = await startGateway(await connect(service));
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    service.disconnect();
    await stopSchedule(database.pool);
    await service.pay(invoice.bolt11);
    await expect(funding.fund(owner, { amountSat: 600 })).rejects.toMatchObject(unavailable);
    await service.connect();
    await credited([500_000n]);
  });

  it('gives a frozen relay up in time, and uses it again when it goes on', async () => {
    const service = await startService();
    const wallet = await connect(service);
    const { paymentHash } = await wallet.createInvoice({
      amountMsat: msat(1_000n),
      description: '',
      expirySeconds: 600,
      preimage: Buffer.alloc(32),
    });
    relay.signal('SIGSTOP');
    const askedAt = performance.now();
    await expect(wallet.lookupInvoice(paymentHash)).rejects.toMatchObject(unavailable);
    expect(performance.now() - askedAt).toBeLessThan(1_500);
    relay.signal('SIGCONT');
    expect(await until(() => wallet.lookupInvoice(paymentHash).catch(() => null))).toMatchObject({ status: 'open' });
  });

  it.each<[string, (found: Partial<Nip47Transaction>) => unknown]>([
    ['no time of settlement', (found) => ({ ...found, settled_at: undefined })],
    ['no state', (found) => ({ ...found, state: undefined })],
    ['no preimage', (found) => ({ ...found, preimage: undefined })],
    ['null for what it does not know', (found) => ({ ...found, type: null, settled_at: null, preimage: null, fees_paid: null })],
  ])('is credited once where the wallet tells %s', async (_what, tells) => {
    const service = await startService({ tells });
    const funding = await startGateway(await connect(service));
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    await service.pay(invoice.bolt11, { notifications: 2 });
    await credited([500_000n]);
    expect((await funding.status(account, invoice.id)).status).toBe('paid');
  });

  it.each<[string, (found: Partial<Nip47Transaction>) => unknown, string | null]>([
    ['of a payment that went out', (found) => ({ ...found, type: 'outgoing' }), null],
    ['of another invoice', (found) => ({ ...found, payment_hash: 'ab'.repeat(32) }), 'the wallet told of another invoice'],
    ['of a payment of nothing', (found) => ({ ...found, amount: 0 }), 'the wallet told of a settled invoice that received nothing'],
    ['of an amount below nothing', (found) => ({ ...found, amount: -5 }), "the wallet's answer lacks or garbles: amount"],
    ['of parts of a millisatoshi', (found) => ({ ...found, amount: 0.5 }), "the wallet's answer lacks or garbles: amount"],
    ['of no amount', (found) => ({ ...found, amount: undefined }), "the wallet's answer lacks or garbles: amount"],
    ['of no hash', (found) => ({ ...found, payment_hash: undefined }), "the wallet's answer lacks or garbles: payment_hash"],
    ['nonsense', () => 'settled', "the wallet's answer lacks or garbles: everything"],
  ])('is not credited where the wallet tells %s', async (_what, tells, complaint) => {
    const service = await startService({ tells });
    const wallet = await connect(service);
    const funding = await startGateway(wallet);
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    await service.pay(invoice.bolt11, { notifications: 0 });
    const read = await wallet.lookupInvoice(invoice.paymentHash).catch((error: GatewayError) => (error.cause as Error).message);
    expect(read).toBe(complaint);
    await service.notify({ payment_hash: invoice.paymentHash.toString('hex') });
    await notCredited(funding, invoice);
    service.tells = (found) => found;
    await until(async () => {
      // A check that failed puts the next one off.
      await makeDue();
      return (await deposits()).length > 0;
    });
    expect(await deposits()).toEqual([500_000n]);
  });

  it('is not credited on the word of a notification', async () => {
    const service = await startService();
    const funding = await startGateway(await connect(service));
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    const claims = { type: 'incoming', state: 'settled', settled_at: 1, amount: 1e9, payment_hash: invoice.paymentHash.toString('hex') };
    await service.notify(claims);
    await notCredited(funding, invoice);
    await service.pay(invoice.bolt11);
    await credited([500_000n]);
  });
});

describe('an invoice of such a wallet', () => {
  it('whose answer was lost was shown to nobody, and asking again makes another', async () => {
    const service = await startService();
    const funding = await startGateway(await connect(service));
    const topUp = { amountSat: 500, idempotencyKey: 'k', bodySha256: Buffer.alloc(32) };
    service.mute = true;
    await expect(funding.fund(owner, topUp)).rejects.toMatchObject(unavailable);
    service.mute = false;
    const { invoice } = await funding.fund(owner, topUp);
    expect(service.invoices).toHaveLength(2);
    expect(invoice.bolt11).toBe(service.invoices[1]);
    const { rows } = await database.pool.query(`select state from invoices where account_id = $1 order by created_at`, [account]);
    expect(rows).toEqual([{ state: 'failed' }, { state: 'open' }]);
    await service.pay(invoice.bolt11);
    await credited([500_000n]);
  });

  it('is refused where it is for another network than the wallet says, or another amount', async () => {
    const create = (wallet: Wallet) =>
      wallet.createInvoice({ amountMsat: msat(1_000n), description: '', expirySeconds: 600, preimage: Buffer.alloc(32) });
    await expect(create(await connect(await startService({ network: 'mainnet' })))).rejects.toMatchObject(unavailable);
    await expect(create(await connect(await startService({ network: '' })))).rejects.toMatchObject(unavailable);
    const service = await startService();
    service.factor = 1_000;
    await expect(create(await connect(service))).rejects.toMatchObject(unavailable);
  });

  it('that the wallet does not know is no verdict', async () => {
    const wallet = await connect(await startService());
    expect(await wallet.lookupInvoice(Buffer.alloc(32, 9))).toBeNull();
  });
});

describe('what such a wallet has', () => {
  it('is what it says, in msat; what it could receive is not known', async () => {
    const service = await startService({ methods: [...RECEIVE_ONLY, 'get_balance'] });
    const wallet = await connect(service);
    expect(wallet.meansNeed).toBeUndefined();
    service.balanceMsat = 1_234_567;
    expect(await wallet.means?.()).toEqual({ spendableMsat: 1_234_567n, receivableMsat: null, pendingMsat: null });
  });

  it.each([
    ['below nothing', -1],
    ['a part of a millisat', 0.5],
    ['no number that is exact', 2 ** 53],
    ['not told', undefined],
  ])('is refused where it is %s', async (_what, balanceMsat) => {
    const service = await startService({ methods: [...RECEIVE_ONLY, 'get_balance'] });
    const wallet = await connect(service);
    service.balanceMsat = balanceMsat;
    await expect(wallet.means?.()).rejects.toMatchObject(unavailable);
  });

  it('is named as what the connection does not allow to be asked', async () => {
    const service = await startService();
    expect((await connect(service)).meansNeed).toBe('get_balance');
  });
});

describe('a connection to such a wallet', () => {
  it.each(['make_invoice', 'lookup_invoice'] as const)('is refused without %s', async (method) => {
    const service = await startService({ methods: RECEIVE_ONLY.filter((allowed) => allowed !== method) });
    await expect(connect(service)).rejects.toThrow(new ConfigError(`NWC_URL: the connection needs ${method} too`));
  });

  it('is refused, without telling its secret, where it is malformed', async () => {
    const secret = 'ab'.repeat(32);
    for (const url of [
      `nostr+walletconnect://nokey?relay=ws://127.0.0.1&secret=${secret}`,
      `nostr+walletconnect://${'1'.repeat(64)}?secret=${secret}`,
      `nostr+walletconnect://${'1'.repeat(64)}?relay=ws://127.0.0.1&secret=${secret}0`,
      `nostr+walletconnect:// ${secret}`,
    ]) {
      const error = await connect({ url }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ConfigError);
      expect(JSON.stringify([String(error), (error as Error).cause ?? ''])).not.toContain(secret);
    }
  });

  it.each([
    [['pay_invoice'], true],
    [['multi_pay_invoice', 'pay_keysend'], true],
    [[], false],
  ] as const)('that also allows %j is warned about: %p', async (more, warned) => {
    const service = await startService({ methods: [...RECEIVE_ONLY, ...more] });
    const warnings: unknown[] = [];
    const listening = Object.assign(Object.create(log) as Logger, { warn: (...words: unknown[]) => void warnings.push(words) });
    await connect(service, { log: listening });
    expect(warnings.length > 0).toBe(warned);
  });

  it.each(['make_invoice', 'lookup_invoice'] as const)(
    'that loses %s is not ready, each time that it is asked, and is again with it',
    async (method) => {
      const service = await startService();
      let nowMs = 0;
      const wallet = await connect(service, { now: () => nowMs });
      expect(await wallet.status()).toEqual({ ready: true });
      service.methods = RECEIVE_ONLY.filter((allowed) => allowed !== method);
      nowMs += 15_000;
      const lost = { ready: false, reason: `the wallet no longer allows ${method}` };
      expect([await wallet.status(), await wallet.status()]).toEqual([lost, lost]);
      service.methods = RECEIVE_ONLY;
      expect(await wallet.status()).toEqual({ ready: true });
    },
  );

  it('is asked again whether it is there fifteen seconds after it was last heard of', async () => {
    const service = await startService();
    let nowMs = 0;
    const wallet = await connect(service, { now: () => nowMs });
    expect(await wallet.status()).toEqual({ ready: true });
    service.disconnect();
    nowMs += 14_999;
    expect(await wallet.status()).toEqual({ ready: true });
    nowMs += 1;
    expect(await wallet.status()).toMatchObject({ ready: false });
  });

  it('starts without the wallet where the database knows it, and uses it when it is back', async () => {
    const service = await startService();
    service.disconnect();
    await expect(connect(service)).rejects.toThrow(ConfigError);
    await service.connect();
    await connect(service);
    service.disconnect();
    const wallet = await connect(service);
    expect(wallet).toMatchObject({ network: 'regtest', nodeId: service.walletPubkey });
    expect(await wallet.status()).toEqual({ ready: false, reason: 'the wallet does not answer' });
    await service.connect();
    await until(async () => (await wallet.status()).ready);
  });

  it('tells when no relay can be reached', async () => {
    const service = await startService();
    await connect(service);
    await relay.kill();
    const wallet = await connect(service);
    expect((await wallet.status()).reason).toMatch(/relay/);
  });
});
