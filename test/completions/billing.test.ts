import { describe, expect, it } from '@jest/globals';
import { outcomeOf } from '../../src/completions/billing.ts';
import type { UnderWay } from '../../src/completions/call.ts';
import type { Outcome } from '../../src/metering/billed-usage.ts';
import type { Deployment } from '../../src/models/deployment.ts';
import { chatCandidate, readChat } from '../support/chat-request.ts';
import { deployment, rateCard } from '../support/deployment.ts';

describe('the facts of a bill', () => {
  const IMAGE = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
  const words = [{ role: 'user', content: 'hi' }];
  const factsOf = (members: object, overrides: Partial<Deployment> = {}, holdTokens = 100): Outcome => {
    const request = readChat(JSON.stringify({ messages: words, ...members }));
    const underWay = { call: { request }, grant: { hold: { tokens: holdTokens } } } as unknown as UnderWay;
    const candidate = chatCandidate(request, deployment(overrides));
    return outcomeOf(underWay, { candidate, dispatchedAt: performance.now(), kind: 'client_gone' });
  };

  it('count every image apiece, whatever its bytes', async () => {
    const withImages = (count: number) => ({ messages: [{ role: 'user', content: Array.from({ length: count }, () => IMAGE) }] });
    const counts = await Promise.all([0, 1, 3].map(async (count) => factsOf(withImages(count)).promptTokens()));
    expect((counts[1] ?? 0) - (counts[0] ?? 0)).toBeGreaterThanOrEqual(1_000);
    expect((counts[2] ?? 0) - (counts[0] ?? 0)).toBeGreaterThanOrEqual(3_000);
    const [free, plain] = await Promise.all([null, 500].map(async (imageTokens) => factsOf(withImages(2), { imageTokens }).promptTokens()));
    expect((plain ?? 0) - (free ?? 0)).toBe(1_000);
  });

  it('allow every completion the cap that went upstream', () => {
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
