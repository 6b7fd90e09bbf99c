import { expect, it } from '@jest/globals';
import { plainAnswer, plainChat } from '../../../src/wires/openai-chat/plain-chat.ts';

const answered = (content: unknown, usage?: object, more = {}) => ({ choices: [{ index: 0, message: { content, ...more } }], usage });

it.each<[string, object, { text: string; promptTokens: number; completionTokens: number }]>([
  [
    'text, and its tokens',
    answered('Hello.', { prompt_tokens: 7, completion_tokens: 2 }),
    { text: 'Hello.', promptTokens: 7, completionTokens: 2 },
  ],
  [
    'a prompt that was read from a cache in part',
    answered('Hello.', { prompt_tokens: 7, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 4 } }),
    { text: 'Hello.', promptTokens: 7, completionTokens: 2 },
  ],
  [
    'text in pieces',
    answered([
      { type: 'text', text: 'He' },
      { type: 'text', text: 'llo.' },
    ]),
    { text: 'Hello.', promptTokens: 0, completionTokens: 0 },
  ],
  ['a refusal', answered(null, undefined, { refusal: 'No.' }), { text: 'No.', promptTokens: 0, completionTokens: 0 }],
  ['nothing', answered(null), { text: '', promptTokens: 0, completionTokens: 0 }],
  ['no completion', { choices: [] }, { text: '', promptTokens: 0, completionTokens: 0 }],
  ['no answer', {}, { text: '', promptTokens: 0, completionTokens: 0 }],
])('reads %s', (_what, body, expected) => {
  expect(plainAnswer(body)).toEqual(expected);
});

it('asks one question, whose answer comes in one piece', () => {
  expect(plainChat('auto', 'hello?')).toEqual({ model: 'auto', messages: [{ role: 'user', content: 'hello?' }], stream: false });
});
