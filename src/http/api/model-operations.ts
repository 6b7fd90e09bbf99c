import { z } from 'zod';
import { json, type Operation } from '../server/operation.ts';
import { aMoment, count } from '../server/described-values.ts';

const dollars = z.number().min(0).meta({ description: 'USD per million tokens, markup included.' });
const tier = z.enum(['cheap', 'mid', 'premium']);
const priced = { input: dollars, output: dollars, cache_read: dollars };

const model = z
  .strictObject({
    id: z.string(),
    object: z.literal('model'),
    created: count,
    owned_by: z.string(),
    type: z.literal('model'),
    display_name: z.string(),
    created_at: aMoment,
    context_window: count,
    pricing: z.strictObject(priced),
  })
  .meta({ id: 'Model', description: "As OpenAI's and as Anthropic's clients read it." });

const rates = z.strictObject({ ...priced, cache_write: dollars, cache_write_long: dollars });
const inMsat = z.int().min(0);

const modelPricing = z
  .strictObject({
    id: z.string(),
    object: z.literal('model.pricing'),
    model: z.string(),
    provider: z.string(),
    operation: z.enum(['generate', 'embed']),
    tier,
    context_window: count,
    max_output_tokens: count.nullable(),
    pricing: rates,
    steps: z
      .array(rates.extend({ from_tokens: count }))
      .meta({ description: 'From so many prompt tokens on, these hold for the whole request.' }),
    msat_per_thousand: z
      .strictObject({ input: inMsat, output: inMsat, cache_read: inMsat, cache_write: inMsat, cache_write_long: inMsat })
      .nullable()
      .meta({ description: 'The same in msat per 1,000 tokens at the rate of now; null without one.' }),
    price_version: count,
    type: z.enum(['primary', 'backup']),
  })
  .meta({ id: 'ModelPricing' });

const provider = z.strictObject({ id: z.string(), type: z.enum(['primary', 'backup']), enabled: z.boolean(), params: z.strictObject({}) });

const profile = z.strictObject({
  model: z.string(),
  provider: z.string(),
  tier,
  expected_error: z.number().min(0).max(1),
  success_rate: z.number().min(0).max(1),
  latency_ms: z.number().min(0).nullable().meta({ description: 'To the first token.' }),
});

/** The operations that tell what can be asked, and what it costs. */
export const MODEL_OPERATIONS = {
  list: {
    id: 'listModels',
    method: 'get',
    path: '/v1/models',
    asker: 'key',
    tag: 'Models',
    summary: 'The models that the key may use',
    answers: {
      200: json(
        'All of them: there is no next page.',
        z.strictObject({
          object: z.literal('list'),
          data: z.array(model),
          has_more: z.literal(false),
          first_id: z.string().nullable(),
          last_id: z.string().nullable(),
        }),
      ),
    },
    errors: [],
  },
  show: {
    id: 'getModel',
    method: 'get',
    path: '/v1/models/*id',
    asker: 'key',
    tag: 'Models',
    summary: 'One model',
    params: z.object({ id: z.string().meta({ description: "The model's id, which may hold slashes." }) }),
    answers: { 200: json('The model.', model) },
    errors: ['model_not_found'],
  },
  pricing: {
    id: 'listPrices',
    method: 'get',
    path: '/v1/pricing/models',
    asker: 'key',
    tag: 'Models',
    summary: 'The models with their prices of now, one row for each provider of one',
    answers: { 200: json('The prices.', z.strictObject({ object: z.literal('list'), data: z.array(modelPricing) })) },
    errors: [],
  },
  providers: {
    id: 'listProviders',
    method: 'get',
    path: '/v1/providers',
    asker: 'key',
    tag: 'Models',
    summary: 'Who serves a model, in the order of asking; without one, all providers',
    query: z.object({ model: z.string().min(1).optional() }),
    answers: { 200: json('The providers.', z.strictObject({ providers: z.array(provider) })) },
    errors: ['model_not_found'],
  },
  profiles: {
    id: 'listRouterProfiles',
    method: 'get',
    path: '/v1/router/profiles',
    asker: 'key',
    tag: 'Models',
    summary: 'The models as the router sees them now',
    answers: { 200: json('The profiles.', z.strictObject({ profiles: z.array(profile) })) },
    errors: [],
  },
} as const satisfies Record<string, Operation>;
