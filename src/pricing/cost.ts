import { divideRoundingUp, picoUsd } from '../amount.ts';
import { promptTokensOf, type Usage } from '../wires/usage.ts';
import type { Cost, RateCard } from './rate-card.ts';
import { ratesFor } from './rates.ts';

/**
 * What `usage` costs at the rates of `card` plus the markup. The total is rounded up once; the parts add up to it exactly,
 * and a part without tokens is 0. Cache writes are part of the input.
 */
export function costOfUsage(usage: Usage, card: RateCard, markupBasisPoints: bigint): Cost {
  const rates = ratesFor(promptTokensOf(usage), card);
  const written = BigInt(usage.cacheWrite) * rates.cacheWrite + BigInt(usage.cacheWriteLong) * rates.cacheWriteLong;
  const input = BigInt(usage.input) * rates.input + written;
  const cacheInput = BigInt(usage.cacheRead) * rates.cacheRead;
  const output = BigInt(usage.output) * rates.output;
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
