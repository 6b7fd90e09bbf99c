import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { surfaceOf } from '../../src/routes.ts';
import { startFakeUpstream, type FakeUpstream } from '../support/fake-upstream.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';

/** Runs recorded from real clients. They lie beside the project, where they are at all. */
const DIRECTORY = new URL('../../../shared/clients/', import.meta.url);

interface Sent {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Record<string, string>;
  readonly body: Record<string, unknown> | null;
}

function recordings(): Sent[] {
  if (!existsSync(DIRECTORY)) {
    console.warn(`skipped: no recorded clients in ${DIRECTORY.pathname}`);
    return [];
  }
  const files = readdirSync(DIRECTORY).filter((name) => name.endsWith('.json'));
  return files.flatMap((file) => {
    const { requests = [] } = JSON.parse(readFileSync(new URL(file, DIRECTORY), 'utf8')) as { requests?: Omit<Sent, 'name'>[] };
    return requests.map((sent, at) => ({ ...sent, name: `${file}#${at}` }));
  });
}

/** Of the connection, or of the key, which are this test's own. */
const OWN_HEADERS =
  /^(host|connection|content-length|transfer-encoding|authorization|x-api-key|upgrade|sec-websocket-.*|accept-encoding)$/i;

/** A conversation that the server is to keep: the one thing that is right to be refused, in words that make the client send all of it. */
const isThread = ({ body }: Sent): boolean => (body?.['thread'] ?? null) !== null;
const THREAD = { details: { error_code: 'thread_unsupported_request', unsupported: ['thread'] } };

/** What an error of a surface has around it. */
const MESSAGES_ERROR = { type: 'error', request_id: expect.stringMatching(/./) };
const aroundErrorOf = ({ path }: Sent): object => (surfaceOf(path)?.wire === 'anthropic-messages' ? MESSAGES_ERROR : {});

const all = recordings();
const posts = all.filter(({ method, path }) => method === 'POST' && path !== '/v1/messages/count_tokens');

let upstream: FakeUpstream;
let gateway: TestGateway;
let key: TestKey;

(all.length > 0 ? describe : describe.skip)('what real clients send, to the models that they ask for', () => {
  beforeAll(async () => {
    upstream = await startFakeUpstream();
    gateway = await startGateway({
      env: {
        ALLOW_SIMULATED: 'true',
        FREE_TIER_REQUESTS: '0',
        OPENAI_API_KEY: 'sk-test',
        OPENAI_BASE_URL: upstream.baseUrl,
        ANTHROPIC_API_KEY: 'sk-ant-test',
        ANTHROPIC_BASE_URL: upstream.baseUrl,
      },
    });
    key = await gateway.newKey({ dailyBudgetUsd: 1000 });
    await gateway.fund(key, 1_000_000);
  });

  afterAll(async () => {
    expect(await gateway.audit()).toEqual([]);
    await gateway.close();
    await upstream.close();
  });

  /** Sends it as recorded, but for the host and the key. */
  async function send({ method, path, query, headers, body }: Sent, by = key): Promise<Response> {
    // Long ones were cut with a character that no header can hold.
    const kept = Object.fromEntries(
      Object.entries(headers).flatMap(([name, value]) => (OWN_HEADERS.test(name) ? [] : [[name, value.replaceAll('…', '...')]])),
    );
    const bearer = Object.keys(headers).some((name) => name.toLowerCase() === 'x-api-key')
      ? { 'x-api-key': by.secret }
      : { authorization: `Bearer ${by.secret}` };
    return fetch(`${gateway.url}${path}${query}`, { method, headers: { ...kept, ...bearer }, ...(body && { body: JSON.stringify(body) }) });
  }

  it('is there in all its kinds', () => {
    expect(posts.length).toBeGreaterThan(140);
    expect(new Set(posts.map(({ path }) => path)).size).toBe(5);
  });

  it.each(posts.filter((sent) => !isThread(sent)))('$name $path', async (sent) => {
    const answer = await send(sent);
    const text = await answer.text();
    expect({ status: answer.status, text }).toEqual({
      status: 200,
      text: expect.stringMatching(sent.path === '/v1/embeddings' ? /"embedding":/ : /Hello\./),
    });
    const settled = /^: pura \{.*"charged_msat":(\d+)/m.exec(text)?.[1];
    const charged = sent.body?.['stream'] === true ? settled : answer.headers.get('x-pura-charged-msat');
    expect(Number(charged)).toBeGreaterThan(0);
  });

  const counted = all.filter(({ path }) => path === '/v1/messages/count_tokens');
  it.each(counted)('$name: tokens are counted, and no provider hears of it', async (sent) => {
    const heard = upstream.requests.length;
    const answer = await send(sent);
    expect({ status: answer.status, body: await answer.json() }).toEqual({ status: 200, body: { input_tokens: expect.any(Number) } });
    expect(upstream.requests).toHaveLength(heard);
  });

  const threads = posts.filter(isThread);
  it.each(threads)('$name $path: a thread is refused so that the client sends it whole', async (sent) => {
    const answer = await send(sent);
    const body: unknown = await answer.json();
    expect({ status: answer.status, body }).toMatchObject({ status: 400, body: { ...MESSAGES_ERROR, error: THREAD } });
  });

  it.each([...new Map(posts.map((sent) => [sent.path, sent])).values()])('$path: refused in the words of its surface', async (sent) => {
    const poor = await gateway.newKey();
    const unpaid = await send(sent, poor);
    const unknown = await send({ ...sent, body: { ...sent.body, model: 'no-such-model' } });
    const told = aroundErrorOf(sent);
    expect({ status: unpaid.status, body: await unpaid.json() }).toEqual({
      status: 402,
      body: {
        ...told,
        error: expect.objectContaining({ message: expect.stringMatching(/https?:\S+\/invoice\/\S+$/), type: expect.any(String) }),
      },
    });
    expect({ status: unknown.status, body: await unknown.json() }).toEqual({
      status: 404,
      body: { ...told, error: expect.objectContaining({ message: expect.stringContaining('no-such-model'), type: expect.any(String) }) },
    });
  });

  const upgrades = all.filter(({ method, path }) => method === 'GET' && path === '/v1/responses').slice(0, 1);
  it.each(upgrades)('$name: asks for a WebSocket, and is told at once to do without', async ({ headers }) => {
    const names = Object.keys(headers).filter((name) => /^(upgrade|connection|sec-websocket-.*)$/i.test(name));
    const upgrade = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    };
    expect(names).not.toEqual([]);
    const { hostname, port } = new URL(gateway.url);
    const status = await new Promise((resolve, reject) => {
      const sent = request({ hostname, port, path: '/v1/responses', headers: { ...upgrade, authorization: `Bearer ${key.secret}` } });
      sent.once('response', (answer) => resolve(answer.resume().statusCode));
      sent.once('error', reject).end();
    });
    expect(status).toBe(426);
  });

  const lists = all.filter(({ method, path }) => method === 'GET' && path === '/v1/models');
  it.each(lists)('$name: the list of models', async (sent) => {
    const answer = await send(sent);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ object: 'list', has_more: false, data: expect.any(Array) });
  });
});
