import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { chat } from '../support/chat.ts';
import { completion, startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { accountOf } from '../support/ledger.ts';

/** On this day the catalogue lowers this model's prices from 5 and 30 dollars a million tokens to 4 and 20. */
const CHANGE = Date.parse('2026-08-21T00:00:00Z');
const MODEL = 'gpt-5.6-sol';
/** Of 10 and 5 tokens, in pico-dollars. */
const BEFORE = 200_000_000n;
const AFTER = 140_000_000n;

let now = CHANGE - 1;
let upstream: FakeProvider;
let gateways: TestGateway[];

beforeAll(async () => {
  upstream = await startFakeProvider();
  const env = { OPENAI_API_KEY: 'sk-test', OPENAI_BASE_URL: upstream.baseUrl, ALLOW_SIMULATED: 'true' };
  const first = await startGateway({ env, priceClock: () => now });
  gateways = [first, await startGateway({ env, priceClock: () => now, database: first.database })];
});
afterAll(async () => {
  expect(await gateways[0]?.audit()).toEqual([]);
  for (const gateway of gateways.toReversed()) await gateway.close();
  await upstream.close();
});

it('a price that changes on a date takes effect on it, at every gateway, without a restart; what was admitted before keeps its price', async () => {
  const [gateway, other] = gateways;
  if (!gateway || !other) throw new Error('two gateways are started');
  const key = await gateway.newKey();
  await gateway.pool.query('update accounts set free_limit = 0 where id = $1', [key.accountId]);
  await gateway.fund(key, 10_000);
  const listed = async ({ get }: TestGateway) => ((await (await get(`/v1/models/${MODEL}`, key)).json()) as { pricing: object }).pricing;
  const ask = (at: TestGateway) => at.post('/v1/chat/completions', chat({ model: MODEL, max_tokens: 100 }), key);
  const versionOf = async (): Promise<number> => {
    const { rows } = await gateway.pool.query<{ price_version: number }>(
      'select price_version from holds order by created_at desc limit 1',
    );
    return rows[0]?.price_version ?? 0;
  };

  for (const at of gateways) expect(await listed(at)).toEqual({ input: 5, output: 30, cache_read: 0.5 });
  const held = upstream.hold();
  const spanning = ask(gateway);
  const exchange = await held;
  const before = await versionOf();
  now = CHANGE;

  const later = await ask(other);
  expect(later.headers.get('x-pura-cost')).toBe('0.00014');
  const after = await versionOf();
  expect(after).not.toBe(before);

  exchange.json(completion());
  expect((await spanning).headers.get('x-pura-cost')).toBe('0.0002');
  await ask(gateway);
  expect(await versionOf()).toBe(after);
  for (const at of gateways) expect(await listed(at)).toEqual({ input: 4, output: 20, cache_read: 0.4 });
  const spentMsat = (BEFORE + AFTER + AFTER) / 1_000_000n;
  expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 10_000_000n - spentMsat, held_msat: 0n });
});
