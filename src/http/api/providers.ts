import type { Request, RequestHandler } from 'express';
import { GatewayError } from '../../errors.ts';
import type { Models, Serving } from '../../models/models.ts';
import type { RoutingView } from '../../routing/view.ts';
import { principalOf } from '../payment/authenticate.ts';
import { modelOfKey, modelsOfKey } from './models-of-key.ts';

export interface ProvidersDeps {
  models: Models;
  healthOf: RoutingView['healthOf'];
}

/**
 * GET /v1/providers: who serves `?model=`, an id or an alias, in the order of asking; without it, every configured provider. A `backup` is asked
 * once no primary one can answer; among all, one is a backup where it is nothing else. `enabled` is false while the gateway sends it nothing:
 * its circuit is open, it asked for a pause, or the operator's limits are reached. Throws `invalid_request` and `model_not_found`.
 */
export function providersHandler({ models, healthOf }: ProvidersDeps): RequestHandler {
  return async (req, res) => {
    await models.keepUp();
    const { key } = principalOf(res);
    const model = modelIn(req);
    const rows = (servings: readonly Serving[]) => {
      const ids = new Set(servings.map(({ deployment }) => deployment.provider.id));
      return [...ids].map((id) => {
        const own = servings.filter(({ deployment }) => deployment.provider.id === id);
        return {
          id,
          type: own.some(({ type }) => type === 'primary') ? 'primary' : 'backup',
          enabled: own.some(({ deployment }) => healthOf(deployment).available),
          params: {},
        };
      });
    };
    if (model !== undefined) return void res.json({ providers: rows(modelOfKey(models, model, key).servings) });
    // Also those of which the key may use nothing: who they are is no secret.
    const serving = rows(modelsOfKey(models, { allowedModels: null }).flatMap(({ servings }) => servings));
    const others = models.providers.filter(({ id }) => serving.every((row) => row.id !== id));
    res.json({ providers: [...serving, ...others.map(({ id }) => ({ id, type: 'primary', enabled: true, params: {} }))] });
  };
}

/** Undefined where none is asked for. */
function modelIn({ query }: Request): string | undefined {
  const { model } = query;
  if (model === undefined || (typeof model === 'string' && model !== '')) return model;
  throw new GatewayError('invalid_request', { message: 'model must be one name of a model.', param: 'model' });
}
