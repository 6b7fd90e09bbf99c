import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { errorOf } from '../support/chat.ts';
import { parseStream, readStream, type Chunk } from '../support/chat-stream.ts';
import { startFakeUpstream, type FakeUpstream } from '../support/fake-upstream.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, holdsOf, settledHold } from '../support/ledger.ts';

const WIRES = ['openai-chat', 'anthropic-messages', 'openai-responses', 'gemini-generate'] as const;
const CHAT = 'pureai/openai-chat';
const messages = [{ role: 'user', content: 'Write a haiku about programming' }];

interface Routing {
  selected_model: string;
  selected_provider: string;
  all_scores: Record<string, number>;
}
type Routed = Record<string, unknown> & { id: string; model: string; routing: Routing; usage: Record<string, number> };

const ROUTING = {
  selected_model: expect.any(String),
  selected_provider: expect.any(String),
  reasoning: expect.stringMatching(/./),
  confidence: expect.any(Number),
  expected_error: expect.any(Number),
  cost_adjusted_score: expect.any(Number),
  all_scores: expect.any(Object),
};

let upstream: FakeUpstream;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeUpstream();
  gateway = await startGateway({
    env: { FREE_TIER_REQUESTS: '0', MARKUP_PERCENT: '10', BYOK_FEE_MSAT: '7', OPENAI_BASE_URL: upstream.baseUrl },
    deployments: WIRES.map((wire) => upstream.deployment(wire, { tier: wire === 'gemini-generate' ? 'premium' : 'cheap' })),
    config: { aliases: { own: CHAT } },
  });
  key = await gateway.newKey();
  await gateway.fund(key, 100_000);
});

afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  await upstream.close();
});

/** All that a request could have left behind. */
async function traces({ accountId }: TestKey) {
  const { rows } = await gateway.pool.query<{ count: string }>('select count(*) from requests where account_id = $1', [accountId]);
  const [holds, account] = [await holdsOf(gateway.pool, accountId), await accountOf(gateway.pool, accountId)];
  return { heard: upstream.requests.length, holds: holds.length, records: rows[0]?.count, account };
}

const chargesOf = async (one: TestKey) => {
  const { transactions } = (await (await gateway.get('/api/wallet/transactions?limit=200', one)).json()) as {
    transactions: { kind: string; amountMsat: number; requestId: string }[];
  };
  return transactions.filter(({ kind }) => kind === 'charge');
};

describe('what the router is asked alone', () => {
  const ASKED: [path: string, body: object, answer: object][] = [
    [
      '/v1/router',
      { messages, execute: false },
      { routing: ROUTING, estimated_cost_usd: expect.any(Number), confidence: expect.any(Number) },
    ],
    [
      '/v1/router',
      { messages, execute: false, stream: true, models: ['own'] },
      { selected_model: CHAT, routing: { selected_model: CHAT } },
    ],
    ['/l402/v1/router', { messages, execute: false }, { reasoning: expect.any(String) }],
    [
      '/api/estimate',
      { messages, stream: true },
      { model: expect.any(String), reasoning: expect.any(String), candidates: expect.any(Array) },
    ],
    [
      '/api/estimate',
      { messages, model: CHAT, max_tokens: 100 },
      { model: CHAT, provider: 'openai-chat', reasoning: null, confidence: null },
    ],
  ];
  it.each(ASKED)('%s %j is answered, and nothing is sent, held, recorded or spent', async (path, body, expected) => {
    const before = await traces(key);
    const answer = await gateway.post(path, body, key, { 'idempotency-key': `asked ${path} ${JSON.stringify(body)}` });
    expect({ status: answer.status, body: await answer.json() }).toMatchObject({ status: 200, body: expected });
    expect(answer.headers.get('x-pura-request-id')).toMatch(/./);
    expect(await traces(key)).toEqual(before);
  });

  it('counts as a request of its key, and takes no tokens', async () => {
    const limited = await gateway.newKey({ rateLimitRpm: 3 });
    const ask = async (path: string, body: object) => (await gateway.post(path, body, limited)).headers;
    const first = await ask('/v1/router', { messages, execute: false });
    const second = await ask('/api/estimate', { messages });
    expect([first, second].map((headers) => headers.get('x-pura-ratelimit-remaining-requests'))).toEqual(['2', '1']);
    const tokens = [first, second].map((headers) => headers.get('x-pura-ratelimit-remaining-tokens'));
    expect(tokens).toEqual([second.get('x-pura-ratelimit-limit-tokens'), second.get('x-pura-ratelimit-limit-tokens')]);
    // What is refused for what it says has cost its reading.
    expect((await gateway.post('/api/estimate', { messages, no_such_field: 1 }, limited)).status).toBe(400);
    const last = await gateway.post('/v1/router', { messages, execute: false }, limited);
    expect({ status: last.status, code: (await errorOf(last)).code }).toEqual({ status: 429, code: 'rate_limit_exceeded' });
  });

  it('needs a key; without one, the path for those who have none asks for money as for any request', async () => {
    for (const [path, status] of [
      ['/v1/router', 401],
      ['/api/estimate', 401],
      ['/l402/v1/router', 402],
    ] as const) {
      const answer = await gateway.post(path, { messages, execute: false });
      expect([path, answer.status]).toEqual([path, status]);
      await answer.text();
    }
  });
});

