import type { RequestHandler } from 'express';
import type { Models } from '../../models/models.ts';
import { expectedErrorOf, rounded } from '../../routing/score.ts';
import type { RoutingView } from '../../routing/view.ts';
import { principalOf } from '../payment/authenticate.ts';

export interface RouterProfilesDeps {
  models: Models;
  healthOf: RoutingView['healthOf'];
}

/** About what a cheap model answers wrong of all that it is asked: neither small talk nor proofs. */
const AVERAGE_DIFFICULTY = 0.3;

/**
 * GET /v1/router/profiles: the deployments that the router may choose for the key, as it sees them now. `expected_error` is the chance that the
 * answer to an average request is wrong, or does not come. `latency_ms` is to the first token, null where nothing is known of it.
 */
export function routerProfilesHandler({ models, healthOf }: RouterProfilesDeps): RequestHandler {
  return async (_req, res) => {
    await models.keepUp();
    const { allowedModels } = principalOf(res).key;
    const profiles = models
      .list()
      .filter(({ model }) => !allowedModels || allowedModels.includes(model))
      .map((deployment) => {
        const health = healthOf(deployment);
        return {
          model: deployment.model,
          provider: deployment.provider.id,
          tier: deployment.tier,
          expected_error: expectedErrorOf(AVERAGE_DIFFICULTY, deployment.tier, health),
          success_rate: rounded(health.successRate),
          latency_ms: health.ttftMs === null ? null : Math.round(health.ttftMs * 10) / 10,
        };
      });
    res.json({ profiles });
  };
}
