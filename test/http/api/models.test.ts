import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import express, { type NextFunction, type Request, type Response } from 'express';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { GatewayError } from '../../../src/errors.ts';
import { modelRoutes } from '../../../src/http/api/models.ts';
import { compilePrices } from '../../../src/pricing/catalogue.ts';
import { createModels, type Models } from '../../../src/models/models.ts';
import { startFakeProvider } from '../../support/fake-provider.ts';

describe('GET /v1/models', () => {
  let models: Models;
  let server: Server;
  let allowedModels: string[] | null;

  const get = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`);
    return { status: answer.status, body: (await answer.json()) as { data: { id: string }[]; error: { code: string } } };
  };

  beforeAll(async () => {
    const upstream = await startFakeProvider();
    await upstream.close();
    const config = {
      OPENAI_API_KEY: 'sk-x',
      ALLOW_SIMULATED: 'true',
      OPENAI_BASE_URL: upstream.baseUrl,
      DEMO_PROVIDER: true,
      UPSTREAM_TIMEOUT_SECONDS: 1,
      prices: {},
      deployments: [upstream.deployment({ id: 'org/own', prices: { input: 0.015, output: 0.06 } })],
    };
    models = createModels(config, { prices: { current: { prices: compilePrices(config), priceVersion: 1 }, keepUp: () => undefined } });
    const routes = modelRoutes({ models, markupBasisPoints: 1_000n });
    const app = express();
    app.use((_req, res, next) => {
      res.locals['principal'] = { key: { allowedModels } };
      next();
    });
    app.get('/v1/models', routes.list);
    app.get('/v1/models/*id', routes.show);
    app.use((error: GatewayError, _req: Request, res: Response, _next: NextFunction) => void res.status(error.status).json(error));
    await new Promise<void>((resolve) => (server = app.listen(0, '127.0.0.1', () => resolve())));
  });

  afterAll(async () => {
    await models.close();
    await new Promise((resolve) => server.close(resolve));
  });

  it('lists every model once, whoever serves it', async () => {
    allowedModels = null;
    const { status, body } = await get('/v1/models');
    expect(status).toBe(200);
    const ids = body.data.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toEqual(expect.arrayContaining(['gpt-4o', 'demo-cheap', 'pureai/org/own']));
  });

  it.each(['/v1/models/pureai/org/own', '/v1/models/pureai%2Forg%2Fown'])(
    'shows one with its prices, markup included: %s',
    async (path) => {
      allowedModels = null;
      const { status, body } = await get(path);
      expect(status).toBe(200);
      expect(body).toEqual({
        id: 'pureai/org/own',
        object: 'model',
        created: expect.any(Number),
        owned_by: 'org/own',
        type: 'model',
        display_name: 'pureai/org/own',
        created_at: '2025-01-01T00:00:00.000Z',
        context_window: 128_000,
        pricing: { input: 0.0165, output: 0.066, cache_read: 0.0165 },
      });
    },
  );

  it('shows a model that is served without being listed', async () => {
    allowedModels = null;
    expect((await get('/v1/models/gpt-4o-2024-05-13')).body).toMatchObject({ id: 'gpt-4o-2024-05-13', owned_by: 'openai' });
  });

  it('shows a key only what it may use', async () => {
    allowedModels = ['demo-mid'];
    expect((await get('/v1/models')).body.data.map(({ id }) => id)).toEqual(['demo-mid']);
    expect(await get('/v1/models/demo-cheap')).toMatchObject({ status: 404, body: { error: { code: 'model_not_found' } } });
  });

  it('answers 404 for what it does not know', async () => {
    allowedModels = null;
    expect(await get('/v1/models/nope')).toMatchObject({ status: 404, body: { error: { code: 'model_not_found' } } });
  });
});
