import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import express, { type NextFunction, type Request, type Response } from 'express';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GatewayError } from '../../../src/errors.ts';
import { exchangeRateFromBtcUsd } from '../../../src/amount.ts';
import { modelRoutes } from '../../../src/http/api/models.ts';
import { pricingHandler } from '../../../src/http/api/pricing.ts';
import type { ExchangeRate } from '../../../src/pricing/exchange-rate.ts';
import { compilePrices } from '../../../src/pricing/catalogue.ts';
import { createModels, type Models } from '../../../src/models/models.ts';
import { startFakeProvider } from '../../support/fake-provider.ts';

describe('the models, as they are listed', () => {
  let models: Models;
  let server: Server;
  let allowedModels: string[] | null;
  let btcUsd: number | null = 100_000;

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
      deployments: [
        upstream.deployment({
          id: 'org/own',
          prices: { input: 0.015, output: 0.06, cacheRead: 0.001, steps: [{ fromTokens: 1000, input: 0.03, output: 0.12 }] },
        }),
      ],
      models: {
        several: {
          deployments: [
            { use: 'demo-mid', weight: 1, backup: true },
            { use: 'gpt-4o', weight: 1, backup: false },
          ],
        },
      },
      aliases: { 'codex-auto-review': 'gpt-4o', own: 'pureai/org/own' },
    };
    models = createModels(config, { prices: { current: { prices: compilePrices(config), priceVersion: 1 }, keepUp: () => undefined } });
    const routes = modelRoutes({ models, markupBasisPoints: 1_000n });
    const exchangeRate: ExchangeRate = {
      source: 'fixed',
      sources: [],
      ageSeconds: () => 0,
      current() {
        if (btcUsd === null) throw new GatewayError('exchange_rate_unavailable');
        return exchangeRateFromBtcUsd(btcUsd);
      },
      refresh: async () => {},
    };
    const app = express();
    app.use((_req, res, next) => {
      res.locals['principal'] = { key: { allowedModels } };
      next();
    });
    app.get('/v1/models', routes.list);
    app.get('/v1/pricing/models', pricingHandler({ models, exchangeRate, markupBasisPoints: 1_000n }));
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
    expect(ids).toEqual(expect.arrayContaining(['gpt-4o', 'demo-cheap', 'pureai/org/own', 'codex-auto-review', 'own', 'several']));
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
        pricing: { input: 0.0165, output: 0.066, cache_read: 0.0011 },
      });
    },
  );

  it.each(['codex-auto-review', 'own'])('shows an alias as a model of its own: %s', async (id) => {
    allowedModels = null;
    const { body } = await get(`/v1/models/${id}`);
    expect(body).toMatchObject({
      id,
      object: 'model',
      owned_by: id === 'own' ? 'org/own' : 'openai',
      pricing: { input: expect.any(Number) },
    });
  });

  it('shows a model that is served without being listed', async () => {
    allowedModels = null;
    expect((await get('/v1/models/gpt-4o-2024-05-13')).body).toMatchObject({ id: 'gpt-4o-2024-05-13', owned_by: 'openai' });
  });

  it('shows a key only what it may use', async () => {
    allowedModels = ['demo-mid'];
    expect((await get('/v1/models')).body.data.map(({ id }) => id)).toEqual(['demo-mid', 'several']);
    expect(await get('/v1/models/demo-cheap')).toMatchObject({ status: 404, body: { error: { code: 'model_not_found' } } });
  });

  const ALIASES: [allowed: string[], listed: string[]][] = [
    [['gpt-4o'], ['gpt-4o', 'codex-auto-review', 'several']],
    [['codex-auto-review'], ['codex-auto-review']],
    [
      ['own', 'demo-mid'],
      ['demo-mid', 'own', 'several'],
    ],
    [['several'], ['several']],
    [['no-such-model'], []],
  ];
  it.each(ALIASES)('lists an alias where it is allowed, or what it stands for: %j', async (allowed, listed) => {
    allowedModels = allowed;
    expect((await get('/v1/models')).body.data.map(({ id }) => id)).toEqual(listed);
    expect(new Set((await get('/v1/pricing/models')).body.data.map(({ id }) => id))).toEqual(new Set(listed));
    for (const id of ['gpt-4o', 'codex-auto-review', 'own', 'demo-mid', 'several']) {
      expect([id, (await get(`/v1/models/${id}`)).status]).toEqual([id, listed.includes(id) ? 200 : 404]);
    }
  });

  it('prices all of them, by steps where there are any, in USD and in msat', async () => {
    allowedModels = null;
    const { body } = await get('/v1/pricing/models');
    const listed = (await get('/v1/models')).body.data.map(({ id }) => id);
    expect(new Set(body.data.map(({ id }) => id))).toEqual(new Set(listed));
    expect(body.data.filter(({ id }) => id === 'several')).toMatchObject([
      { provider: 'openai', model: 'gpt-4o', type: 'primary' },
      { provider: 'demo', model: 'demo-mid', type: 'backup' },
    ]);
    expect(body.data.find(({ id }) => id === 'own')).toEqual({
      id: 'own',
      object: 'model.pricing',
      model: 'pureai/org/own',
      provider: 'org/own',
      type: 'primary',
      operation: 'generate',
      tier: expect.stringMatching(/^(cheap|mid|premium)$/),
      context_window: 128_000,
      max_output_tokens: expect.any(Number),
      // The operator's price, and a tenth more.
      pricing: { input: 0.0165, output: 0.066, cache_read: 0.0011, cache_write: 0.0165, cache_write_long: 0.033 },
      steps: [{ from_tokens: 1000, input: 0.033, output: 0.132, cache_read: 0.033, cache_write: 0.033, cache_write_long: 0.066 }],
      // A thousand tokens of 0.0165 USD a million, at 1e-6 USD a msat: rounded up.
      msat_per_thousand: { input: 17, output: 66, cache_read: 2, cache_write: 17, cache_write_long: 33 },
      price_version: 1,
    });
    const embedding = body.data.find(({ id }) => id.startsWith('text-embedding'));
    expect(embedding).toMatchObject({ operation: 'embed', max_output_tokens: null, pricing: { output: 0 } });
  });

  it('prices them in USD alone where there is no exchange rate', async () => {
    allowedModels = ['demo-mid'];
    btcUsd = null;
    const { status, body } = await get('/v1/pricing/models');
    btcUsd = 100_000;
    expect({ status, row: body.data[0] }).toMatchObject({ status: 200, row: { id: 'demo-mid', msat_per_thousand: null } });
  });

  it('answers 404 for what it does not know', async () => {
    allowedModels = null;
    expect(await get('/v1/models/nope')).toMatchObject({ status: 404, body: { error: { code: 'model_not_found' } } });
  });
});
