import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createNotifications, type Notifications } from '../../src/db/notify.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { SimulatedWallet } from '../../src/lightning/simulated/simulated.ts';
import { depositsOf, TEST_ROOT } from '../support/funded.ts';
import { createSite, type GatewayProcess, type GatewaySite, type SharedDatabase } from '../support/gateway-process.ts';
import type { TestKey } from '../support/gateway.ts';
import { startNostrRelay, type NostrRelay } from '../support/nostr-relay.ts';
import { startNwcPayerService, type NwcPayerService } from '../support/nwc-payer-service.ts';
import { until } from '../support/until.ts';

const AMOUNTS = { thresholdSats: 100, topupSats: 1_000, dailyLimitSats: 5_000 };
const LONG_MS = 30_000;

let site: GatewaySite;
let gateway: GatewayProcess;
let database: SharedDatabase;
let notifications: Notifications;
let node: SimulatedWallet;
let relay: NostrRelay;
let wallet: NwcPayerService;
let key: TestKey;
const wallets: NwcPayerService[] = [];

beforeAll(async () => {
  site = createSite({ command: ['test/support/loopback-gateway.ts'] });
  relay = await startNostrRelay();
  gateway = await site.start();
  database = await site.database();
  notifications = createNotifications(database.connectionString);
  node = new SimulatedWallet({ pool: database.pool, notifications, root: TEST_ROOT });
});
afterAll(async () => {
  for (const each of wallets) each.close();
  await notifications.close();
  await site.close();
  await relay.stop();
});
beforeEach(async () => {
  ({ key, wallet } = await account());
});

async function account(): Promise<{ key: TestKey; wallet: NwcPayerService }> {
  const made = await startNwcPayerService({ relayUrls: [relay.url], pay: (invoice) => node.pay(invoice) });
  wallets.push(made);
  return { key: await gateway.newKey(), wallet: made };
}

/** Stores the connection: the balance is low, so the wallet is asked soon. */
async function store(by: TestKey, { url: nwcUrl }: NwcPayerService): Promise<void> {
  const headers = { authorization: `Bearer ${by.secret}`, 'content-type': 'application/json' };
  const answer = await fetch(`${gateway.url}/api/wallet/autopay`, { method: 'PUT', headers, body: JSON.stringify({ ...AMOUNTS, nwcUrl }) });
  if (answer.status !== 200) throw new Error(await answer.text());
}

/** Kills the gateway once the wallet has been asked and before it has answered, and starts another. Gives the invoice. */
async function killWhileAsking(): Promise<string> {
  wallet.does = 'silent';
  const asked = wallet.nextAsked();
  await store(key, wallet);
  const invoice = await asked;
  await gateway.end('SIGKILL');
  return invoice;
}

/** Waits until the new gateway has looked for accounts whose balance is low: it has found another one. */
async function looked(): Promise<void> {
  const other = await account();
  await store(other.key, other.wallet);
  await until(() => other.wallet.asked.length > 0, LONG_MS);
}

const deposits = async () => (await depositsOf(database.pool, key.accountId)).deposits;
const openAttempts = async () =>
  (await database.pool.query('select from autopay_attempts where account_id = $1 and ended_at is null', [key.accountId])).rowCount;

describe('a gateway killed while an owner’s wallet is asked to pay', () => {
  it('asks no second time, and the next one credits what the wallet paid, once', async () => {
    const invoice = await killWhileAsking();
    await node.pay(invoice);
    gateway = await site.start();
    await until(async () => (await deposits()).length > 0, LONG_MS);
    await until(async () => (await openAttempts()) === 0, LONG_MS);
    await looked();
    expect(wallet.asked).toEqual([invoice]);
    expect(await deposits()).toEqual([1_000_000n]);
    expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  });

  it('leaves the attempt open until the invoice is final at our node, and only then another begins', async () => {
    const invoice = await killWhileAsking();
    gateway = await site.start();
    await looked();
    expect(wallet.asked).toEqual([invoice]);
    expect(await openAttempts()).toBe(1);
    await database.pool.query(`update simulated_invoices set state = 'canceled' where bolt11 = $1`, [invoice]);
    await database.pool.query(`update invoices set expires_at = clock_timestamp() - interval '1 second' where bolt11 = $1`, [invoice]);
    await until(async () => (await openAttempts()) === 0, LONG_MS);
    wallet.does = 'pays';
    await database.pool.query('update autopay set not_before = clock_timestamp() where account_id = $1', [key.accountId]);
    await until(async () => (await deposits()).length > 0, LONG_MS);
    expect(wallet.asked).toHaveLength(2);
    expect(wallet.asked[1]).not.toBe(invoice);
    expect(await deposits()).toEqual([1_000_000n]);
    expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  });
});
