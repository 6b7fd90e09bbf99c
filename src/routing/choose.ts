import type { ApiKey } from '../accounts/api-key.ts';
import type { InferenceRequest } from '../wires/request.ts';
import type { Upstream } from '../wires/wire.ts';
import { candidateOf, wireFor, type Candidate } from './candidate.ts';
import { GatewayError } from '../errors.ts';
import type { Tier } from '../providers/provider.ts';
import { judge, tiersFrom } from './complexity.ts';
import type { Deployment } from '../models/deployment.ts';
import type { ModelIndex } from '../models/models.ts';
import type { RoutingView } from './view.ts';

/** Who may serve a request, best first, and why. */
export interface Choice {
  /** At least one. The second and later ones are only for when the ones before them fail. */
  readonly candidates: readonly Candidate[];
  /** The tier that the request was taken for; under an exact model, that model's. */
  readonly tier: Tier;
  readonly explored: boolean;
  /** Why; null under an exact model, where there was nothing to decide. */
  readonly decision: Decision | null;
}

/** What the router decided under `auto`, to be told. */
export interface Decision {
  /** One sentence. */
  readonly reasoning: string;
  /** 0 to 1, calibrated: how often a decision like this one has the right tier. */
  readonly confidence: number;
  /** 0 to 1: the chance that the chosen deployment's answer is wrong, or does not come. */
  readonly expectedError: number;
  /** That of the chosen deployment. */
  readonly costAdjustedScore: number;
  /** Of every eligible model, lower is better; the chosen one has the lowest, unless the router explored. */
  readonly allScores: Readonly<Record<string, number>>;
}

type AllowedModels = Pick<ApiKey, 'allowedModels'>;

/** Every candidate makes the hold as dear as the dearest of them: a few are enough. */
const MAX_CANDIDATES = 3;

/**
 * Chooses the deployments for a request. An exact model is that deployment alone; `auto` takes the tier that the
 * request's complexity asks for, then its neighbours, cheaper ones first.
 * Throws GatewayError: `model_not_found`, `model_not_allowed`, or `invalid_request`/`unknown_parameter` naming what no
 * model that is left can do.
 */
export function chooseCandidates(request: InferenceRequest, models: ModelIndex, key: AllowedModels, view: RoutingView): Choice {
  return request.model === 'auto' ? chooseAmongAll(request, models, key, view) : chooseExact(request, models, key);
}

function chooseExact(request: InferenceRequest, models: ModelIndex, { allowedModels }: AllowedModels): Choice {
  const deployment = models.find(request.model, request.operation);
  if (!deployment) throw new GatewayError('model_not_found', { message: notFound(request, models), param: 'model' });
  if (allowedModels && !allowedModels.includes(deployment.model)) throw new GatewayError('model_not_allowed', { param: 'model' });
  const wire = wireFor(request, deployment);
  if (wire instanceof GatewayError) throw wire;
  return { candidates: [candidateOf(request, deployment, wire)], tier: deployment.tier, explored: false, decision: null };
}

/** A model that is there and does something else is a mistake that one cannot see from "does not exist". */
function notFound({ model, operation }: InferenceRequest, models: ModelIndex): string {
  const name = quoted(model);
  if (operation === 'embed') return models.find(model) ? `The model ${name} makes no embeddings.` : `The model ${name} does not exist.`;
  return models.find(model, 'embed') ? `The model ${name} makes embeddings alone.` : `The model ${name} does not exist.`;
}

function chooseAmongAll(request: InferenceRequest, models: ModelIndex, { allowedModels }: AllowedModels, view: RoutingView): Choice {
  const { prefer, maxLatencyMs } = request.routing;
  const allowed = models.list(request.operation).filter(({ model }) => !allowedModels || allowedModels.includes(model));
  if (allowed.length === 0)
    throw new GatewayError('model_not_allowed', { message: 'This key may use none of the models on offer.', param: 'model' });

  const wires = new Map(allowed.map((deployment) => [deployment, wireFor(request, deployment)]));
  const able = allowed.filter((deployment) => !(wires.get(deployment) instanceof GatewayError));
  const [obstacle] = wires.values();
  if (able.length === 0 && obstacle instanceof GatewayError) throw obstacle;
  const fast = able.filter((deployment) => maxLatencyMs === null || (view.healthOf(deployment).ttftMs ?? 0) <= maxLatencyMs);
  if (fast.length === 0) {
    throw new GatewayError('invalid_request', { message: 'No provider has been that fast lately.', param: 'routing.maxLatency' });
  }

  const { tier } = judge(request);
  const order = tiersFrom(tier);
  const rank = ({ provider, tier: own }: Deployment) => order.indexOf(own) * 2 + (provider.id === prefer ? 0 : 1);
  const ranked = fast.toSorted((a, b) => rank(a) - rank(b) || compare(a.rateCard.output, b.rateCard.output));
  // Vectors of two models do not compare: for them nobody stands in.
  const chosen = request.operation === 'embed' ? ranked.slice(0, 1) : withFallbacks(ranked);
  const candidates = chosen.map((deployment) => candidateOf(request, deployment, wires.get(deployment) as Upstream));
  return { candidates, tier, explored: false, decision: null };
}

/** The best one, and fallbacks of its tier and the cheaper ones; a dearer tier only where nothing else could stand in. */
function withFallbacks(ranked: readonly Deployment[]): Deployment[] {
  const [best, ...others] = ranked;
  if (!best) return [];
  const noDearer = others.filter(({ rateCard, tier }) => tier === best.tier || rateCard.output <= best.rateCard.output);
  return [best, ...(noDearer.length > 0 ? noDearer.slice(0, MAX_CANDIDATES - 1) : others.slice(0, 1))];
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A client's own text in a message: short, and on one line. */
function quoted(model: string): string {
  return JSON.stringify(model.slice(0, 100));
}
