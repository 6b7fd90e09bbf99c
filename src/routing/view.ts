import type { Deployment } from '../models/deployment.ts';

/** What the router knows beside the request and the models: arguments of a pure function. */
export interface RoutingView {
  healthOf(deployment: Deployment): DeploymentHealth;
  /** A provider's capacity in proportion to the others', for ties: 0 to 1, and 1 for all where nothing is known. */
  capacityOf(providerId: string): number;
  /** The id of the deployment that has this conversation in its prompt cache; null where none is known to. */
  readonly warm: string | null;
  /** 0 up to 1, from the gateway's own source of chance: for shares of load and for exploration. */
  random(): number;
  /** False where nobody is to be tried out at this request's cost: nothing will be sent, or its caller's own key serves. */
  readonly explores: boolean;
  /** Under `auto`, leaves out deployments for a reason from outside: above the request's cap, or not of a cascade's step. All pass without it. */
  readonly admits?: (deployment: Deployment) => boolean;
}

/** How a deployment has done lately, newer traffic counting for more. */
export interface DeploymentHealth {
  /** 0 to 1; what is usual where there was no traffic. */
  readonly successRate: number;
  /** From the dispatch to the first token, in milliseconds; null where nothing is known. */
  readonly ttftMs: number | null;
  readonly tokensPerSecond: number | null;
  /** On how many requests the figures rest, older ones counting for less. */
  readonly samples: number;
  /** False while its circuit is open, its provider asked for a pause, or its own limits are reached. */
  readonly available: boolean;
}

/** A deployment of which nothing is known. */
export const UNKNOWN_HEALTH: DeploymentHealth = { successRate: 1, ttftMs: null, tokensPerSecond: null, samples: 0, available: true };
