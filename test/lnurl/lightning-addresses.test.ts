import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import bolt11 from 'bolt11';
import type { ActingKey } from '../../src/accounts/acting-key.ts';
import { msat } from '../../src/amount.ts';
import { createNotifications, type Notifications } from '../../src/db/notify.ts';
import type { Funding } from '../../src/funding.ts';
import { isUnderOurName } from '../../src/invoices/invoice-seal.ts';
import { noteOrphan } from '../../src/invoices/orphans.ts';
import { createNwcWallet } from '../../src/lightning/nwc/nwc.ts';
import { SimulatedWallet } from '../../src/lightning/simulated/simulated.ts';
import type { Wallet } from '../../src/lightning/wallet.ts';
import { Handles } from '../../src/lnurl/handles.ts';
import { LightningAddresses } from '../../src/lnurl/lightning-addresses.ts';
import { createLog } from '../../src/log.ts';
import { auditNode } from '../../src/node-audit/audit-node.ts';
import { receivedOrphan } from '../../src/node-audit/compare-received.ts';
import { picoUsdFromUsd } from '../../src/amount.ts';
import { Reconciling } from '../../src/operator/reconciling.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addOwner, depositsOf, openFunding, TEST_ROOT } from '../support/funded.ts';
import { FakeWallet } from '../support/fake-wallet.ts';
import { startNostrRelay, type NostrRelay } from '../support/nostr-relay.ts';
import { startNwcService, type NwcService } from '../support/nwc-wallet-service.ts';

const ORIGIN = 'https://pura.example';
const shares = [{ name: '198.51.100.7', times: 1 }];

