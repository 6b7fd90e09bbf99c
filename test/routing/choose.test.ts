import { describe, expect, it } from '@jest/globals';
import { readChat } from '../support/chat-request.ts';
import { GatewayError } from '../../src/errors.ts';
import { chooseCandidates } from '../../src/routing/choose.ts';
import type { Deployment } from '../../src/models/deployment.ts';
import type { Models } from '../../src/models/models.ts';
import { deployment, rateCard } from '../support/deployment.ts';
import { routingView, type World } from '../support/routing-view.ts';
import { NO_MODELS } from '../support/models.ts';

const provider = (id: string) => ({ ...deployment().provider, id });
const make = (model: string, tier: Deployment['tier'], output: bigint, overrides: Parameters<typeof deployment>[0] = {}) =>
  deployment({ model, tier, rateCard: rateCard({ output }), provider: provider('alpha'), ...overrides });

const cheapA = make('cheap-a', 'cheap', 1n);
const cheapB = make('cheap-b', 'cheap', 2n, { provider: provider('beta') });
const midA = make('mid-a', 'mid', 10n);
const midB = make('mid-b', 'mid', 11n, { provider: provider('beta'), imageTokens: null, maxOutputTokens: 100 });
const premium = make('premium', 'premium', 100n, { remoteImages: true, allowParameters: ['no_such_field'] });
const all = [premium, midB, cheapB, midA, cheapA];

function modelsOf(listed: Deployment[]): Models {
  return {
    keepUp: () => undefined,
    list: () => listed,
    names: () => [],
    find: (model) => listed.find((one) => one.model === model),
    serving: (model) =>
      listed.filter((one) => one.model === model).map((one) => ({ deployment: one, type: 'primary' as const, weight: 1 })),
    withOwnKey: NO_MODELS,
    providers: [],
    allowParameters: new Set(['no_such_field']),
    close: async () => {},
  };
}

interface Setting {
  listed?: Deployment[];
  allowedModels?: string[] | null;
  world?: World;
}

function choose(fields: object, { listed = all, allowedModels = null, world }: Setting = {}) {
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], ...fields });
  const request = readChat(body, { allowParameters: new Set(['no_such_field']) });
  const { candidates, ...rest } = chooseCandidates(request, modelsOf(listed), { allowedModels }, routingView(world));
  return { ...rest, models: candidates.map(({ deployment: { model } }) => model) };
}

function refusalOf(fields: object, setting?: Setting): { code: string; param: string | undefined } {
  try {
    choose(fields, setting);
  } catch (error) {
    if (error instanceof GatewayError) return { code: error.code, param: error.detail.param };
    throw error;
  }
  throw new Error('it was accepted');
}

const picture = (url: string) => [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }];
const LOCAL = picture('data:image/png;base64,AA');
const REMOTE = picture('https://example.com/a.png');
const URL_PARAM = 'messages.0.content.0.image_url.url';

describe('candidates for an exact model', () => {
  it('are that deployment alone', () => {
    expect(choose({ model: 'mid-a' })).toEqual({ models: ['mid-a'], tier: 'mid', explored: false, decision: null });
  });

  it.each<[string, object, Setting, string, string]>([
    ['an unknown one', { model: 'nope' }, {}, 'model_not_found', 'model'],
    ['one outside the key’s list', { model: 'mid-a' }, { allowedModels: ['cheap-a'] }, 'model_not_allowed', 'model'],
    ['one that takes no images', { model: 'mid-b', messages: LOCAL }, {}, 'invalid_request', URL_PARAM],
    ['one that takes no remote images', { model: 'mid-a', messages: REMOTE }, {}, 'invalid_request', URL_PARAM],
    ['a field that only others let through', { model: 'mid-a', no_such_field: 1 }, {}, 'unknown_parameter', 'no_such_field'],
    [
      'an excluded provider',
      { model: 'mid-a', routing: { excludeProviders: ['alpha'] } },
      {},
      'invalid_request',
      'routing.excludeProviders',
    ],
  ])('are refused for %s', (_what, fields, setting, code, param) => {
    expect(refusalOf(fields, setting)).toEqual({ code, param });
  });

  it('are given where the key’s list and the deployment’s abilities allow', () => {
    expect(choose({ model: 'premium', no_such_field: 1, messages: REMOTE }, { allowedModels: ['premium'] }).models).toEqual(['premium']);
  });
});

