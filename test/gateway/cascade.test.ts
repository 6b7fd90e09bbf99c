import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { errorOf } from '../support/chat.ts';
import { OpenStream, parseStream, readStream } from '../support/chat-stream.ts';
import { completion, startFakeProvider, type FakeExchange, type FakeProvider, type FakeScript } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, holdsOf, settledHold } from '../support/ledger.ts';
import { plainAnswer } from '../support/plain-answers.ts';
import { PATHS, surfaceRequest, SURFACES, type SurfaceName } from '../support/surface-requests.ts';
import { until } from '../support/until.ts';

const TIERS = ['cheap', 'mid', 'premium'] as const;
type Tier = (typeof TIERS)[number];

/** USD per million tokens. At 100,000 USD a bitcoin, a micro-USD is a msat. */
const PRICES = { cheap: { input: 1, output: 2 }, mid: { input: 3, output: 6 }, premium: { input: 10, output: 20 } };
/** 10 tokens in and 5 out. */
const MSAT = { cheap: 20, mid: 60, premium: 200 };

const WEAK = "I don't know, and I'm not sure that anybody does.";
const GOOD =
  'It is Paris, the capital of France, on the Seine. It has been the seat of its kings, parliaments and presidents for most of ten centuries.';

let providers: Record<Tier, FakeProvider>;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  const [cheap, mid, premium] = await Promise.all(TIERS.map(() => startFakeProvider()));
  providers = { cheap, mid, premium } as Record<Tier, FakeProvider>;
  const deployments = TIERS.map((tier) => providers[tier].deployment({ id: tier, tier, prices: PRICES[tier], capField: 'max_tokens' }));
  gateway = await startGateway({ deployments, env: { FREE_TIER_REQUESTS: '0' } });
});

beforeEach(async () => {
  for (const tier of TIERS) providers[tier].forget();
  key = await gateway.newKey();
  await gateway.fund(key, 1_000);
});

afterAll(async () => {
  await gateway.close();
  await Promise.all(TIERS.map((tier) => providers[tier].close()));
});

const request = (members: object = {}, routing: object = {}) => ({
  ...{ model: 'auto', messages: [{ role: 'user', content: 'hi' }], max_tokens: 100 },
  ...members,
  routing: { cascade: true, ...routing },
});
const ask = (members: object = {}, routing: object = {}, headers: Record<string, string> = {}) =>
  gateway.post('/v1/chat/completions', request(members, routing), key, headers);

/** Answers in JSON or as a stream, as asked. */
const say =
  (content: string): FakeScript =>
  (exchange) =>
    exchange.body['stream'] === true ? exchange.stream([content.slice(0, 5), content.slice(5)]) : exchange.json(completion({ content }));
const fail: FakeScript = (exchange) => exchange.error(500);
const refuse: FakeScript = (exchange) => exchange.error(400, 'Too long.');
const breakOff: FakeScript = async (exchange) => {
  if (exchange.body['stream'] === true) {
    exchange.startStream();
    await exchange.content('half of');
  } else {
    exchange.startAnswer(200, { 'content-type': 'application/json' });
    await exchange.send('{"choices":');
  }
  exchange.reset();
};

/** What the models say, from the cheapest up; those left out are not asked. */
function script(scripts: Partial<Record<Tier, FakeScript>>): void {
  for (const tier of TIERS) if (scripts[tier]) providers[tier].script(scripts[tier]);
}
const asked = () => TIERS.filter((tier) => providers[tier].requests.length > 0);

interface RequestRow {
  model: string;
  outcome: string;
  chargedMsat: number;
  costMsat: number;
  promptTokens: number;
  completionTokens: number;
  steps: { model: string; provider: string; confidence: number | null; costUsd: number; promptTokens: number; completionTokens: number }[];
}

