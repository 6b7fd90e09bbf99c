import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { picoUsd } from '../../src/amount.ts';
import { costOfUsage } from '../../src/pricing/cost.ts';
import { ZERO_COST, type RateCard } from '../../src/pricing/rate-card.ts';
import { ZERO_USAGE } from '../../src/wires/usage.ts';

const rates = (input: bigint, output: bigint, cacheRead: bigint, cacheWrite: bigint, cacheWriteLong: bigint) => ({
  input: picoUsd(input),
  output: picoUsd(output),
  cacheRead: picoUsd(cacheRead),
  cacheWrite: picoUsd(cacheWrite),
  cacheWriteLong: picoUsd(cacheWriteLong),
});

const card: RateCard = {
  priceVersion: 1,
  ...rates(150_000n, 600_000n, 75_000n, 200_000n, 350_000n),
  dearestInput: picoUsd(700_000n),
  dearestOutput: picoUsd(900_000n),
  steps: [{ fromTokens: 1_000, ...rates(300_000n, 900_000n, 150_000n, 400_000n, 700_000n) }],
};

describe('the cost of disjoint buckets', () => {
  it.each([
    ['nothing', {}, 0n, 0n, 0n],
    [
      'each bucket at its own rate',
      { input: 1, cacheRead: 2, cacheWrite: 3, cacheWriteLong: 4, output: 5 },
      2_150_000n,
      150_000n,
      3_000_000n,
    ],
    ['input and output', { input: 10, output: 5 }, 1_500_000n, 0n, 3_000_000n],
    ['reasoning as part of the output', { output: 5, reasoning: 4 }, 0n, 0n, 3_000_000n],
    ['one token below a step', { input: 100, cacheRead: 899, output: 1 }, 15_000_000n, 67_425_000n, 600_000n],
    ['a step that cache reads reach', { input: 100, cacheRead: 900, output: 1 }, 30_000_000n, 135_000_000n, 900_000n],
    ['a step that writes reach', { cacheWrite: 600, cacheWriteLong: 400 }, 520_000_000n, 0n, 0n],
  ])('prices %s', (_what, counts, input, cache, output) => {
    expect(costOfUsage({ ...ZERO_USAGE, ...counts }, card, 0n)).toEqual({
      inputPicoUsd: input,
      cacheInputPicoUsd: cache,
      outputPicoUsd: output,
      totalPicoUsd: input + cache + output,
    });
  });

  it('adds the markup, rounded up once, and its parts make up the total', () => {
    const count = fc.integer({ min: 0, max: 2_000_000 });
    const usages = fc.record({ input: count, cacheRead: count, cacheWrite: count, cacheWriteLong: count, output: count });
    fc.assert(
      fc.property(usages, fc.bigInt({ min: 0n, max: 100_000n }), (counts, markup) => {
        const counted = { ...counts, reasoning: 0 };
        const exact = costOfUsage(counted, card, 0n).totalPicoUsd * (10_000n + markup);
        const cost = costOfUsage(counted, card, markup);
        expect(cost.totalPicoUsd).toBe(exact / 10_000n + (exact % 10_000n === 0n ? 0n : 1n));
        expect(cost.inputPicoUsd + cost.cacheInputPicoUsd + cost.outputPicoUsd).toBe(cost.totalPicoUsd);
        expect([cost.inputPicoUsd > 0n, cost.cacheInputPicoUsd > 0n, cost.outputPicoUsd > 0n]).toEqual([
          counts.input + counts.cacheWrite + counts.cacheWriteLong > 0,
          counts.cacheRead > 0,
          counts.output > 0,
        ]);
      }),
    );
  });

  it('is nothing for nothing, whatever the markup', () => {
    expect(costOfUsage(ZERO_USAGE, card, 12_345n)).toEqual(ZERO_COST);
  });
});
