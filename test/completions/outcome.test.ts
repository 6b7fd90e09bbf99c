import { describe, expect, it } from '@jest/globals';
import { billedUsage, type Outcome } from '../../src/completions/outcome.ts';
import { ZERO_USAGE, type Usage } from '../../src/pricing/rate-card.ts';

const tokens = (promptTokens: number, completionTokens: number): Usage => ({ ...ZERO_USAGE, promptTokens, completionTokens });

/** Own counts: 100 of prompt, 7 delivered; ten seconds of a model of 20 tokens a second, capped at 150. */
const outcome = (facts: Partial<Outcome>): Outcome => ({
  end: 'answered',
  usage: null,
  promptTokens: () => 100,
  deliveredTokens: () => 7,
  started: true,
  elapsedSeconds: 10,
  tokensPerSecond: 20,
  outputTokens: 150,
  freeModel: false,
  ...facts,
});

describe('billedUsage', () => {
  const CASES: [name: string, facts: Partial<Outcome>, billed: Usage | null][] = [
    ['answered, with figures: the figures', { usage: tokens(90, 9) }, tokens(90, 9)],
    ['answered, without: our own count', {}, tokens(100, 7)],
    ['answered, an explicit zero for something delivered: our own count', { usage: tokens(0, 0) }, tokens(100, 7)],
    ['answered, zero output for something delivered: the prompt of the figures', { usage: tokens(90, 0) }, tokens(90, 7)],
    ['answered, zero input: our own prompt', { usage: tokens(0, 9) }, tokens(100, 9)],
    ['answered, zero output for an empty answer: the figures', { usage: tokens(90, 0), deliveredTokens: () => 0 }, tokens(90, 0)],
    ['answered, zero from a free model: the figures', { usage: tokens(0, 0), freeModel: true }, tokens(0, 0)],
    ['broken off, with figures: the figures', { end: 'broke_off', usage: tokens(90, 9) }, tokens(90, 9)],
    ['broken off, without: what was delivered', { end: 'broke_off' }, tokens(100, 7)],
    ['client gone, with figures: the figures', { end: 'client_gone', usage: tokens(90, 9) }, tokens(90, 9)],
    ['client gone, in the middle: what was delivered', { end: 'client_gone' }, tokens(100, 7)],
    [
      'client gone before the first byte: prompt and hidden tokens, up to the cap',
      { end: 'client_gone', started: false },
      tokens(100, 150),
    ],
    [
      'client gone early: no more hidden tokens than there was time for',
      { end: 'client_gone', started: false, elapsedSeconds: 0.11 },
      tokens(100, 3),
    ],
    ['undelivered: nothing', { end: 'undelivered', started: false }, null],
    ['undelivered, whatever it says it used: nothing', { end: 'undelivered', usage: tokens(90, 9) }, null],
  ];

  it.each(CASES)('%s', async (_name, facts, billed) => {
    expect(await billedUsage(outcome(facts))).toEqual(billed);
  });

  it('counts nothing itself where the figures are plausible', async () => {
    const count = (): never => {
      throw new Error('counted');
    };
    const billed = await billedUsage(outcome({ usage: tokens(90, 9), promptTokens: count, deliveredTokens: count }));
    expect(billed).toEqual(tokens(90, 9));
  });
});
