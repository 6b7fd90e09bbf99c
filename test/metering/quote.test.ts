import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { costBound, mostLimitedTokens, quote, sumOfQuotes, type Quote, type QuoteSettings } from '../../src/metering/quote.ts';
import { chatBodyFor, chatCandidate, readChat } from '../support/chat-request.ts';
import { costOfUsage } from '../../src/pricing/cost.ts';
import { ZERO_USAGE } from '../../src/wires/usage.ts';
import type { Deployment } from '../../src/models/deployment.ts';
import { deployment, rateCard } from '../support/deployment.ts';

const settings = { defaultMaxTokens: 4_096, markupBasisPoints: 0n };
const read = (fields: object = {}) => readChat(JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], ...fields }));

const quoteOne = (request: ReturnType<typeof read>, candidate: Deployment, quoteSettings: QuoteSettings) =>
  quote(request, [chatCandidate(request, candidate)], quoteSettings);

function quoteNow(request: ReturnType<typeof read>, candidates: Deployment[], markupBasisPoints = 0n): Quote {
  const quoted = quote(
    request,
    candidates.map((one) => chatCandidate(request, one)),
    { ...settings, markupBasisPoints },
  );
  if (quoted instanceof Promise) throw new Error('small requests are quoted at once');
  return quoted;
}

