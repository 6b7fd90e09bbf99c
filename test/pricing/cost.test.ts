import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { picoUsd } from '../../src/amount.ts';
import { costOf, costOfUsage } from '../../src/pricing/cost.ts';
import { ZERO_COST, ZERO_USAGE, type RateCard, type Usage } from '../../src/pricing/rate-card.ts';
import { ZERO_USAGE as NO_TOKENS } from '../../src/wires/usage.ts';

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

const usage = (over: Partial<Usage>): Usage => ({ ...ZERO_USAGE, ...over });

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
    ['reasoning as part of the output', { output: 5, reasoning: 4 }, 0n, 0n, 3_000_000n],
    ['one token below a step', { input: 100, cacheRead: 899, output: 1 }, 15_000_000n, 67_425_000n, 600_000n],
    ['a step that cache reads reach', { input: 100, cacheRead: 900, output: 1 }, 30_000_000n, 135_000_000n, 900_000n],
    ['a step that writes reach', { cacheWrite: 600, cacheWriteLong: 400 }, 520_000_000n, 0n, 0n],
  ])('prices %s', (_what, counts, input, cache, output) => {
    expect(costOfUsage({ ...NO_TOKENS, ...counts }, card, 0n)).toEqual({
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
});

describe('the cost of usage', () => {
  it.each([
    ['nothing', {}, 0n, 0n, 0n],
    ['input and output', { promptTokens: 10, completionTokens: 5 }, 1_500_000n, 0n, 3_000_000n],
    ['cached input at its own rate', { promptTokens: 10, cachedTokens: 4 }, 900_000n, 300_000n, 0n],
    ['cache writes at theirs', { promptTokens: 10, cachedTokens: 4, cacheWriteTokens: 6 }, 1_200_000n, 300_000n, 0n],
    ['reasoning as part of the output', { completionTokens: 5, reasoningTokens: 4 }, 0n, 0n, 3_000_000n],
    ['one token below a step', { promptTokens: 999, completionTokens: 1 }, 149_850_000n, 0n, 600_000n],
    ['the whole request at the step it reaches', { promptTokens: 1_000, completionTokens: 1 }, 300_000_000n, 0n, 900_000n],
    ['more cached than there is, as all of it', { promptTokens: 2, cachedTokens: 9 }, 0n, 150_000n, 0n],
  ])('prices %s', (_what, counts, input, cache, output) => {
    expect(costOf(usage(counts), card, 0n)).toEqual({
      inputPicoUsd: input,
      cacheInputPicoUsd: cache,
      outputPicoUsd: output,
      totalPicoUsd: input + cache + output,
    });
  });

  it('is nothing for nothing, whatever the markup', () => {
    expect(costOf(ZERO_USAGE, card, 12_345n)).toEqual(ZERO_COST);
  });

  it('adds the markup, rounded up once, and its parts make up the total', () => {
    const count = fc.integer({ min: 0, max: 2_000_000 });
    fc.assert(
      fc.property(count, count, count, fc.bigInt({ min: 0n, max: 100_000n }), (promptTokens, completionTokens, cachedTokens, markup) => {
        const counted = usage({ promptTokens, completionTokens, cachedTokens: Math.min(cachedTokens, promptTokens) });
        const bare = costOf(counted, card, 0n);
        const cost = costOf(counted, card, markup);
        const exact = bare.totalPicoUsd * (10_000n + markup);
        expect(cost.totalPicoUsd * 10_000n - exact).toBeGreaterThanOrEqual(0n);
        expect(cost.totalPicoUsd * 10_000n - exact).toBeLessThan(10_000n);
        expect(cost.inputPicoUsd + cost.cacheInputPicoUsd + cost.outputPicoUsd).toBe(cost.totalPicoUsd);
        for (const part of Object.values(cost)) expect(part).toBeGreaterThanOrEqual(0n);
        expect(cost.outputPicoUsd > 0n).toBe(completionTokens > 0);
      }),
    );
  });
});
