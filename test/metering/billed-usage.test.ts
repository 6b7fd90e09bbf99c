import { describe, expect, it } from '@jest/globals';
import { billedUsage, type Outcome } from '../../src/metering/billed-usage.ts';
import { ZERO_USAGE, type ReportedUsage, type Usage } from '../../src/wires/usage.ts';

const tokens = (input: number, output: number): Usage => ({ ...ZERO_USAGE, input, output });
const reported = (input: number | null, output: number | null): ReportedUsage => ({ ...ZERO_USAGE, input, output });

/** Own counts: 100 of prompt, 7 delivered; ten seconds out of sight of a model of 20 tokens a second, capped at 150. */
const outcome = (facts: Partial<Outcome>): Outcome => ({
  end: 'answered',
  usage: null,
  usageIsFinal: false,
  promptTokens: () => 100,
  deliveredTokens: () => 7,
  hiddenSeconds: 10,
  tokensPerSecond: 20,
  outputTokens: 150,
  freeModel: false,
  ...facts,
});

/** Figures about the whole answer. */
const final = (usage: ReportedUsage): Partial<Outcome> => ({ usage, usageIsFinal: true });
const nothing = { deliveredTokens: () => 0 };

describe('billedUsage', () => {
  const CASES: [name: string, facts: Partial<Outcome>, billed: Usage | null][] = [
    ['answered, with figures: the figures', final(reported(90, 9)), tokens(90, 9)],
    ['answered, with figures below what was delivered: the figures', final(reported(90, 1)), tokens(90, 1)],
    ['answered, without: our own count', {}, tokens(100, 7)],
    ['answered, an explicit zero for something delivered: our own count', final(reported(0, 0)), tokens(100, 7)],
    ['answered, zero output for something delivered: the prompt of the figures', final(reported(90, 0)), tokens(90, 7)],
    ['answered, zero input: our own prompt', final(reported(0, 9)), tokens(100, 9)],
    ['answered, no sound output: the prompt of the figures', final(reported(90, null)), tokens(90, 7)],
    ['answered, no sound input: the output of the figures', final(reported(null, 9)), tokens(100, 9)],
    ['answered, zero output for an empty answer: the figures', { ...final(reported(90, 0)), ...nothing }, tokens(90, 0)],
    ['answered, zero from a free model: the figures', { ...final(reported(0, 0)), freeModel: true }, tokens(0, 0)],
    ['answered, more than the cap: the cap', final(reported(90, 100_000)), tokens(90, 150)],
    ['answered, figures of the beginning: they stand', { usage: reported(90, 4) }, tokens(90, 4)],
    ['answered, figures of the beginning below half of it: our own count', { usage: reported(90, 3) }, tokens(90, 7)],
    ['answered, we count more than the cap: the cap', { deliveredTokens: () => 1_000 }, tokens(100, 150)],
    ['broken off, with figures of the whole: the figures', { end: 'broke_off', ...final(reported(90, 3)) }, tokens(90, 3)],
    ['broken off, with figures of the beginning: what was delivered', { end: 'broke_off', usage: reported(90, 6) }, tokens(90, 7)],
    ['broken off, with figures above what was delivered: the figures', { end: 'broke_off', usage: reported(90, 9) }, tokens(90, 9)],
    ['broken off, figures above the cap: the cap', { end: 'broke_off', usage: reported(90, 1_000) }, tokens(90, 150)],
    ['broken off, without: what was delivered', { end: 'broke_off' }, tokens(100, 7)],
    ['client gone, with figures of the whole: the figures', { end: 'client_gone', ...final(reported(90, 9)) }, tokens(90, 9)],
    [
      'client gone, figures of the beginning: what was delivered',
      { end: 'client_gone', usage: reported(90, 1), hiddenSeconds: 0 },
      tokens(90, 7),
    ],
    ['client gone, in the middle: what was delivered', { end: 'client_gone', hiddenSeconds: 0 }, tokens(100, 7)],
    ['client gone, in a thought: that too', { end: 'client_gone', hiddenSeconds: 2 }, tokens(100, 47)],
    [
      'client gone, in a thought, with running figures: the larger',
      { end: 'client_gone', hiddenSeconds: 2, usage: reported(90, 60) },
      tokens(90, 60),
    ],
    ['client gone in silence: hidden tokens, up to the cap', { end: 'client_gone', ...nothing }, tokens(100, 150)],
    [
      'client gone early in silence: no more than there was time for',
      { end: 'client_gone', hiddenSeconds: 0.11, ...nothing },
      tokens(100, 3),
    ],
    ['undelivered: nothing', { end: 'undelivered', ...nothing }, null],
    ['undelivered, whatever it says it used: nothing', { end: 'undelivered', ...final(reported(90, 9)), ...nothing }, null],
  ];

  it.each(CASES)('%s', async (_name, facts, billed) => {
    expect(await billedUsage(outcome(facts))).toEqual(billed);
  });

  it('counts nothing itself where the figures are about the whole answer', async () => {
    const count = (): never => {
      throw new Error('counted');
    };
    const billed = await billedUsage(outcome({ ...final(reported(90, 9)), promptTokens: count, deliveredTokens: count }));
    expect(billed).toEqual(tokens(90, 9));
  });

  it('takes the cache from the figures that it takes the prompt from', async () => {
    const usage = { input: 45, output: 9, cacheRead: 40, cacheWrite: 3, cacheWriteLong: 2, reasoning: 200 };
    expect(await billedUsage(outcome(final(usage)))).toEqual({ ...usage, reasoning: 9 });
    // A prompt that was in the cache as a whole is a prompt all the same.
    expect(await billedUsage(outcome(final({ ...usage, input: 0 })))).toEqual({ ...usage, input: 0, reasoning: 9 });
    expect(await billedUsage(outcome(final({ ...usage, input: null })))).toEqual({ ...tokens(100, 9), reasoning: 9 });
  });
});
