import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { request as httpRequest } from 'node:http';
import { once } from 'node:events';
import { chat, errorOf } from '../support/chat.ts';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';

let upstream: FakeProvider;
let gateway: TestGateway;
let key: TestKey;

const PATH = '/v1/chat/completions';

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({ env: { BODY_LIMIT_MB: '0.2' }, deployments: [upstream.deployment()] });
  key = await gateway.newKey();
});

afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

/** Whatever was refused: nothing went upstream, nothing is held or charged, and the gateway serves. */
async function expectNothingHappened(): Promise<void> {
  expect(upstream.requests).toHaveLength(0);
  expect(await holdsOf(gateway.pool, key.accountId)).toEqual([]);
  expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 0n, held_msat: 0n, free_used: 0 });
  expect(await gateway.audit()).toEqual([]);
  expect((await gateway.get('/health')).status).toBe(200);
}

const BIG = 'x'.repeat(210_000);
const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const message = { role: 'user', content: 'hi' };

interface Case {
  body?: unknown;
  headers?: Record<string, string>;
  status: number;
  code: string;
  param?: string | null;
}

const BODIES: [name: string, refusal: Case][] = [
  ['no JSON', { body: '{"model":', status: 400, code: 'invalid_request', param: null }],
  ['an empty body', { body: '', status: 400, code: 'invalid_request', param: null }],
  ['a list', { body: '[]', status: 400, code: 'invalid_request', param: null }],
  ['null', { body: 'null', status: 400, code: 'invalid_request', param: null }],
  ['bytes that are not UTF-8', { body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), status: 400, code: 'invalid_request', param: null }],
  ['no messages', { body: { model: 'pureai/fake' }, status: 400, code: 'invalid_request', param: 'messages' }],
  ['no message', { body: chat({ messages: [] }), status: 400, code: 'invalid_request', param: 'messages' }],
  [
    'a wrong role',
    { body: chat({ messages: [{ role: 'king', content: 'hi' }] }), status: 400, code: 'invalid_request', param: 'messages.0.role' },
  ],
  [
    'a wrong content',
    {
      body: chat({ messages: [message, { role: 'user', content: 5 }] }),
      status: 400,
      code: 'invalid_request',
      param: 'messages.1.content',
    },
  ],
  ['a wrong model', { body: chat({ model: 5 }), status: 400, code: 'invalid_request', param: 'model' }],
  ['a wrong stream', { body: chat({ stream: 'yes' }), status: 400, code: 'invalid_request', param: 'stream' }],
  ['a wrong temperature', { body: chat({ temperature: 'hot' }), status: 400, code: 'invalid_request', param: 'temperature' }],
  ['a negative cap', { body: chat({ max_tokens: -1 }), status: 400, code: 'invalid_request', param: 'max_tokens' }],
  ['no choices', { body: chat({ n: 0 }), status: 400, code: 'invalid_request', param: 'n' }],
  ['two caps', { body: chat({ max_tokens: 1, max_completion_tokens: 2 }), status: 400, code: 'invalid_request', param: 'max_tokens' }],
  ['a wrong routing', { body: chat({ routing: { maxCost: '1' } }), status: 400, code: 'invalid_request', param: 'routing.maxCost' }],
  ['an unknown field', { body: chat({ base_url: 'http://evil' }), status: 400, code: 'unknown_parameter', param: 'base_url' }],
  ['an unknown routing', { body: chat({ routing: { url: 'http://evil' } }), status: 400, code: 'unknown_parameter', param: 'routing.url' }],
  [
    'a field of unknown cost',
    { body: chat({ web_search_options: {} }), status: 400, code: 'unknown_parameter', param: 'web_search_options' },
  ],
  [
    'an object stored upstream',
    { body: chat({ previous_response_id: 'resp_1' }), status: 400, code: 'unknown_parameter', param: 'previous_response_id' },
  ],
  [
    '__proto__',
    {
      body: '{"messages":[{"role":"user","content":"hi","__proto__":{"x":1}}]}',
      status: 400,
      code: 'invalid_request',
      param: 'messages.0.__proto__',
    },
  ],
  ['__proto__ at the top', { body: '{"__proto__":{"model":"x"},"messages":[]}', status: 400, code: 'invalid_request', param: '__proto__' }],
  ['constructor', { body: chat({ constructor: { prototype: {} } }), status: 400, code: 'unknown_parameter', param: 'constructor' }],
  ['65 levels', { body: `{"messages":${nested(65)}}`, status: 400, code: 'invalid_request', param: 'messages' }],
  ['100,000 levels', { body: `{"messages":${nested(100_000)}}`, status: 400, code: 'invalid_request', param: 'messages' }],
  [
    '4097 messages',
    { body: chat({ messages: Array.from({ length: 4097 }, () => message) }), status: 400, code: 'invalid_request', param: 'messages' },
  ],
  ['an unknown model', { body: chat({ model: 'gpt-99' }), status: 404, code: 'model_not_found', param: 'model' }],
  ['a model called __proto__', { body: chat({ model: '__proto__' }), status: 404, code: 'model_not_found', param: 'model' }],
  ['too large a body', { body: chat({ messages: [{ role: 'user', content: BIG }] }), status: 413, code: 'request_too_large', param: null }],
  ['text', { headers: { 'content-type': 'text/plain' }, status: 415, code: 'unsupported_media_type', param: null }],
  ['compressed JSON', { headers: { 'content-encoding': 'gzip' }, status: 415, code: 'unsupported_media_type', param: null }],
  ['X-Provider-Key', { headers: { 'x-provider-key': 'sk-1' }, status: 400, code: 'invalid_request', param: 'X-Provider-Key' }],
  ...['0', '-1', '1.5', 'many', '1000001', ''].map((value): [string, Case] => [
    `X-Pura-Topup-Sats: ${value}`,
    { headers: { 'x-pura-topup-sats': value }, status: 400, code: 'invalid_request', param: 'X-Pura-Topup-Sats' },
  ]),
  ...['-1', '1.5', '1e3', 'none'].map((value): [string, Case] => [
    `X-Pura-Max-Cost-Sats: ${value}`,
    { headers: { 'x-pura-max-cost-sats': value }, status: 400, code: 'invalid_request', param: 'X-Pura-Max-Cost-Sats' },
  ]),
  [
    'an Idempotency-Key that is too long',
    { headers: { 'idempotency-key': 'k'.repeat(256) }, status: 400, code: 'invalid_request', param: 'idempotency-key' },
  ],
];

