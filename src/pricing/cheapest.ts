import { msatFromPicoUsd, picoUsd, type Msat, type PicoUsdPerMsat } from '../amount.ts';
import { ZERO_USAGE } from '../wires/usage.ts';
import { costOfUsage } from './cost.ts';
import type { RateCard } from './rate-card.ts';

/** A thousand tokens of an ordinary request. */
const THOUSAND_TOKENS = { ...ZERO_USAGE, input: 500, output: 500 };

/** What 1,000 tokens, half of them output, cost at the cheapest of `cards` that is not free; null without such a card. */
export function cheapestThousandTokens(cards: readonly RateCard[], markupBasisPoints: bigint, picoUsdPerMsat: PicoUsdPerMsat): Msat | null {
  let cheapest: bigint | null = null;
  for (const card of cards) {
    const { totalPicoUsd } = costOfUsage(THOUSAND_TOKENS, card, markupBasisPoints);
    if (totalPicoUsd > 0n && (cheapest === null || totalPicoUsd < cheapest)) cheapest = totalPicoUsd;
  }
  return cheapest === null ? null : msatFromPicoUsd(picoUsd(cheapest), picoUsdPerMsat);
}
