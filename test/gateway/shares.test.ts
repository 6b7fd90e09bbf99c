import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { GatewayError } from '../../src/errors.ts';
import { msat } from '../../src/amount.ts';
import { chat, errorOf } from '../support/chat.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { completion, startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';

const KEYLESS = '/l402/v1/chat/completions';
/** Of 4,000 keyless invoices, what a /48 may have open. */
const WIDEST_SHARE = 200;

let upstream: FakeProvider;
let database: TestDatabase;
const gateways: TestGateway[] = [];

beforeAll(async () => {
  upstream = await startFakeProvider();
  database = await createTestDatabase({ max: 20 });
  const env = {
    TRUSTED_PROXIES: 'loopback',
    KEYLESS_INVOICES_PER_IP_PER_HOUR: '100000',
    FREE_TIER_GLOBAL_DAILY_USD: '1',
    FREE_TIER_MAX_COST_USD: '0.1',
  };
  // Prices at which a request of 400 output tokens costs more than 8 cents, and less than 10.
  const deployments = [upstream.deployment({ prices: { input: 10, output: 200 } })];
  for (let each = 0; each < 2; each++) gateways.push(await startGateway({ database, deployments, env }));
});
afterAll(async () => {
  await Promise.all(gateways.map((each) => each.close()));
  await database.drop();
  await upstream.close();
});

const gateway = () => gateways[0] as TestGateway;
const from = (address: string) => ({ 'x-forwarded-for': address });
const subnet = (index: number) => `2001:db8:1:${index.toString(16)}::1`;

describe('what is free for all', () => {
  it('is not one network’s, whatever its accounts reserve: another’s request is free still, and this one’s paid by the wallet', async () => {
    const ask = (key: TestKey, address: string) =>
      gateway().post('/v1/chat/completions', chat({ max_tokens: 400 }), key, { ...from(address), 'content-type': 'application/json' });
    const [first, second, third, elsewhere, paying] = await Promise.all(Array.from({ length: 5 }, () => gateway().newKey()));
    if (!first || !second || !third || !elsewhere || !paying) throw new Error('no keys');
    const held = [upstream.hold(), upstream.hold()];
    const underWay = [ask(first, subnet(0x100)), ask(second, subnet(0x200))];
    const exchanges = await Promise.all(held);

    const refused = await ask(third, subnet(0x300));
    expect(refused.status).toBe(402);
    expect(await errorOf(refused)).toMatchObject({ code: 'free_tier_exceeded', reason: 'daily_ceiling' });
    expect((await ask(elsewhere, '198.51.100.7')).headers.get('x-pura-funding')).toBe('free');
    await gateway().fund(paying, 1_000);
    expect((await ask(paying, subnet(0x400))).headers.get('x-pura-funding')).toBe('wallet');

    for (const exchange of exchanges) exchange.json(completion());
    for (const answer of underWay) expect((await answer).headers.get('x-pura-funding')).toBe('free');
    // What they came to is little of what they might have: the rest of the share is free again.
    expect((await ask(third, subnet(0x300))).headers.get('x-pura-funding')).toBe('free');
    expect(await gateway().audit()).toEqual([]);
  });

  it('is not one network’s where invoices without a key are open, in whatever gateway: another’s sender gets one', async () => {
    const ask = async (index: number): Promise<string> => {
      const networks = [`2001:db8:1:${index}::/64`, `2001:db8:1:${index >> 8}::/56`, '2001:db8:1::/48'];
      const { funding } = (gateways[index % 2] as TestGateway).server;
      return funding.offerKeyless({ shortfallMsat: msat(1n) }, { networks }).then(
        () => 'offered',
        (error: unknown) => (error as GatewayError).code,
      );
    };
    const outcomes: string[] = [];
    for (let batch = 0; batch < 26; batch++) {
      outcomes.push(...(await Promise.all(Array.from({ length: 10 }, (_, index) => ask(batch * 1_000 + index * 256)))));
    }
    expect(outcomes.filter((outcome) => outcome === 'offered')).toHaveLength(WIDEST_SHARE);
    expect(outcomes.filter((outcome) => outcome === 'too_many_invoices')).toHaveLength(260 - WIDEST_SHARE);
    const { rows } = await database.pool.query<{ text: string }>('select string_agg(i::text, chr(10)) as text from invoices i');
    expect(rows[0]?.text).not.toContain('2001:db8');
    expect((await gateway().post(KEYLESS, chat(), null, from('198.51.100.7'))).status).toBe(402);
  });

  it('is a few times a sender’s for the /48 around it, by the hour', async () => {
    const limited = await startGateway({
      env: { TRUSTED_PROXIES: 'loopback', KEYLESS_INVOICES_PER_IP_PER_HOUR: '2', KEYS_PER_IP_PER_HOUR: '2' },
    });
    gateways.push(limited);
    const ask = async (path: string, address: string) =>
      (await limited.post(path, path === KEYLESS ? chat({ model: 'auto' }) : {}, null, from(address))).status;
    for (const [path, status] of [
      [KEYLESS, 402],
      ['/api/keys', 201],
    ] as const) {
      const statuses: number[] = [];
      for (let index = 0; index < 20; index++) statuses.push(await ask(path, subnet(index * 256)));
      expect(statuses.filter((each) => each === status)).toHaveLength(8);
      expect(statuses.filter((each) => each === 429)).toHaveLength(12);
      expect(await ask(path, '198.51.100.7')).toBe(status);
    }
  });
});