describe('an estimate', () => {
  const BODIES: [name: string, body: object][] = [
    ['without a cap', { model: CHAT, messages }],
    ['with one', { model: CHAT, messages, max_tokens: 50 }],
    ['of several answers', { model: CHAT, messages, max_tokens: 50, n: 3 }],
    ['with a cost of its own that leaves fewer tokens', { model: CHAT, messages, routing: { maxCost: 0.001 } }],
    ['of a long prompt', { model: CHAT, messages: [{ role: 'user', content: 'word '.repeat(5_000) }] }],
  ];
  it.each(BODIES)('%s: its most is what is held then, and it is not above that', async (_name, body) => {
    const estimate = (await (await gateway.post('/api/estimate', body, key)).json()) as Record<string, number>;
    const answer = await gateway.post('/v1/chat/completions', body, key);
    expect(answer.status).toBe(200);
    await answer.text();
    const { amount_msat: held, amount_pico_usd: heldPicoUsd } = await settledHold(gateway.pool, key.accountId);
    expect({ ...estimate }).toMatchObject({ maxCostMsat: Number(held), maxCostUsd: Number(heldPicoUsd) / 1e12 });
    expect(estimate['estimatedCostMsat']).toBeGreaterThan(0);
    expect(estimate['estimatedCostMsat']).toBeLessThanOrEqual(Number(held));
    expect(estimate).toMatchObject({ mayBeFree: true, btcUsd: 100_000 });
  });

  it('says how long the prompt and the answer are taken to be', async () => {
    const answer = await gateway.post('/api/estimate', { model: CHAT, messages, max_tokens: 7, n: 2 }, key);
    const estimate = (await answer.json()) as Record<string, number>;
    expect(estimate).toMatchObject({ estimatedOutputTokens: 14, maxOutputTokens: 7, tier: 'cheap', explored: false });
    const { promptTokens = 0, estimatedCostUsd = 0 } = estimate;
    // $1 and $2 a million tokens, and a tenth more.
    expect(estimatedCostUsd).toBeCloseTo(((promptTokens * 1 + 14 * 2) * 1.1) / 1e6, 12);
  });

  it('says what is paid where the caller brings a key of its own to the provider', async () => {
    const own = { 'x-provider-key': 'sk-of-the-caller' };
    const answer = await gateway.post('/api/estimate', { messages, model: 'gpt-4o-mini' }, key, own);
    expect({ status: answer.status, body: await answer.json() }).toMatchObject({
      status: 200,
      body: { model: 'gpt-4o-mini', provider: 'openai', feeMsat: 7, mayBeFree: false, estimatedCostUsd: expect.any(Number) },
    });
    expect((await gateway.post('/api/estimate', { messages, model: CHAT }, key, own)).status).toBe(400);
  });

  it('of a cascade is that of its first step, and its most is that of all of them', async () => {
    const most = async (routing: object) => {
      const answer = await gateway.post('/api/estimate', { messages, max_tokens: 50, routing }, key);
      return (await answer.json()) as { model: string; maxCostMsat: number; candidates: { tier: string }[] };
    };
    const [plain, cascade] = [await most({ quality: 'low' }), await most({ cascade: true })];
    expect(new Set(cascade.candidates.map(({ tier }) => tier))).toEqual(new Set(['cheap', 'premium']));
    expect(cascade.candidates[0]?.tier).toBe('cheap');
    expect(cascade.maxCostMsat).toBeGreaterThan(plain.maxCostMsat);
  });

  const REFUSED: [body: object, headers: Record<string, string>, status: number, code: string, param: string | null][] = [
    [{ messages, model: 'no-such-model' }, {}, 404, 'model_not_found', 'model'],
    [{ messages, no_such_field: 1 }, {}, 400, 'unknown_parameter', 'no_such_field'],
    [{ messages, execute: false }, {}, 400, 'unknown_parameter', 'execute'],
    [{}, {}, 400, 'invalid_request', 'messages'],
    [{ messages, model: CHAT }, { 'x-pura-max-cost-sats': 'some' }, 400, 'invalid_request', 'X-Pura-Max-Cost-Sats'],
    [{ messages, model: CHAT, max_tokens: 1_000 }, { 'x-pura-max-cost-sats': '0' }, 402, 'max_cost_exceeded', null],
    [{ messages, model: CHAT }, { 'content-type': 'text/plain' }, 415, 'unsupported_media_type', null],
  ];
  it.each(REFUSED)('refuses %j with %j as a chat is refused: %i %s', async (body, headers, status, code, param) => {
    for (const path of ['/api/estimate', '/v1/chat/completions']) {
      const answer = await gateway.post(path, body, key, headers);
      expect([path, answer.status, await errorOf(answer)]).toMatchObject([path, status, { code, param }]);
    }
  });
});

