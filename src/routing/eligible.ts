import type { ApiKey } from '../accounts/api-key.ts';
import { GatewayError } from '../errors.ts';
import type { Deployment } from '../models/deployment.ts';
import type { ModelIndex } from '../models/models.ts';
import type { InferenceRequest } from '../wires/request.ts';
import type { Upstream } from '../wires/wire.ts';
import { wireFor } from './candidate.ts';
import type { DeploymentHealth, RoutingView } from './view.ts';

/** A deployment that may serve a request, the wire to ask it in, and how it does. */
export interface Eligible {
  readonly deployment: Deployment;
  readonly upstream: Upstream;
  readonly health: DeploymentHealth;
}

/** Of a key, what choosing asks. */
export type AllowedModels = Pick<ApiKey, 'allowedModels'>;

/** Text has about so many bytes a token: fewer in code and in many languages. */
export const BYTES_A_TOKEN = 4;
/** No text that somebody means has more. */
const MOST_BYTES_A_TOKEN = 8;

/**
 * The deployments that may serve a request under `auto`. Throws GatewayError: `model_not_found` for a name among `routing.models` that nothing
 * has, `model_not_allowed`, or `invalid_request`/`unknown_parameter` naming what none that is left can do.
 */
export function eligible(request: InferenceRequest, models: ModelIndex, key: AllowedModels, view: RoutingView): Eligible[] {
  const allowed = onOffer(request, models, key).filter((deployment) => view.admits?.(deployment) ?? true);
  if (allowed.length === 0)
    throw new GatewayError('model_not_allowed', { message: 'This key may use none of the models on offer.', param: 'model' });

  const able: Eligible[] = [];
  let obstacle: GatewayError | undefined;
  for (const deployment of allowed) {
    const upstream = wireFor(request, deployment);
    if (upstream instanceof GatewayError) obstacle ??= upstream;
    else able.push({ deployment, upstream, health: view.healthOf(deployment) });
  }
  if (able.length === 0 && obstacle) throw obstacle;

  const { maxLatencyMs } = request.routing;
  const fast = able.filter(({ health }) => maxLatencyMs === null || (health.ttftMs ?? 0) <= maxLatencyMs);
  if (fast.length === 0) {
    throw new GatewayError('invalid_request', { message: 'No provider has been that fast lately.', param: 'routing.maxLatency' });
  }
  return withRoom(request, fast);
}

/** The models to choose from, as far as the key may use them: by their own name, or by the one that the request calls them. */
function onOffer({ routing, operation }: InferenceRequest, models: ModelIndex, { allowedModels }: AllowedModels): readonly Deployment[] {
  const isAllowed = (model: string) => allowedModels === null || allowedModels.includes(model);
  if (!routing.models) return models.list(operation).filter(({ model }) => isAllowed(model));
  const named = routing.models.flatMap((name) => {
    const serving = models.serving(name, operation);
    if (serving.length === 0)
      throw new GatewayError('model_not_found', {
        message: notFound(name, operation, models),
        param: routing.modelsParam ?? 'routing.models',
      });
    return serving.map(({ deployment }) => deployment).filter(({ model }) => isAllowed(name) || isAllowed(model));
  });
  return [...new Set(named)];
}

/** A model that is there and does something else is a mistake that one cannot see from "does not exist". */
export function notFound(model: string, operation: InferenceRequest['operation'], models: ModelIndex): string {
  const other = operation === 'embed' ? 'generate' : 'embed';
  if (!models.find(model, other)) return `The model ${quoted(model)} does not exist.`;
  return operation === 'embed' ? `The model ${quoted(model)} makes no embeddings.` : `The model ${quoted(model)} makes embeddings alone.`;
}

/** A client's own text in a message: short, and on one line. */
function quoted(model: string): string {
  return JSON.stringify(model.slice(0, 100));
}

/**
 * Those whose context window is large enough for the prompt, by the body's size: what that comes to in tokens is known later, and exactly to
 * the provider alone. So where it may fit nowhere, those with the most room are left, and only what fits nowhere for certain is refused.
 */
function withRoom({ bodyBytes, media, operation }: InferenceRequest, able: readonly Eligible[]): Eligible[] {
  // An image's data is not text, and each of an embedding's inputs has the window to itself.
  if (media.images > 0 || operation === 'embed') return [...able];
  const textBytes = bodyBytes - media.documentBytes;
  const roomy = able.filter(({ deployment }) => deployment.contextWindow * BYTES_A_TOKEN >= textBytes);
  if (roomy.length > 0) return roomy;
  const largest = Math.max(...able.map(({ deployment }) => deployment.contextWindow));
  if (largest * MOST_BYTES_A_TOKEN < textBytes) {
    const message = `The prompt is too long: the largest context window of the models on offer has ${largest} tokens.`;
    throw new GatewayError('invalid_request', { message, param: 'messages' });
  }
  return able.filter(({ deployment }) => deployment.contextWindow === largest);
}
