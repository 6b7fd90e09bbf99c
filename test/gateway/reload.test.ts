import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Config } from '../../src/config/config.ts';
import { ConfigError } from '../../src/config/config-error.ts';
import { chat } from '../support/chat.ts';
import { completion, finishEvent, startFakeProvider, usageEvent, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, testConfig, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

let upstream: FakeProvider;
let other: FakeProvider;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  [upstream, other] = await Promise.all([startFakeProvider(), startFakeProvider()]);
  gateway = await startGateway({ deployments: [upstream.deployment()] });
  key = await gateway.newKey();
  await gateway.pool.query('update accounts set free_limit = 0 where id = $1', [key.accountId]);
  await gateway.fund(key, 10_000);
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  await Promise.all([upstream.close(), other.close()]);
});

const reload = (config: Partial<Config>) => gateway.server.reload(() => testConfig({ config }));
const ask = (model: string, more = {}) => gateway.post('/v1/chat/completions', chat({ model, max_tokens: 100, ...more }), key);
const costOf = (answer: Response) => answer.headers.get('x-pura-cost');
const priceVersions = async () => {
  const { rows } = await gateway.pool.query<{ n: number }>('select count(*)::int as n from price_versions');
  return rows[0]?.n ?? 0;
};

it('a stream goes on at the connections and prices it began with, while others have the new ones', async () => {
  const held = upstream.hold();
  const streaming = ask('pureai/fake', { stream: true });
  const exchange = await held;
  exchange.startStream();
  await exchange.content('first ');
  const versions = await priceVersions();
  const dearer = { input: 10, output: 20 };

  expect(await reload({ deployments: [other.deployment({ prices: dearer })], aliases: { mine: 'pureai/fake' } })).toBe(true);
  expect(await priceVersions()).toBe(versions + 1);
  const heard = upstream.requests.length;
  expect(costOf(await ask('mine'))).toBe('0.0002');
  expect([other.requests.length, upstream.requests.length]).toEqual([1, heard]);

  await exchange.content('last');
  await exchange.send(finishEvent() + usageEvent() + 'data: [DONE]\n\n');
  exchange.end();
  const text = await (await streaming).text();
  expect(text).toContain('first ');
  expect(text).toContain('last');
  expect(text).toContain('[DONE]');
  // 10 and 5 tokens at $1 and $2 a million, and at $10 and $20.
  const spentMsat = (20_000_000n + 200_000_000n) / 1_000_000n;
  expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 10_000_000n - spentMsat, held_msat: 0n });
  // What nobody uses any more is closed.
  await until(() => upstream.openConnections === 0);
});

it('one that cannot be used changes nothing, and the next one may', async () => {
  const twice = [other.deployment(), other.deployment()];
  expect(await reload({ deployments: twice })).toBe(false);
  expect(await reload({ deployments: [other.deployment()], aliases: { mine: 'pureai/nobody' } })).toBe(false);
  expect(await reload({ deployments: [other.deployment()], prices: { 'nobody/x': { input: 1, output: 1 } } })).toBe(false);
  const read = () => {
    throw new ConfigError('GATEWAY_CONFIG: gateway.yaml:1:1: not valid YAML');
  };
  expect(await gateway.server.reload(read)).toBe(false);
  expect(costOf(await ask('mine'))).toBe('0.0002');
});

it('a deployment that is gone is no model any more, and one that stays keeps its connections', async () => {
  const deployments = [other.deployment({ prices: { input: 10, output: 20 } }), upstream.deployment({ id: 'two' })];
  expect(await reload({ deployments })).toBe(true);
  const [provider] = gateway.server.models.providers;
  expect((await ask('pureai/two')).status).toBe(200);
  expect((await ask('mine')).status).toBe(404);
  expect(await reload({ deployments: deployments.slice(0, 1) })).toBe(true);
  expect((await ask('pureai/two')).status).toBe(404);
  expect(gateway.server.models.providers).toEqual([provider]);
});

it('the last of several at once is in force', async () => {
  const ofPrice = (input: number) => reload({ deployments: [upstream.deployment({ prices: { input, output: 0 } })] });
  expect(await Promise.all([1, 2, 3, 4, 5].map(ofPrice))).toEqual([true, true, true, true, true]);
  upstream.script((exchange) => exchange.json(completion()));
  expect(costOf(await ask('pureai/fake'))).toBe('0.00005');
});
