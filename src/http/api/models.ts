import type { RequestHandler } from 'express';
import type { Models } from '../../models/models.ts';
import { principalOf } from '../payment/authenticate.ts';
import { modelOfKey, modelsOfKey, type NamedModel } from './models-of-key.ts';
import { pricingOf } from './pricing.ts';

export interface ModelRoutes {
  /** GET /v1/models: the models that the key may use, and their other names. */
  list: RequestHandler;
  /** GET /v1/models/*id: one of them, also one that is served on demand without being listed. Ids may hold slashes. */
  show: RequestHandler;
}

/**
 * The handlers of `/v1/models` (https://platform.openai.com/docs/api-reference/models), each model with its
 * `context_window` and its `pricing` in USD per million tokens, markup included. Throws `model_not_found`.
 */
export function modelRoutes({ models, markupBasisPoints }: { models: Models; markupBasisPoints: bigint }): ModelRoutes {
  const describe = ({ id, first }: NamedModel) => ({
    id,
    object: 'model',
    created: first.created,
    owned_by: first.provider.id,
    // As Anthropic's clients read it.
    type: 'model',
    display_name: id,
    created_at: new Date(first.created * 1000).toISOString(),
    context_window: first.contextWindow,
    pricing: pricingOf(first, markupBasisPoints),
  });
  return {
    async list(_req, res) {
      await models.keepUp();
      const data = modelsOfKey(models, principalOf(res).key).map(describe);
      // All at once, whatever `limit` asks for: there is no next page.
      res.json({ object: 'list', data, has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null });
    },
    async show(req, res) {
      await models.keepUp();
      const { id } = req.params;
      res.json(describe(modelOfKey(models, Array.isArray(id) ? id.join('/') : (id ?? ''), principalOf(res).key)));
    },
  };
}
