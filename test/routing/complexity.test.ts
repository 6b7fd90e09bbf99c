import { describe, expect, it } from '@jest/globals';
import { EASY_CHATS, HARD_CHATS } from '../../bench/router/chats.ts';
import { readChat } from '../support/chat-request.ts';
import { judge, judgePrompt, tiersFrom } from '../../src/routing/complexity.ts';

const user = (content: unknown) => ({ role: 'user', content });
const read = (fields: object) => readChat(JSON.stringify(fields));
const judged = (content: string, fields: object = {}) => judge(read({ messages: [user(content)], ...fields }));
const tool = { type: 'function', function: { name: 'f' } };
const proof = 'Prove the theorem step by step, then derive and compare the complexity of the algorithm:\n```\nfunction f() {}\n```';
const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } };

/** Chats by how much a better model gains on them: nothing, something, much. Each in several languages where words tell. */
const EASY = [
  'hi',
  'Thanks a lot!',
  'What is the capital of Brazil?',
  'Write a haiku about programming',
  'Tell me a joke',
  'Translate "good morning" into French.',
  'Compose a cheerful birthday poem for my grandmother.',
  'Pretend to be a pirate and tell me about your ship.',
  'Bonjour, comment vas-tu ?',
  'Übersetze das bitte ins Englische: Guten Morgen.',
  'Напиши короткий стих о зиме.',
  '请把这句话翻译成英文。',
  '冬についての俳句を書いてください。',
];
const HARDER = [
  'Write a Python function that merges overlapping intervals, and give its time complexity.',
  'Here is a function. Find the bug:\n```\nfor (let i = 0; i <= list.length; i++) {\n  sum += list[i];\n}\n```',
  'Anna sits next to Ben. Ben is to the left of Carla, whose brother sits between the two sisters. Who sits where? Explain your reasoning.',
  'Prove that there are infinitely many primes of the form 4k + 3.',
  'Solve the equation x^2 - 5x + 6 = 0 and prove that there are no other integers that do.',
  'Schreibe ein Python-Programm, das Primzahlen findet, und analysiere seine Laufzeit.',
  'Écris une fonction Python qui trie une liste, puis compare sa complexité à celle du tri rapide.',
  'Докажи, что корень из двух — иррациональное число, и сравни два доказательства.',
  '请用代码实现快速排序算法,并分析它的复杂度。',
  'クイックソートのコードを書いて、計算量を分析してください。',
];

describe('the difficulty of a prompt', () => {
  it('is less for every easy chat than for every harder one', () => {
    const hardest = Math.max(...EASY.map((text) => judgePrompt(text).difficulty));
    const easiest = Math.min(...HARDER.map((text) => judgePrompt(text).difficulty));
    expect(hardest).toBeLessThan(easiest);
  });

  it.each(Object.entries(HARD_CHATS))('is more for chats of %s than for nearly all easy ones', (_category, prompts) => {
    const easy = Object.values(EASY_CHATS).flatMap((some) => some.map((text) => judgePrompt(text).difficulty));
    const pairs = prompts.flatMap((text) => easy.map((one) => judgePrompt(text).difficulty > one));
    expect(pairs.filter(Boolean).length / pairs.length).toBeGreaterThan(0.95);
  });

  it.each([
    ['a bare word', 'a'.repeat(1_000_000)],
    ['brackets', '{(['.repeat(300_000)],
    ['digits', '12'.repeat(500_000)],
    ['spaces', ' '.repeat(1_000_000)],
    ['half a cue', 'write '.repeat(200_000)],
    ['cues', 'prove compare 1 + 1 = '.repeat(50_000)],
    ['nothing', ''],
    ['half a surrogate', '\ud800'.repeat(1000)],
  ])('is a chance for %s, however long', (_what, text) => {
    const { difficulty } = judgePrompt(text);
    expect(difficulty).toBeGreaterThan(0);
    expect(difficulty).toBeLessThan(1);
  });

  it('reads the beginning and the end of a long text', () => {
    const filling = 'It was a day like any other. '.repeat(1_000);
    const task = 'Write a Python program and prove that its algorithm is optimal, step by step.';
    const without = judgePrompt(filling).difficulty;
    expect(judgePrompt(`${task} ${filling}`).difficulty).toBeGreaterThan(without);
    expect(judgePrompt(`${filling} ${task}`).difficulty).toBeGreaterThan(without);
  });

  it.each([
    ['story', 'Tom has 3 boxes with 12 apples each. He eats half of them. How many apples are left?'],
    ['story', 'Marie a 12 pommes et 3 paniers. Combien de pommes par panier ?'],
    ['story', '小明有12个苹果,吃了3个,还剩多少个?'],
    ['choices', 'Which is a mammal?\nA. Trout\nB. Whale\nC. Crow\nD. Frog'],
    ['choices', 'Was ist ein Säugetier?\na) Forelle\nb) Wal\nc) Krähe'],
    ['open', 'Tell me about whales.'],
    ['open', 'How many lines has this?\n```\nconst a = 1;\nconst b = 2;\n```'],
  ])('takes for %s: %j', (shape, text) => {
    expect(judgePrompt(text).shape).toBe(shape);
  });
});