describe('a quote', () => {
  it('is the whole prompt at the input rate, and n output rates a token', async () => {
    const request = read({ n: 3, max_tokens: 100, tools: [{ type: 'function', function: { name: 'f', description: 'd'.repeat(500) } }] });
    const { promptTokens, ...rest } = await quoteOne(request, deployment(), settings);
    expect(promptTokens).toBeGreaterThan(500);
    expect(rest).toEqual({
      basePicoUsd: BigInt(promptTokens) * 1_000_000n,
      perTokenPicoUsd: 6_000_000n,
      leastTokens: 100,
      mostTokens: 100,
    });
  });

  it.each([
    ['the client’s own cap, never lowered', { max_tokens: 9_000 }, 16_384, [9_000, 9_000]],
    ['a cap of exactly what the model gives', { max_tokens: 16_384 }, 16_384, [16_384, 16_384]],
    ['what the model gives, where the client asks for more', { max_tokens: 16_385 }, 16_384, [16_384, 16_384]],
    ['the same, however much more', { max_completion_tokens: Number.MAX_VALUE }, 300, [300, 300]],
    ['a small cap of the client’s', { max_completion_tokens: 1 }, 16_384, [1, 1]],
    ['else at least 256 and at most the default', {}, 16_384, [256, 4_096]],
    ['at most what the model gives', {}, 1_000, [256, 1_000]],
    ['all of it where that is less than 256', {}, 100, [100, 100]],
  ])('grants %s', async (_what, fields, maxOutputTokens, [least, most]) => {
    expect(await quoteOne(read(fields), deployment({ maxOutputTokens }), settings)).toMatchObject({ leastTokens: least, mostTokens: most });
  });

  it('takes the dearest of all candidates, rate by rate', async () => {
    const dearInput = deployment({ rateCard: rateCard({ input: 9_000_000n, output: 1n }) });
    const dearOutput = deployment({ rateCard: rateCard({ input: 1n, output: 9_000_000n }) });
    const { basePicoUsd, perTokenPicoUsd, promptTokens } = quoteNow(read(), [dearInput, dearOutput]);
    expect([basePicoUsd, perTokenPicoUsd]).toEqual([BigInt(promptTokens) * 9_000_000n, 9_000_000n]);
  });

  it('takes cache writes into account where they are dearer than input', async () => {
    const { basePicoUsd, promptTokens } = await quoteOne(read(), deployment({ rateCard: rateCard({ cacheWrite: 1_250_000n }) }), settings);
    expect(basePicoUsd).toBe(BigInt(promptTokens) * 1_250_000n);
  });

  it('counts images at the most the model can make of them, not by their bytes', async () => {
    const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(100_000)}` } };
    const { promptTokens } = await quoteOne(
      read({ messages: [{ role: 'user', content: [image, image] }] }),
      deployment({ imageTokens: 1_000 }),
      settings,
    );
    expect(promptTokens).toBeGreaterThanOrEqual(2_000);
    expect(promptTokens).toBeLessThan(2_500);
  });

  it('adds the markup, rounded up', async () => {
    const bare = await quoteOne(read(), deployment({ rateCard: rateCard({ output: 3n }) }), settings);
    const marked = await quoteOne(read(), deployment({ rateCard: rateCard({ output: 3n }) }), { ...settings, markupBasisPoints: 1_001n });
    expect(marked.perTokenPicoUsd).toBe(4n);
    expect(marked.basePicoUsd).toBe((bare.basePicoUsd * 11_001n + 9_999n) / 10_000n);
  });

  it('takes the rates of a long-context step as soon as the prompt may reach it', async () => {
    const dearer = rateCard({ input: 2_000_000n, output: 3_000_000n });
    const stepped = { ...rateCard(), steps: [{ ...dearer, fromTokens: 1_000 }] };
    const short = await quoteOne(read(), deployment({ rateCard: stepped }), settings);
    const long = await quoteOne(
      read({ messages: [{ role: 'user', content: 'x'.repeat(1_000) }] }),
      deployment({ rateCard: stepped }),
      settings,
    );
    expect([short.perTokenPicoUsd, long.perTokenPicoUsd]).toEqual([2_000_000n, 3_000_000n]);
    expect(long.basePicoUsd).toBe(BigInt(long.promptTokens) * 2_000_000n);
  });

  it.each([
    [-1, 2_000_000n],
    [0, 2_000_000n],
    [1, 1_000_000n],
  ])('takes the rates of a step that begins %i tokens from the prompt’s own count', (distance, inputRate) => {
    const { promptTokens } = quoteNow(read(), [deployment()]);
    const step = { ...rateCard({ input: 2_000_000n }), fromTokens: promptTokens + distance };
    const { basePicoUsd } = quoteNow(read(), [deployment({ rateCard: { ...rateCard(), steps: [step] } })]);
    expect(basePicoUsd).toBe(BigInt(promptTokens) * inputRate);
  });

  it('covers every bill that its prompt and cap allow, at every candidate, at and around each threshold', () => {
    const { promptTokens: ownTokens } = quoteNow(read({ n: 3, max_tokens: 100 }), [deployment()]);
    const around = (edge: number) => fc.constantFrom(-1, 0, 1).map((distance) => Math.max(1, edge + distance));
    const rate = fc.bigInt({ min: 0n, max: 100_000_000n });
    const rates = fc.record({ input: rate, output: rate, cacheRead: rate, cacheWrite: rate });
    const step = fc.tuple(rates, fc.oneof(around(ownTokens), fc.integer({ min: 1, max: 200 })));
    const candidate = fc.record({ rates, step, maxOutputTokens: fc.oneof(around(256), around(300), fc.integer({ min: 1, max: 20_000 })) });
    const share = fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true }));
    const drawn = fc.record({
      candidates: fc.array(candidate, { minLength: 1, maxLength: 3 }),
      n: fc.integer({ min: 1, max: 8 }),
      cap: fc.option(fc.oneof(around(1), around(256), around(300), fc.integer({ min: 1, max: 30_000 })), { nil: null }),
      markup: fc.oneof(fc.constantFrom(0n, 1n, 9_999n, 10_000n), fc.bigInt({ min: 0n, max: 50_000n })),
      shares: fc.tuple(share, share, share, share),
    });
    fc.assert(
      fc.property(drawn, ({ candidates, n, cap, markup, shares: [a, b, c, d] }) => {
        const deployments = candidates.map(({ rates: base, step: [dearer, fromTokens], maxOutputTokens }) =>
          deployment({ rateCard: { ...rateCard(base), steps: [{ ...rateCard(dearer), fromTokens }] }, maxOutputTokens }),
        );
        const request = read({ n, max_tokens: cap });
        const quoted = quoteNow(request, deployments, markup);
        const granted = quoted.leastTokens + Math.floor(a * (quoted.mostTokens - quoted.leastTokens));
        const promptTokens = Math.floor(b * quoted.promptTokens);
        const cacheRead = Math.floor(c * promptTokens);
        for (const one of deployments) {
          const sent = (JSON.parse(chatBodyFor(request, one, granted, '').toString()) as { max_tokens: number }).max_tokens;
          // Each takes the client's own cap, or the most that it can give.
          expect(sent).toBe(Math.min(cap ?? granted, one.maxOutputTokens));
          const cacheWrite = Math.floor(d * (promptTokens - cacheRead));
          const input = promptTokens - cacheRead - cacheWrite;
          const usage = { ...ZERO_USAGE, input, output: n * sent, cacheRead, cacheWrite };
          expect(costOfUsage(usage, one.rateCard, markup).totalPicoUsd <= costBound(quoted, granted)).toBe(true);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('the quote of several steps', () => {
  const rates = fc.record({ input: fc.bigInt(0n, 90_000_000n), output: fc.bigInt(0n, 90_000_000n) });
  const steps = fc.array(fc.record({ rates, most: fc.integer({ min: 1, max: 9_000 }), used: fc.double({ min: 0, max: 1, noNaN: true }) }), {
    minLength: 1,
    maxLength: 3,
  });

  it('covers what all of them together can cost, whatever is granted', () => {
    fc.assert(
      fc.property(steps, fc.bigInt(0n, 20_000n), fc.double({ min: 0, max: 1, noNaN: true }), (some, markup, share) => {
        const quotes = some.map((step) =>
          quoteNow(read(), [deployment({ rateCard: rateCard(step.rates), maxOutputTokens: step.most })], markup),
        );
        const sum = sumOfQuotes(quotes);
        const granted = sum.leastTokens + Math.floor(share * (sum.mostTokens - sum.leastTokens));
        const spent = some.map((step, index) => {
          const input = Math.floor(step.used * (quotes[index]?.promptTokens ?? 0));
          const usage = { ...ZERO_USAGE, input, output: Math.floor(step.used * Math.min(granted, step.most)) };
          return costOfUsage(usage, rateCard(step.rates), markup).totalPicoUsd;
        });
        expect(spent.reduce((total, one) => total + one, 0n)).toBeLessThanOrEqual(costBound(sum, granted));
      }),
    );
  });

  it('is that of a step where there is one, and takes a rate limit as often as there are steps', () => {
    const one = quoteNow(read({ max_tokens: 100 }), [deployment()]);
    expect(sumOfQuotes([one])).toEqual(one);
    expect(mostLimitedTokens(sumOfQuotes([one, one, one]), 2)).toBe(3 * mostLimitedTokens(one, 2));
    expect(mostLimitedTokens(one, 2)).toBe(one.promptTokens + 200);
  });
});
