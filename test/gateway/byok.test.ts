import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { createLog } from '../../src/log.ts';
import { readStream } from '../support/chat-stream.ts';
import { chat, errorOf } from '../support/chat.ts';
import { completion, startFakeProvider, type FakeExchange, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, settledHold } from '../support/ledger.ts';

const PATH = '/v1/chat/completions';
const FEE_MSAT = 1_500n;
const OPERATORS = `operator-${randomUUID()}`;
/** Whoever sees it elsewhere than at its provider has seen too much. Quotes and backslashes are written otherwise in JSON. */
const OWN = String.raw`canary"\byok-${randomUUID()}`;
const PROVIDERS = ['openai', 'anthropic', 'gemini', 'groq', 'deepseek', 'moonshot'] as const;
type Name = (typeof PROVIDERS)[number] | 'custom';

const upstreams = new Map<Name, FakeProvider>();
let gateway: TestGateway;
let free: TestGateway;
let key: TestKey;
let output = '';

const at = (name: Name): FakeProvider => upstreams.get(name) as FakeProvider;

beforeAll(async () => {
  for (const name of [...PROVIDERS, 'custom'] as const) upstreams.set(name, await startFakeProvider());
  const options = {
    env: {
      ...Object.fromEntries(PROVIDERS.map((name) => [`${name.toUpperCase()}_BASE_URL`, at(name).baseUrl])),
      // The operator has a key at some of them only.
      OPENAI_API_KEY: OPERATORS,
      GROQ_API_KEY: OPERATORS,
      FREE_TIER_REQUESTS: '3',
      ALLOW_SIMULATED: 'true',
      DEMO_PROVIDER: 'true',
      UPSTREAM_TIMEOUT_SECONDS: '1',
    },
    deployments: [at('custom').deployment()],
  };
  const log = createLog('trace', { write: (line: string) => void (output += line) });
  gateway = await startGateway({ ...options, env: { ...options.env, BYOK_FEE_MSAT: String(FEE_MSAT) }, log });
  free = await startGateway({ ...options, log });
});

afterAll(async () => {
  await Promise.all([gateway.close(), free.close()]);
  await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
});

beforeEach(async () => {
  key = await free.newKey();
  for (const upstream of upstreams.values()) upstream.forget();
});

afterEach(async () => {
  expect(await gateway.audit()).toEqual([]);
  expect(await free.audit()).toEqual([]);
});

const ask = (members: object, headers: Record<string, string> = {}, own = OWN) =>
  free.post(PATH, chat(members), key, { 'x-provider-key': own, ...headers });

/** Where the caller's key was seen, in which header, by provider. */
function sightings(): string[] {
  return [...upstreams].flatMap(([name, { requests }]) =>
    requests.flatMap(({ headers, rawBody, path }) => [
      ...Object.entries(headers).flatMap(([header, value]) => (String(value).includes(OWN) ? [`${name} ${header}`] : [])),
      ...(rawBody.includes(OWN) || path.includes(OWN) ? [`${name} elsewhere`] : []),
    ]),
  );
}

const messagesAnswer = {
  ...{ id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-sonnet-4-5', stop_reason: 'end_turn', stop_sequence: null },
  content: [{ type: 'text', text: 'Hello.' }],
  usage: { input_tokens: 10, output_tokens: 5 },
};
const geminiAnswer = {
  candidates: [{ content: { role: 'model', parts: [{ text: 'Hello.' }] }, finishReason: 'STOP', index: 0 }],
  usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 },
};