/** What every record of a request that was charged `msat` says. */
async function agreeOn(msat: number): Promise<RequestRow> {
  const read = async (path: string) => (await (await gateway.get(path, key)).json()) as Record<string, unknown>;
  const hold = await settledHold(gateway.pool, key.accountId);
  expect(hold.posted_msat).toBe(BigInt(msat));
  expect(hold.posted_msat).toBeLessThanOrEqual(hold.amount_msat);
  expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 1_000_000n - BigInt(msat), held_msat: 0n });
  expect(await read('/api/report')).toMatchObject({ totalChargedMsat: msat, totalSpendMsat: msat });
  const { transactions } = (await read('/api/wallet/transactions')) as { transactions: { kind: string; amountMsat: number }[] };
  expect(transactions.filter(({ kind }) => kind === 'charge').map(({ amountMsat }) => -amountMsat)).toEqual(msat === 0 ? [] : [msat]);
  const { requests } = (await read('/api/requests')) as unknown as { requests: RequestRow[] };
  expect(requests).toHaveLength(1);
  expect(await gateway.audit()).toEqual([]);
  return requests[0] as RequestRow;
}

describe('a cascade', () => {
  const CASES: [
    string,
    Partial<Record<Tier, FakeScript>>,
    object,
    { tier: Tier; depth: number; msat: number; saved: number; good: boolean },
  ][] = [
    ['stops at a good answer', { cheap: say(GOOD) }, {}, { tier: 'cheap', depth: 1, msat: 20, saved: 180, good: true }],
    ['climbs once', { cheap: say(WEAK), mid: say(GOOD) }, {}, { tier: 'mid', depth: 2, msat: 80, saved: 120, good: true }],
    [
      'climbs to the top',
      { cheap: say(WEAK), mid: say(WEAK), premium: say(WEAK) },
      {},
      { tier: 'premium', depth: 3, msat: 280, saved: 0, good: false },
    ],
    [
      'takes what its threshold allows',
      { cheap: say(WEAK) },
      { cascade_threshold: 0.1 },
      { tier: 'cheap', depth: 1, msat: 20, saved: 180, good: false },
    ],
    [
      'climbs no further than it may',
      { cheap: say(WEAK), mid: say(WEAK) },
      { cascade_max_depth: 2 },
      { tier: 'mid', depth: 2, msat: 80, saved: 0, good: false },
    ],
    [
      'skips a step that fails, for nothing',
      { cheap: fail, mid: say(GOOD) },
      {},
      { tier: 'mid', depth: 2, msat: 60, saved: 140, good: true },
    ],
    [
      'gives the answer before a step that fails',
      { cheap: say(WEAK), mid: fail, premium: fail },
      {},
      { tier: 'cheap', depth: 3, msat: 20, saved: 180, good: false },
    ],
    [
      'gives the answer before a refusal',
      { cheap: say(WEAK), mid: refuse },
      {},
      { tier: 'cheap', depth: 2, msat: 20, saved: 180, good: false },
    ],
    ['skips a step that breaks off', { cheap: breakOff, mid: say(GOOD) }, {}, { tier: 'mid', depth: 2, msat: 60, saved: 140, good: true }],
  ];

  it.each(CASES)('in JSON %s', async (_what, scripts, routing, { tier, depth, msat, saved, good }) => {
    script(scripts);
    const answer = await ask({}, routing);
    expect(answer.status).toBe(200);
    const body = (await answer.json()) as { choices: { message: { content: string } }[]; usage: Record<string, number> };
    expect(asked()).toEqual(Object.keys(scripts));
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'x-pura-model': `pureai/${tier}`,
      'x-pura-tier': tier,
      'x-pura-cascade-depth': String(depth),
      'x-pura-cost-msat': String(msat),
      'x-pura-charged-msat': String(msat),
    });
    expect(Number(answer.headers.get('x-pura-cascade-savings'))).toBe(saved / 1e6);
    const told = answer.headers.get('x-pura-confidence') ?? '';
    expect([told, Number(told) >= 0.7]).toEqual([expect.stringMatching(/^[01]\.\d\d$/), good]);
    // The counts are the answer's own, the costs those of the whole request.
    expect(body.usage).toMatchObject({ prompt_tokens: 10, completion_tokens: 5, total_cost_msat: msat, total_cost_usd: msat / 1e6 });
    const row = await agreeOn(msat);
    expect(row).toMatchObject({ model: `pureai/${tier}`, outcome: 'ok', chargedMsat: msat });
    const steps = row.steps.map(({ costUsd }) => Math.round(costUsd * 1e6));
    expect(steps.reduce((sum, one) => sum + one, 0)).toBe(msat);
    expect(row.promptTokens).toBe(10 * steps.length);
    expect(row.steps.at(-1)).toMatchObject({
      model: `pureai/${tier}`,
      confidence: Number(told),
      promptTokens: 10,
      completionTokens: 5,
    });
  });

  it.each(CASES)('as a stream %s', async (_what, scripts, routing, { tier, depth, msat, saved, good }) => {
    script(scripts);
    const answer = await ask({ stream: true, stream_options: { include_usage: true } }, routing);
    expect(answer.status).toBe(200);
    const { settled, done, content, chunks, raw } = await readStream(answer);
    expect(asked()).toEqual(Object.keys(scripts));
    expect([done, content]).toEqual([true, good ? GOOD : WEAK]);
    // Only the last step's stream goes out as it is written, and is not judged.
    const isLive = tier === 'premium' || (tier === 'mid' && 'cascade_max_depth' in routing);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'x-pura-model': `pureai/${tier}`,
      'x-pura-tier': tier,
      'x-pura-cascade-depth': String(depth),
    });
    const told = answer.headers.get('x-pura-confidence');
    expect(told === null ? null : Number(told) >= 0.7).toBe(isLive ? null : good);
    expect(settled).toMatchObject({
      cost_msat: msat,
      charged_msat: msat,
      cascade_depth: depth,
      ...(told !== null && { confidence: Number(told) }),
    });
    expect(settled).toMatchObject({ cascade_savings_usd: saved / 1e6 });
    expect(Number(answer.headers.get('x-pura-cascade-savings'))).toBe(saved / 1e6);
    expect(chunks.findLast(({ usage }) => usage)?.usage).toMatchObject({ prompt_tokens: 10, completion_tokens: 5, total_cost_msat: msat });
    expect(raw.match(/: pura /g)).toHaveLength(1);
    expect((await agreeOn(msat)).steps.at(-1)).toMatchObject({ confidence: told === null ? null : Number(told) });
  });

  it.each([false, true])('of which nobody answers is a 503 that names everybody and costs nothing (stream: %s)', async (stream) => {
    script({ cheap: fail, mid: breakOff, premium: fail });
    const answer = await ask({ stream });
    expect([answer.status, asked()]).toEqual([503, [...TIERS]]);
    expect((await errorOf(answer)).message).toMatch(/cheap: .*mid: .*premium: /);
    expect(await agreeOn(0)).toMatchObject({ outcome: 'upstream_error', chargedMsat: 0 });
  });

  it.each([false, true])('whose first step is refused tells that (stream: %s)', async (stream) => {
    script({ cheap: refuse });
    const answer = await ask({ stream });
    expect([answer.status, asked()]).toEqual([400, ['cheap']]);
    expect((await errorOf(answer)).message).toBe('Too long.');
    expect(await agreeOn(0)).toMatchObject({ outcome: 'refused' });
  });

  it('whose last stream breaks off is charged for what was delivered, and for the steps before', async () => {
    script({ cheap: say(WEAK), mid: say(WEAK), premium: breakOff });
    const { content, error, settled } = await readStream(await ask({ stream: true }));
    expect([content, error?.code]).toEqual(['half of', 'upstream_error']);
    const { charged_msat: charged = 0 } = settled ?? {};
    // Its own prompt and words, by the gateway's own count.
    expect(charged).toBeGreaterThan(MSAT.cheap + MSAT.mid);
    expect(await agreeOn(charged)).toMatchObject({ outcome: 'broke_off' });
  });

  it('judges JSON, tool calls and caps by what they should have been', async () => {
    script({ cheap: say('{"a":'), mid: say('{"a":1}') });
    const json = await ask({ response_format: { type: 'json_object' } });
    expect([json.headers.get('x-pura-model'), asked()]).toEqual(['pureai/mid', ['cheap', 'mid']]);
    providers.cheap.script((exchange) => exchange.json(completion({ content: GOOD, finishReason: 'length' })));
    providers.mid.script(say(GOOD));
    expect((await ask()).headers.get('x-pura-cascade-depth')).toBe('2');
  });
});

