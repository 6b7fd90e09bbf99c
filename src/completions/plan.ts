import type { ApiKey } from '../accounts/api-key.ts';
import type { Msat, PicoUsd } from '../amount.ts';
import type { Config } from '../config/config.ts';
import type { Models } from '../models/models.ts';
import type { CallerKey } from '../providers/caller-key.ts';
import type { Candidate } from '../routing/candidate.ts';
import { chooseSteps, refuseCascade } from '../routing/cascade-steps.ts';
import { candidatesFor, chooseCandidates } from '../routing/choose.ts';
import type { RoutingView } from '../routing/view.ts';
import type { WarmCaches } from '../routing/warm-caches.ts';
import { modelsUnderKey } from '../routing/models-under-key.ts';
import { once } from '../wires/once.ts';
import type { InferenceRequest } from '../wires/request.ts';
import type { Plan } from './call.ts';
import { quotedChoice, quotedSteps } from './quoted-choice.ts';

export interface PlanDeps {
  models: Models;
  health: Pick<RoutingView, 'healthOf'>;
  /** In proportion to each other; all alike where left out. */
  capacity?: Pick<RoutingView, 'capacityOf'>;
  /** None are known where left out. */
  warm?: Pick<WarmCaches, 'warmFor'>;
  /** The gateway's own chance; a test brings one with a seed. */
  random?: (() => number) | undefined;
  config: Pick<Config, 'DEFAULT_MAX_TOKENS' | 'markupBasisPoints' | 'BYOK_FEE_MSAT'>;
}

/** Of a key, what planning asks; there is no account yet where nobody has paid. */
type PlanKey = Pick<ApiKey, 'allowedModels'> & Partial<Pick<ApiKey, 'accountId'>>;

/** What a request's headers say of who may serve it. */
export interface PlanOptions {
  /** The lesser of this cap and that of the request's body counts. */
  readonly maxCostPicoUsd: PicoUsd | null;
  readonly callerKey: CallerKey | null;
  /** Whether it is only asked what would become of the request. */
  readonly isForetold?: boolean;
}

/**
 * Who may serve a request, and what it can cost at most, at the prices of now: they stay its own however long it takes.
 */
export async function plan(deps: PlanDeps, request: InferenceRequest, options: PlanOptions, key: PlanKey): Promise<Plan> {
  const { models, config } = deps;
  const turning = models.keepUp();
  if (turning) await turning;
  const { callerKey } = options;
  refuseCascade(request, callerKey !== null);
  const onOffer = callerKey ? modelsUnderKey(request, models, callerKey) : models;
  const maxCostPicoUsd = lesser(options.maxCostPicoUsd, request.routing.maxCostPicoUsd);
  const view = viewFor(deps, request, options, key);
  const choose = (admits?: RoutingView['admits']) => chooseCandidates(request, onOffer, key, admits ? { ...view, admits } : view);
  const { cascade } = request.routing;
  const choice = cascade
    ? await quotedSteps(request, { maxCostPicoUsd, config }, chooseSteps(cascade, choose))
    : await quotedChoice(request, { maxCostPicoUsd, config }, { choose, among: () => candidatesFor(request, onOffer, key, view) });
  const own = callerKey && ownKeyOf(callerKey, choice.candidates, config.BYOK_FEE_MSAT);
  return { ...choice, maxCostPicoUsd, own };
}

/** What is known of the world as one request is planned. */
function viewFor(
  { health, capacity, warm, random = Math.random }: PlanDeps,
  request: InferenceRequest,
  { callerKey, isForetold = false }: PlanOptions,
  { accountId }: PlanKey,
): RoutingView {
  // Reads the request's texts, which most requests for one model are spared.
  const warmDeployment = once(() => (accountId === undefined ? null : (warm?.warmFor(accountId, request) ?? null)));
  return {
    // What bars the operator's key does not bar the caller's own.
    healthOf: (deployment) => ({ ...health.healthOf(deployment), ...(callerKey && { available: true }) }),
    capacityOf: (providerId) => capacity?.capacityOf(providerId) ?? 1,
    get warm() {
      return warmDeployment();
    },
    random,
    explores: callerKey === null && !isForetold,
  };
}

/** The caller's key, bound to the one provider that may serve. */
function ownKeyOf(callerKey: CallerKey, candidates: readonly Candidate[], feeMsat: Msat): Plan['own'] {
  const [first, ...others] = candidates.map(({ deployment }) => deployment.provider.id);
  if (first === undefined || others.some((id) => id !== first)) throw new Error("a caller's key for more than one provider");
  return { key: callerKey.boundTo(first), feeMsat };
}

function lesser(a: PicoUsd | null, b: PicoUsd | null): PicoUsd | null {
  return a === null || (b !== null && b < a) ? b : a;
}
