import type { PicoUsd } from '../amount.ts';
import { costOfUsage } from '../pricing/cost.ts';
import type { Candidate } from '../routing/candidate.ts';
import { USUAL_OUTPUT_TOKENS } from '../routing/score.ts';
import type { InferenceRequest } from '../wires/request.ts';
import { ZERO_USAGE } from '../wires/usage.ts';
import { promptTokensOf } from './billed-usage.ts';
import { costBound, type Quote } from './quote.ts';

/** What a request usually comes to: less than its quote, which is the most that it can. */
export interface Estimate {
  readonly promptTokens: number;
  /** Of all completions. */
  readonly outputTokens: number;
  readonly costPicoUsd: PicoUsd;
}

/** Within what an estimate stays. */
export interface EstimateTerms {
  readonly quote: Quote;
  /** The largest output cap that may be granted. */
  readonly mostTokens: number;
  readonly markupBasisPoints: bigint;
}

/**
 * What a candidate would usually charge for a request: the prompt by our own count, nothing of it cached, and each completion as long as an
 * ordinary answer, or as its cap where that is less.
 */
export async function estimateOf(
  request: InferenceRequest,
  candidate: Candidate,
  { quote, mostTokens, markupBasisPoints }: EstimateTerms,
): Promise<Estimate> {
  const { maxOutputTokens, rateCard } = candidate.deployment;
  const promptTokens = Math.min(await promptTokensOf(request, candidate), quote.promptTokens);
  const outputTokens = request.completions * Math.min(USUAL_OUTPUT_TOKENS, maxOutputTokens, mostTokens);
  const usual = costOfUsage({ ...ZERO_USAGE, input: promptTokens, output: outputTokens }, rateCard, markupBasisPoints).totalPicoUsd;
  const most = costBound(quote, mostTokens);
  return { promptTokens, outputTokens, costPicoUsd: usual < most ? usual : most };
}