describe('a cascade on every surface', () => {
  const cases = SURFACES.flatMap((surface) => [false, true].map((stream) => [surface, stream] as const));
  it.each(cases)('%s, stream %s: sums up, and says so', async (surface: SurfaceName, stream) => {
    const plain: FakeScript = (exchange) => {
      const { body, contentType } = plainAnswer('openai-chat', stream, exchange.body);
      exchange.raw(body, { headers: { 'content-type': contentType } });
    };
    script({ cheap: say(''), mid: say(WEAK), premium: plain });
    // An empty answer of a stream is one too, where its end says why.
    const body = { ...surfaceRequest(surface, { model: 'auto', prompt: 'hi', stream }), routing: { cascade: true } };
    const answer = await gateway.post(PATHS[surface], body, key);
    const text = await answer.text();
    expect([answer.status, asked()]).toEqual([200, [...TIERS]]);
    expect(text).toContain('Hello.');
    expect(text).not.toContain('not sure');
    expect(answer.headers.get('x-pura-cascade-depth')).toBe('3');
    const told = stream ? parseStream(text).settled?.charged_msat : Number(answer.headers.get('x-pura-charged-msat'));
    expect(told).toBe(280);
    expect((await agreeOn(280)).steps).toMatchObject([{ confidence: 0 }, { model: 'pureai/mid' }, { model: 'pureai/premium' }]);
  });

  it.each(SURFACES)('%s: a stream that was held back comes whole, and once', async (surface) => {
    script({ cheap: say(WEAK), mid: say(GOOD) });
    const body = { ...surfaceRequest(surface, { model: 'auto', prompt: 'hi', stream: true }), routing: { cascade: true } };
    const text = await (await gateway.post(PATHS[surface], body, key)).text();
    expect(text).not.toContain('not sure');
    expect(text).toContain('It is');
    expect(parseStream(text).settled).toMatchObject({ charged_msat: 80, cascade_depth: 2, confidence: expect.any(Number) });
    await agreeOn(80);
  });
});

