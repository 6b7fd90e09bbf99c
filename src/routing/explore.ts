import type { InferenceRequest } from '../wires/request.ts';
import type { Scored } from './score.ts';
import type { RoutingView } from './view.ts';

/** The odds that a request is spent on a deployment of which nothing is known. */
const MOST_ODDS = 0.04;

export interface Exploration {
  /** 0 to 1: how likely it was that another one than the best is tried first; 0 where none may be. */
  readonly odds: number;
  /** The one to try; null where the best stays. */
  readonly tried: Scored | null;
}

const NOTHING: Exploration = { odds: 0, tried: null };

/**
 * Whether a request is spent on learning how another deployment does. A bandit with odds that can be told: of requests that some deployment might
 * serve as well as the best, 4 % go to the others while nothing is known of one of them, and fewer the more is known of each: with `samples` of
 * the least known, 4 % / √(1 + samples). Samples grow old, so nobody is forgotten. The less is known of one, the likelier the turn is its own.
 *
 * Only those are tried that are available, of the best one's tier, and no dearer than the dearest of the candidates, so that the hold and the
 * request's own cap are as they were. None is under `quality: "high"`, a `cost_weight`, a cascade or a warm prompt cache, nor for vectors.
 */
export function explore(
  { operation, routing }: InferenceRequest,
  greedy: readonly Scored[],
  ranked: readonly Scored[],
  view: RoutingView,
): Exploration {
  const [best] = greedy;
  const { quality, costWeight, cascade } = routing;
  const mayNot =
    !view.explores || operation === 'embed' || view.warm !== null || quality === 'high' || costWeight !== null || cascade !== null;
  if (!best || mayNot) return NOTHING;
  const arms = ranked.filter(
    (one) => one !== best && one.health.available && one.deployment.tier === best.deployment.tier && isNoDearer(one, greedy),
  );
  if (arms.length === 0) return NOTHING;
  const doubtOf = ({ health }: Scored) => 1 / (1 + health.samples);
  const odds = MOST_ODDS * Math.sqrt(Math.max(...arms.map(doubtOf)));
  if (view.random() >= odds) return { odds, tried: null };
  let at = view.random() * arms.reduce((sum, arm) => sum + doubtOf(arm), 0);
  return { odds, tried: arms.find((arm) => (at -= doubtOf(arm)) < 0) ?? arms.at(-1) ?? null };
}

/** Whether nothing that the hold must cover rises. */
function isNoDearer({ deployment }: Scored, greedy: readonly Scored[]): boolean {
  const { rateCard, maxOutputTokens } = deployment;
  const covered = (reaches: (one: Scored['deployment']) => boolean) => greedy.some((one) => reaches(one.deployment));
  return (
    covered((one) => one.rateCard.dearestInput >= rateCard.dearestInput) &&
    covered((one) => one.rateCard.dearestOutput >= rateCard.dearestOutput) &&
    covered((one) => one.maxOutputTokens >= maxOutputTokens)
  );
}