describe('a request that the router carries out', () => {
  it.each(WIRES)('has an id and a decision beside the answer, and is charged once: by %s', async (wire) => {
    const model = `pureai/${wire}`;
    const answer = await gateway.post('/v1/router', { messages, models: [model], cost_weight: 0.5, max_tokens: 50 }, key);
    const body = (await answer.json()) as Routed;
    expect({ status: answer.status, body }).toMatchObject({
      status: 200,
      body: {
        object: 'chat.completion',
        routing: { ...ROUTING, selected_model: model, selected_provider: wire, all_scores: { [model]: expect.any(Number) } },
        choices: [{ message: { content: 'Hello.' }, finish_reason: 'stop' }],
      },
    });
    const requestId = answer.headers.get('x-pura-request-id');
    expect(body.id).toBe(`router-${requestId}`);
    expect(answer.headers.get('x-pura-model')).toBe(model);
    const costMsat = body.usage['total_cost_msat'];
    const charges = (await chargesOf(key)).filter((charge) => charge.requestId === requestId);
    expect(charges).toMatchObject([{ amountMsat: -(costMsat ?? 0) }]);
    expect(answer.headers.get('x-pura-charged-msat')).toBe(String(costMsat));
  });

  it.each(WIRES)('streams with the decision on the first chunk, and one id on all: from %s', async (wire) => {
    const model = `pureai/${wire}`;
    const wanted = { messages, models: [model], stream: true, stream_options: { include_usage: true } };
    const { headers, chunks, done, content, settled } = await read(await gateway.post('/v1/router', wanted, key));
    const requestId = headers.get('x-pura-request-id');
    expect({ done, content, model: headers.get('x-pura-model') }).toEqual({ done: true, content: 'Hello.', model });
    expect(new Set(chunks.map(({ id }) => id))).toEqual(new Set([`router-${requestId}`]));
    const told = chunks.map((chunk) => (chunk as Chunk & Partial<Routed>).routing);
    expect(told[0]).toMatchObject({ ...ROUTING, selected_model: model });
    expect(told.slice(1).filter((one) => one !== undefined)).toEqual([]);
    expect(chunks.at(-1)?.usage).toMatchObject({ prompt_tokens: 10, completion_tokens: 5, total_cost_msat: settled?.cost_msat });
    const charges = (await chargesOf(key)).filter((charge) => charge.requestId === requestId);
    expect(charges).toMatchObject([{ amountMsat: -(settled?.charged_msat ?? 0) }]);
  });

  it.each([false, true])('says of a cascade what its first step was chosen for: as a stream, %s', async (stream) => {
    const answer = await gateway.post('/v1/router', { messages, stream, routing: { cascade: true, cascade_threshold: 1 } }, key);
    const text = await answer.text();
    const first = stream ? parseStream(text).chunks[0] : (JSON.parse(text) as Routed);
    const { routing } = first as Partial<Routed>;
    expect({ status: answer.status, routing }).toMatchObject({ status: 200, routing: ROUTING });
    expect(routing?.selected_model).not.toBe('pureai/gemini-generate');
    // Whoever answered in the end.
    expect(answer.headers.get('x-pura-model')).toBe('pureai/gemini-generate');
  });

  it('is repeated as it was, decision and all', async () => {
    for (const stream of [false, true]) {
      const body = { messages, stream };
      const ask = async () => {
        const answer = await gateway.post('/v1/router', body, key, { 'idempotency-key': `repeat-${stream}` });
        return { replayed: answer.headers.get('idempotency-replayed'), text: await answer.text() };
      };
      const first = await ask();
      expect(first.text).toContain('"routing":{"selected_model"');
      expect(await ask()).toEqual({ replayed: 'true', text: first.text });
    }
  });

  it('says who was chosen, and by X-Pura-Model who answered after that one failed', async () => {
    let failed = '';
    upstream.otherwise((exchange) => {
      failed ||= exchange.path;
      if (exchange.path === failed) exchange.error(500);
      else upstream.answerPlainly(exchange);
    });
    const { headers, chunks, done } = await read(await gateway.post('/v1/router', { messages, stream: true }, key));
    upstream.otherwise(null);
    const { routing } = chunks[0] as Partial<Routed>;
    expect({ done, routing }).toMatchObject({ done: true, routing: ROUTING });
    const selected = upstream.requests.at(-2)?.path;
    expect(selected).toBe(failed);
    expect(headers.get('x-pura-model')).not.toBe(routing?.selected_model);
  });
});

