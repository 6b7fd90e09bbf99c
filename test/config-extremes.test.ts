import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { loadConfig } from '../src/config/config.ts';
import { ConfigError } from '../src/config/config-error.ts';
import { chat, errorOf } from './support/chat.ts';
import { createTestDatabase, type TestDatabase } from './support/database.ts';
import { startFakeProvider, type FakeProvider } from './support/fake-provider.ts';
import { startGateway, type TestGateway } from './support/gateway.ts';

/** Each variable that is a number, its smallest and its largest value, and what it is refused with beyond. */
const NUMBERS: [name: string, smallest: string, largest: string, beyond: string[]][] = [
  ['FREE_TIER_REQUESTS', '0', '1000000000', ['1000000001']],
  ['FREE_TIER_MAX_COST_USD', '0', '1000000', ['1000000.000000000001', '99999999', '999999999']],
  ['FREE_TIER_GLOBAL_DAILY_USD', '0', '1000000', ['1000000.000000000001', '99999999', '999999999']],
  ['DAILY_BUDGET_USD', '0', '1000000', ['1000000.000000000001', '99999999', '999999999']],
  ['KEYS_PER_IP_PER_HOUR', '1', '9007199254740991', ['9007199254740992']],
  ['KEYLESS_INVOICES_PER_IP_PER_HOUR', '0', '9007199254740991', ['9007199254740992']],
  ['BODY_LIMIT_MB', '0.001', '256', ['0', '0.0001', '257']],
  ['DEFAULT_MAX_TOKENS', '1', '9007199254740991', ['0', '9007199254740992']],
  ['UPSTREAM_TIMEOUT_SECONDS', '0.1', '86400', ['0', '86401']],
  ['STREAM_MAX_SECONDS', '1', '86400', ['0', '86401']],
  ['SHUTDOWN_GRACE_SECONDS', '0', '3600', ['3601']],
  ['HOLD_LEASE_SECONDS', '1', '3600', ['0', '3601']],
  ['INVOICE_EXPIRY_SECONDS', '60', '604800', ['59', '604801']],
  ['L402_TOKEN_DAYS', '1', '36500', ['0', '36501']],
  ['WITHDRAW_MAX_FEE_PERCENT', '0', '100', ['100.1']],
  ['TOPUP_DEFAULT_SATS', '1', '1000000', ['0', '1000001']],
  ['RATE_LIMIT_RPM', '1', '9007199254740991', ['0', '9007199254740992']],
  ['RATE_LIMIT_TPM', '1', '9007199254740991', ['0', '9007199254740992']],
  ['OPEN_STREAMS_PER_ACCOUNT', '1', '9007199254740991', ['0', '9007199254740992']],
  ['BTC_USD', '1', '1000000000', ['0', '0.9', '1000000001']],
  ['BTC_USD_MAX_AGE_SECONDS', '1', '86400', ['0', '86401']],
  ['MARKUP_PERCENT', '0', '1000', ['1001']],
  ['BYOK_FEE_MSAT', '0', '1000000', ['-1', '1000001']],
];
const NEVER = ['-1', '1e3', '0x10', '9223372036854775808', '9'.repeat(40), 'NaN', 'Infinity', '1.5.1', '1,5', ' 1', '１'];
/** What a request may come to: it is answered, or somebody is told what to do about it. */
const TOLD = new Set([200, 402, 413, 429]);

let database: TestDatabase;
let upstream: FakeProvider;
let gateway: TestGateway | undefined;

beforeAll(async () => {
  [database, upstream] = await Promise.all([createTestDatabase({ max: 20 }), startFakeProvider()]);
});
afterEach(async () => {
  await gateway?.close();
  gateway = undefined;
});
afterAll(async () => {
  await upstream.close();
  await database.drop();
});

/** Real statements: a key, a free and a paid request, an invoice and its payment. */
async function everythingAnswers(started: TestGateway): Promise<void> {
  const key = await started.newKey();
  const ask = async () => (await started.post('/v1/chat/completions', chat({ max_tokens: 10 }), key)).status;
  expect(TOLD).toContain(await ask());
  expect(TOLD).toContain((await started.post('/l402/v1/chat/completions', chat())).status);
  await started.fund(key, 1_000_000);
  await started.pool.query('update accounts set free_limit = 0 where id = $1', [key.accountId]);
  expect(TOLD).toContain(await ask());
  expect((await started.get('/api/wallet/balance', key)).status).toBe(200);
  expect((await started.get('/api/report', key)).status).toBe(200);
  expect(await started.audit()).toEqual([]);
}

describe('a number of the configuration', () => {
  it.each(NUMBERS)('%s stops the start by its name beyond %s and %s', (name, _smallest, _largest, beyond) => {
    for (const value of [...beyond, ...NEVER]) {
      const load = () => loadConfig({ [name]: value });
      expect(load).toThrow(ConfigError);
      expect(load).toThrow(new RegExp(`^${name}: `));
    }
  });

  it.each(NUMBERS.flatMap(([name, smallest, largest]) => [smallest, largest].map((value): [string, string] => [name, value])))(
    'works to the end at its extreme: %s=%s',
    async (name, value) => {
      gateway = await startGateway({ database, deployments: [upstream.deployment()], env: { [name]: value } });
      await everythingAnswers(gateway);
    },
  );
});

