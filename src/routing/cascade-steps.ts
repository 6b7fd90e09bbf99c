import { GatewayError } from '../errors.ts';
import type { Tier } from '../providers/provider.ts';
import type { CascadeOptions, InferenceRequest } from '../wires/request.ts';
import type { Candidate } from './candidate.ts';
import type { Choice } from './choose.ts';
import type { RoutingView } from './view.ts';

/** The candidates of one step after the other. Within a step a later one is only for when those before it fail. */
export type Steps = readonly (readonly Candidate[])[];

const CHEAPEST_FIRST: readonly Tier[] = ['cheap', 'mid', 'premium'];
/** The best of a tier, and one that stands in for it: each step makes the hold as dear as the dearest of both. */
const CANDIDATES_A_STEP = 2;

/**
 * Refuses a cascade where there is nothing to climb: under an exact model, for vectors, which do not compare, and under a caller's own key,
 * which is for one provider and whose bill is not ours to add to.
 */
export function refuseCascade({ model, operation, routing }: InferenceRequest, hasOwnKey: boolean): void {
  if (!routing.cascade) return;
  const why =
    operation === 'embed'
      ? 'embeddings have no cascade'
      : model !== 'auto'
        ? 'a cascade chooses the models itself: leave model out, or send "auto"'
        : hasOwnKey
          ? 'there is no cascade under X-Provider-Key'
          : null;
  if (why !== null) throw new GatewayError('invalid_request', { message: `routing.cascade: ${why}`, param: 'routing.cascade' });
}

/**
 * The steps of a cascade: the choice that would be made in each tier alone, from the cheapest on. Throws what the choice among all models
 * throws where no tier has one.
 * @param choose chooses as ever, among those that it is told to.
 */
export function chooseSteps(
  { maxDepth }: Pick<CascadeOptions, 'maxDepth'>,
  choose: (admits?: RoutingView['admits']) => Choice,
): Choice & { readonly steps: Steps } {
  const inAll = choose();
  const choices = CHEAPEST_FIRST.flatMap((tier) => {
    const { candidates, ...choice } = within(tier, choose) ?? { candidates: [] };
    const step = candidates.filter(({ deployment }) => deployment.tier === tier).slice(0, CANDIDATES_A_STEP);
    return step.length === 0 ? [] : [{ ...inAll, ...choice, candidates: step }];
  }).slice(0, maxDepth);
  const [first] = choices;
  // A choice among all may see more than those of one tier: then it is the only step.
  if (!first) return { ...inAll, steps: [inAll.candidates] };
  const steps = choices.map(({ candidates }) => candidates);
  return { ...first, tier: inAll.tier, explored: choices.some(({ explored }) => explored), candidates: steps.flat(), steps };
}

/** The choice in one tier; null where nothing of it may serve. */
function within(tier: Tier, choose: (admits: RoutingView['admits']) => Choice): Choice | null {
  try {
    return choose((deployment) => deployment.tier === tier);
  } catch (error) {
    if (error instanceof GatewayError) return null;
    throw error;
  }
}
