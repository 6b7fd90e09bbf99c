import { usdNumber } from '../amount.ts';
import type { Estimate } from '../metering/estimate.ts';
import type { JsonObject } from '../wires/wire.ts';
import type { Plan } from './call.ts';

/**
 * What was decided of a request before any provider was asked, as clients are told it. The selected model is the first choice: should it fail,
 * another one of the candidates answers, which `model` and `X-Pura-Model` name.
 */
export function routingOf({ steps, decision }: Pick<Plan, 'steps' | 'decision'>): JsonObject {
  const first = steps[0]?.[0]?.deployment;
  return {
    selected_model: first?.model ?? null,
    selected_provider: first?.provider.id ?? null,
    reasoning: decision?.reasoning ?? null,
    confidence: decision?.confidence ?? null,
    expected_error: decision?.expectedError ?? null,
    cost_adjusted_score: decision?.costAdjustedScore ?? null,
    all_scores: decision?.allScores ?? null,
  };
}

/** The answer to who asks the router for its decision alone. */
export function decisionBody(plan: Plan, { costPicoUsd }: Estimate): JsonObject {
  const routing = routingOf(plan);
  const { selected_model, reasoning, confidence } = routing;
  return { selected_model, reasoning, confidence, estimated_cost_usd: usdNumber(costPicoUsd), routing };
}
