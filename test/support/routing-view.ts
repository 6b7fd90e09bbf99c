import type { Deployment } from '../../src/models/deployment.ts';
import { UNKNOWN_HEALTH, type DeploymentHealth, type RoutingView } from '../../src/routing/view.ts';

/** What a test says of the world; the rest is unknown. */
export interface World {
  health?: (deployment: Deployment) => Partial<DeploymentHealth>;
  capacity?: (providerId: string) => number;
  warm?: string | null;
  random?: () => number;
  explores?: boolean;
  admits?: RoutingView['admits'];
}

/** Without chance of its own, nothing is explored. */
export function routingView({
  health = () => ({}),
  capacity = () => 1,
  warm = null,
  random = () => 0.999_999,
  explores = true,
  admits = () => true,
}: World = {}): RoutingView {
  const healthOf: RoutingView['healthOf'] = (deployment) => ({ ...UNKNOWN_HEALTH, ...health(deployment) });
  return { healthOf, capacityOf: capacity, warm, random, explores, admits };
}
