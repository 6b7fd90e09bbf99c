import { z } from 'zod';
import { pricedModels } from '../api/pricing.ts';
import { tool } from './tool.ts';

const MOST_MODELS = 200;
const rates = z.looseObject({ input: z.number(), output: z.number(), cache_read: z.number() });

/** As `GET /v1/pricing/models`, searched. */
export const listModels = tool({
  name: 'list_models',
  title: 'Models and prices',
  description:
    'The models on offer with their prices, markup included: USD per million tokens, and msat per thousand at the rate of now. A model that ' +
    'several providers serve has a row for each. The model "auto" lets the gateway choose.',
  input: z.strictObject({
    query: z.string().max(100).optional().describe('A part of the name of the model or its provider.'),
    tier: z.enum(['cheap', 'mid', 'premium']).optional(),
    limit: z.int().min(1).max(MOST_MODELS).default(50),
  }),
  output: z.looseObject({
    models: z.array(
      z.looseObject({
        id: z.string(),
        provider: z.string(),
        operation: z.string(),
        tier: z.string(),
        context_window: z.int().nullable(),
        max_output_tokens: z.int().nullable(),
        pricing: rates.describe('USD per million tokens.'),
        msat_per_thousand: rates.nullable().describe('Null while there is no exchange rate.'),
      }),
    ),
    total: z.int().describe('How many there are, also beyond the limit.'),
  }),
  readsOnly: true,
  needsKey: false,
  run: async ({ models, exchangeRate, config }, { query = '', tier, limit }, { key }) => {
    const { markupBasisPoints } = config;
    const all = await pricedModels({ models, exchangeRate, markupBasisPoints }, key ?? { allowedModels: null });
    const wanted = query.toLowerCase();
    const found = all.filter(
      (row) => `${row.id} ${row.model} ${row.provider}`.toLowerCase().includes(wanted) && (!tier || row.tier === tier),
    );
    return { figures: { models: found.slice(0, limit), total: found.length } };
  },
});