describe("a request under its caller's own provider key", () => {
  it.each<[(typeof PROVIDERS)[number], string, string, object]>([
    ['openai', 'gpt-4o-mini', 'authorization', completion()],
    ['anthropic', 'claude-sonnet-4-5', 'x-api-key', messagesAnswer],
    ['gemini', 'gemini-2.5-flash', 'x-goog-api-key', geminiAnswer],
    ['groq', 'llama-3.3-70b-versatile', 'authorization', completion()],
    ['deepseek', 'deepseek-v4-pro', 'authorization', completion()],
    ['moonshot', 'kimi-k2-0905-preview', 'authorization', completion()],
  ])('is sent to %s with it, and costs nothing but is on record', async (name, model, header, body) => {
    at(name).script((exchange) => exchange.json(body));
    const answer = await ask({ model, max_tokens: 50 });
    expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining('Hello.')]);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      ...{ 'x-pura-funding': 'byok', 'x-pura-charged-msat': '0', 'x-pura-provider': name, 'x-pura-free-remaining': '3' },
      ...{ 'x-pura-budget-remaining': '10', 'x-pura-cost': expect.stringMatching(/^0\.0*[1-9]/) },
    });
    expect(sightings()).toEqual([`${name} ${header}`]);
    expect(await settledHold(free.pool, key.accountId)).toMatchObject({
      funding: 'byok',
      state: 'posted',
      amount_msat: 0n,
      posted_msat: 0n,
    });
    const report = await (await free.get('/api/requests', key)).text();
    expect(report).toContain('"byok"');
  });

  it('streams', async () => {
    at('openai').script((exchange) => exchange.stream(['Hel', 'lo.']));
    const read = await readStream(await ask({ model: 'gpt-4o-mini', stream: true }));
    expect(JSON.stringify(read)).toContain('byok');
    expect(sightings()).toEqual(['openai authorization']);
    expect(await accountOf(free.pool, key.accountId)).toMatchObject({ free_used: 0, held_msat: 0n });
  });

  it.each([
    ['X-Provider', { model: 'auto' }, { 'x-provider': 'moonshot' }, 'moonshot'],
    ['routing.prefer', { model: 'auto', routing: { prefer: 'deepseek' } }, {}, 'deepseek'],
    ['the model, and X-Provider agrees', { model: 'gpt-4o-mini' }, { 'x-provider': 'openai' }, 'openai'],
  ] as const)('goes where %s says, and nowhere else although that fails', async (_, members, headers, name) => {
    at(name).always((exchange) => exchange.error(500));
    const answer = await ask(members, headers);
    at(name).always((exchange) => exchange.answer());
    expect(answer.status).toBe(503);
    expect(new Set(sightings())).toEqual(new Set([`${name} authorization`]));
    const reached = [...upstreams].filter(([, { requests }]) => requests.length > 0);
    expect(reached.map(([reachedName]) => reachedName)).toEqual([name]);
    // Never with the operator's.
    for (const { headers: sent } of at(name).requests) expect(sent.authorization).toBe(`Bearer ${OWN}`);
    expect(await settledHold(free.pool, key.accountId)).toMatchObject({ state: 'voided', funding: 'byok' });
  });

  it.each<[string, object, Record<string, string>, string]>([
    ['a custom deployment', { model: 'pureai/fake' }, {}, 'X-Provider-Key'],
    ['the demo', { model: 'demo-cheap' }, {}, 'X-Provider-Key'],
    ['a custom deployment by preference', { model: 'auto', routing: { prefer: 'fake' } }, {}, 'X-Provider-Key'],
    ['nobody in particular', { model: 'auto' }, {}, 'X-Provider'],
    ['an unknown provider', { model: 'auto' }, { 'x-provider': 'nobody' }, 'X-Provider'],
    ['another provider than the model’s', { model: 'gpt-4o-mini' }, { 'x-provider': 'anthropic' }, 'X-Provider'],
    ['nobody, being too short', { model: 'gpt-4o-mini' }, { 'x-provider-key': 'sk-1' }, 'X-Provider-Key'],
    ['nobody, being too long', { model: 'gpt-4o-mini' }, { 'x-provider-key': 'k'.repeat(513) }, 'X-Provider-Key'],
    ['nobody, having a space', { model: 'gpt-4o-mini' }, { 'x-provider-key': 'sk-1 and more' }, 'X-Provider-Key'],
    ['nobody, being Latin', { model: 'gpt-4o-mini' }, { 'x-provider-key': 'sk-clé-provider' }, 'X-Provider-Key'],
  ])('is refused for %s, and nothing is sent', async (_, members, headers, param) => {
    const answer = await ask(members, headers);
    expect([answer.status, await errorOf(answer)]).toMatchObject([400, { code: 'invalid_request', param }]);
    for (const { requests } of upstreams.values()) expect(requests).toHaveLength(0);
  });

  it('of a model that is not there is a 404', async () => {
    expect((await ask({ model: 'no-such-model' })).status).toBe(404);
  });

  it.each([401, 402, 403, 404, 429, 400])('is told a %i of the provider in its own words', async (status) => {
    at('openai').script((exchange) => exchange.error(status, 'What you have done is your own affair.', { 'retry-after': '7' }));
    const answer = await ask({ model: 'gpt-4o-mini' });
    expect([answer.status, (await errorOf(answer)).message]).toEqual([status, 'What you have done is your own affair.']);
    expect(answer.headers.get('retry-after')).toBe(status === 429 ? '7' : null);
    expect(answer.headers.get('x-pura-funding')).toBe('byok');
    expect(await settledHold(free.pool, key.accountId)).toMatchObject({ state: 'voided', funding: 'byok' });
  });

  it("is not told what is wrong with the operator's", async () => {
    at('openai').script((exchange) => exchange.error(401, 'The operator has not paid.'));
    const answer = await free.post(PATH, chat({ model: 'gpt-4o-mini' }), key);
    expect([answer.status, await answer.text()]).toEqual([503, expect.not.stringContaining('has not paid')]);
    expect(at('openai').requests[0]?.headers.authorization).toBe(`Bearer ${OPERATORS}`);
  });

  it('is answered again from what was stored', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const first = await ask({ model: 'gpt-4o-mini' }, headers);
    const second = await ask({ model: 'gpt-4o-mini' }, headers);
    expect(await second.text()).toBe(await first.text());
    expect(Object.fromEntries(second.headers)).toMatchObject({ 'idempotency-replayed': 'true', 'x-pura-funding': 'byok' });
    expect(at('openai').requests).toHaveLength(1);
  });

  it('needs a key of the gateway, for there is nothing to pay', async () => {
    const answer = await free.post(`/l402${PATH}`, chat({ model: 'gpt-4o-mini' }), null, { 'x-provider-key': OWN });
    expect([answer.status, (await errorOf(answer)).code]).toEqual([401, 'invalid_api_key']);
  });
});

