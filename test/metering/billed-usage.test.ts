import { describe, expect, it } from '@jest/globals';
import { billedUsage, outcomeOf, type Outcome } from '../../src/metering/billed-usage.ts';
import type { Exchange } from '../../src/completions/exchange.ts';
import { parseChatRequest } from '../../src/wires/openai-chat/request.ts';
import { ZERO_USAGE, type Usage } from '../../src/pricing/rate-card.ts';
import type { ReportedUsage } from '../../src/wires/openai-chat/usage.ts';
import type { Deployment } from '../../src/models/deployment.ts';
import { deployment, rateCard } from '../support/deployment.ts';

const tokens = (promptTokens: number, completionTokens: number): Usage => ({ ...ZERO_USAGE, promptTokens, completionTokens });
const reported = (promptTokens: number | null, completionTokens: number | null): ReportedUsage => ({
  ...ZERO_USAGE,
  promptTokens,
  completionTokens,
});

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
    const usage = { promptTokens: 90, completionTokens: 9, cachedTokens: 40, cacheWriteTokens: 5, reasoningTokens: 200 };
    expect(await billedUsage(outcome(final(usage)))).toEqual({ ...usage, reasoningTokens: 9 });
    expect(await billedUsage(outcome(final({ ...usage, promptTokens: 0 })))).toEqual({ ...tokens(100, 9), reasoningTokens: 9 });
  });
});

describe('the facts of a bill', () => {
  const IMAGE = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
  const words = [{ role: 'user', content: 'hi' }];
  const factsOf = (members: object, overrides: Partial<Deployment> = {}, holdTokens = 100): Outcome => {
    const request = parseChatRequest(Buffer.from(JSON.stringify({ messages: words, ...members })), { streamDefault: false });
    const exchange = { request, hold: { tokens: holdTokens } } as unknown as Exchange;
    const leg = { deployment: deployment(overrides), dispatchedAt: performance.now() };
    return outcomeOf(exchange, { ...leg, kind: 'client_gone' });
  };

  it('count every image apiece, whatever its bytes', async () => {
    const withImages = (count: number) => ({ messages: [{ role: 'user', content: Array.from({ length: count }, () => IMAGE) }] });
    const counts = await Promise.all([0, 1, 3].map(async (count) => factsOf(withImages(count)).promptTokens()));
    expect((counts[1] ?? 0) - (counts[0] ?? 0)).toBeGreaterThanOrEqual(1_000);
    expect((counts[2] ?? 0) - (counts[0] ?? 0)).toBeGreaterThanOrEqual(3_000);
    const [free, plain] = await Promise.all([null, 500].map(async (imageTokens) => factsOf(withImages(2), { imageTokens }).promptTokens()));
    expect((plain ?? 0) - (free ?? 0)).toBe(1_000);
  });

  it('allow every choice the cap that went upstream', () => {
    expect(factsOf({}).outputTokens).toBe(100);
    expect(factsOf({ n: 3 }).outputTokens).toBe(300);
    expect(factsOf({ n: 3 }, { maxOutputTokens: 40 }).outputTokens).toBe(120);
  });

  it.each<[string, Parameters<typeof rateCard>[0], boolean]>([
    ['nothing', { input: 0n, output: 0n }, true],
    ['input only', { input: 1n, output: 0n }, false],
    ['output only', { input: 0n, output: 1n }, false],
    ['the cache only', { input: 0n, output: 0n, cacheRead: 1n }, false],
    ['both', {}, false],
  ])('take a model that has a price for %s for free: %s', (_name, rates, free) => {
    expect(factsOf({}, { rateCard: rateCard(rates) }).freeModel).toBe(free);
  });
});
