import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { chat, errorOf } from '../support/chat.ts';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf } from '../support/ledger.ts';

let upstream: FakeProvider;
let gateway: TestGateway;
let other: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  const deployments = [upstream.deployment()];
  gateway = await startGateway({ deployments });
  other = await startGateway({ deployments, database: gateway.database });
});

beforeEach(async () => {
  key = await gateway.newKey();
  // Both have it in their caches now.
  for (const each of [gateway, other]) expect((await ask(each)).status).toBe(200);
});

afterAll(async () => {
  await other.close();
  await gateway.close();
  await upstream.close();
});

const ask = (on: TestGateway, members: object = {}) => on.post('/v1/chat/completions', chat(members), key);

/** A change that no gateway is told of, as when the connection that listens is down. */
async function changeUnseen(change: string): Promise<void> {
  await gateway.pool.query(`update api_keys set ${change} where id = $1`, [key.id]);
}

describe('a key that is cached', () => {
  it.each(['revoked_at = now()', "expires_at = now() - interval '1 s'"])(
    'and dies unseen (%s) is dead on metered paths at once, on every gateway',
    async (change) => {
      await changeUnseen(change);
      const requestsBefore = upstream.requests.length;
      for (const each of [gateway, other]) {
        for (const members of [{}, { stream: true }]) {
          const answer = await ask(each, members);
          expect(answer.status).toBe(401);
          expect((await errorOf(answer)).code).toBe('invalid_api_key');
        }
      }
      expect(upstream.requests.length).toBe(requestsBefore);
      expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ free_used: 2, held_msat: 0n });
      expect(await gateway.audit()).toEqual([]);
    },
  );

  it.each<[string, string, number, string]>([
    ['its models', "allowed_models = '{other}', version = version + 1", 403, 'model_not_allowed'],
    ['its budget', 'daily_budget_pico_usd = 0, version = version + 1', 402, 'budget_exhausted'],
    ['its budget, without a new version', 'daily_budget_pico_usd = 0', 402, 'budget_exhausted'],
    ['its rate limit', 'rate_limit_rpm = 1, version = version + 1', 429, 'rate_limit_exceeded'],
  ])('and has %s narrowed unseen is held to that at once', async (_name, change, status, code) => {
    await changeUnseen(change);
    const answer = await ask(other);
    expect([answer.status, (await errorOf(answer)).code]).toEqual([status, code]);
  });

  it('and is revoked while its request is under way: that one ends, no other begins', async () => {
    const held = upstream.hold();
    const running = ask(gateway);
    const exchange = await held;
    await changeUnseen('revoked_at = now()');
    expect((await ask(gateway)).status).toBe(401);
    void exchange.answer();
    expect((await running).status).toBe(200);
    expect(await gateway.audit()).toEqual([]);
  });
});
