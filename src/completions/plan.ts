import type { ApiKey } from '../accounts/api-key.ts';
import type { PicoUsd } from '../amount.ts';
import type { Config } from '../config/config.ts';
import { costBound, quote as quoteFor, type Quote } from '../metering/quote.ts';
import type { Models } from '../models/models.ts';
import type { Candidate } from '../routing/candidate.ts';
import { chooseCandidates } from '../routing/choose.ts';
import type { ProviderHealth } from '../routing/health.ts';
import type { InferenceRequest } from '../wires/request.ts';
import type { Plan } from './call.ts';

export interface PlanDeps {
  models: Models;
  health: ProviderHealth;
  config: Pick<Config, 'DEFAULT_MAX_TOKENS' | 'markupBasisPoints'>;
}

/**
 * Who may serve a request, and what it can cost at most, at the prices of now: they stay its own however long it takes.
 * @param headerCap the cap that the request's headers name; the lesser of that and its body's counts.
 */
export async function plan(
  { models, health, config }: PlanDeps,
  request: InferenceRequest,
  headerCap: PicoUsd | null,
  key: Pick<ApiKey, 'allowedModels'>,
): Promise<Plan> {
  const turning = models.keepUp();
  if (turning) await turning;
  const choice = chooseCandidates(request, models, key, (id) => health.snapshot(id).windows['5m'].latencyMs);
  const maxCostPicoUsd = lesser(headerCap, request.routing.maxCostPicoUsd);
  return { ...choice, ...(await quoteOver(request, choice.candidates, maxCostPicoUsd, config)), maxCostPicoUsd };
}

/** What the request can cost at most. Under `auto`, candidates that the request's own cap does not cover drop out first. */
async function quoteOver(
  request: InferenceRequest,
  candidates: readonly Candidate[],
  maxCostPicoUsd: PicoUsd | null,
  { DEFAULT_MAX_TOKENS: defaultMaxTokens, markupBasisPoints }: PlanDeps['config'],
): Promise<{ candidates: readonly Candidate[]; quote: Quote }> {
  const quoteOf = (some: readonly Candidate[]) => quoteFor(request, some, { defaultMaxTokens, markupBasisPoints });
  if (maxCostPicoUsd !== null && candidates.length > 1) {
    const quotes = await Promise.all(candidates.map(async (candidate) => quoteOf([candidate])));
    const covered = candidates.filter((_, index) => {
      const own = quotes[index];
      return own !== undefined && costBound(own, own.leastTokens) <= maxCostPicoUsd;
    });
    if (covered.length > 0) return { candidates: covered, quote: await quoteOf(covered) };
  }
  return { candidates, quote: await quoteOf(candidates) };
}

function lesser(a: PicoUsd | null, b: PicoUsd | null): PicoUsd | null {
  return a === null || (b !== null && b < a) ? b : a;
}
