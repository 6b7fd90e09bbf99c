import type { Tier } from '../providers/provider.ts';
import { judge } from '../routing/complexity.ts';
import type { Expected } from '../routing/confidence.ts';
import type { InferenceRequest } from '../wires/request.ts';

/** What an answer to a request is judged by, where a model of `tier` gives it. */
export function expectedOf(request: InferenceRequest, tier: Tier): Expected {
  const { mode } = request.generation().toolChoice ?? { mode: 'auto' };
  return {
    difficulty: judge(request).difficulty,
    tier,
    wantsJson: request.facts().wantsJson,
    mustCall: mode === 'required' || mode === 'named',
  };
}
