import type { Deployment } from '../../src/models/deployment.ts';
import { UNKNOWN_HEALTH, type DeploymentHealth, type RoutingView } from '../../src/routing/view.ts';

/** What a test says of the world; the rest is unknown. */
export interface World {
  health?: (deployment: Deployment) => Partial<DeploymentHealth>;
  capacity?: (providerId: string) => number;
  warm?: string | null;
  random?: () => number;
}

/** Without chance of its own, nothing is explored. */
export function routingView({ health = () => ({}), capacity = () => 1, warm = null, random = () => 0.999_999 }: World = {}): RoutingView {
  return { healthOf: (deployment) => ({ ...UNKNOWN_HEALTH, ...health(deployment) }), capacityOf: capacity, warm, random };
}
