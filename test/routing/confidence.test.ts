import { describe, expect, it } from '@jest/globals';
import { confidenceIn, type Expected } from '../../src/routing/confidence.ts';
import type { Completion, FinishReason } from '../../src/wires/answer.ts';
import type { Part } from '../../src/wires/generation.ts';

const THRESHOLD = 0.7;

const text = (words: string): Part => ({ type: 'text', text: words });
const call = (input: string, kind: 'function' | 'custom' = 'function'): Part => ({ type: 'tool_call', id: 'a', name: 'f', input, kind });
const said = (parts: Part | readonly Part[], reason: FinishReason = 'stop', logprobs?: unknown): Completion => ({
  index: 0,
  parts: [parts].flat(),
  finish: { reason },
  ...(logprobs !== undefined && { logprobs }),
});
const expected = (overrides: Partial<Expected> = {}): Expected => ({
  ...{ difficulty: 0.3, tier: 'cheap', wantsJson: false, mustCall: false },
  ...overrides,
});
const of = (completion: Completion, overrides: Partial<Expected> = {}) =>
  confidenceIn({ completions: [completion], usage: null }, expected(overrides));

const PLAIN =
  'Paris has been the capital of France since the tenth century. It lies on the Seine, and most of the offices of the state have their seat there. ' +
  'The parliament meets in the Palais Bourbon and the Palais du Luxembourg; the president lives in the Élysée.';
const CODE =
  'def merge(a, b):\n    out = []\n    while a and b:\n        out.append(a.pop(0) if a[0] <= b[0] else b.pop(0))\n    return out + a + b\n\n' +
  'def sort(list):\n    if len(list) < 2:\n        return list\n    half = len(list) // 2\n    return merge(sort(list[:half]), sort(list[half:]))\n';
const TABLE = `| n | n² | n³ |\n|---|---|---|\n${Array.from({ length: 12 }, (_none, n) => `| ${n} | ${n * n} | ${n ** 3} |`).join('\n')}`;

describe('an answer is trusted', () => {
  it.each<[string, Completion, Partial<Expected>?]>([
    ['in plain words', said(text(PLAIN))],
    ['in a word, to an easy question', said(text('Paris.')), { difficulty: 0.2 }],
    ['in code', said(text(CODE))],
    ['in a table', said(text(TABLE))],
    ['in another language', said(text('巴黎是法国的首都，位于塞纳河畔。它从十世纪起就是这个国家的政治、经济和文化中心。'))],
    ['about somebody else who is not sure', said(text(`The author writes that she was not sure of it. ${PLAIN}`))],
    ['about what a reader cannot do', said(text(`You cannot enter without a ticket, and nobody can. ${PLAIN}`))],
    ['as a call with arguments', said(call('{"city":"Paris"}'), 'tool_calls')],
    ['as a call without any', said(call(''), 'tool_calls')],
    ['as free text for a tool', said(call('*** Begin Patch', 'custom'), 'tool_calls')],
    ['as a call where one had to come', said(call('{}'), 'tool_calls'), { mustCall: true }],
    ['as JSON where it had to be', said(text('{"answer":"I cannot say"}')), { wantsJson: true }],
    ['by a better model to a hard question', said(text(PLAIN)), { difficulty: 0.9, tier: 'premium' }],
  ])('%s', (_what, completion, overrides = {}) => {
    expect(of(completion, overrides)).toBeGreaterThanOrEqual(THRESHOLD);
  });
});

