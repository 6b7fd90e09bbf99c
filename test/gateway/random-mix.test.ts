import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { chat } from '../support/chat.ts';
import { parseStream } from '../support/chat-stream.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  completion,
  contentEvent,
  finishEvent,
  startFakeProvider,
  usageEvent,
  type FakeProvider,
  type FakeScript,
} from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';
import { randomFrom } from '../support/random.ts';
import { until } from '../support/until.ts';

/** Another mix: `PURA_SEED=7 npm test -- random-mix`. */
const SEED = Number(process.env['PURA_SEED'] ?? 402);
const REQUESTS = 400;
const AT_ONCE = 40;
const FUNDED_SATS = 300;

let database: TestDatabase;
let upstream: FakeProvider;
let gateways: TestGateway[];

beforeAll(async () => {
  database = await createTestDatabase();
  upstream = await startFakeProvider();
  const options = {
    database,
    deployments: [upstream.deployment(), upstream.deployment({ id: 'spare' })],
    env: { FREE_TIER_REQUESTS: '40', UPSTREAM_TIMEOUT_SECONDS: '0.5' },
  };
  gateways = [await startGateway(options), await startGateway(options)];
});

afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.close()));
  await upstream.close();
  await database.drop();
});

const random = randomFrom(SEED);
const oneOf = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;

const USAGES = [
  { prompt_tokens: 10, completion_tokens: 5 },
  { prompt_tokens: 3_000_000, completion_tokens: 9 },
  { prompt_tokens: 0, completion_tokens: 0 },
  { prompt_tokens: -1 },
  null,
];
const BEHAVIOURS: FakeScript[] = [
  (exchange) => exchange.answer(),
  (exchange) => exchange.answer(),
  (exchange) => exchange.answer(),
  (exchange) => exchange.error(oneOf([400, 401, 429, 500, 503])),
  (exchange) => exchange.reset(),
  () => {},
  (exchange) =>
    exchange.body['stream'] === true
      ? exchange.stream(['Hel', 'lo.'], { usage: oneOf(USAGES), done: random() < 0.5 })
      : exchange.json(completion({ usage: oneOf(USAGES) })),
  async (exchange) => {
    exchange.startStream();
    await exchange.content('Hello');
    exchange.reset();
  },
  async (exchange) => {
    exchange.startStream();
    for (const byte of Buffer.from(contentEvent('é') + finishEvent() + usageEvent())) await exchange.send(Buffer.of(byte));
    exchange.end();
  },
];

interface Told {
  requestId: string;
  chargedMsat: number;
}

/** One request of the mix, given up by its client at times. Gives what the client was told of its charge, if it was. */
async function makeRequest(key: TestKey, patienceMs: number | null): Promise<Told | null> {
  const stream = random() < 0.5;
  const body = chat({
    stream,
    model: oneOf(['pureai/fake', 'auto']),
    ...(random() < 0.3 && { max_tokens: 50 }),
    ...(random() < 0.1 && { temperature: 'hot' }),
  });
  const headers: Record<string, string> = random() < 0.2 ? { 'idempotency-key': String(Math.floor(random() * 20)) } : {};
  const client = new AbortController();
  if (patienceMs !== null) setTimeout(() => client.abort(), patienceMs);
  try {
    const answer = await oneOf(gateways).post('/v1/chat/completions', body, key, headers, client.signal);
    const text = await answer.text();
    expect([200, 400, 402, 409, 429, 503]).toContain(answer.status);
    if (answer.status !== 200) return null;
    if (!stream)
      return { requestId: answer.headers.get('x-pura-request-id') ?? '', chargedMsat: Number(answer.headers.get('x-pura-charged-msat')) };
    const { settled } = parseStream(text);
    return settled && { requestId: settled.request_id, chargedMsat: settled.charged_msat };
  } catch (error) {
    if (client.signal.aborted) return null;
    throw error;
  }
}

describe(`a random mix of ${REQUESTS} requests on two gateways (seed ${SEED})`, () => {
  it('leaves every hold resolved, every charge as it was told, every msat accounted for, and nothing under way', async () => {
    const [first] = gateways as [TestGateway, TestGateway];
    const keys = await Promise.all(Array.from({ length: 5 }, () => first.newKey()));
    for (const key of keys.slice(0, 3)) await first.fund(key, FUNDED_SATS);
    upstream.always((exchange) => oneOf(BEHAVIOURS)(exchange));

    const told: Told[] = [];
    let left = REQUESTS;
    const worker = async (): Promise<void> => {
      while (left-- > 0) {
        const one = await makeRequest(oneOf(keys), random() < 0.3 ? random() * 60 : null);
        if (one) told.push(one);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    await until(() => gateways.every(({ server }) => server.gateway.underWay === 0));

    const holds = (await Promise.all(keys.map(({ accountId }) => holdsOf(database.pool, accountId)))).flat();
    expect(holds.filter(({ state }) => state === 'pending')).toEqual([]);
    const posted = new Map(holds.map((hold) => [hold.request_id, Number(hold.posted_msat)]));
    expect(told.filter(({ requestId, chargedMsat }) => posted.get(requestId) !== chargedMsat)).toEqual([]);
    expect(told.length).toBeGreaterThan(REQUESTS / 10);

    for (const [index, key] of keys.entries()) {
      const spent = (await holdsOf(database.pool, key.accountId)).reduce((sum, { posted_msat }) => sum + posted_msat, 0n);
      const paidIn = index < 3 ? BigInt(FUNDED_SATS) * 1000n : 0n;
      expect(await accountOf(database.pool, key.accountId)).toMatchObject({ posted_msat: paidIn - spent, held_msat: 0n, free_streams: 0 });
    }
    expect(await first.audit()).toEqual([]);
  });
});
