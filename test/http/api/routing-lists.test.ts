import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import express, { type NextFunction, type Request, type Response } from 'express';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { GatewayError } from '../../../src/errors.ts';
import { providersHandler } from '../../../src/http/api/providers.ts';
import { routerProfilesHandler } from '../../../src/http/api/router-profiles.ts';
import type { Deployment } from '../../../src/models/deployment.ts';
import type { Models, Serving } from '../../../src/models/models.ts';
import { UNKNOWN_HEALTH, type DeploymentHealth } from '../../../src/routing/view.ts';
import { deployment } from '../../support/deployment.ts';
import { NO_MODELS } from '../../support/models.ts';

const at = (id: string, model: string, members: Partial<Deployment> = {}) =>
  deployment({ id: `${id}/${model}`, model, provider: { ...deployment().provider, id }, ...members });
const by = (one: Deployment, type: Serving['type'] = 'primary'): Serving => ({ deployment: one, type, weight: 1 });

const small = at('alpha', 'small', { tier: 'cheap' });
const smallToo = at('beta', 'small', { tier: 'cheap' });
const large = at('beta', 'large', { tier: 'premium' });
const largeToo = at('gamma', 'large', { tier: 'premium' });
const vectors = at('delta', 'vectors', { operation: 'embed' });

/** `beta` is a backup of one model and has another one to itself; `gamma` is a backup alone; `idle` serves nothing that is listed. */
const SERVINGS: Readonly<Record<string, readonly Serving[]>> = {
  small: [by(small), by(smallToo, 'backup')],
  large: [by(large), by(largeToo, 'backup')],
  alias: [by(large), by(largeToo, 'backup')],
  unlisted: [by(at('alpha', 'unlisted'))],
};
const models: Models = {
  ...NO_MODELS,
  keepUp: () => undefined,
  list: (operation = 'generate') => (operation === 'embed' ? [vectors] : [small, smallToo, large, largeToo]),
  names: () => ['alias'],
  serving: (model, operation = 'generate') =>
    operation === 'embed' ? (model === 'vectors' ? [by(vectors)] : []) : (SERVINGS[model] ?? []),
  withOwnKey: NO_MODELS,
  providers: ['alpha', 'beta', 'gamma', 'delta', 'idle'].map((id) => ({ ...deployment().provider, id })),
  allowParameters: new Set(),
  close: async () => {},
};

let server: Server;
let allowedModels: string[] | null;
let health: Record<string, Partial<DeploymentHealth>>;

async function get(path: string) {
  const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`);
  return { status: answer.status, body: (await answer.json()) as Record<'providers' | 'profiles', { id: string; model: string }[]> };
}

beforeAll(async () => {
  const deps = { models, healthOf: ({ id }: Deployment): DeploymentHealth => ({ ...UNKNOWN_HEALTH, ...health[id] }) };
  const app = express();
  app.use((_req, res, next) => {
    res.locals['principal'] = { key: { allowedModels } };
    next();
  });
  app.get('/v1/providers', providersHandler(deps));
  app.get('/v1/router/profiles', routerProfilesHandler(deps));
  app.use((error: GatewayError, _req: Request, res: Response, _next: NextFunction) => void res.status(error.status).json(error));
  await new Promise<void>((resolve) => (server = app.listen(0, '127.0.0.1', () => resolve())));
});

beforeEach(() => {
  allowedModels = null;
  health = {};
});

afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
});

describe('GET /v1/providers', () => {
  const row = (id: string, type: 'primary' | 'backup' = 'primary', enabled = true) => ({ id, type, enabled, params: {} });

  const OF_A_MODEL: [model: string, rows: object[]][] = [
    ['small', [row('alpha'), row('beta', 'backup')]],
    ['large', [row('beta'), row('gamma', 'backup')]],
    ['alias', [row('beta'), row('gamma', 'backup')]],
    ['unlisted', [row('alpha')]],
    ['vectors', [row('delta')]],
  ];
  it.each(OF_A_MODEL)('says who serves %s, primary ones first', async (model, providers) => {
    expect(await get(`/v1/providers?model=${model}`)).toEqual({ status: 200, body: { providers } });
  });

  it('lists all that are configured: a backup where one is nothing else', async () => {
    const { body } = await get('/v1/providers');
    expect(body.providers.toSorted((a, b) => a.id.localeCompare(b.id))).toEqual([
      ...[row('alpha'), row('beta'), row('delta'), row('gamma', 'backup'), row('idle')],
    ]);
  });

  it('says that nothing is sent to one whose deployments of the model are all shut', async () => {
    health = { 'alpha/small': { available: false }, 'beta/large': { available: false } };
    expect((await get('/v1/providers?model=small')).body.providers).toEqual([row('alpha', 'primary', false), row('beta', 'backup')]);
    expect((await get('/v1/providers?model=large')).body.providers).toEqual([row('beta', 'primary', false), row('gamma', 'backup')]);
    const all = (await get('/v1/providers')).body.providers;
    expect(all.find(({ id }) => id === 'alpha')).toEqual(row('alpha', 'primary', false));
    expect(all.find(({ id }) => id === 'beta')).toEqual(row('beta'));
  });

  const REFUSED: [query: string, allowed: string[] | null, status: number, code: string][] = [
    ['model=nope', null, 404, 'model_not_found'],
    ['model=small', ['large'], 404, 'model_not_found'],
    ['model=', null, 400, 'invalid_request'],
    ['model=small&model=large', null, 400, 'invalid_request'],
  ];
  it.each(REFUSED)('%s, for a key that may use %j: %i %s', async (query, allowed, status, code) => {
    allowedModels = allowed;
    const answer = await get(`/v1/providers?${query}`);
    expect(answer).toMatchObject({ status, body: { error: { code, param: 'model' } } });
  });
});

describe('GET /v1/router/profiles', () => {
  it('tells of every deployment that the router may choose what it knows', async () => {
    health = { 'alpha/small': { successRate: 0.5, samples: 1_000, ttftMs: 123.456 } };
    const { status, body } = await get('/v1/router/profiles');
    const profile = (model: string, provider: string, tier: string) => ({
      ...{ model, provider, tier, success_rate: 1, latency_ms: null },
      expected_error: expect.any(Number),
    });
    expect({ status, profiles: body.profiles }).toEqual({
      status: 200,
      profiles: [
        { ...profile('small', 'alpha', 'cheap'), success_rate: 0.5, latency_ms: 123.5 },
        profile('small', 'beta', 'cheap'),
        profile('large', 'beta', 'premium'),
        profile('large', 'gamma', 'premium'),
      ],
    });
    const [failing = NaN, cheap = NaN, premium = NaN] = (body.profiles as unknown as { expected_error: number }[]).map(
      (one) => one.expected_error,
    );
    expect(failing).toBeGreaterThan(0.5);
    expect(failing).toBeLessThan(1);
    expect(premium).toBeGreaterThan(0);
    expect(premium).toBeLessThan(cheap);
  });

  it('shows a key what it may use', async () => {
    allowedModels = ['large'];
    expect((await get('/v1/router/profiles')).body.profiles.map(({ model }) => model)).toEqual(['large', 'large']);
  });
});
