import type { ObservedDeployment } from '../observation.ts';

/** What stands for all models without a label of their own. */
export const OTHER = 'other';
const MOST_MODELS = 200;

/**
 * The labels of models. Clients may name any model of a provider, and under their own key any at all: only what the operator's configuration
 * offers gets a label, and of that the first two hundred.
 */
export class ModelLabels {
  readonly #isConfigured: (deployment: ObservedDeployment) => boolean;
  readonly #most: number;
  readonly #known = new Set<string>();

  constructor(isConfigured: (deployment: ObservedDeployment) => boolean, most = MOST_MODELS) {
    this.#isConfigured = isConfigured;
    this.#most = most;
  }

  of(deployment: ObservedDeployment): string {
    const { model } = deployment;
    if (this.#known.has(model)) return model;
    if (this.#known.size >= this.#most || !this.#isConfigured(deployment)) return OTHER;
    this.#known.add(model);
    return model;
  }
}
