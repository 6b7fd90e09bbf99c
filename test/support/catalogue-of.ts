import type { Deployment } from '../../src/models/deployment.ts';
import type { ModelIndex, Serving } from '../../src/models/models.ts';

/** What an operator's configuration says beside the list: who serves a name. */
export type Servings = Record<string, readonly (Partial<Serving> & Pick<Serving, 'deployment'>)[]>;

/** Models to choose from: the listed ones, each served by itself, and names with several deployments. */
export function catalogueOf(listed: readonly Deployment[], servings: Servings = {}): ModelIndex {
  const ofOperation = (operation: Deployment['operation'] = 'generate') => listed.filter((one) => one.operation === operation);
  const serving: ModelIndex['serving'] = (model, operation) => {
    const named: Servings[string] = servings[model] ?? listed.filter((one) => one.model === model).map((deployment) => ({ deployment }));
    return named
      .filter(({ deployment }) => deployment.operation === (operation ?? 'generate'))
      .map((one): Serving => ({ type: 'primary', weight: 1, ...one }));
  };
  return {
    list: ofOperation,
    names: () => Object.keys(servings),
    find: (model, operation) => serving(model, operation)[0]?.deployment,
    serving,
  };
}
