import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { usageFromWire } from '../../../src/wires/gemini-generate/usage.ts';

const counts = (prompt?: unknown, candidates?: unknown, total?: unknown, more: object = {}) => ({
  promptTokenCount: prompt,
  candidatesTokenCount: candidates,
  totalTokenCount: total,
  ...more,
});

describe('usageMetadata', () => {
  it.each([
    ['no figure', {}, null],
    ['no object', 'usage', null],
    ['only another figure', { trafficType: 'ON_DEMAND', totalTokenCount: 5 }, null],
    ['prompt and candidates', counts(10, 5, 15), [10, 0, 5, 0]],
    ['no total', counts(10, 5), [10, 0, 5, 0]],
    ['thoughts beside the candidates', counts(10, 5, 22, { thoughtsTokenCount: 7 }), [10, 0, 12, 7]],
    ['thoughts alone', counts(10, undefined, 17, { thoughtsTokenCount: 7 }), [10, 0, 7, 7]],
    ['nothing generated', counts(14, undefined, 14), [14, 0, 0, 0]],
    ['only a prompt', counts(14), [14, 0, null, 0]],
    ['a cached part of the prompt', counts(100, 5, 105, { cachedContentTokenCount: 60 }), [40, 60, 5, 0]],
    ['all of it cached', counts(100, 5, 105, { cachedContentTokenCount: 100 }), [0, 100, 5, 0]],
    ['more cached than sent', counts(100, 5, 105, { cachedContentTokenCount: 101 }), [100, 0, 5, 0]],
    ['what tools read', counts(10, 5, 35, { toolUsePromptTokenCount: 20 }), [30, 0, 5, 0]],
    ['a total beyond the rest', counts(10, 5, 40), [10, 0, 30, 0]],
    ['a total below the rest', counts(10, 5, 3), [10, 0, 5, 0]],
    ['no candidates, but a total', counts(10, undefined, 40), [10, 0, 30, 0]],
    ['no prompt, but a total', counts(undefined, 5, 40), [35, 0, 5, 0]],
    ['no prompt and no total', counts(undefined, 5), [null, 0, 5, 0]],
    ['figures in digits', counts('10', '5', '15'), [10, 0, 5, 0]],
    ['figures that are none', counts(-1, 5, 1e12, { thoughtsTokenCount: 1.5 }), [null, 0, 5, 0]],
  ])('%s', (_, metadata, wanted) => {
    const usage = usageFromWire(metadata);
    expect(usage && [usage.input, usage.cacheRead, usage.output, usage.reasoning]).toEqual(wanted);
  });

  it('never comes to less than the provider’s own sum, or its total, whatever the figures are', () => {
    const count = fc.option(fc.nat(1_000_000), { nil: undefined });
    fc.assert(
      fc.property(
        fc.nat(1_000_000),
        count,
        count,
        count,
        count,
        (prompt, candidates, total, thoughtsTokenCount, toolUsePromptTokenCount) => {
          const usage = usageFromWire(counts(prompt, candidates, total, { thoughtsTokenCount, toolUsePromptTokenCount }));
          const billed = (usage?.input ?? 0) + (usage?.cacheRead ?? 0) + (usage?.output ?? 0);
          const sum = prompt + (candidates ?? 0) + (thoughtsTokenCount ?? 0) + (toolUsePromptTokenCount ?? 0);
          expect(billed).toBe(Math.max(sum, total ?? 0));
          expect(usage?.reasoning).toBeLessThanOrEqual(usage?.output ?? 0);
        },
      ),
    );
  });
});