describe('an answer is not trusted', () => {
  it.each<[string, Completion, Partial<Expected>?]>([
    ['that is none', said([])],
    ['of blanks', said(text(' \n'))],
    ['of thoughts alone', said({ type: 'reasoning', text: PLAIN })],
    ['that was cut off', said(text(PLAIN), 'length')],
    ['that a filter ended', said(text(PLAIN), 'content_filter')],
    ['that a model broke off', said(text(PLAIN), 'error')],
    ['that is a refusal', said({ type: 'refusal', text: 'No.' })],
    ['in prose where JSON had to be', said(text(PLAIN)), { wantsJson: true }],
    ['in half of a JSON text', said(text('{"a":')), { wantsJson: true }],
    ['in prose where a call had to come', said(text(PLAIN)), { mustCall: true }],
    ['with a call of broken arguments', said(call('{"city":'), 'tool_calls')],
    ['with a call of arguments that are none', said(call('[1]'), 'tool_calls')],
    ['that repeats itself', said(text(`${PLAIN} ${'and so on and on '.repeat(60)}`))],
    ['that repeats one letter', said(text('a'.repeat(400)))],
    ['in a word, to a hard question', said(text('42')), { difficulty: 0.9 }],
    ['by a small model to the hardest question', said(text(PLAIN)), { difficulty: 1 }],
    ...[
      "I'm not sure, but it may be Lyon.",
      'I don’t know. It could be Lyon.',
      "I might be wrong, but I'd guess Lyon.",
      "It's hard to say without more information.",
      'As an AI language model, I have no opinion on that.',
      "I'm sorry, but I can't help with that.",
      'I am unable to answer this question.',
      'I do not have access to the internet.',
      'Ich bin mir nicht sicher, vielleicht Lyon.',
      'Als KI kann ich das nicht beantworten.',
      'Es tut mir leid, dabei helfe ich nicht.',
      'Je ne sais pas exactement.',
      "En tant qu'IA, je n'ai pas d'avis.",
      'Je suis désolé, mais non.',
      'No estoy seguro, quizás Lyon.',
      'Lo siento, no puedo ayudar con eso.',
      'No sé cuál es.',
      'Não tenho certeza.',
      'Mi dispiace, non posso aiutarti.',
      'Ik weet het niet zeker.',
      'Я не уверен, возможно, Лион.',
      'К сожалению, я не могу ответить.',
      '我不确定，可能是里昂。',
      '抱歉，我无法回答这个问题。',
      '作为一个AI语言模型，我没有意见。',
      '申し訳ありませんが、お答えできません。',
      'よく分かりません。',
      '죄송합니다, 답변드릴 수 없습니다.',
      '잘 모르겠습니다.',
      'मुझे पता नहीं।',
      'لست متأكدا من ذلك.',
    ].map((words): [string, Completion] => [words, said(text(words))]),
  ])('%s', (_what, completion, overrides = {}) => {
    expect(of(completion, overrides)).toBeLessThan(THRESHOLD);
  });
});

describe('confidence', () => {
  const content = (...values: number[]) => ({ content: values.map((logprob) => ({ token: 'x', logprob })) });

  it.each<[string, unknown, number]>([
    ['certain tokens', content(0, 0, 0), 0.97],
    ['sure ones', content(Math.log(0.95), Math.log(0.95)), 0.92],
    ['their geometric mean', content(Math.log(0.9), Math.log(0.8)), 0.75],
    ['doubtful ones', content(Math.log(0.6), Math.log(0.6)), 0.3],
    ['guesses', content(-3, -5, -4), 0],
    ['those of a legacy completion, the first of which has none', { token_logprobs: [null, Math.log(0.95)] }, 0.92],
    ['those of a Responses answer', [{ token: 'x', logprob: Math.log(0.95) }], 0.92],
  ])('is that of log probabilities where there are any: %s', (_what, logprobs, confidence) => {
    // Neither the question nor the length counts then.
    expect(of(said(text('Paris.'), 'stop', logprobs), { difficulty: 0.9 })).toBeCloseTo(confidence, 1);
  });

  it('is not saved by sure tokens where the answer is at fault', () => {
    expect(of(said(text(PLAIN), 'length', content(0)))).toBeLessThan(THRESHOLD);
    expect(of(said(text("I'm sorry, but I can't help with that."), 'stop', content(0)))).toBeLessThan(THRESHOLD);
  });

  it.each<unknown>([null, {}, { content: [] }, { content: 'x' }, { content: [{ logprob: 'x' }, { logprob: NaN }, { logprob: 1 }] }])(
    'passes over log probabilities that are none: %j',
    (logprobs) => {
      expect(of(said(text(PLAIN), 'stop', logprobs))).toBe(of(said(text(PLAIN))));
    },
  );

  it('is that of the worst of several completions, and nothing without any', () => {
    const good = said(text(PLAIN));
    expect(confidenceIn({ completions: [good, said(text('')), good], usage: null }, expected())).toBe(0);
    expect(confidenceIn({ completions: [], usage: null }, expected())).toBe(0);
  });

  it('falls with the difficulty, and rises with the tier of who answers', () => {
    const by = (difficulty: number, tier: Expected['tier']) => of(said(text(PLAIN)), { difficulty, tier });
    for (const tier of ['cheap', 'mid', 'premium'] as const) {
      const fallen = [0, 0.25, 0.5, 0.75, 1].map((difficulty) => by(difficulty, tier));
      expect(fallen).toEqual(fallen.toSorted((a, b) => b - a));
      expect(new Set(fallen).size).toBe(fallen.length);
    }
    expect(by(0.8, 'cheap')).toBeLessThan(by(0.8, 'mid'));
    expect(by(0.8, 'mid')).toBeLessThan(by(0.8, 'premium'));
  });
});
