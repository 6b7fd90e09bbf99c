import { expect, it } from '@jest/globals';
import { answerOfParts } from '../../src/wires/answer-of-parts.ts';
import type { StreamPart } from '../../src/wires/answer.ts';

const usage = { input: 3, cacheRead: 0, cacheWrite: 0, cacheWriteLong: 0, output: 2, reasoning: 0 };
const token = (logprob: number) => ({ token: 'x', logprob });

it('a stream comes to the answer that would have come in one piece', () => {
  const stream: StreamPart[] = [
    { type: 'start' },
    { type: 'block_start', block: 0, completion: 0, head: { type: 'reasoning' } },
    { type: 'delta', block: 0, text: 'Hm.' },
    { type: 'block_end', block: 0 },
    { type: 'block_start', block: 1, completion: 0, head: { type: 'text' } },
    { type: 'block_start', block: 2, completion: 1, head: { type: 'tool_call', id: 'a', name: 'f', kind: 'function' } },
    { type: 'delta', block: 1, text: 'It is ' },
    { type: 'delta', block: 2, text: '{"a"' },
    { type: 'logprobs', completion: 0, logprobs: { content: [token(-1)], refusal: null } },
    { type: 'delta', block: 1, text: 'Paris.' },
    { type: 'delta', block: 2, text: ':1}' },
    { type: 'logprobs', completion: 0, logprobs: { content: [token(-2)] } },
    // Of a block that nobody began.
    { type: 'delta', block: 9, text: 'lost' },
    { type: 'finish', completion: 0, finish: { reason: 'length' } },
    { type: 'usage', usage },
    { type: 'done' },
  ];
  expect(answerOfParts(stream)).toEqual({
    usage,
    completions: [
      {
        index: 0,
        parts: [
          { type: 'reasoning', text: 'Hm.' },
          { type: 'text', text: 'It is Paris.' },
        ],
        finish: { reason: 'length' },
        logprobs: { content: [token(-1), token(-2)] },
      },
      { index: 1, parts: [{ type: 'tool_call', id: 'a', name: 'f', kind: 'function', input: '{"a":1}' }], finish: { reason: 'stop' } },
    ],
  });
  expect(answerOfParts([])).toEqual({ usage: null, completions: [] });
});
