import type { InferenceRequest } from '../wires/request.ts';
import type { Tier } from '../providers/provider.ts';

/** The cheapest first. */
export const TIERS: readonly Tier[] = ['cheap', 'mid', 'premium'];

/** From these scores on a request is for the middle and the top tier. */
const MID_SCORE = 3;
const PREMIUM_SCORE = 6;

/** Enough of a text to judge it by; bounds the work for long ones. */
const JUDGED_CHARACTERS = 8_192;

const CODE = /```|\b(function|class|const|import|def|return|SELECT|public static)\b|[{};]\s*\n/;
const REASONING =
  /\b(step[- ]by[- ]step|prove|derive|theorem|analy[sz]e|compare|trade-?offs?|design|architect|optimi[sz]e|refactor|debug|algorithm|complexity|explain why|reason(ing)?)\b/gi;

/** What the router takes a request for. */
export interface Judgement {
  /** 0 to 1: the chance that a model of the cheap tier answers it wrong. */
  readonly difficulty: number;
  readonly tier: Tier;
  /** 0 to 1, calibrated: how often a judgement like this one has the right tier. */
  readonly confidence: number;
  /** Of what the request seems to be; the beginning of a sentence, without its full stop. */
  readonly reasoning: string;
}

/** Judges a request by its facts. Pure. */
export function judge(request: InferenceRequest): Judgement {
  const tier = complexityTier(request);
  const difficulty = Math.min(complexityScore(request), 12) / 12;
  return { difficulty, tier, confidence: 0.5, reasoning: `A request for the ${tier} tier` };
}

/**
 * The tier that a request under `auto` deserves: a first simple score from its length, code, reasoning cues, turns,
 * tools and images; `routing.quality` moves it by one tier.
 */
export function complexityTier(request: InferenceRequest): Tier {
  const score = complexityScore(request);
  const scored = score >= PREMIUM_SCORE ? 2 : score >= MID_SCORE ? 1 : 0;
  const shift = request.routing.quality === 'high' ? 1 : request.routing.quality === 'low' ? -1 : 0;
  return TIERS[Math.min(Math.max(scored + shift, 0), TIERS.length - 1)] ?? 'mid';
}

/** 0 for small talk, up to about 12. */
export function complexityScore(request: InferenceRequest): number {
  const { asked: whole, turns, hasTools } = request.facts();
  const asked = whole.slice(0, JUDGED_CHARACTERS);
  const cues = new Set(asked.match(REASONING)?.map((cue) => cue.toLowerCase())).size;
  let score = Math.min(cues, 3);
  if (CODE.test(asked)) score += 2;
  if (request.bodyBytes > 32_768) score += 3;
  else if (request.bodyBytes > 8_192) score += 2;
  else if (request.bodyBytes > 2_048) score += 1;
  if (turns > 10) score += 2;
  else if (turns > 4) score += 1;
  if (hasTools) score += 1;
  if (request.media.images > 0) score += 1;
  return score;
}

/** The tiers to try for `tier`, best first: itself, then the cheaper ones, then the dearer ones. */
export function tiersFrom(tier: Tier): readonly Tier[] {
  const at = TIERS.indexOf(tier);
  return [...TIERS.slice(0, at + 1).toReversed(), ...TIERS.slice(at + 1)];
}