describe('what the router may choose from', () => {
  it('is what models names, by id or alias, and what the key allows', async () => {
    const allowed = await gateway.newKey({ allowedModels: [CHAT] });
    const scored = async (one: TestKey, models?: string[]) =>
      Object.keys((await decide({ messages, models }, one)).body.routing.all_scores);
    const all = WIRES.map((wire) => `pureai/${wire}`).sort();
    expect((await scored(key)).sort()).toEqual(all);
    expect(await scored(key, ['own'])).toEqual([CHAT]);
    expect((await scored(key, ['pureai/gemini-generate', 'own'])).sort()).toEqual(['pureai/gemini-generate', CHAT].sort());
    expect(await scored(allowed)).toEqual([CHAT]);
    expect(await scored(allowed, all)).toEqual([CHAT]);
  });

  const REFUSED: [body: object, status: number, code: string, param: string][] = [
    [{ models: ['no-such-model'] }, 404, 'model_not_found', 'models'],
    [{ models: [CHAT, 'no-such-model'] }, 404, 'model_not_found', 'models'],
    [{ routing: { models: ['no-such-model'] } }, 404, 'model_not_found', 'routing.models'],
    [{ model: CHAT }, 400, 'invalid_request', 'model'],
    [{ cost_weight: 2 }, 400, 'invalid_request', 'cost_weight'],
  ];
  it.each(REFUSED)('refuses %j: %i %s %s', async (body, status, code, param) => {
    const heard = upstream.requests.length;
    for (const execute of [true, false]) {
      const answer = await gateway.post('/v1/router', { messages, execute, ...body }, key);
      expect([execute, answer.status, await errorOf(answer)]).toMatchObject([execute, status, { code, param }]);
    }
    expect(upstream.requests).toHaveLength(heard);
  });

  it('is nothing for a key that may use none of it', async () => {
    const allowed = await gateway.newKey({ allowedModels: ['pureai/gemini-generate'] });
    const answer = await gateway.post('/v1/router', { messages, models: [CHAT], execute: false }, allowed);
    expect({ status: answer.status, code: (await errorOf(answer)).code }).toEqual({ status: 403, code: 'model_not_allowed' });
  });
});

async function decide(body: object, one: TestKey = key): Promise<{ status: number; body: Routed }> {
  const answer = await gateway.post('/v1/router', { ...body, execute: false }, one);
  return { status: answer.status, body: (await answer.json()) as Routed };
}

async function read(answer: Response) {
  return { headers: answer.headers, ...(await readStream(answer)) };
}
