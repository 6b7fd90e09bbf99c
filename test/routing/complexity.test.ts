import { describe, expect, it } from '@jest/globals';
import { readChat } from '../support/chat-request.ts';
import { complexityScore, complexityTier, tiersFrom } from '../../src/routing/complexity.ts';

const user = (content: string) => ({ role: 'user', content });
const read = (fields: object) => readChat(JSON.stringify(fields));
const tool = { type: 'function', function: { name: 'f' } };
const proof = 'Prove the theorem step by step, then derive and compare the complexity of the algorithm:\n```\nfunction f() {}\n```';

describe('the complexity of a request', () => {
  it.each([
    ['small talk', { messages: [user('hi')] }, 'cheap'],
    ['a question in a sentence', { messages: [user('What is the capital of France?')] }, 'cheap'],
    ['code with a task', { messages: [user('Refactor this:\n```\nconst a = 1;\n```')] }, 'mid'],
    ['a long document', { messages: [user('word '.repeat(8_000))] }, 'mid'],
    ['a proof about code', { messages: [user(proof)], tools: [tool] }, 'premium'],
    [
      'a long conversation with tools about a proof',
      { messages: [...Array.from({ length: 12 }, () => user('and then?')), user(proof)], tools: [tool] },
      'premium',
    ],
  ])('takes %s for %s', (_what, fields, tier) => {
    expect(complexityTier(read(fields))).toBe(tier);
  });

  it.each([
    ['high', 'hi', 'mid'],
    ['low', 'hi', 'cheap'],
    ['high', proof, 'premium'],
    ['low', proof, 'cheap'],
  ])('moves by one tier for quality %s', (quality, content, tier) => {
    expect(complexityTier(read({ messages: [user(content)], routing: { quality } }))).toBe(tier);
  });

  it('never falls when tools, images or turns are added', () => {
    const bare = complexityScore(read({ messages: [user(proof)] }));
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } };
    expect(complexityScore(read({ messages: [user(proof)], tools: [tool] }))).toBeGreaterThan(bare);
    expect(complexityScore(read({ messages: [{ role: 'user', content: [{ type: 'text', text: proof }, image] }] }))).toBeGreaterThan(bare);
    expect(complexityScore(read({ messages: [...Array.from({ length: 6 }, () => user('go on')), user(proof)] }))).toBeGreaterThan(bare);
  });

  it('judges a conversation that ends with no user at all', () => {
    expect(complexityTier(read({ messages: [{ role: 'system', content: 'x' }] }))).toBe('cheap');
  });
});

describe('the tiers to try', () => {
  it.each([
    ['cheap', ['cheap', 'mid', 'premium']],
    ['mid', ['mid', 'cheap', 'premium']],
    ['premium', ['premium', 'mid', 'cheap']],
  ] as const)('for %s go down before they go up', (tier, order) => {
    expect(tiersFrom(tier)).toEqual(order);
  });
});