describe('candidates under auto', () => {
  it('are the tier’s, cheapest first, and stay in it while it has more than one', () => {
    expect(choose({})).toEqual({ models: ['cheap-a', 'cheap-b'], tier: 'cheap', explored: false, decision: null });
    expect(choose({ model: 'auto' }).models).toEqual(['cheap-a', 'cheap-b']);
  });

  it('fall back to cheaper tiers, and are never more than three', () => {
    expect(choose({ routing: { quality: 'high' } })).toMatchObject({ models: ['mid-a', 'mid-b', 'cheap-a'], tier: 'mid' });
  });

  it('fall back to a dearer tier only where there is nothing else', () => {
    expect(choose({}, { listed: [premium, midA, cheapA] }).models).toEqual(['cheap-a', 'mid-a']);
  });

  it('start elsewhere where the tier is empty', () => {
    expect(choose({}, { listed: [premium] }).models).toEqual(['premium']);
  });

  it('begin with the preferred provider’s of the tier, without locking the others out', () => {
    expect(choose({ routing: { prefer: 'beta' } }).models).toEqual(['cheap-b', 'cheap-a']);
    expect(choose({ routing: { prefer: 'nobody' } }).models).toEqual(['cheap-a', 'cheap-b']);
  });

  it('leave out what is excluded, not allowed, or cannot do it', () => {
    expect(choose({ routing: { excludeProviders: ['alpha'] } }).models).toEqual(['cheap-b', 'mid-b']);
    expect(choose({}, { allowedModels: ['mid-b', 'premium'] }).models).toEqual(['mid-b', 'premium']);
    expect(choose({ messages: REMOTE }).models).toEqual(['premium']);
    expect(choose({ messages: LOCAL, routing: { quality: 'high' } }).models).not.toContain('mid-b');
    expect(choose({ no_such_field: 3 }).models).toEqual(['premium']);
  });

  it('are the same whatever the cap: each takes one above its maximum as that', () => {
    for (const max_tokens of [100, 101, 20_000_000]) {
      expect(choose({ max_tokens, routing: { quality: 'high' } }).models).toEqual(['mid-a', 'mid-b', 'cheap-a']);
      expect(choose({ model: 'mid-b', max_completion_tokens: max_tokens }).models).toEqual(['mid-b']);
    }
  });

  it('leave out the slow where speed is asked for; the unknown may be fast', () => {
    const world: World = { health: ({ provider: { id } }) => (id === 'alpha' ? { ttftMs: 900 } : {}) };
    expect(choose({ routing: { maxLatency: 500 } }, { world }).models).toEqual(['cheap-b', 'mid-b']);
    expect(refusalOf({ routing: { maxLatency: 500 } }, { world: { health: () => ({ ttftMs: 900 }) } })).toEqual({
      code: 'invalid_request',
      param: 'routing.maxLatency',
    });
  });

  it.each<[string, object, Setting, string, string]>([
    ['all providers are excluded', { routing: { excludeProviders: ['alpha', 'beta'] } }, {}, 'invalid_request', 'routing.excludeProviders'],
    ['the key may use none', {}, { allowedModels: ['gone'] }, 'model_not_allowed', 'model'],
    ['no model takes the images', { messages: REMOTE }, { listed: [cheapA, midA] }, 'invalid_request', URL_PARAM],
  ])('are refused where %s', (_what, fields, setting, code, param) => {
    expect(refusalOf(fields, setting)).toEqual({ code, param });
  });
});
