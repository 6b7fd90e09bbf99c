import type { ProviderHealth } from './health.ts';
import { UNKNOWN_HEALTH, type RoutingView } from './view.ts';

/** How a deployment has done, as far as its provider's recent traffic tells. */
export function providerHealthOf(health: ProviderHealth): RoutingView['healthOf'] {
  return ({ provider }) => {
    const { requests, successRate, latencyMs } = health.snapshot(provider.id).windows['5m'];
    return { ...UNKNOWN_HEALTH, successRate: successRate ?? UNKNOWN_HEALTH.successRate, ttftMs: latencyMs, samples: requests };
  };
}
