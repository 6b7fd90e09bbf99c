import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { costBound, quote, quoteOne } from '../../src/completions/quote.ts';
import { parseChatRequest } from '../../src/completions/request.ts';
import { costOf } from '../../src/pricing/cost.ts';
import { ZERO_USAGE } from '../../src/pricing/rate-card.ts';
import { deployment, rateCard } from '../support/deployment.ts';

const settings = { defaultMaxTokens: 4_096, markupBasisPoints: 0n };
const read = (fields: object = {}) =>
  parseChatRequest(Buffer.from(JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], ...fields })), { streamDefault: false });

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
    const { basePicoUsd, perTokenPicoUsd, promptTokens } = await quote(read(), [dearInput, dearOutput], settings);
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

  it('covers every bill that its prompt and cap allow, at every candidate', () => {
    const rate = fc.bigInt({ min: 0n, max: 100_000_000n });
    const card = fc.record({ input: rate, output: rate, cacheRead: rate, cacheWrite: rate }).chain((rates) =>
      fc
        .record({ input: rate, output: rate, cacheRead: rate, cacheWrite: rate, fromTokens: fc.integer({ min: 1, max: 200 }) })
        .map((step) => ({
          ...rateCard(rates),
          steps: [{ ...rateCard(step), fromTokens: step.fromTokens }],
        })),
    );
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(card, { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 8 }),
        fc.bigInt({ min: 0n, max: 50_000n }),
        share,
        share,
        share,
        share,
        (cards, n, markup, a, b, c, d) => {
          const quoted = quote(
            read({ n }),
            cards.map((one) => deployment({ rateCard: one })),
            { ...settings, markupBasisPoints: markup },
          );
          if (quoted instanceof Promise) throw new Error('small requests are quoted at once');
          const granted = quoted.leastTokens + Math.floor(a * (quoted.mostTokens - quoted.leastTokens));
          const promptTokens = Math.floor(b * quoted.promptTokens);
          const cachedTokens = Math.floor(c * promptTokens);
          const usage = {
            ...ZERO_USAGE,
            promptTokens,
            completionTokens: n * granted,
            cachedTokens,
            cacheWriteTokens: Math.floor(d * (promptTokens - cachedTokens)),
          };
          for (const one of cards) expect(costOf(usage, one, markup).totalPicoUsd <= costBound(quoted, granted)).toBe(true);
        },
      ),
    );
  });
});
