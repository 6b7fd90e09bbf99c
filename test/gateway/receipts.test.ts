import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { chat } from '../support/chat.ts';
import { readStream } from '../support/chat-stream.ts';
import { completion, startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { settledHold } from '../support/ledger.ts';

const PATH = '/v1/chat/completions';
const FEE_MSAT = 1_500;
const MARKUP_PERCENT = 12.5;
const BTC_USD = 97_531.7;
const GOOD =
  'It is Paris, the capital of France, on the Seine. It has been the seat of its kings, parliaments and presidents for most of ten centuries.';

let cheap: FakeProvider;
let mid: FakeProvider;
let gateway: TestGateway;

beforeAll(async () => {
  [cheap, mid] = await Promise.all([startFakeProvider(), startFakeProvider()]);
  const deployments = [
    cheap.deployment({ id: 'cheap', tier: 'cheap', prices: { input: 1.37, output: 2.11, cacheRead: 0.19 }, capField: 'max_tokens' }),
    mid.deployment({ id: 'mid', tier: 'mid', prices: { input: 3.01, output: 6.53 }, capField: 'max_tokens' }),
  ];
  const env = {
    ...{ FREE_TIER_REQUESTS: '1', MARKUP_PERCENT: String(MARKUP_PERCENT), BTC_USD: String(BTC_USD), BYOK_FEE_MSAT: String(FEE_MSAT) },
    ...{ OPENAI_BASE_URL: cheap.baseUrl, ALLOW_SIMULATED: 'true' },
  };
  gateway = await startGateway({ deployments, env });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  await Promise.all([cheap.close(), mid.close()]);
});

interface Item {
  model: string;
  tokens: Record<string, number>;
  rates: Record<string, number>;
  costUsd: number;
}
interface Receipt {
  id: string;
  outcome: string;
  funding: string;
  items: Item[];
  rates: Record<string, number> | null;
  markupPercent: number;
  btcUsd: number;
  settlement: string;
  costUsd: number;
  costMsat: number;
  chargedMsat: number;
  reservedUsd: number;
  reservedMsat: number;
  releasedMsat: number;
  latencyMs: number;
  attempts: { provider: string; model: string; result: string; status: number | null; latencyMs: number }[];
}

/** A key whose free request is used up, with money. */
async function payer(): Promise<TestKey> {
  const key = await gateway.newKey();
  await gateway.fund(key, 1_000);
  await (await gateway.post(PATH, chat({ model: 'pureai/cheap' }), key)).json();
  return key;
}

async function receiptOf(key: TestKey, answer: Response): Promise<Receipt> {
  const id = answer.headers.get('x-pura-request-id') ?? '';
  const { status, ...told } = await gateway
    .get(`/api/requests/${id}`, key)
    .then(async (got) => ({ status: got.status, body: (await got.json()) as Receipt }));
  expect(status).toBe(200);
  return told.body;
}

const pico = (usd: number) => BigInt(Math.round(usd * 1e12));
const perToken = (usdPerMillion = 0) => BigInt(Math.round(usdPerMillion * 1e6));
const up = (amount: bigint, by: bigint) => (amount + by - 1n) / by;

/** The arithmetic as a person does it, from the receipt alone. */
function expectToAddUp(receipt: Receipt): void {
  let sum = 0n;
  for (const { tokens, rates, costUsd } of receipt.items) {
    const plain = Object.entries(tokens).reduce(
      (all, [kind, count]) => all + BigInt(count) * (kind === 'reasoning' ? 0n : perToken(rates[kind])),
      0n,
    );
    const marked = up(plain * BigInt(10_000 + receipt.markupPercent * 100), 10_000n);
    expect(pico(costUsd)).toBe(marked);
    sum += marked;
  }
  const reserved = pico(receipt.reservedUsd);
  const cost = sum < reserved ? sum : reserved;
  expect(pico(receipt.costUsd)).toBe(cost);
  expect(receipt.costMsat).toBe(Number(up(cost, BigInt(Math.round(receipt.btcUsd * 10)))));
  expect(receipt.releasedMsat).toBe(receipt.reservedMsat - receipt.chargedMsat);
  expect(receipt).toMatchObject({ markupPercent: MARKUP_PERCENT, btcUsd: BTC_USD });
  for (const ms of [receipt.latencyMs, ...receipt.attempts.map(({ latencyMs }) => latencyMs)])
    expect(Math.abs(ms * 1000 - Math.round(ms * 1000))).toBeLessThan(1e-6);
}

const attempts = ({ attempts: all }: Receipt) => all.map(({ model, result, status }) => [model, result, status]);

describe('a receipt can be recomputed by hand', () => {
  it('of a free request: nothing is charged, and what it was worth is told', async () => {
    const key = await gateway.newKey();
    const receipt = await receiptOf(key, await gateway.post(PATH, chat({ model: 'pureai/cheap' }), key));
    expectToAddUp(receipt);
    expect(receipt).toMatchObject({ outcome: 'ok', funding: 'free', chargedMsat: 0, reservedMsat: 0, settlement: 'settled' });
    expect(receipt.costMsat).toBeGreaterThan(0);
    expect(receipt.rates).toEqual({
      input: 1.37,
      output: 2.11,
      cacheRead: 0.19,
      cacheWrite: expect.any(Number),
      cacheWriteLong: expect.any(Number),
    });
  });

  it('of a paid one, with tokens from the cache', async () => {
    const key = await payer();
    const usage = { prompt_tokens: 1_234, completion_tokens: 57, total_tokens: 1_291, prompt_tokens_details: { cached_tokens: 1_001 } };
    cheap.script((exchange) => exchange.json(completion({ usage })));
    const body = chat({ model: 'pureai/cheap', messages: [{ role: 'user', content: 'x'.repeat(6_000) }] });
    const receipt = await receiptOf(key, await gateway.post(PATH, body, key));
    expectToAddUp(receipt);
    expect(receipt).toMatchObject({ funding: 'wallet', chargedMsat: receipt.costMsat, settlement: 'settled' });
    expect(receipt.items[0]?.tokens).toMatchObject({ input: 233, cacheRead: 1_001, output: 57 });
    expect(attempts(receipt)).toEqual([['pureai/cheap', 'ok', 200]]);
  });

  it('of one that its client stopped', async () => {
    const key = await payer();
    const held = cheap.hold();
    const client = new AbortController();
    const answer = gateway.post(PATH, chat({ model: 'pureai/cheap', stream: true }), key, {}, client.signal);
    const exchange = await held;
    exchange.startStream();
    await exchange.content('Some words that were written before it was stopped.');
    const received = await answer;
    client.abort();
    await exchange.clientGone;
    await settledHold(gateway.pool, key.accountId);
    const receipt = await receiptOf(key, received);
    expectToAddUp(receipt);
    expect(receipt).toMatchObject({ outcome: 'client_gone', funding: 'wallet', chargedMsat: receipt.costMsat });
    expect(receipt.chargedMsat).toBeGreaterThan(0);
  });

  it('of one that nobody answered: it costs nothing, and who was asked is told', async () => {
    const key = await payer();
    for (const provider of [cheap, mid]) provider.script((exchange) => exchange.error(529));
    const receipt = await receiptOf(key, await gateway.post(PATH, chat({ model: 'auto' }), key));
    expect(receipt).toMatchObject({ outcome: 'upstream_error', chargedMsat: 0, costMsat: 0, settlement: 'released', items: [] });
    expect(receipt.releasedMsat).toBe(receipt.reservedMsat);
    expect(attempts(receipt).map(([, ...how]) => how)).toEqual([
      ['http_error', 529],
      ['http_error', 529],
    ]);
  });

  it('of a cascade: each answer by itself', async () => {
    const key = await payer();
    cheap.script((exchange) => exchange.json(completion({ content: "I don't know, and I'm not sure that anybody does." })));
    mid.script((exchange) => exchange.json(completion({ content: GOOD })));
    const answer = await gateway.post(PATH, chat({ model: 'auto', max_tokens: 100, routing: { cascade: true } }), key);
    const receipt = await receiptOf(key, answer);
    expectToAddUp(receipt);
    expect(receipt.items.map(({ model }) => model)).toEqual(['pureai/cheap', 'pureai/mid']);
    expect(receipt).toMatchObject({ funding: 'wallet', chargedMsat: receipt.costMsat, rates: null });
    expect(attempts(receipt)).toEqual([
      ['pureai/cheap', 'ok', 200],
      ['pureai/mid', 'ok', 200],
    ]);
  });

  it("under a caller's own key: the fee is charged, the worth told", async () => {
    const key = await payer();
    const answer = await gateway.post(PATH, chat({ model: 'gpt-4o-mini' }), key, { 'x-provider-key': 'sk-own-key' });
    const receipt = await receiptOf(key, answer);
    expectToAddUp(receipt);
    expect(receipt).toMatchObject({ funding: 'byok', chargedMsat: FEE_MSAT, reservedMsat: FEE_MSAT });
  });

  it("is nobody else's, and the figures are those of the list and of the stream's last words", async () => {
    const [key, stranger] = [await payer(), await gateway.newKey()];
    const answer = await gateway.post(PATH, chat({ model: 'pureai/cheap', stream: true }), key);
    const id = answer.headers.get('x-pura-request-id') ?? '';
    const { settled } = await readStream(answer);
    const receipt = await receiptOf(key, answer);
    expect(settled).toMatchObject({ charged_msat: receipt.chargedMsat, cost_msat: receipt.costMsat, cost_usd: receipt.costUsd });
    const { requests } = (await (await gateway.get('/api/requests?limit=1', key)).json()) as { requests: Receipt[] };
    expect(requests[0]).toMatchObject({
      id,
      chargedMsat: receipt.chargedMsat,
      costUsd: receipt.costUsd,
      btcUsd: BTC_USD,
      latencyMs: receipt.latencyMs,
    });
    for (const path of [id, 'not-an-id', crypto.randomUUID()]) {
      const refused = await gateway.get(`/api/requests/${path}`, path === id ? stranger : key);
      expect([refused.status, await refused.json()]).toMatchObject([404, { error: { code: 'not_found' } }]);
    }
  });
});
