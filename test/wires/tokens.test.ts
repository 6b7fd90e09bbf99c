import { beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { encode } from 'gpt-tokenizer/encoding/o200k_base';
import { countOutputTokens, loadTokenizer, promptTokenBound } from '../../src/wires/tokens.ts';

const TEMPLATE_TOKENS = 64;

beforeAll(async () => {
  await loadTokenizer('o200k_base');
  await loadTokenizer('cl100k_base');
  await loadTokenizer('bytes');
});

describe('the bound of a prompt', () => {
  it.each(['o200k_base', 'cl100k_base'] as const)('is close to the exact count of %s, and never under it', (tokenizer) => {
    const text = JSON.stringify({ messages: [{ role: 'user', content: 'The quick brown fox jumps over the lazy dog, twice.' }] });
    const bound = promptTokenBound(text, tokenizer);
    const exact = encode(text).length;
    expect(bound).toBeGreaterThanOrEqual(exact);
    expect(bound).toBeLessThanOrEqual(exact + TEMPLATE_TOKENS + 2);
  });

  it('covers the exact count of the words that it escapes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 600 }), async (content) => {
        const bound = await promptTokenBound(JSON.stringify({ messages: [{ role: 'user', content }] }), 'o200k_base');
        expect(bound).toBeGreaterThanOrEqual(encode(content, { disallowedSpecial: new Set() }).length);
      }),
    );
  });

  it('takes special tokens for the text they are', () => {
    expect(promptTokenBound('<|endoftext|><|im_start|>', 'o200k_base')).toBeGreaterThan(TEMPLATE_TOKENS + 5);
  });

  it.each([
    ['spaces', ' '],
    ['one letter', 'a'],
    ['digits', '7'],
    ['line ends', '\n'],
    ['emoji', '👩‍👩‍👧'],
  ])('takes no time for a run of 200,000 %s', async (_what, unit) => {
    const started = performance.now();
    await promptTokenBound(unit.repeat(200_000), 'o200k_base');
    await promptTokenBound(unit.repeat(Math.floor(131_072 / unit.length)), 'o200k_base');
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it('lets others work while it counts a long text', async () => {
    const text = Array.from({ length: 6_000 }, (_, index) => (index * 7919).toString(36))
      .join(' ')
      .slice(0, 32_000);
    let turns = 0;
    const bound = promptTokenBound(text, 'o200k_base');
    expect(bound).toBeInstanceOf(Promise);
    const count = (): void => {
      turns += 1;
      if (!settled) setImmediate(count);
    };
    let settled = false;
    setImmediate(count);
    expect(await bound).toBeGreaterThan(encode(text).length);
    settled = true;
    expect(turns).toBeGreaterThan(5);
  });

  it('is the bytes where the tokenizer is unknown, or the text very long', async () => {
    expect(promptTokenBound('häh', 'bytes')).toBe(4 + TEMPLATE_TOKENS);
    expect(promptTokenBound('ab'.repeat(100_000), 'o200k_base')).toBe(200_000 + TEMPLATE_TOKENS);
    expect(promptTokenBound('ab'.repeat(100_000), 'o200k_base', 2)).toBe(200_000 + TEMPLATE_TOKENS);
    // Short to OpenAI's tokenizer alone.
    expect(await promptTokenBound(' '.repeat(6_000), 'o200k_base', 1.5)).toBe(2_000 + TEMPLATE_TOKENS);
  });
});

describe('our own count of an output', () => {
  it('is exact for OpenAI’s tokenizers', async () => {
    const text = 'Counting is what a meter does, one token after the other. '.repeat(4);
    expect(await countOutputTokens(text, 'o200k_base')).toBe(encode(text).length);
  });

  it('is a quarter of the bytes elsewhere, and something for anything', () => {
    expect(countOutputTokens('12345678', 'bytes')).toBe(2);
    expect(countOutputTokens('1', 'bytes')).toBe(1);
    expect(countOutputTokens('', 'bytes')).toBe(0);
  });
});