describe('what a cascade may cost', () => {
  const holdOf = async () => (await settledHold(gateway.pool, key.accountId)).amount_msat;

  it('is held for all of its steps before the first', async () => {
    script({ cheap: say(GOOD) });
    await ask();
    const all = await holdOf();
    for (const depth of [1, 2]) {
      script({ cheap: say(GOOD) });
      await ask({}, { cascade_max_depth: depth });
    }
    const [, one, two] = (await holdsOf(gateway.pool, key.accountId)).map(({ amount_msat }) => Number(amount_msat)) as [
      number,
      number,
      number,
    ];
    // In proportion to the prices: 1, 1 + 3, and 1 + 3 + 10. Each is rounded up by itself.
    expect(two / one).toBeCloseTo(4, 1);
    expect(Number(all) / one).toBeCloseTo(14, 1);
  });

  it('leaves out the dearest steps that its own cap does not cover, and is refused where not even the first is', async () => {
    script({ cheap: say(WEAK), mid: say(WEAK) });
    const answer = await ask({}, { maxCost: 0.002 });
    expect([answer.headers.get('x-pura-model'), asked()]).toEqual(['pureai/mid', ['cheap', 'mid']]);
    expect(await errorOf(await ask({}, { maxCost: 0.00001 }))).toMatchObject({ code: 'max_cost_exceeded' });
  });

  it('is a 402 that names the amount where the balance does not cover it', async () => {
    const answer = await ask({ max_tokens: 16_000 }, { maxCost: 5 });
    expect(answer.status).toBe(200);
    const poor = await gateway.newKey();
    await gateway.fund(poor, 100);
    const refusal = await gateway.post('/v1/chat/completions', request({ max_tokens: 10_000 }), poor);
    expect([refusal.status, (await errorOf(refusal)).code]).toEqual([402, 'insufficient_balance']);
  });

  it.each<[string, object]>([
    ['an exact model', { path: '/v1/chat/completions', body: { ...request(), model: 'pureai/cheap' } }],
    ['embeddings', { path: '/v1/embeddings', body: { input: 'hi', model: 'auto', routing: { cascade: true } } }],
    [
      "the caller's own key",
      { path: '/v1/chat/completions', body: request(), headers: { 'x-provider-key': `sk-${'x'.repeat(40)}`, 'x-provider': 'openai' } },
    ],
  ])('is refused by name under %s', async (_what, sent) => {
    const { path, body, headers } = sent as { path: string; body: object; headers?: Record<string, string> };
    const answer = await gateway.post(path, body, key, headers);
    expect([answer.status, (await errorOf(answer)).param]).toEqual([400, 'routing.cascade']);
    expect(asked()).toEqual([]);
  });

  it('never passes the balance, whoever asks at once', async () => {
    const poor = await gateway.newKey();
    await gateway.fund(poor, 100);
    for (const tier of TIERS) providers[tier].always(say(WEAK));
    const statuses = await Promise.all(
      Array.from({ length: 60 }, async (_none, index) => {
        const answer = await gateway.post('/v1/chat/completions', request({ stream: index % 2 === 0, max_tokens: 1_000 }), poor);
        await answer.text();
        return answer.status;
      }),
    );
    for (const tier of TIERS) providers[tier].always((exchange) => exchange.answer());
    const served = statuses.filter((status) => status === 200).length;
    expect(new Set(statuses)).toEqual(new Set([200, 402]));
    const holds = (await until(async () => {
      const all = await holdsOf(gateway.pool, poor.accountId);
      return all.every(({ state }) => state === 'posted') && all;
    })) as { posted_msat: bigint; amount_msat: bigint }[];
    expect(holds).toHaveLength(served);
    expect(holds.every(({ posted_msat, amount_msat }) => posted_msat === 280n && amount_msat >= posted_msat)).toBe(true);
    expect(await accountOf(gateway.pool, poor.accountId)).toMatchObject({ posted_msat: 100_000n - 280n * BigInt(served), held_msat: 0n });
    expect(await gateway.audit()).toEqual([]);
  });
});

