import { expect, it } from '@jest/globals';
import { ownCount } from '../../src/metering/own-count.ts';

it.each([
  ['the tokenizer’s own', 'o200k_base', 1, 100],
  ['half of what a factor adds', 'o200k_base', 1.6, 130],
  ['half of what a larger one adds', 'o200k_base', 2, 150],
  ['a quarter of the bytes, of whatever family', 'bytes', 2, 50],
] as const)('counts %s', async (_what, tokenizer, tokenFactor, tokens) => {
  expect(await ownCount(' a'.repeat(100), { tokenizer, tokenFactor })).toBe(tokens);
});
