import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { createApp, type AppDeps } from '../../src/app.ts';
import { Turns } from '../../src/http/payment/turns.ts';
import { routesOf } from '../../src/http/server/method-not-allowed.ts';
import { SimulatedWallet } from '../../src/lightning/simulated/simulated.ts';
import { INFERENCE_ROUTES } from '../../src/routes.ts';
import { SURFACES } from '../../src/wires/surfaces.ts';
import type { Surface, WireName } from '../../src/wires/wire.ts';
import type { FakeExchange } from '../support/fake-provider.ts';
import type { InferenceRoute } from '../../src/http/payment/incoming.ts';
import { startFakeUpstream, type FakeUpstream } from '../support/fake-upstream.ts';
import { startGateway, testConfig, type TestGateway, type TestKey } from '../support/gateway.ts';
import { holdsOf } from '../support/ledger.ts';
import { signedIn } from '../support/signed-in.ts';

const turn = { messages: [{ role: 'user', content: 'hi' }] };

/** A small request of each surface, for a model that a provider of its wire has. */
const BODIES: Readonly<Partial<Record<WireName, object>>> = {
  'openai-chat': { model: 'pureai/openai-chat', ...turn },
  'openai-completions': { model: 'pureai/openai-completions', prompt: 'hi' },
  'openai-responses': { model: 'pureai/openai-responses', input: 'hi' },
  'anthropic-messages': { model: 'pureai/anthropic-messages', max_tokens: 50, ...turn },
  'openai-embeddings': { model: 'pureai/openai-embeddings', input: 'hi' },
};

const inference = new Map(INFERENCE_ROUTES.map((route) => [route.path, route]));

/** The request, as a stream or not where the surface knows streams. The router takes no model, but those to choose from. */
function bodyFor(surface: Surface, stream: boolean): object {
  const body = surface === SURFACES['pura-router'] ? { ...turn, models: ['pureai/openai-chat'] } : BODIES[surface.wire];
  return { ...body, ...(surface.operation === 'generate' && { stream }) };
}

/** Every path of the app and its methods, as Express has them. */
function allRoutes(): { path: string; method: string }[] {
  const deps = {
    config: testConfig(),
    turns: new Turns(),
    lnurl: {},
    wallet: Object.create(SimulatedWallet.prototype) as unknown,
  } as AppDeps;
  return [...routesOf(createApp(deps))].flatMap(([path, methods]) => [...methods].map((method) => ({ path, method })));
}

const routes = allRoutes();
const others = routes.filter(({ path, method }) => method !== 'POST' || !inference.has(path));

/** Sends a request to an inference route as somebody who has this key: by the key, or signed in with it where only a session is taken. */
async function ask(
  { path, session }: InferenceRoute,
  body: object,
  key: TestKey | null,
  headers: Record<string, string> = {},
): Promise<Response> {
  if (!session || !key) return gateway.post(path, body, key, headers);
  const { cookies } = await signedIn(gateway.url, key.secret);
  return gateway.post(path, body, null, { ...headers, cookie: cookies.map(({ name, value }) => `${name}=${value}`).join('; ') });
}

let upstream: FakeUpstream;
let gateway: TestGateway;
let poor: TestKey;
let rich: TestKey;

beforeAll(async () => {
  upstream = await startFakeUpstream();
  const deployments = (Object.keys(BODIES) as WireName[]).map((wire) => upstream.deployment(wire));
  gateway = await startGateway({ deployments, env: { FREE_TIER_REQUESTS: '0', WITHDRAWALS: 'true' } });
  poor = await gateway.newKey();
  rich = await gateway.newKey();
  await gateway.fund(rich, 10_000);
});

afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  await upstream.close();
});

describe('every path that can reach a provider', () => {
  it('is a route of the app, and has a request in this test', () => {
    const posted = new Set(routes.filter(({ method }) => method === 'POST').map(({ path }) => path));
    for (const [path, { surface }] of inference) {
      expect(posted).toContain(path);
      expect(BODIES[surface.wire]).toBeDefined();
    }
  });

  it.each([...inference.values()])('$path: without money nothing is sent', async (route) => {
    for (const key of route.keyless ? [poor, null] : [poor]) {
      for (const stream of [false, true]) {
        const answer = await ask(route, bodyFor(route.surface, stream), key);
        expect({ status: answer.status, heard: upstream.requests.length }).toEqual({ status: 402, heard: 0 });
        await answer.text();
      }
    }
  });

  it.each([...inference.values()])('$path: without a credential nothing is sent', async ({ path, surface, keyless }) => {
    const heard = upstream.requests.length;
    const answer = await gateway.post(path, bodyFor(surface, false));
    expect({ status: answer.status, heard: upstream.requests.length }).toEqual({ status: keyless ? 402 : 401, heard });
  });

  it.each([...inference.values()])('$path: with money its hold is there before the provider hears of it', async (route) => {
    const id = `held${route.path}`;
    const held = new Promise<FakeExchange>((resolve) => upstream.answer(id, resolve));
    const answer = ask(route, bodyFor(route.surface, false), rich, { 'x-client-request-id': id });
    const exchange = await Promise.race([held, answer.then(async (early) => Promise.reject(new Error(await early.text())))]);
    const pending = (await holdsOf(gateway.pool, rich.accountId)).filter(({ state }) => state === 'pending');
    expect(pending).toMatchObject([{ funding: 'wallet' }]);
    expect(pending[0]?.amount_msat).toBeGreaterThan(0n);
    upstream.answerPlainly(exchange);
    const { status, headers } = await answer;
    expect({ status, charged: headers.get('x-pura-charged-msat') }).toEqual({ status: 200, charged: headers.get('x-pura-cost-msat') });
    expect(Number(headers.get('x-pura-charged-msat'))).toBeGreaterThan(0);
  });
});

describe('every other path', () => {
  it('reaches no provider, whatever is sent to it', async () => {
    const heard = upstream.requests.length;
    for (const { path, method } of others) {
      const url = gateway.url + path.replace(/[:*]\w+/g, 'pureai/openai-chat');
      const body = method === 'GET' || method === 'HEAD' ? undefined : JSON.stringify(BODIES['openai-chat']);
      const headers = { authorization: `Bearer ${poor.secret}`, 'content-type': 'application/json', 'x-forwarded-for': '203.0.113.7' };
      const answer = await fetch(url, { method, headers, ...(body !== undefined && { body }), signal: AbortSignal.timeout(5_000) });
      await answer.body?.cancel();
    }
    expect(others.length).toBeGreaterThan(20);
    expect(upstream.requests).toHaveLength(heard);
  });
});

describe('the source', () => {
  it('sends to a provider in one place alone', () => {
    const folder = new URL('../../src/', import.meta.url);
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
    const senders = files.filter((name) => /\bprovider\s*\??\.\s*send\s*\(/.test(readFileSync(new URL(name, folder), 'utf8')));
    expect(senders).toEqual(['completions/reach.ts']);
  });
});
