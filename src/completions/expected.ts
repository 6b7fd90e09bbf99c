import type { Tier } from '../providers/provider.ts';
import { complexityScore } from '../routing/complexity.ts';
import type { Expected } from '../routing/confidence.ts';
import type { InferenceRequest } from '../wires/request.ts';

const HARDEST_SCORE = 10;

/** What an answer to a request is judged by, where a model of `tier` gives it. */
export function expectedOf(request: InferenceRequest, tier: Tier): Expected {
  const { mode } = request.generation().toolChoice ?? { mode: 'auto' };
  return {
    difficulty: Math.min(1, complexityScore(request) / HARDEST_SCORE),
    tier,
    wantsJson: request.facts().wantsJson,
    mustCall: mode === 'required' || mode === 'named',
  };
}
