import type { RequestHandler, Response } from 'express';
import type { Principal } from '../../accounts/api-key.ts';
import { GatewayError } from '../../errors.ts';
import { divideRoundingUp, picoUsd, usdNumber, type PicoUsd } from '../../amount.ts';
import type { Deployment } from '../../models/deployment.ts';
import type { Models } from '../../models/models.ts';

export interface ModelRoutes {
  /** GET /v1/models: the models that the key may use. */
  list: RequestHandler;
  /** GET /v1/models/*id: one of them, also one that is served on demand without being listed. Ids may hold slashes. */
  show: RequestHandler;
}

/**
 * The handlers of `/v1/models` (https://platform.openai.com/docs/api-reference/models), each model with its
 * `context_window` and its `pricing` in USD per million tokens, markup included. Throws `model_not_found`.
 */
export function modelRoutes({ models, markupBasisPoints }: { models: Models; markupBasisPoints: bigint }): ModelRoutes {
  const describe = (deployment: Deployment) => ({
    id: deployment.model,
    object: 'model',
    created: deployment.created,
    owned_by: deployment.provider.id,
    // As Anthropic's clients read it.
    type: 'model',
    display_name: deployment.model,
    created_at: new Date(deployment.created * 1000).toISOString(),
    context_window: deployment.contextWindow,
    pricing: pricingOf(deployment, markupBasisPoints),
  });
  return {
    async list(_req, res) {
      await models.keepUp();
      const mayUse = allowedTo(res);
      const data = [...models.list(), ...models.list('embed')].filter(({ model }) => mayUse(model)).map(describe);
      // All at once, whatever `limit` asks for: there is no next page.
      res.json({ object: 'list', data, has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null });
    },
    async show(req, res) {
      await models.keepUp();
      const { id } = req.params;
      const model = Array.isArray(id) ? id.join('/') : (id ?? '');
      const deployment = allowedTo(res)(model) ? (models.find(model) ?? models.find(model, 'embed')) : undefined;
      if (!deployment) throw new GatewayError('model_not_found', { param: 'model' });
      res.json(describe(deployment));
    },
  };
}

/** What a model costs, in USD per million tokens, markup included. */
export function pricingOf({ rateCard }: Deployment, markupBasisPoints: bigint): { input: number; output: number; cache_read: number } {
  return {
    input: usdPerMillion(rateCard.input, markupBasisPoints),
    output: usdPerMillion(rateCard.output, markupBasisPoints),
    cache_read: usdPerMillion(rateCard.cacheRead, markupBasisPoints),
  };
}

function allowedTo(res: Response): (model: string) => boolean {
  const { allowedModels } = (res.locals['principal'] as Principal).key;
  return (model) => !allowedModels || allowedModels.includes(model);
}

function usdPerMillion(perToken: PicoUsd, markupBasisPoints: bigint): number {
  return usdNumber(picoUsd(divideRoundingUp(perToken * 1_000_000n * (10_000n + markupBasisPoints), 10_000n)));
}
