import { divideRoundingUp, picoUsd } from '../amount.ts';
import { promptTokensOf, type Usage } from '../wires/usage.ts';
import type { Cost, RateCard, Usage as ChatUsage } from './rate-card.ts';
import { ratesFor } from './rates.ts';

/**
 * What `usage` costs at the rates of `card` plus the markup. The total is rounded up once; the parts add up to it exactly,
 * and a part without tokens is 0. Cache writes are part of the input.
 */
export function costOfUsage(usage: Usage, card: RateCard, markupBasisPoints: bigint): Cost {
  const rates = ratesFor(promptTokensOf(usage), card);
  const written = BigInt(usage.cacheWrite) * rates.cacheWrite + BigInt(usage.cacheWriteLong) * rates.cacheWriteLong;
  return costOfParts(
    {
      input: BigInt(usage.input) * rates.input + written,
      cacheInput: BigInt(usage.cacheRead) * rates.cacheRead,
      output: BigInt(usage.output) * rates.output,
    },
    markupBasisPoints,
  );
}

/** The same of figures whose prompt holds its cached tokens and its cache writes. */
export function costOf(usage: ChatUsage, rateCard: RateCard, markupBasisPoints: bigint): Cost {
  const rates = ratesFor(usage.promptTokens, rateCard);
  const cached = Math.min(usage.cachedTokens, usage.promptTokens);
  const written = Math.min(usage.cacheWriteTokens, usage.promptTokens - cached);
  const fresh = usage.promptTokens - cached - written;
  return costOfParts(
    {
      input: BigInt(fresh) * rates.input + BigInt(written) * rates.cacheWrite,
      cacheInput: BigInt(cached) * rates.cacheRead,
      output: BigInt(usage.completionTokens) * rates.output,
    },
    markupBasisPoints,
  );
}

function costOfParts({ input, cacheInput, output }: Record<'input' | 'cacheInput' | 'output', bigint>, markupBasisPoints: bigint): Cost {
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
