import { isPublicProvider } from '../config/public-providers.ts';
import { GatewayError } from '../errors.ts';
import type { Deployment } from '../models/deployment.ts';
import type { ModelIndex, Models } from '../models/models.ts';
import type { CallerKey } from '../providers/caller-key.ts';
import type { InferenceRequest } from '../wires/request.ts';

/**
 * The models that a request may have under its caller's own provider key: those of one public provider, which the model names, or under
 * `auto` the header X-Provider, or else `routing.prefer`. Whether the operator has a key there makes no difference. Throws
 * `invalid_request` where no provider is named, or one that takes no callers' keys.
 */
export function modelsUnderKey(request: InferenceRequest, models: Models, { providerId }: Pick<CallerKey, 'providerId'>): ModelIndex {
  const { withOwnKey } = models;
  const { model, operation, routing } = request;
  const unfit = (message: string, param: string) => new GatewayError('invalid_request', { message, param });
  if (model !== 'auto') {
    // A model that the operator has others serve too is still one of the provider's own.
    const { provider } = withOwnKey.find(model, operation) ?? models.find(model, operation) ?? {};
    // Choosing says that there is no such model.
    if (!provider) return withOwnKey;
    if (!isPublicProvider(provider.id)) throw unfit(`${provider.id} takes no X-Provider-Key.`, 'X-Provider-Key');
    if (providerId !== undefined && providerId !== provider.id) throw unfit(`This model is one of ${provider.id}.`, 'X-Provider');
    return ofProvider(withOwnKey, provider.id);
  }
  const named = providerId ?? routing.prefer;
  if (named === null) throw unfit('X-Provider must name the provider of the key, or model a model of it.', 'X-Provider');
  if (!isPublicProvider(named)) throw unfit('What routing.prefer names takes no X-Provider-Key.', 'X-Provider-Key');
  return ofProvider(withOwnKey, named);
}

function ofProvider(models: ModelIndex, providerId: string): ModelIndex {
  const isIts = ({ provider }: Deployment) => provider.id === providerId;
  return {
    ...models,
    list: (operation) => models.list(operation).filter(isIts),
    serving: (model, operation) => models.serving(model, operation).filter(({ deployment }) => isIts(deployment)),
  };
}