describe("the operator's fee", () => {
  const own = (payer: TestKey, members: object = {}) =>
    gateway.post(PATH, chat({ model: 'gpt-4o-mini', ...members }), payer, { 'x-provider-key': OWN });

  it('is charged in place of the cost', async () => {
    const payer = await gateway.newKey();
    await gateway.fund(payer, 10);
    const answer = await own(payer);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'x-pura-charged-msat': '1500',
      'x-pura-funding': 'byok',
      'x-pura-balance': '8',
    });
    await answer.text();
    expect(await accountOf(gateway.pool, payer.accountId)).toMatchObject({ posted_msat: 8_500n, held_msat: 0n, free_used: 0 });
  });

  it('is a 402 for the fee where the wallet has not got it, free requests or not', async () => {
    const payer = await gateway.newKey();
    const answer = await own(payer);
    expect([answer.status, await errorOf(answer)]).toMatchObject([402, { code: 'insufficient_balance', funding: { status: 'pending' } }]);
    const keyless = await gateway.post(`/l402${PATH}`, chat({ model: 'gpt-4o-mini' }), null, { 'x-provider-key': OWN });
    expect([keyless.status, await errorOf(keyless)]).toMatchObject([402, { funding: { status: 'pending' } }]);
    for (const { requests } of upstreams.values()) expect(requests).toHaveLength(0);
  });

  it('is charged once of many at once where the wallet has it once, and the others are not sent', async () => {
    const payer = await gateway.newKey();
    await gateway.fund(payer, 2);
    const held = at('openai').hold();
    const answers = Array.from({ length: 20 }, () => own(payer));
    const sent = await held;
    let refused = 0;
    const statuses = answers.map(async (answer) => {
      const { status } = await answer;
      // The one that was sent is answered once all the others are.
      if (status === 402 && ++refused === 19) sent.json(completion());
      return status;
    });
    expect((await Promise.all(statuses)).toSorted((a, b) => a - b)).toEqual([200, ...Array.from({ length: 19 }, () => 402)]);
    expect(await accountOf(gateway.pool, payer.accountId)).toMatchObject({ posted_msat: 500n, held_msat: 0n });
  });

  it.each<[string, (exchange: FakeExchange) => void | Promise<void>, number]>([
    ['a refusal', (exchange) => exchange.error(401), 401],
    ['a failure', (exchange) => exchange.error(500), 503],
    ['a lost connection', (exchange) => exchange.reset(), 503],
    ['silence', () => {}, 503],
  ])('is not asked for %s', async (_, script, status) => {
    const payer = await gateway.newKey();
    await gateway.fund(payer, 2);
    at('openai').always(script);
    expect((await own(payer)).status).toBe(status);
    at('openai').always((exchange) => exchange.answer());
    await settledHold(gateway.pool, payer.accountId);
    expect(await accountOf(gateway.pool, payer.accountId)).toMatchObject({ posted_msat: 2_000n, held_msat: 0n });
  });

  it('is charged for a stream that breaks off, or whose client leaves, after its first word', async () => {
    const payer = await gateway.newKey();
    await gateway.fund(payer, 10);
    at('openai').script(async (exchange) => {
      exchange.startStream();
      await exchange.content('Hello');
      exchange.reset();
    });
    expect(await (await own(payer, { stream: true })).text()).toContain('Hello');
    expect(await settledHold(gateway.pool, payer.accountId)).toMatchObject({ posted_msat: FEE_MSAT });
  });
});

