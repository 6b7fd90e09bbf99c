import { GatewayError } from '../errors.ts';
import type { ModelIndex, Serving } from '../models/models.ts';
import type { Tier } from '../providers/provider.ts';
import type { InferenceRequest } from '../wires/request.ts';
import { candidateOf, wireFor, type Candidate } from './candidate.ts';
import { judge } from './complexity.ts';
import { eligible, notFound, type AllowedModels, type Eligible } from './eligible.ts';
import { explore } from './explore.ts';
import { withFallbacks } from './fallbacks.ts';
import { reasonFor } from './reason.ts';
import { rounded, scored, type Scored } from './score.ts';
import type { RoutingView } from './view.ts';
import { weightedDraw } from './weighted-draw.ts';

/** Who may serve a request, best first, and why. */
export interface Choice {
  /** At least one. The second and later ones are only for when the ones before them fail. */
  readonly candidates: readonly Candidate[];
  /** The tier that the request was taken for; under an exact model, that model's. */
  readonly tier: Tier;
  /** Whether the first candidate is another than the best, to learn how it does. */
  readonly explored: boolean;
  /** 0 to 1: how likely that was; 0 where it could not be. */
  readonly exploreOdds: number;
  /** Why; null under an exact model, where there was nothing to decide. */
  readonly decision: Decision | null;
}

/** What the router decided under `auto`, to be told. */
export interface Decision {
  /** One sentence. */
  readonly reasoning: string;
  /** 0.5 to 1: the chance of the likelier of the two, that a cheap model will do for the request, and that it will not. */
  readonly confidence: number;
  /** 0 to 1: how hard the request was taken to be. */
  readonly difficulty: number;
  /** 0 to 1: the chance that the chosen deployment's answer is wrong, or does not come. */
  readonly expectedError: number;
  /** That of the chosen deployment. */
  readonly costAdjustedScore: number;
  /** Of every eligible model, lower is better; the chosen one has the lowest, unless the router explored. */
  readonly allScores: Readonly<Record<string, number>>;
}

/**
 * Chooses the deployments for a request. An exact model goes to those that serve it, by the operator's shares; `auto` to the best few of all, by
 * the request's difficulty and how they do. Pure: the same arguments and the same chance make the same choice.
 * Throws GatewayError: `model_not_found`, `model_not_allowed`, or `invalid_request`/`unknown_parameter` naming what no
 * model that is left can do.
 */
export function chooseCandidates(request: InferenceRequest, models: ModelIndex, key: AllowedModels, view: RoutingView): Choice {
  return request.model === 'auto' ? chooseAmongAll(request, models, key, view) : chooseExact(request, models, key, view);
}

/** All that may serve a request under `auto`, in no order. Throws what `chooseCandidates` throws. */
export function candidatesFor(request: InferenceRequest, models: ModelIndex, key: AllowedModels, view: RoutingView): Candidate[] {
  return candidatesOf(request, eligible(request, models, key, view));
}

function chooseExact(request: InferenceRequest, models: ModelIndex, { allowedModels }: AllowedModels, view: RoutingView): Choice {
  const { model, operation } = request;
  const serving = models.serving(model, operation);
  if (serving.length === 0) throw new GatewayError('model_not_found', { message: notFound(model, operation, models), param: 'model' });
  const mayAll = !allowedModels || allowedModels.includes(model);
  const allowed = serving.filter(({ deployment }) => mayAll || allowedModels.includes(deployment.model));
  if (allowed.length === 0) throw new GatewayError('model_not_allowed', { param: 'model' });

  const able: (Eligible & Serving)[] = [];
  let obstacle: GatewayError | undefined;
  for (const one of allowed) {
    const upstream = wireFor(request, one.deployment);
    if (upstream instanceof GatewayError) obstacle ??= upstream;
    else able.push({ ...one, upstream, health: view.healthOf(one.deployment) });
  }
  const ordered = [...inTurn(able, 'primary', view), ...inTurn(able, 'backup', view)];
  const [first] = ordered;
  if (!first) throw obstacle ?? new Error('a model that nothing serves');
  return { candidates: candidatesOf(request, ordered), tier: first.deployment.tier, explored: false, exploreOdds: 0, decision: null };
}

/** Those of a type: the one with a warm cache, the others by their shares of the load, and those that cannot answer now last. */
function inTurn(able: readonly (Eligible & Serving)[], type: Serving['type'], view: RoutingView): (Eligible & Serving)[] {
  const ofType = able.filter((one) => one.type === type);
  if (ofType.length <= 1) return ofType;
  const isWarm = ({ deployment }: Eligible) => deployment.id === view.warm;
  const draw = (some: typeof ofType) => [
    ...some.filter(isWarm),
    ...weightedDraw(
      some.filter((one) => !isWarm(one)),
      ({ weight }) => weight,
      () => view.random(),
    ),
  ];
  return [...draw(ofType.filter(({ health }) => health.available)), ...draw(ofType.filter(({ health }) => !health.available))];
}

function chooseAmongAll(request: InferenceRequest, models: ModelIndex, key: AllowedModels, view: RoutingView): Choice {
  const judgement = judge(request);
  const ranked = scored(request, judgement, eligible(request, models, key, view), view);
  const greedy = request.operation === 'embed' ? sameVectors(ranked, models) : withFallbacks(ranked);
  const { odds, tried } = explore(request, greedy, ranked, view);
  const chosen = tried ? [tried, ...greedy.filter((one) => one !== tried)].slice(0, greedy.length) : greedy;
  const [first] = chosen;
  if (!first) throw new Error('a choice among nothing');
  const decision: Decision = {
    reasoning: reasonFor(request, judgement, { ranked, first, explored: tried !== null }),
    confidence: rounded(judgement.confidence),
    difficulty: judgement.difficulty,
    expectedError: first.expectedError,
    costAdjustedScore: first.score,
    allScores: scoresByModel(ranked),
  };
  return { candidates: candidatesOf(request, chosen), tier: judgement.tier, explored: tried !== null, exploreOdds: odds, decision };
}

/** Vectors of two models do not compare: only what serves the same one stands in. */
function sameVectors(ranked: readonly Scored[], models: ModelIndex): Scored[] {
  const [best, ...others] = ranked;
  if (!best) return [];
  const same = new Set(models.serving(best.deployment.model, 'embed').map(({ deployment }) => deployment.id));
  return [best, ...others.filter(({ deployment }) => same.has(deployment.id))];
}

function candidatesOf(request: InferenceRequest, some: readonly Eligible[]): Candidate[] {
  return some.map(({ deployment, upstream }) => candidateOf(request, deployment, upstream));
}

/** The best of each model's deployments speaks for the model. */
function scoresByModel(ranked: readonly Scored[]): Record<string, number> {
  const scores: Record<string, number> = {};
  for (const { deployment, score } of ranked) scores[deployment.model] ??= score;
  return scores;
}
