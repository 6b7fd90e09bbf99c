import type { ApiKey } from '../../accounts/api-key.ts';
import { GatewayError } from '../../errors.ts';
import type { Deployment } from '../../models/deployment.ts';
import type { ModelIndex, Serving } from '../../models/models.ts';

/** A model by a name that it can be asked for by, and who serves it: the first one of them before all others. */
export interface NamedModel {
  readonly id: string;
  readonly first: Deployment;
  readonly servings: readonly Serving[];
}

type AllowedModels = Pick<ApiKey, 'allowedModels'>;

/** All that is listed to a key: models of every operation, and their other names. */
export function modelsOfKey(models: ModelIndex, key: AllowedModels): readonly NamedModel[] {
  const listed = [...models.list(), ...models.list('embed')].map(({ model }) => model);
  const ids = new Set([...listed, ...models.names()]);
  return [...ids].map((id) => namedModel(models, id, key)).filter((model) => model !== undefined);
}

/** One of them, also one that is served without being listed. Throws `model_not_found`, also for one that the key may not use. */
export function modelOfKey(models: ModelIndex, id: string, key: AllowedModels): NamedModel {
  const model = namedModel(models, id, key);
  if (!model) throw new GatewayError('model_not_found', { param: 'model' });
  return model;
}

/** A key may use a model by whatever name where its list has the model, and by an other name where its list has that. */
function namedModel(models: ModelIndex, id: string, { allowedModels }: AllowedModels): NamedModel | undefined {
  const chatting = models.serving(id);
  const all = chatting.length > 0 ? chatting : models.serving(id, 'embed');
  const servings = all.filter(({ deployment }) => !allowedModels || allowedModels.includes(id) || allowedModels.includes(deployment.model));
  const first = servings[0]?.deployment;
  return first && { id, first, servings };
}