describe('a request with', () => {
  it.each(BODIES)('%s is refused as what it is, and costs nothing', async (_name, { body = chat(), headers = {}, status, code, param }) => {
    const answer = await gateway.post(PATH, body, key, headers);
    const error = await errorOf(answer);

    expect({ status: answer.status, code: error.code, param: error.param, type: error.type }).toEqual({
      status,
      code,
      param,
      type: 'invalid_request_error',
    });
    expect(answer.headers.get('x-pura-request-id')).toBeTruthy();
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    await expectNothingHappened();
  });

  it('a body that turns out too large while it comes is refused as such', async () => {
    const sending = httpRequest(gateway.url + PATH, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.secret}`, 'content-type': 'application/json', 'transfer-encoding': 'chunked' },
    });
    for (let sent = 0; sent < 4; sent++) sending.write(BIG.slice(0, 60_000));
    sending.end();
    const [answer] = (await once(sending, 'response')) as [{ statusCode: number; resume(): void }];
    answer.resume();
    expect(answer.statusCode).toBe(413);
    await expectNothingHappened();
  });

  it.each<[string, Record<string, string>]>([
    ['no credential', {}],
    ['an unknown key', { authorization: 'Bearer pura_0000000000000000000000000000000000000000' }],
    ['a malformed key', { authorization: 'Bearer sk-proj-1' }],
    ['another scheme', { authorization: 'Basic cHVyYTpwdXJh' }],
    ['a foreign payment', { authorization: 'L402 AAAA:00' }],
    ['an empty x-api-key', { 'x-api-key': '' }],
    ['a wrong Authorization beside a good x-api-key', { authorization: 'Bearer pura_wrong' }],
  ])('%s: always the same 401, which asks for nothing', async (name, headers) => {
    const answer = await gateway.post(PATH, chat(), null, { ...headers, ...(name.includes('good') && { 'x-api-key': key.secret }) });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toBeNull();
    expect(await errorOf(answer)).toEqual({
      message: 'Missing or invalid API key.',
      type: 'authentication_error',
      code: 'invalid_api_key',
      param: null,
    });
    await expectNothingHappened();
  });

  it('x-api-key is as good as a Bearer', async () => {
    const fresh = await gateway.newKey();
    const answer = await gateway.post('/v1/chat/completions', chat({ max_tokens: 0 }), null, { 'x-api-key': fresh.secret });
    expect((await errorOf(answer)).param).toBe('max_tokens');
  });

  it('another method, or another path, gets JSON', async () => {
    const method = await gateway.get(PATH, key);
    expect({ status: method.status, allow: method.headers.get('allow') }).toMatchObject({
      status: 405,
      allow: expect.stringContaining('POST'),
    });
    expect((await errorOf(method)).code).toBe('method_not_allowed');
    expect((await gateway.post('/v1/nothing', chat(), key)).status).toBe(404);
    await expectNothingHappened();
  });
});

describe('a refusal', () => {
  it.each([
    ['POST', '/v1/messages', 401],
    ['POST', '/l402/v1/messages/', 400],
    ['GET', '/v1/messages', 405],
    ['GET', '/v1/messages/count_tokens', 405],
    ['POST', '/v1/messages/count_tokens', 401],
    ['POST', '/v1/messages/batches', 404],
    ['GET', '/l402/v1/messages/', 405],
  ])('of %s %s is in the words of the Messages API, and names the request as its clients look for it', async (method, path, status) => {
    const headers = { 'content-type': 'application/json', 'x-client-request-id': 'trace-3' };
    const answer = await fetch(`${gateway.url}${path}`, { method, headers, ...(method === 'POST' && { body: '{}' }) });
    const id = answer.headers.get('x-pura-request-id');
    expect(answer.status).toBe(status);
    expect(answer.headers.get('request-id')).toBe(id);
    expect(answer.headers.get('x-client-request-id')).toBe('trace-3');
    expect(await answer.json()).toMatchObject({ type: 'error', request_id: id, error: { message: expect.any(String) } });
  });

  it.each([
    ['GET', '/v1/responses', 405],
    ['POST', '/v1/embeddings', 401],
    ['POST', '/v1/messagesx', 404],
    ['GET', '/api/wallet/balance', 401],
  ])('of %s %s echoes the id that the client gave, in the words of OpenAI', async (method, path, status) => {
    const answer = await fetch(`${gateway.url}${path}`, { method, headers: { 'x-client-request-id': 'trace-4' } });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('x-client-request-id')).toBe('trace-4');
    expect(answer.headers.get('request-id')).toBeNull();
    expect(await answer.json()).toEqual({ error: expect.objectContaining({ param: null }) });
  });
});

describe('a request with every fault at once', () => {
  /** Each has the faults of all that follow it. */
  const FAULTS = [
    '401',
    '413',
    '415',
    '400',
    '404',
    '403',
    '429',
    '402 max_cost_exceeded',
    '402 budget_exhausted',
    '402 free_tier_exceeded',
  ];

  it('is told of them in a fixed order', async () => {
    const poor = await gateway.newKey({ dailyBudgetUsd: 0, allowedModels: ['other'], rateLimitTpm: 10 });
    await gateway.pool.query('update accounts set free_limit = 0 where id = $1', [poor.accountId]);
    const cures: Record<string, object> = {
      '403': { allowedModels: null },
      '429': { rateLimitTpm: null },
      '402 budget_exhausted': { dailyBudgetUsd: 1 },
    };
    const told: string[] = [];
    for (let cured = 0; cured < FAULTS.length; cured++) {
      const has = (fault: string): boolean => FAULTS.indexOf(fault) >= cured;
      const cure = cures[FAULTS[cured - 1] ?? ''];
      if (cure) await gateway.patchKey(poor, cure);
      const body = chat({
        ...(has('404') && { model: 'gpt-99' }),
        ...(has('400') && { temperature: 'hot' }),
        ...(has('413') && { padding: BIG }),
      });
      const headers = {
        ...(has('415') && { 'content-type': 'text/plain' }),
        ...(has('402 max_cost_exceeded') && { 'x-pura-max-cost-sats': '0' }),
      };
      const answer = await gateway.post(PATH, body, has('401') ? null : poor, headers);
      const { code } = await errorOf(answer);
      told.push(answer.status === 402 ? `402 ${code}` : String(answer.status));
    }
    expect(told).toEqual(FAULTS);
  });
});
