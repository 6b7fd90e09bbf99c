import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createLog } from '../../src/log.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { chat, errorOf } from '../support/chat.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { depositsOf } from '../support/funded.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { startNostrRelay, type NostrRelay } from '../support/nostr-relay.ts';
import { startNwcPayerService, type NwcPayerService } from '../support/nwc-payer-service.ts';
import { until } from '../support/until.ts';

const PATH = '/api/wallet/autopay';
const AMOUNTS = { thresholdSats: 100, topupSats: 1_000, dailyLimitSats: 5_000 };

let database: TestDatabase;
let upstream: FakeProvider;
let relay: NostrRelay;
let gateway: TestGateway;
let beside: TestGateway;
let wallet: NwcPayerService;
let key: TestKey;
/** All that was logged or answered. */
const told: string[] = [];

beforeAll(async () => {
  database = await createTestDatabase({ max: 20 });
  upstream = await startFakeProvider();
  relay = await startNostrRelay();
  const log = createLog('trace', { write: (line: string) => void told.push(line) });
  // A busy machine may take longer than a request would wait.
  const autopay = { payers: { allowLoopback: true }, helpMs: 20_000 };
  const start = () => startGateway({ database, deployments: [upstream.deployment()], env: { FREE_TIER_REQUESTS: '0' }, log, autopay });
  gateway = await start();
  beside = await start();
});
afterAll(async () => {
  expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  await Promise.all([gateway.close(), beside.close()]);
  wallet.close();
  await relay.stop();
  await upstream.close();
  await database.drop();
});
beforeEach(async () => {
  wallet?.close();
  wallet = await startNwcPayerService({ relayUrls: [relay.url], pay: (invoice) => gateway.pay(invoice) });
  key = await gateway.newKey();
});

async function put(body: object, by = key): Promise<Response> {
  const headers = { authorization: `Bearer ${by.secret}`, 'content-type': 'application/json' };
  const answer = await fetch(gateway.url + PATH, { method: 'PUT', headers, body: JSON.stringify(body) });
  told.push(await answer.clone().text());
  return answer;
}

describe('a request without the money for it', () => {
  it('waits for the wallet and goes on, and many at once on two gateways cause one payment', async () => {
    expect((await put({ ...AMOUNTS, nwcUrl: wallet.url, paused: true })).status).toBe(200);
    expect((await gateway.post('/v1/chat/completions', chat(), key)).status).toBe(402);
    expect((await put(AMOUNTS)).status).toBe(200);
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, index) => (index % 2 ? gateway : beside).post('/v1/chat/completions', chat(), key)),
    );
    // A gateway that has not heard of the change yet answers as it did before.
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThan(11);
    await until(async () => (await depositsOf(database.pool, key.accountId)).deposits.length > 0);
    expect(wallet.asked).toHaveLength(1);
    expect((await depositsOf(database.pool, key.accountId)).deposits).toEqual([1_000_000n]);
    const shown = await (await gateway.get(PATH, key)).json();
    expect(shown).toMatchObject({ state: 'on', spentTodaySats: 1_000, lastAttempt: { outcome: 'paid', amountSats: 1_000 } });
  });

  it('is a 402 where the wallet refuses, with another invoice than the wallet’s', async () => {
    wallet.does = { says: 'INSUFFICIENT_BALANCE' };
    await put({ ...AMOUNTS, nwcUrl: wallet.url });
    const answer = await gateway.post('/v1/chat/completions', chat(), key);
    expect(answer.status).toBe(402);
    const { funding } = await errorOf(answer);
    expect(wallet.asked).toHaveLength(1);
    expect(funding?.paymentRequest).not.toBe(wallet.asked[0]);
    const { rows } = await database.pool.query<{ id: string }>('select id from invoices where bolt11 = $1', [wallet.asked[0]]);
    for (const path of [`/invoice/${rows[0]?.id}`, `/invoice/${rows[0]?.id}/qr.txt`, `/api/wallet/status?invoiceId=${rows[0]?.id}`])
      expect((await gateway.get(path, key)).status).toBe(404);
  });

  it('counts once against the limits, however long it waited', async () => {
    await put({ ...AMOUNTS, nwcUrl: wallet.url });
    await gateway.patchKey(key, { rateLimitRpm: 1 });
    expect((await gateway.post('/v1/chat/completions', chat(), key)).status).toBe(200);
    expect((await gateway.post('/v1/chat/completions', chat(), key)).status).toBe(429);
  });
});

describe('a balance that a charge takes under the threshold', () => {
  it('is topped up although no request was refused', async () => {
    await gateway.fund(key, 200);
    await put({ ...AMOUNTS, thresholdSats: 200, nwcUrl: wallet.url, paused: true });
    await put({ ...AMOUNTS, thresholdSats: 200 });
    expect((await gateway.post('/v1/chat/completions', chat(), key)).status).toBe(200);
    await until(async () => (await depositsOf(database.pool, key.accountId)).deposits.length === 2);
    expect(wallet.asked).toHaveLength(1);
  });
});

describe('/api/wallet/autopay', () => {
  it.each([
    ['thresholdSats', 0],
    ['thresholdSats', 1_000_001],
    ['thresholdSats', '100'],
    ['topupSats', 99],
    ['topupSats', 100.5],
    ['topupSats', null],
    ['dailyLimitSats', 999],
    ['dailyLimitSats', 1e12],
    ['nwcUrl', ''],
    ['nwcUrl', 7],
    ['nwcUrl', 'nostr+walletconnect://nobody'],
    ['paused', 'yes'],
    ['other', 1],
  ])('names %s where that is %j', async (field, value) => {
    const answer = await put({ ...AMOUNTS, nwcUrl: wallet.url, [field]: value });
    expect(answer.status).toBe(400);
    expect(await errorOf(answer)).toMatchObject({ code: 'invalid_request', param: field });
    expect(await (await gateway.get(PATH, key)).json()).toEqual({ state: 'off' });
  });

  it('is an owner’s alone', async () => {
    const answer = await gateway.post('/api/keys', {}, key);
    const { id, key: secret } = (await answer.json()) as { id: string; key: string };
    const other = { ...key, id, secret };
    const headers = { authorization: `Bearer ${secret}` };
    expect((await put({ ...AMOUNTS, nwcUrl: wallet.url }, other)).status).toBe(403);
    expect((await gateway.get(PATH, other)).status).toBe(403);
    expect((await fetch(gateway.url + PATH, { method: 'DELETE', headers })).status).toBe(403);
  });

  it('shows and keeps no connection, and forgets it', async () => {
    await put({ ...AMOUNTS, nwcUrl: wallet.url });
    const shown = await gateway.get(PATH, key);
    expect(shown.headers.get('cache-control')).toBe('no-store');
    const body = await shown.text();
    told.push(body);
    expect(JSON.parse(body)).toMatchObject({ state: 'on', wallet: { name: 'Test wallet', relays: [new URL(relay.url).host] }, ...AMOUNTS });
    const { rows } = await database.pool.query<{ kept: string }>('select p::text as kept from autopay p');
    expect(rows.length).toBeGreaterThan(0);
    const all = [...told, ...rows.map(({ kept }) => kept)].join('\n');
    for (const secret of [wallet.secret, wallet.walletPubkey, Buffer.from(wallet.secret).toString('hex')])
      expect(all).not.toContain(secret);
    const headers = { authorization: `Bearer ${key.secret}` };
    expect((await fetch(gateway.url + PATH, { method: 'DELETE', headers })).status).toBe(204);
    expect(await (await gateway.get(PATH, key)).json()).toEqual({ state: 'off' });
  });
});
