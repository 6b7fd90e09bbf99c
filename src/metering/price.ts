import type { ApiKey } from '../accounts/api-key.ts';
import type { Config } from '../config/config.ts';
import type { PicoUsd } from '../amount.ts';
import { chooseCandidates, type Choice } from '../routing/choose.ts';
import type { Deployment } from '../models/deployment.ts';
import type { ProviderHealth } from '../routing/health.ts';
import type { Models } from '../models/models.ts';
import { costBound, quote as quoteFor, type Quote } from './quote.ts';
import type { ChatRequest } from '../wires/openai-chat/request.ts';

export interface PriceDeps {
  models: Models;
  health: ProviderHealth;
  config: Pick<Config, 'DEFAULT_MAX_TOKENS' | 'markupBasisPoints'>;
}

/** Who may serve a request, and what it can cost at most. */
export interface Priced {
  readonly choice: Choice;
  readonly quote: Quote;
  /** The request's own cap; null where it has none. */
  readonly maxCostPicoUsd: PicoUsd | null;
}

/**
 * Prices a request at the prices of now, which stay its own however long it takes.
 * @param headerCap the cap that the request's headers name; the lesser of that and its body's counts.
 */
export async function price(
  { models, health, config }: PriceDeps,
  request: ChatRequest,
  headerCap: PicoUsd | null,
  key: Pick<ApiKey, 'allowedModels'>,
): Promise<Priced> {
  const turning = models.keepUp();
  if (turning) await turning;
  const choice = chooseCandidates(request, models, key, (id) => health.snapshot(id).windows['5m'].latencyMs);
  const maxCostPicoUsd = lesser(headerCap, request.routing.maxCostPicoUsd);
  const { candidates, quote } = await quoteOver(request, choice, maxCostPicoUsd, config);
  return { choice: { ...choice, candidates }, quote, maxCostPicoUsd };
}

/** What the request can cost at most. Under `auto`, candidates that the request's own cap does not cover drop out first. */
async function quoteOver(
  request: ChatRequest,
  { candidates }: Choice,
  maxCostPicoUsd: PicoUsd | null,
  { DEFAULT_MAX_TOKENS: defaultMaxTokens, markupBasisPoints }: PriceDeps['config'],
): Promise<{ candidates: readonly Deployment[]; quote: Quote }> {
  const quoteOf = (some: readonly Deployment[]) => quoteFor(request, some, { defaultMaxTokens, markupBasisPoints });
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