describe('the audit of a cascade', () => {
  it.each([
    ['a token more in a step', `update requests set steps = jsonb_set(steps, '{0,completion_tokens}', '6') where id = $1`],
    ['a price that its version does not have', `update requests set steps = jsonb_set(steps, '{1,priced_as}', '"unpriced"') where id = $1`],
    ['a step that nobody asked for', `update requests set steps = steps || (steps -> 0) where id = $1`],
    ['tokens that are not those of its steps', 'update requests set prompt_tokens = prompt_tokens + 1 where id = $1'],
    ['a cost that is rounded otherwise', 'update requests set cost_msat = cost_msat + 1 where id = $1'],
    ['a step of another cost', `update requests set steps = jsonb_set(steps, '{0,cost_pico_usd}', '"1"') where id = $1`],
    ['no steps at all', `update requests set steps = '[]' where id = $1`],
    ['neither steps nor prices', `update requests set steps = null where id = $1`, /^what cost something/],
  ])('finds %s', async (_what, sabotage, rule = /^a cascade's cost/) => {
    script({ cheap: say(WEAK), mid: say(GOOD) });
    await (await ask()).text();
    await agreeOn(80);
    const [{ request_id: id } = { request_id: '' }] = await holdsOf(gateway.pool, key.accountId);
    await gateway.pool.query(sabotage, [id]);
    expect(await gateway.audit()).toMatchObject([{ rule: expect.stringMatching(rule), subject: id }]);
    await gateway.pool.query('delete from requests where id = $1', [id]);
    expect(await gateway.audit()).toEqual([]);
  });
});

