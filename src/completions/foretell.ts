import type { ApiKey } from '../accounts/api-key.ts';
import { priceAhead } from '../admission/admit.ts';
import type { RateLimit } from '../admission/rate-limit.ts';
import { btcUsdFromExchangeRate, msatFromPicoUsd, usdNumber } from '../amount.ts';
import type { Config } from '../config/config.ts';
import { estimateOf, type Estimate } from '../metering/estimate.ts';
import { costBound } from '../metering/quote.ts';
import type { Deployment } from '../models/deployment.ts';
import type { JsonObject } from '../wires/wire.ts';
import type { Call, Plan } from './call.ts';
import { decisionBody } from './decision.ts';
import { headOf, type Head } from './head.ts';

export interface ForetellDeps {
  config: Pick<Config, 'markupBasisPoints' | 'FREE_TIER_MAX_COST_USD'>;
  rateLimit: RateLimit;
}

/** A request of which it is asked what would become of it. */
export interface Foretold extends Pick<Call, 'request' | 'picoUsdPerMsat'> {
  /** Whose limits the question counts against; null where nobody is known, and whoever takes the question limits it. */
  readonly apiKey: ApiKey | null;
  readonly foretells: 'decision' | 'estimate' | null;
}

/** An answer of `foretell` as bytes, with the head that goes before them. */
export function foretoldBytes({ headers, told }: { headers: Record<string, string>; told: JsonObject }): { head: Head; body: Buffer } {
  const body = Buffer.from(JSON.stringify(told));
  const type = ['Content-Type', 'application/json; charset=utf-8', 'Content-Length', String(body.length)];
  return { head: [...headOf(headers), ...type], body };
}

/** What is told of a request that is not carried out. It counts as one of its key's. Rejects as `priceAhead` does. */
export async function foretell(
  { config, rateLimit }: ForetellDeps,
  asked: Foretold,
  plan: Plan,
): Promise<{ headers: Record<string, string>; told: JsonObject }> {
  const { request, apiKey } = asked;
  const { quote, maxCostPicoUsd, candidates } = plan;
  const { mostTokens, headers } = priceAhead(rateLimit, { apiKey, quote, maxCostPicoUsd });
  const terms = { quote, mostTokens, markupBasisPoints: config.markupBasisPoints };
  const estimated = await Promise.all(
    candidates.map(async (candidate) => ({ deployment: candidate.deployment, estimate: await estimateOf(request, candidate, terms) })),
  );
  const [first] = estimated;
  if (!first) throw new Error('a plan without candidates');
  const told =
    asked.foretells === 'decision'
      ? decisionBody(plan, first.estimate)
      : estimateBody(config, asked, plan, { mostTokens, estimated, first });
  return { headers, told };
}

interface Estimated {
  readonly deployment: Deployment;
  readonly estimate: Estimate;
}

/** The answer of `/api/estimate`: what the first candidate usually charges, and the most that could be held. */
function estimateBody(
  { FREE_TIER_MAX_COST_USD: freeMaxPicoUsd }: Pick<Config, 'FREE_TIER_MAX_COST_USD'>,
  { picoUsdPerMsat }: Foretold,
  { quote, decision, own, explored }: Plan,
  { mostTokens, estimated, first }: { mostTokens: number; estimated: readonly Estimated[]; first: Estimated },
): JsonObject {
  const row = ({ deployment: { model, provider, tier }, estimate: { costPicoUsd } }: Estimated) => ({
    ...{ model, provider: provider.id, tier },
    estimatedCostUsd: usdNumber(costPicoUsd),
    estimatedCostMsat: Number(msatFromPicoUsd(costPicoUsd, picoUsdPerMsat)),
  });
  const most = costBound(quote, mostTokens);
  return {
    ...row(first),
    promptTokens: first.estimate.promptTokens,
    estimatedOutputTokens: first.estimate.outputTokens,
    maxOutputTokens: mostTokens,
    maxCostUsd: usdNumber(most),
    maxCostMsat: Number(msatFromPicoUsd(most, picoUsdPerMsat)),
    // Under the caller's own provider key the wallet pays this, and no free request is used.
    ...(own && { feeMsat: Number(own.feeMsat) }),
    mayBeFree: !own && costBound(quote, quote.leastTokens) <= freeMaxPicoUsd,
    explored,
    reasoning: decision?.reasoning ?? null,
    confidence: decision?.confidence ?? null,
    candidates: estimated.map(row),
    btcUsd: btcUsdFromExchangeRate(picoUsdPerMsat),
  };
}
