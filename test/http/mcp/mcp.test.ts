import { request } from 'node:http';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';

const MODERN = '2026-07-28';
const LEGACY = '2025-11-25';
const ACCEPT = 'application/json, text/event-stream';

let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  gateway = await startGateway();
});
beforeEach(async () => {
  key = await gateway.newKey();
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
});

type Result = { isError?: boolean; structuredContent?: Record<string, unknown>; content: { type: string; text?: string }[] };

/** The official client, connected: it checks every answer against the tool's own schema. */
async function connect(era: 'legacy' | { pin: string }, headers: Record<string, string>): Promise<Client> {
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode: era } });
  await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), { requestInit: { headers } }));
  // Without the list it knows no schemas to check answers against.
  await client.listTools();
  return client;
}

const withKey = (): Record<string, string> => ({ authorization: `Bearer ${key.secret}` });
const textOf = ({ content }: Result): string => content.map(({ text = '' }) => text).join('\n');
const chat = () => gateway.post('/v1/chat/completions', { model: 'demo-cheap', messages: [{ role: 'user', content: 'Hello' }] }, key);
/** What the JSON path says, to be compared. */
const get = async (path: string) => (await (await gateway.get(path, key)).json()) as Record<string, unknown>;

describe.each([
  ['the handshake', 'legacy' as const, LEGACY],
  [`revision ${MODERN}`, { pin: MODERN }, MODERN],
])('the official client with %s', (_name, era, version) => {
  let client: Client;
  const call = async (name: string, args: Record<string, unknown> = {}): Promise<Result> =>
    (await client.callTool({ name, arguments: args })) as Result;
  const connectAs = async (headers: Record<string, string>) => {
    client = await connect(era, headers);
  };

  it('finds the tools in one order, each with its schemas and what it does to the world', async () => {
    await connectAs({});
    expect(client.getNegotiatedProtocolVersion()).toBe(version);
    const { tools } = await client.listTools();
    expect(tools.map(({ name, annotations }) => [name, annotations?.readOnlyHint, annotations?.destructiveHint])).toEqual([
      ['get_balance', true, false],
      ['create_invoice', false, false],
      ['invoice_status', true, false],
      ['list_models', true, false],
      ['estimate_cost', true, false],
      ['usage_report', true, false],
    ]);
    for (const { description, inputSchema, outputSchema } of tools) {
      expect(description).toMatch(/\.$/);
      expect(inputSchema).toMatchObject({ type: 'object', additionalProperties: false });
      expect(outputSchema).toMatchObject({ type: 'object', additionalProperties: {} });
    }
  });

  it('sees models and prices without a key, and is told what the others need', async () => {
    await connectAs({});
    const { structuredContent: listed } = await call('list_models', { query: 'DEMO', limit: 2 });
    expect(listed).toMatchObject({ models: [{ provider: 'demo' }, { provider: 'demo' }], total: expect.any(Number) });
    const estimate = await call('estimate_cost', { prompt: 'How much is the fish?', model: 'demo-mid', maxTokens: 100 });
    expect(estimate.structuredContent).toMatchObject({ model: 'demo-mid', maxOutputTokens: 100, estimatedCostMsat: expect.any(Number) });
    for (const name of ['get_balance', 'create_invoice', 'usage_report']) {
      const refused = await call(name);
      expect(refused).toMatchObject({ isError: true });
      expect(textOf(refused)).toContain(`POST ${gateway.url}/api/keys`);
    }
    expect(textOf(await call('invoice_status', { invoiceId: 'x' }))).toContain('needs a key');
  });

  it('tops up: an invoice, its state before and after the payment, the balance', async () => {
    await connectAs(withKey());
    const made = await call('create_invoice', { amount: 2500 });
    const { invoiceId, paymentRequest, invoiceUrl } = made.structuredContent as Record<string, string>;
    expect(invoiceUrl).toBe(`${gateway.url}/invoice/${invoiceId}`);
    for (const shown of [paymentRequest, invoiceUrl, `lightning:${paymentRequest}`]) expect(made.content[0]?.text).toContain(shown);
    expect((await call('invoice_status', { invoiceId })).structuredContent).toMatchObject({
      status: 'pending',
      receivedMsat: null,
      balance: 0,
    });
    await gateway.pay(String(paymentRequest));
    const paid = await call('invoice_status', { invoiceId });
    expect(paid.structuredContent).toEqual(await get(`/api/wallet/status?invoiceId=${invoiceId}`));
    expect(paid.structuredContent).toMatchObject({ status: 'paid', receivedMsat: 2_500_000, balance: 2500 });
    const balance = await call('get_balance');
    expect(balance.structuredContent).toMatchObject({ balance: 2500, availableMsat: 2_500_000 });
    expect(balance.structuredContent).toEqual(await get('/api/wallet/balance'));
    // For clients that know no structured answers.
    expect(JSON.parse(balance.content.at(-1)?.text ?? '')).toEqual(balance.structuredContent);
  });

  it('reports what was used, as the JSON path does', async () => {
    await connectAs(withKey());
    expect((await chat()).status).toBe(200);
    const { structuredContent } = await call('usage_report', { period: '7d' });
    const { windowStart: _windowStart, ...figures } = structuredContent ?? {};
    expect(figures).toMatchObject({ requestCount: 1, perModel: { 'demo-cheap': { requestCount: 1 } } });
    expect(await get('/api/report?period=7d')).toMatchObject(figures);
  });

  it.each([
    ['create_invoice', { amount: 99 }, 'amount'],
    ['create_invoice', { amount: 1_000_001 }, 'amount'],
    ['create_invoice', { amount: '500' }, 'amount'],
    ['create_invoice', { sats: 500 }, 'sats'],
    ['create_invoice', { idempotencyKey: '' }, 'Idempotency-Key'],
    ['invoice_status', {}, 'invoiceId'],
    ['invoice_status', { invoiceId: '00000000-0000-0000-0000-000000000000' }, 'invoice_not_found'],
    ['list_models', { tier: 'best' }, 'tier'],
    ['estimate_cost', {}, 'prompt or messages'],
    ['estimate_cost', { prompt: 'x', messages: [{ role: 'user', content: 'x' }] }, 'prompt or messages'],
    ['estimate_cost', { prompt: 'x', model: 'no-such-model' }, 'model_not_found'],
    ['usage_report', { period: '1y' }, 'period'],
    ['usage_report', { keyId: 'other' }, 'key_not_found'],
  ])('%s of %j is a result that says what is wrong', async (name, args, said) => {
    await connectAs(withKey());
    const refused = await call(name, args);
    expect(refused).toMatchObject({ isError: true });
    expect(textOf(refused)).toContain(said);
  });

  it('gets no connection with a wrong key', async () => {
    await expect(connect(era, { authorization: 'Bearer pura_wrong' })).rejects.toThrow(/401|[Uu]nauthorized|invalid_api_key/);
  });
});