describe('the judgement of a request', () => {
  it.each([
    [
      'a system of many threads',
      { messages: [user('Design a concurrent system for a bank and prove rigorously that it has no deadlocks.')] },
      'premium',
    ],
    [
      'a long proof',
      { messages: [user('Prove by induction, rigorously and step by step, the theorem of the spectrum, and each lemma it needs.')] },
      'premium',
    ],
    ['a poem about code', { messages: [user('Write a haiku about programming')] }, 'cheap'],
    ['a common program', { messages: [user('Write Python code to sort a list')] }, 'cheap'],
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
    ['no user at all', { messages: [{ role: 'system', content: 'x' }] }, 'cheap'],
  ])('takes %s for a tier', (_what, fields, tier) => {
    expect(judge(read(fields)).tier).toBe(tier);
  });

  it.each([
    ['high', 'hi', 'mid', '; the quality asked for moves it one tier up'],
    ['low', 'hi', 'cheap', ''],
    ['high', proof, 'premium', ''],
    ['low', proof, 'mid', '; the quality asked for moves it one tier down'],
  ])('is moved by one tier for quality %s where there is one, and says so', (quality, content, tier, words) => {
    const judgement = judged(content, { routing: { quality } });
    expect(judgement.tier).toBe(tier);
    expect(judgement.reasoning).toBe(judged(content).reasoning + words);
  });

  it('never gets easier when tools, images, turns or a form of the answer are added', () => {
    const bare = judged(proof).difficulty;
    expect(judged(proof, { tools: [tool] }).difficulty).toBeGreaterThan(bare);
    expect(judged(proof, { response_format: { type: 'json_object' } }).difficulty).toBeGreaterThan(bare);
    expect(judge(read({ messages: [user([{ type: 'text', text: proof }, image])] })).difficulty).toBeGreaterThan(bare);
    expect(judge(read({ messages: [...Array.from({ length: 6 }, () => user('go on')), user(proof)] })).difficulty).toBeGreaterThan(bare);
  });

  it('is the surer the farther its difficulty is from even', () => {
    for (const text of [...EASY, ...HARDER]) {
      const { difficulty, confidence } = judged(text);
      expect(confidence).toBe(Math.max(difficulty, 1 - difficulty));
    }
    expect(judged('hi').confidence).toBeGreaterThan(0.85);
  });

  it('names what it found', () => {
    const three = 'Prove it step by step, in Rust:\n```\nfn main() {}\n```';
    expect(judged('Tell me the time').reasoning).toBe('A simple request of low complexity');
    expect(judged('Tell me a joke').reasoning).toBe('A request of low complexity: it asks for a text to be made up');
    expect(judged(three).reasoning).toBe('A request of high complexity: it holds code, it asks for code and it asks to reason');
    expect(judged('Tom has 3 apples and 4 pears. How many fruits has he?').reasoning).toBe('A calculation of low complexity');
    expect(judged('Which is a prime?\nA. 4\nB. 7\nC. 9\nD. 12').reasoning).toMatch(
      /^A question of \w+ complexity with answers to choose from$/,
    );
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
