import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import bolt11 from 'bolt11';
import { cancelHodlInvoice } from 'lightning';
import { startLndGateway, type LndGateway } from '../regtest/lnd-gateway.ts';
import { startRegtest, type Regtest } from '../regtest/regtest.ts';
import { errorOf } from '../support/chat.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import type { TestKey } from '../support/gateway.ts';
import { startNostrRelay, type NostrRelay } from '../support/nostr-relay.ts';
import { startNwcPayerService, type NwcPayerService } from '../support/nwc-payer-service.ts';
import { until } from '../support/until.ts';

const AMOUNTS = { thresholdSats: 100, topupSats: 1_000, dailyLimitSats: 5_000 };
const CHAT = { model: 'demo-cheap', messages: [{ role: 'user', content: 'Hello' }] };

let regtest: Regtest;
let database: TestDatabase;
let relay: NostrRelay;
let gateway: LndGateway;
const wallets: NwcPayerService[] = [];

beforeAll(async () => {
  [regtest, database, relay] = await Promise.all([startRegtest(), createTestDatabase({ max: 20 }), startNostrRelay()]);
  const autopay = { payers: { allowLoopback: true }, helpMs: 20_000 };
  gateway = await startLndGateway(regtest.gateway, { database, autopay, env: { FREE_TIER_REQUESTS: '0' } });
});
afterAll(async () => {
  for (const each of wallets) each.close();
  await gateway?.close();
  await relay?.stop();
  await database?.drop();
  await regtest?.close();
});
afterEach(async () => {
  expect(await gateway.audit()).toEqual([]);
});

/** A new account, and a wallet over the payer's node. */
async function account(pubkey = regtest.payer.publicKey): Promise<{ key: TestKey; wallet: NwcPayerService }> {
  const wallet = await startNwcPayerService({ relayUrls: [relay.url], pay: (invoice) => regtest.pay(invoice), pubkey });
  wallets.push(wallet);
  return { key: await gateway.newKey(), wallet };
}

function store({ secret }: TestKey, { url: nwcUrl }: NwcPayerService): Promise<Response> {
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
  return fetch(`${gateway.url}/api/wallet/autopay`, { method: 'PUT', headers, body: JSON.stringify({ ...AMOUNTS, nwcUrl }) });
}

describe('autopay between two real LNDs', () => {
  it('pays for the request that lacked the money', async () => {
    const { key, wallet } = await account();
    expect((await store(key, wallet)).status).toBe(200);
    expect((await gateway.post('/v1/chat/completions', CHAT, key)).status).toBe(200);
    await gateway.credited(key, [1_000_000n]);
    expect(wallet.asked).toHaveLength(1);
  });

  it('begins again only after LND has canceled the invoice, with another one', async () => {
    const { key, wallet } = await account();
    wallet.does = 'silent';
    const asked = wallet.nextAsked();
    await store(key, wallet);
    const id = bolt11.decode(await asked).tagsObject.payment_hash ?? '';
    const begin = () => gateway.pool.query('update autopay set not_before = clock_timestamp() where account_id = $1', [key.accountId]);
    const open = async () =>
      (await gateway.pool.query('select from autopay_attempts where account_id = $1 and ended_at is null', [key.accountId])).rowCount;
    await begin();
    expect(await open()).toBe(1);
    await cancelHodlInvoice({ lnd: regtest.gateway.lnd, id });
    wallet.does = 'pays';
    await until(async () => {
      // Without the pauses between two lookups.
      await gateway.pool.query(`update invoices set next_check_at = now() where account_id = $1 and next_check_at is not null`, [
        key.accountId,
      ]);
      return (await open()) === 0;
    }, 60_000);
    await begin();
    await gateway.credited(key, [1_000_000n], 60_000);
    expect(new Set(wallet.asked).size).toBe(2);
  });

  it('refuses a wallet on the gateway’s own node, which cannot pay itself', async () => {
    const { key, wallet } = await account(regtest.gateway.publicKey);
    const answer = await store(key, wallet);
    expect(answer.status).toBe(400);
    expect((await errorOf(answer)).message).toContain("gateway's own wallet");
  });
});