/** One message as bytes, with whatever head. */
async function post(body: unknown, headers: Record<string, string> = {}) {
  const bytes = typeof body === 'string' ? body : JSON.stringify(body);
  const answer = await fetch(`${gateway.url}/mcp`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: ACCEPT, ...headers },
    body: bytes,
  });
  const text = await answer.text();
  const json = text.startsWith('{') ? text : (/^data: (.*)$/m.exec(text)?.[1] ?? '{}');
  return { status: answer.status, headers: answer.headers, body: JSON.parse(json) as Record<string, unknown> };
}

const envelope = { 'io.modelcontextprotocol/protocolVersion': MODERN, 'io.modelcontextprotocol/clientCapabilities': {} };
const modern = (method: string, params: Record<string, unknown> = {}) => ({
  jsonrpc: '2.0',
  id: 1,
  method,
  params: { _meta: envelope, ...params },
});
const modernHead = (method: string, name?: string) => ({
  'mcp-protocol-version': MODERN,
  'mcp-method': method,
  ...(name !== undefined && { 'mcp-name': name }),
});
const callOf = (name: string, args: Record<string, unknown> = {}) => modern('tools/call', { name, arguments: args });
const LIST = { jsonrpc: '2.0', id: 1, method: 'tools/list' };

describe('over raw HTTP', () => {
  it.each([
    [
      'another version than the body’s',
      modern('tools/list'),
      { ...modernHead('tools/list'), 'mcp-protocol-version': LEGACY },
      400,
      -32_020,
    ],
    ['another method than the body’s', modern('tools/list'), modernHead('tools/call'), 400, -32_020],
    ['another tool than the body’s', callOf('list_models'), modernHead('tools/call', 'get_balance'), 400, -32_020],
    ['an unknown method', modern('tools/steal'), modernHead('tools/steal'), 404, -32_601],
    [
      'a stream to wait for changes',
      modern('subscriptions/listen', { notifications: {} }),
      modernHead('subscriptions/listen'),
      200,
      -32_603,
    ],
    ['no JSON', '{"jsonrpc":', {}, 400, -32_700],
    ['nothing', '', {}, 400, -32_700],
    ['JSON of endless depth', '['.repeat(50_000), {}, 400, -32_700],
    ['a member called __proto__', '{"__proto__":{"x":1}}', {}, 400, -32_700],
    ['several messages', [LIST, LIST], {}, 400, -32_600],
    ['a number', '7', {}, 400, -32_600],
  ])('answers %s with its code', async (_what, body, headers, status, code) => {
    expect(await post(body, headers)).toMatchObject({ status, body: { error: { code } } });
  });

  it('names the versions that it speaks', async () => {
    const params = { _meta: { ...envelope, 'io.modelcontextprotocol/protocolVersion': '2099-01-01' } };
    const head = { ...modernHead('tools/list'), 'mcp-protocol-version': '2099-01-01' };
    const answer = await post({ ...modern('tools/list'), params }, head);
    expect(answer).toMatchObject({ status: 400, body: { error: { code: -32_022, data: { supported: [MODERN] } } } });
  });

  it('answers the first message of any client, and takes a notification', async () => {
    const found = await post(modern('server/discover'), modernHead('server/discover'));
    expect(found.body).toMatchObject({ result: { resultType: 'complete', capabilities: { tools: {} } } });
    const params = { protocolVersion: '2025-03-26', capabilities: {}, clientInfo: { name: 'old', version: '1' } };
    expect((await post({ jsonrpc: '2.0', id: 1, method: 'initialize', params })).body).toMatchObject({
      result: { protocolVersion: '2025-03-26' },
    });
    expect((await post({ jsonrpc: '2.0', method: 'notifications/initialized' })).status).toBe(202);
    expect((await post(LIST, { 'mcp-protocol-version': '2025-06-18' })).body).toMatchObject({ result: { tools: expect.any(Array) } });
  });

  it('keeps no answer in any cache', async () => {
    const answers = [await post(LIST), await post(modern('tools/list'), modernHead('tools/list')), await post('{')];
    for (const { headers } of answers) expect(headers.get('cache-control')).toMatch(/^no-store/);
  });

  it.each([
    ['a wrong key', { authorization: 'Bearer pura_wrong' }, 401, 'invalid_api_key'],
    ['a wrong key of the other header', { 'x-api-key': 'nonsense' }, 401, 'invalid_api_key'],
    ['a payment of nobody', { authorization: 'L402 abc:def' }, 401, 'invalid_api_key'],
    ['a page of another site', { origin: 'https://evil.example' }, 403, 'not_permitted'],
    ['a page without an origin', { origin: 'null' }, 403, 'not_permitted'],
    ['another site, as the browser says', { 'sec-fetch-site': 'cross-site' }, 403, 'not_permitted'],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'unsupported_media_type'],
  ])('refuses %s in JSON', async (_what, headers, status, code) => {
    const answer = await post(LIST, headers);
    expect(answer).toMatchObject({ status, body: { error: { code } } });
    expect(answer.headers.get('www-authenticate')).toBeNull();
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('lets a page of its own ask, but not one of a name that was made to point here', async () => {
    expect((await post(LIST, { origin: gateway.url })).status).toBe(200);
    const { port } = new URL(gateway.url);
    const status = await new Promise((resolve, reject) => {
      const headers = { host: 'evil.example', origin: 'http://evil.example', 'content-type': 'application/json', accept: ACCEPT };
      const req = request({ host: '127.0.0.1', port, path: '/mcp', method: 'POST', headers }, (res) => resolve(res.resume().statusCode));
      req.once('error', reject).end(JSON.stringify(LIST));
    });
    expect(status).toBe(403);
  });

  it('takes 100 KB and no more', async () => {
    const message = (size: number) => callOf('list_models', { query: 'x'.repeat(size) });
    const spare = JSON.stringify(message(0)).length;
    const head = modernHead('tools/call', 'list_models');
    expect((await post(message(100 * 1024 - spare), head)).status).toBe(200);
    expect(await post(message(100 * 1024 - spare + 1), head)).toMatchObject({
      status: 413,
      body: { error: { code: 'request_too_large' } },
    });
  });

  it.each(['GET', 'DELETE', 'PUT'])('answers %s with 405', async (method) => {
    const answer = await fetch(`${gateway.url}/mcp`, { method });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST']);
  });

  it.each([
    '/.well-known/oauth-protected-resource',
    '/.well-known/oauth-protected-resource/mcp',
    '/.well-known/oauth-authorization-server',
    '/.well-known/openid-configuration',
    '/register',
  ])('%s is a plain 404', async (path) => {
    const answer = await fetch(gateway.url + path);
    expect([answer.status, await answer.json()]).toMatchObject([404, { error: { code: 'not_found' } }]);
  });
});

describe('what a key may', () => {
  const call = async (name: string, args: Record<string, unknown>, asked: TestKey) => {
    const answer = await post(callOf(name, args), { ...modernHead('tools/call', name), 'x-api-key': asked.secret });
    return answer.body['result'] as Result;
  };

  it('five open invoices are all an account may have, and the same key and amount give the same one', async () => {
    const made = await Promise.all(Array.from({ length: 4 }, () => call('create_invoice', { amount: 100 }, key)));
    expect(made.map(({ isError }) => isError ?? false)).toEqual([false, false, false, false]);
    const [first, second] = await Promise.all([1, 2].map(() => call('create_invoice', { amount: 700, idempotencyKey: 'once' }, key)));
    expect(first?.structuredContent?.['invoiceId']).toBe(second?.structuredContent?.['invoiceId']);
    expect(textOf(await call('create_invoice', { amount: 701, idempotencyKey: 'once' }, key))).toContain('idempotency_conflict');
    const refused = await call('create_invoice', { amount: 100 }, key);
    expect([refused.isError, textOf(refused)]).toEqual([true, expect.stringContaining('too_many_invoices')]);
  });

  it('sees no invoice, key or usage of another account', async () => {
    const stranger = await gateway.newKey();
    const { structuredContent } = await call('create_invoice', {}, key);
    expect(textOf(await call('invoice_status', { invoiceId: structuredContent?.['invoiceId'] }, stranger))).toContain('invoice_not_found');
    expect(textOf(await call('usage_report', { keyId: key.id }, stranger))).toContain('key_not_found');
    expect(textOf(await call('get_balance', { keyId: key.id }, stranger))).toContain('key_not_found');
  });

  it('sees only the models of its list, and estimates no other', async () => {
    await gateway.patchKey(key, { allowedModels: ['demo-mid'] });
    expect((await call('list_models', {}, key)).structuredContent).toMatchObject({ models: [{ id: 'demo-mid' }], total: 1 });
    expect(textOf(await call('estimate_cost', { prompt: 'x', model: 'demo-premium' }, key))).toContain('model_not_allowed');
  });

  it('is over with the key', async () => {
    const other = (await (await gateway.post('/api/keys', {}, key)).json()) as { id: string; key: string };
    await fetch(`${gateway.url}/api/keys/${other.id}`, { method: 'DELETE', headers: withKey() });
    const answer = await post(LIST, { authorization: `Bearer ${other.key}` });
    expect(answer).toMatchObject({ status: 401, body: { error: { code: 'invalid_api_key' } } });
  });

  it('is over in the transaction that writes, though nobody has told this gateway yet', async () => {
    expect((await call('get_balance', {}, key)).isError).toBeUndefined();
    await gateway.pool.query('update api_keys set revoked_at = now() where id = $1', [key.id]);
    const refused = await call('create_invoice', {}, key);
    expect([refused.isError, textOf(refused)]).toEqual([true, expect.stringContaining('invalid_api_key')]);
    const { rowCount } = await gateway.pool.query('select from invoices where account_id = $1', [key.accountId]);
    expect(rowCount).toBe(0);
  });

  it('costs nothing: an estimate leaves no request, hold or charge', async () => {
    await call('estimate_cost', { prompt: 'Prove it.' }, key);
    expect(await get('/api/requests')).toMatchObject({ requests: [] });
    expect(await get('/api/wallet/balance')).toMatchObject({ reservedMsat: 0, freeRequestsRemaining: 5000 });
  });
});

it('an address without a key has a limit, a key its own, and pages that the operator names get in', async () => {
  const small = await startGateway({ env: { RATE_LIMIT_RPM: '3', CORS_ORIGINS: 'https://agent.example' } });
  try {
    const ask = async (headers: Record<string, string> = {}) => {
      const head = { 'content-type': 'application/json', accept: ACCEPT, ...headers };
      return fetch(`${small.url}/mcp`, { method: 'POST', headers: head, body: JSON.stringify(LIST) });
    };
    const statuses = [];
    for (let count = 0; count < 4; count++) statuses.push((await ask()).status);
    expect(statuses).toEqual([200, 200, 200, 429]);
    expect((await ask()).headers.get('retry-after')).toMatch(/^\d+$/);
    const { secret } = await small.newKey();
    const withKeyOf = { authorization: `Bearer ${secret}` };
    expect((await ask(withKeyOf)).status).toBe(200);
    // A page of an origin that the operator has named may ask, and read the answer.
    const named = await ask({ ...withKeyOf, origin: 'https://agent.example', 'sec-fetch-site': 'cross-site' });
    expect([named.status, named.headers.get('access-control-allow-origin')]).toEqual([200, 'https://agent.example']);
    expect((await ask({ ...withKeyOf, origin: 'https://evil.example' })).status).toBe(403);
    // An account has a limit of its own, whatever it calls.
    const { secret: other } = await small.newKey();
    const known = [];
    for (let count = 0; count < 4; count++) known.push((await ask({ authorization: `Bearer ${other}` })).status);
    expect(known).toEqual([200, 200, 200, 429]);
  } finally {
    await small.close();
  }
});
