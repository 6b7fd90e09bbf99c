import { divideRoundingUp, picoUsd } from '../amount.ts';
import type { Cost, RateCard, Usage } from './rate-card.ts';

type Rates = Pick<RateCard, 'input' | 'output' | 'cacheRead' | 'cacheWrite'>;

/**
 * What `usage` costs at the rates of `rateCard` plus the markup. The total is rounded up once; the parts add up to it
 * exactly, and a part without tokens is 0. Cache writes are part of the input.
 */
export function costOf(usage: Usage, rateCard: RateCard, markupBasisPoints: bigint): Cost {
  const rates = ratesFor(usage.promptTokens, rateCard);
  const cached = Math.min(usage.cachedTokens, usage.promptTokens);
  const written = Math.min(usage.cacheWriteTokens, usage.promptTokens - cached);
  const fresh = usage.promptTokens - cached - written;
  const input = BigInt(fresh) * rates.input + BigInt(written) * rates.cacheWrite;
  const cacheInput = BigInt(cached) * rates.cacheRead;
  const output = BigInt(usage.completionTokens) * rates.output;
  const marked = (amount: bigint) => divideRoundingUp(amount * (10_000n + markupBasisPoints), 10_000n);
  const upToInput = marked(input);
  const upToCache = marked(input + cacheInput);
  const total = marked(input + cacheInput + output);
  return {
    inputPicoUsd: picoUsd(upToInput),
    cacheInputPicoUsd: picoUsd(upToCache - upToInput),
    outputPicoUsd: picoUsd(total - upToCache),
    totalPicoUsd: picoUsd(total),
  };
}

/** A long prompt's rates hold for the whole request. */
function ratesFor(promptTokens: number, card: RateCard): Rates {
  return card.steps.findLast(({ fromTokens }) => promptTokens >= fromTokens) ?? card;
}
