import type { ApiKey } from '../accounts/api-key.ts';
import type { Msat, PicoUsd } from '../amount.ts';
import type { Config } from '../config/config.ts';
import { costBound, quote as quoteFor, sumOfQuotes, type Quote } from '../metering/quote.ts';
import type { ModelIndex, Models } from '../models/models.ts';
import type { CallerKey } from '../providers/caller-key.ts';
import type { Candidate } from '../routing/candidate.ts';
import { chooseSteps, refuseCascade, type Steps } from '../routing/cascade-steps.ts';
import { chooseCandidates, type Choice } from '../routing/choose.ts';
import type { ProviderHealth } from '../routing/health.ts';
import { providerHealthOf } from '../routing/provider-health.ts';
import type { RoutingView } from '../routing/view.ts';
import type { WarmCaches } from '../routing/warm-caches.ts';
import { modelsUnderKey } from '../routing/models-under-key.ts';
import { once } from '../wires/once.ts';
import type { InferenceRequest } from '../wires/request.ts';
import type { Plan } from './call.ts';

export interface PlanDeps {
  models: Models;
  health: ProviderHealth;
  /** In proportion to each other; all alike where left out. */
  capacity?: Pick<RoutingView, 'capacityOf'>;
  /** None are known where left out. */
  warm?: Pick<WarmCaches, 'warmFor'>;
  /** The gateway's own chance; a test brings one with a seed. */
  random?: () => number;
  config: Pick<Config, 'DEFAULT_MAX_TOKENS' | 'markupBasisPoints' | 'BYOK_FEE_MSAT'>;
}

/** Of a key, what planning asks; there is no account yet where nobody has paid. */
type PlanKey = Pick<ApiKey, 'allowedModels'> & Partial<Pick<ApiKey, 'accountId'>>;

/** What a request's headers say of who may serve it. */
export interface PlanOptions {
  /** The lesser of this cap and that of the request's body counts. */
  readonly maxCostPicoUsd: PicoUsd | null;
  readonly callerKey: CallerKey | null;
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
  const view = viewFor(deps, request, key);
  const choose = (some: ModelIndex) => chooseCandidates(request, some, key, view);
  const { cascade } = request.routing;
  const choice: Choice & { readonly steps?: Steps } = cascade ? chooseSteps(onOffer, cascade, choose) : choose(onOffer);
  const maxCostPicoUsd = lesser(options.maxCostPicoUsd, request.routing.maxCostPicoUsd);
  const quoted = await quoteOver(request, choice.steps ?? [choice.candidates], maxCostPicoUsd, config);
  const own = callerKey && ownKeyOf(callerKey, quoted.candidates, config.BYOK_FEE_MSAT);
  return { ...choice, ...quoted, maxCostPicoUsd, own };
}

/** What is known of the world as one request is planned. */
function viewFor(
  { health, capacity, warm, random = Math.random }: PlanDeps,
  request: InferenceRequest,
  { accountId }: PlanKey,
): RoutingView {
  // Reads the request's texts, which most requests for one model are spared.
  const warmDeployment = once(() => (accountId === undefined ? null : (warm?.warmFor(accountId, request) ?? null)));
  return {
    healthOf: providerHealthOf(health),
    capacityOf: (providerId) => capacity?.capacityOf(providerId) ?? 1,
    get warm() {
      return warmDeployment();
    },
    random,
  };
}

/** The caller's key, bound to the one provider that may serve. */
function ownKeyOf(callerKey: CallerKey, candidates: readonly Candidate[], feeMsat: Msat): Plan['own'] {
  const [first, ...others] = candidates.map(({ deployment }) => deployment.provider.id);
  if (first === undefined || others.some((id) => id !== first)) throw new Error("a caller's key for more than one provider");
  return { key: callerKey.boundTo(first), feeMsat };
}

type QuoteConfig = Pick<Config, 'DEFAULT_MAX_TOKENS' | 'markupBasisPoints'>;

/** What the request can cost at most: all of its steps. The last ones drop out first where the request's own cap does not cover their sum. */
async function quoteOver(
  request: InferenceRequest,
  steps: Steps,
  maxCostPicoUsd: PicoUsd | null,
  config: QuoteConfig,
): Promise<{ candidates: readonly Candidate[]; steps: Steps; quote: Quote }> {
  const quoted = await Promise.all(steps.map(async (step) => quoteStep(request, step, maxCostPicoUsd, config)));
  const quoteOf = (count: number) => sumOfQuotes(quoted.slice(0, count).map(({ quote }) => quote));
  let count = quoted.length;
  while (count > 1 && !covers(maxCostPicoUsd, quoteOf(count))) count--;
  const covered = quoted.slice(0, count).map(({ candidates }) => candidates);
  return { candidates: covered.flat(), steps: covered, quote: quoteOf(count) };
}

/** What one step can cost at most. Candidates that the request's own cap does not cover drop out first. */
async function quoteStep(
  request: InferenceRequest,
  candidates: readonly Candidate[],
  maxCostPicoUsd: PicoUsd | null,
  { DEFAULT_MAX_TOKENS: defaultMaxTokens, markupBasisPoints }: QuoteConfig,
): Promise<{ candidates: readonly Candidate[]; quote: Quote }> {
  const quoteOf = (some: readonly Candidate[]) => quoteFor(request, some, { defaultMaxTokens, markupBasisPoints });
  if (maxCostPicoUsd !== null && candidates.length > 1) {
    const quotes = await Promise.all(candidates.map(async (candidate) => quoteOf([candidate])));
    const covered = candidates.filter((_, index) => {
      const own = quotes[index];
      return own !== undefined && covers(maxCostPicoUsd, own);
    });
    if (covered.length > 0) return { candidates: covered, quote: await quoteOf(covered) };
  }
  return { candidates, quote: await quoteOf(candidates) };
}

function covers(maxCostPicoUsd: PicoUsd | null, quote: Quote): boolean {
  return maxCostPicoUsd === null || costBound(quote, quote.leastTokens) <= maxCostPicoUsd;
}

function lesser(a: PicoUsd | null, b: PicoUsd | null): PicoUsd | null {
  return a === null || (b !== null && b < a) ? b : a;
}