describe('prices, caps and budgets at their extremes', () => {
  it('of the dearest model with the highest markup: what no integer could hold is refused by a sentence, and the rest is served', async () => {
    const prices = { input: 1_000_000, output: 1_000_000 };
    const dear = upstream.deployment({ prices, contextWindow: 1_000_000_000, maxOutputTokens: 1_000_000_000 });
    const env = { MARKUP_PERCENT: '1000', DEFAULT_MAX_TOKENS: '9007199254740991', BTC_USD: '1000000000' };
    gateway = await startGateway({ database, deployments: [dear], env });
    const key = await gateway.newKey({ dailyBudgetUsd: 1_000_000 });
    await gateway.fund(key, 1_000_000);
    for (const body of [{ max_tokens: 1_000_000_000 }, { max_tokens: 1_000_000_000, n: 2 }, { max_tokens: 100_000 }]) {
      const refused = await gateway.post('/v1/chat/completions', chat(body), key);
      expect([refused.status, (await errorOf(refused)).message]).toEqual([400, expect.stringContaining('a million US dollars')]);
      const unpaid = await gateway.post('/l402/v1/chat/completions', chat(body));
      expect([unpaid.status, (await errorOf(unpaid)).message]).toEqual([400, expect.stringContaining('a million US dollars')]);
    }
    expect((await gateway.post('/v1/chat/completions', chat(), key)).status).toBe(200);
    expect((await gateway.post('/v1/chat/completions', chat({ max_tokens: 10 }), key)).status).toBe(200);
    expect(await gateway.audit()).toEqual([]);
  });

  it("of a key's own settings", async () => {
    const started = (gateway = await startGateway({
      database,
      deployments: [upstream.deployment()],
      env: { KEYS_PER_IP_PER_HOUR: '100' },
    }));
    for (const settings of [
      { dailyBudgetUsd: 1_000_001 },
      { dailyBudgetUsd: 1e21 },
      { dailyBudgetUsd: -1 },
      { rateLimitRpm: 2_147_483_648 },
    ]) {
      const refused = await started.post('/api/keys', settings);
      expect([settings, refused.status, (await errorOf(refused)).code]).toEqual([settings, 400, 'invalid_request']);
    }
    for (const settings of [
      { dailyBudgetUsd: 1_000_000 },
      { dailyBudgetUsd: 0 },
      { rateLimitRpm: 2_147_483_647, rateLimitTpm: 2_147_483_647 },
    ]) {
      const made = await started.post('/api/keys', settings);
      expect([settings, made.status]).toEqual([settings, 201]);
      const { id, accountId, key: secret } = (await made.json()) as { id: string; accountId: string; key: string };
      expect(TOLD).toContain((await started.post('/v1/chat/completions', chat(), { id, accountId, secret })).status);
    }
  });

  it("of a request's own cap, in dollars and in sats", async () => {
    gateway = await startGateway({ database, deployments: [upstream.deployment()], env: { BTC_USD: '1000000000' } });
    const key = await gateway.newKey();
    const status = async (routing: object, headers: Record<string, string> = {}) =>
      (await gateway?.post('/v1/chat/completions', chat({ routing }), key, headers))?.status;
    expect(await status({ maxCost: 1_000_000 })).toBe(200);
    for (const maxCost of [0, 1e-12, 1e-30]) expect(await status({ maxCost })).toBe(402);
    for (const maxCost of [1_000_001, 999_999_999, 1_000_000_000, 1e21, 1e300, -1]) expect(await status({ maxCost })).toBe(400);
    expect(await status({}, { 'x-pura-max-cost-sats': '999999999999' })).toBe(200);
    expect(await status({}, { 'x-pura-max-cost-sats': '0' })).toBe(402);
    for (const sats of ['1000000000000', '-1', '1e3']) expect(await status({}, { 'x-pura-max-cost-sats': sats })).toBe(400);
  });
});

describe('prices of the configuration', () => {
  it.each(['{ input: 1000001, output: 1 }', '{ input: 1, output: 1e300 }', '{ input: .nan, output: 1 }', '{ input: 1, output: -1 }'])(
    'stop the start where they are none: %s',
    (prices) => {
      const directory = mkdtempSync(path.join(tmpdir(), 'pura-prices-'));
      writeFileSync(`${directory}/gateway.yaml`, `prices: { own: ${prices} }`);
      expect(() => loadConfig({ GATEWAY_CONFIG: `${directory}/gateway.yaml` })).toThrow(
        /^GATEWAY_CONFIG: gateway\.yaml:1:\d+: prices\.own\./,
      );
      rmSync(directory, { recursive: true });
    },
  );
});