describe('a client of a cascade', () => {
  it('that asks again with the same Idempotency-Key gets the same answer and the same headers', async () => {
    for (const stream of [false, true]) {
      script({ cheap: say(WEAK), mid: say(GOOD) });
      const headers = { 'idempotency-key': `again-${stream}` };
      const first = await ask({ stream }, {}, headers);
      const text = await first.text();
      const again = await ask({ stream }, {}, headers);
      expect(again.headers.get('idempotency-replayed')).toBe('true');
      for (const name of ['x-pura-cascade-depth', 'x-pura-cascade-savings', 'x-pura-confidence', 'x-pura-model'])
        expect([name, again.headers.get(name)]).toEqual([name, first.headers.get(name)]);
      const withoutComment = (raw: string) => raw.replace(/^: pura .*\n/m, '');
      expect(withoutComment(await again.text())).toBe(withoutComment(text));
    }
    expect((await accountOf(gateway.pool, key.accountId)).posted_msat).toBe(1_000_000n - 160n);
    expect(await gateway.audit()).toEqual([]);
  });

  /** Goes as far as `tier`, whose exchange a test has in hand. */
  async function climbTo(tier: Tier, stream: boolean): Promise<{ exchange: FakeExchange; leave: () => void; answer: Promise<Response> }> {
    for (const below of TIERS.slice(0, TIERS.indexOf(tier))) providers[below].script(say(WEAK));
    const held = providers[tier].hold();
    const client = new AbortController();
    const answer = gateway.post('/v1/chat/completions', request({ stream }), key, {}, client.signal);
    answer.catch(() => {});
    return { exchange: await held, leave: () => client.abort(), answer };
  }

  const before = { cheap: 0, mid: MSAT.cheap, premium: MSAT.cheap + MSAT.mid };
  it.each(TIERS.flatMap((tier) => [false, true].map((stream) => [tier, stream] as const)))(
    'that leaves at the %s step pays for the steps before, and for what this one was asked (stream: %s)',
    async (tier, stream) => {
      const { exchange, leave } = await climbTo(tier, stream);
      leave();
      await exchange.clientGone;
      const charged = Number((await settledHold(gateway.pool, key.accountId)).posted_msat);
      expect(charged).toBeGreaterThan(before[tier]);
      const row = await agreeOn(charged);
      expect(row).toMatchObject({ outcome: 'client_gone', model: `pureai/${tier}` });
      expect(row.steps).toHaveLength(TIERS.indexOf(tier) + 1);
    },
  );

  it('that leaves while a step is held back pays for what was written in it', async () => {
    const { exchange, leave } = await climbTo('mid', true);
    exchange.startStream();
    await exchange.content('four words were written ');
    await gateway.get('/health');
    leave();
    await exchange.clientGone;
    const charged = Number((await settledHold(gateway.pool, key.accountId)).posted_msat);
    expect(charged).toBeGreaterThan(MSAT.cheap);
    expect(await agreeOn(charged)).toMatchObject({ outcome: 'client_gone', model: 'pureai/mid' });
  });

  it('sees pings and nothing else until a step is accepted, and who answered in the end', async () => {
    const own = await startGateway({
      database: gateway.database,
      deployments: TIERS.map((tier) => providers[tier].deployment({ id: tier, tier, prices: PRICES[tier] })),
      pingAfterMs: 20,
    });
    const held = providers.cheap.hold();
    const answer = own.post('/v1/chat/completions', request({ stream: true }), key);
    const exchange = await held;
    exchange.startStream();
    await exchange.content('It is Paris.');
    const stream = new OpenStream(await answer);
    await stream.until(': ping\n');
    expect(stream.raw.replaceAll(': ping\n', '')).toBe('');
    await exchange.send('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n');
    exchange.end();
    const { settled, content, done } = await stream.rest();
    expect([content, done]).toEqual(['It is Paris.', true]);
    expect(settled).toMatchObject({ model: 'pureai/cheap', cascade_depth: 1, confidence: expect.any(Number) });
    await own.close();
  });
});