let database: TestDatabase;
let notifications: Notifications;
let node: SimulatedWallet;
let owner: ActingKey;
let handle: string;
let now = 0;
const closing: (() => Promise<void> | void)[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
  notifications = createNotifications(database.connectionString);
  node = new SimulatedWallet({ pool: database.pool, notifications, root: TEST_ROOT });
});
afterAll(async () => {
  await notifications.close();
  await database.drop();
});
beforeEach(async () => {
  owner = await addOwner(database.pool);
  handle = await new Handles(database.pool).of(owner.accountId);
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function open(wallet: Wallet, invoicesAnHour = 100): { addresses: LightningAddresses; funding: Funding } {
  const { funding, close } = openFunding(database, wallet);
  closing.push(close);
  const handles = new Handles(database.pool);
  return { funding, addresses: new LightningAddresses({ handles, funding, wallet, invoicesAnHour, now: () => now }) };
}
const wanted = (sats = 21) => ({ handle, amountMsat: msat(BigInt(sats) * 1_000n), comment: undefined, shares });

describe('a Lightning Address', () => {
  it('is told to its owner with its code, or with the reason why nobody can pay to it', async () => {
    const { addresses } = open(new FakeWallet());
    expect(await addresses.addressOf(owner.accountId, ORIGIN)).toEqual({
      ...{ handle, address: `${handle}@pura.example`, lnurl: expect.stringMatching(/^LNURL1[0-9A-Z]+$/), off: null },
    });
    const { off } = await addresses.addressOf(owner.accountId, 'http://pura.example');
    expect(off).toMatch(/https/);
    await addresses.changeHandle(owner, `chosen-${handle}`);
    expect((await addresses.addressOf(owner.accountId, ORIGIN)).address).toBe(`chosen-${handle}@pura.example`);
    await expect(addresses.payRequest(handle, ORIGIN)).rejects.toMatchObject({ code: 'not_found' });
    await expect(addresses.invoice(wanted(), ORIGIN)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('makes as many invoices an hour for one sender as are allowed, and counts only those that were made', async () => {
    const wallet = new FakeWallet();
    const { addresses } = open(wallet, 2);
    wallet.away = true;
    for (let tries = 0; tries < 3; tries++)
      await expect(addresses.invoice(wanted(), ORIGIN)).rejects.toMatchObject({ code: 'lightning_unavailable' });
    wallet.away = false;
    for (let made = 0; made < 2; made++) await addresses.invoice(wanted(), ORIGIN);
    await expect(addresses.invoice(wanted(), ORIGIN)).rejects.toMatchObject({ code: 'too_many_invoices' });
    now += 3_600_000;
    expect((await addresses.invoice(wanted(), ORIGIN)).amountSat).toBe(21);
  });

  it('is one of an account that can be got at: without a lasting owner key nothing is taken', async () => {
    const { addresses } = open(new FakeWallet());
    await database.pool.query(`update api_keys set expires_at = now() + interval '1 day' where id = $1`, [owner.id]);
    await expect(addresses.invoice(wanted(), ORIGIN)).rejects.toMatchObject({
      code: 'last_owner_key',
      message: 'This address takes no payments at the moment.',
    });
  });

  it('of a frozen account is offered to nobody, and what was paid to it before is credited', async () => {
    const wallet = new FakeWallet();
    const { addresses, funding } = open(wallet);
    const { paymentHash } = await addresses.invoice(wanted(), ORIGIN);
    await database.pool.query(`update accounts set frozen_at = now() where id = $1`, [owner.accountId]);
    expect((await addresses.addressOf(owner.accountId, ORIGIN)).off).toMatch(/frozen/);
    for (const ask of [() => addresses.payRequest(handle, ORIGIN), () => addresses.invoice(wanted(), ORIGIN)])
      await expect(ask()).rejects.toMatchObject({ message: 'This address takes no payments at the moment.' });
    await funding.credit(wallet.settle(paymentHash));
    expect((await depositsOf(database.pool, owner.accountId)).deposits).toEqual([21_000n]);
  });

  it("has its invoice credited once, where the node's answer was lost and only its word tells of the payment", async () => {
    const wallet = new FakeWallet();
    const { addresses, funding } = open(wallet);
    wallet.loseAnswers = true;
    await expect(addresses.invoice(wanted(), ORIGIN)).rejects.toMatchObject({ code: 'lightning_unavailable' });
    wallet.loseAnswers = false;
    const [made] = wallet.node.values();
    if (!made) throw new Error('the node made none');
    wallet.settle(made.paymentHash);
    await Promise.all(Array.from({ length: 5 }, () => funding.settled(made.paymentHash)));
    expect((await depositsOf(database.pool, owner.accountId)).deposits).toEqual([21_000n]);
    expect(wallet.node.size).toBe(1);
  });
});

describe('a Lightning Address over Nostr Wallet Connect', () => {
  let relay: NostrRelay;
  let service: NwcService;
  let wallet: Wallet;
  beforeEach(async () => {
    relay = await startNostrRelay();
    service = await startNwcService({ relayUrl: relay.url, node });
    wallet = await createNwcWallet({
      url: service.url,
      pool: database.pool,
      log: createLog('silent'),
      observe: () => {},
      deadlineMs: 1_000,
    });
    closing.push(
      () => relay.stop(),
      () => service.disconnect(),
      () => wallet.close(),
    );
  });

  it('asks for text and hash together, and tells no preimage, for the wallet chose it', async () => {
    const { addresses, funding } = open(wallet);
    const { metadata } = await addresses.payRequest(handle, ORIGIN);
    const { bolt11: pr, paymentHash } = await addresses.invoice(wanted(), ORIGIN);
    expect(bolt11.decode(pr).tagsObject.purpose_commit_hash).toBe(createHash('sha256').update(metadata).digest('hex'));
    await node.pay(pr);
    await funding.settled(paymentHash);
    expect(await addresses.verify(paymentHash)).toEqual({ status: 'OK', settled: true, preimage: null, pr });
    expect((await depositsOf(database.pool, owner.accountId)).deposits).toEqual([21_000n]);
    expect(await auditNode(database.pool, wallet)).toEqual([]);
  });

  it.each(['refused', 'ignored'] as const)('is off for a while where the wallet has the hash %s', async (hashes) => {
    service.hashes = hashes;
    const { addresses } = open(wallet);
    expect((await addresses.addressOf(owner.accountId, ORIGIN)).off).toBeNull();
    await expect(addresses.invoice(wanted(), ORIGIN)).rejects.toMatchObject({ message: expect.stringMatching(/makes no invoices/) });
    expect((await addresses.addressOf(owner.accountId, ORIGIN)).off).toMatch(/makes no invoices for Lightning Addresses/);
    await expect(addresses.payRequest(handle, ORIGIN)).rejects.toMatchObject({ message: expect.stringMatching(/makes no invoices/) });
    now += 600_000;
    service.hashes = 'taken';
    expect((await addresses.invoice(wanted(), ORIGIN)).bolt11).toMatch(/^lnbcrt/);
    expect((await addresses.addressOf(owner.accountId, ORIGIN)).off).toBeNull();
  });

  it('that the database has lost a payment of is told to the operator with its account', async () => {
    const { addresses } = open(wallet);
    const { metadata: description } = await addresses.payRequest(handle, ORIGIN);
    expect([isUnderOurName(description), isUnderOurName(description.replace('Pura', 'Other'))]).toEqual([true, false]);
    const state = { paymentHash: Buffer.alloc(32, 9), status: 'settled', receivedMsat: msat(5_000n), description } as const;
    const orphan = receivedOrphan(state);
    if (!orphan) throw new Error('no orphan');
    await noteOrphan(database.pool, wallet.nodeId, orphan);
    const reconciling = new Reconciling({ pool: database.pool, wallet, roots: [TEST_ROOT], dailyBudgetPicoUsd: picoUsdFromUsd('10') });
    expect(await reconciling.belongsTo(orphan)).toEqual({
      unknown: expect.stringContaining(`${handle}@…, which is of account ${owner.accountId}`),
    });
  });
});