describe("the caller's key", () => {
  it('is in no answer, log or row, whatever its provider says, and at no other provider', async () => {
    const seen: string[] = [];
    const scripts: ((exchange: FakeExchange) => void | Promise<void>)[] = [
      (exchange) => exchange.answer(),
      (exchange) => exchange.error(401, `Incorrect API key provided: ${OWN}.`),
      (exchange) => exchange.error(400, `A request with ${OWN} is none.`),
      (exchange) => exchange.error(429, `Too many requests of ${OWN}.`),
      (exchange) => exchange.error(500, `I dropped ${OWN}.`),
      (exchange) => exchange.raw(`No: ${OWN}`, { status: 403 }),
      (exchange) => exchange.json({ error: { message: `Not ${OWN}`, code: 401 } }),
      (exchange) => exchange.reset(),
      () => {},
      async (exchange) => {
        exchange.startStream();
        await exchange.content('Hello');
        await exchange.send(`data: ${JSON.stringify({ error: { message: `Lost ${OWN}` } })}\n\n`);
        exchange.end();
      },
    ];
    for (const script of scripts) {
      for (const stream of [false, true]) {
        at('openai').always(script);
        const answer = await ask({ model: 'gpt-4o-mini', stream }, { 'idempotency-key': randomUUID() });
        seen.push(JSON.stringify([...answer.headers]), await answer.text());
      }
    }
    at('openai').always((exchange) => exchange.answer());
    const held = at('openai').hold();
    const left = new AbortController();
    const headers = { 'x-provider-key': OWN };
    const begun = free.post(PATH, chat({ model: 'gpt-4o-mini', stream: true }), key, headers, left.signal);
    const exchange = await held;
    exchange.startStream();
    await exchange.content('Hello');
    await begun;
    left.abort();
    await exchange.clientGone;
    await settledHold(free.pool, key.accountId);

    expect(seen.join('')).toContain('Hello');
    const forms = [
      OWN,
      JSON.stringify(OWN).slice(1, -1),
      ...(['hex', 'base64', 'base64url'] as const).map((form) => Buffer.from(OWN).toString(form)),
    ];
    const { rows: tables } = await free.pool.query<{ name: string }>(`select tablename as name from pg_tables where schemaname = 'public'`);
    const contents = await Promise.all(
      tables.map(async ({ name }) =>
        (await free.pool.query<{ text: string }>(`select t::text as text from "${name}" t`)).rows.map(({ text }) => text),
      ),
    );
    for (const form of forms) {
      expect(seen.join('').includes(form)).toBe(false);
      expect(output.includes(form)).toBe(false);
      expect(contents.flat().join('\n').includes(form)).toBe(false);
    }
    expect(output).toContain('a request could not be served');
    expect(new Set(sightings())).toEqual(new Set(['openai authorization']));
  });
});
