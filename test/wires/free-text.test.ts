import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Answer, StreamPart } from '../../src/wires/answer.ts';
import { CustomCalls, withCustomCalls } from '../../src/wires/custom-calls.ts';
import { asFunctions, FreeText, freeTextOf } from '../../src/wires/free-text.ts';
import { generation } from '../support/generation.ts';

function streamed(pieces: readonly string[]): string {
  const text = new FreeText();
  return pieces.map((piece) => text.push(piece)).join('') + text.end();
}

function cut(text: string, at: readonly number[]): string[] {
  const ends = [...at.map((one) => one % (text.length + 1)), text.length].sort((a, b) => a - b);
  return ends.map((end, index) => text.slice(index === 0 ? 0 : ends[index - 1], end));
}

const CASES: readonly [says: string, input: string, text: string][] = [
  ['a text', '{"input":"*** Begin"}', '*** Begin'],
  ['no text', '{"input":""}', ''],
  ['blanks around', ' {\n "input" : "a" \n} ', 'a'],
  ['every escape', String.raw`{"input":"\"\\\/\b\f\n\r\té"}`, '"\\/\b\f\n\r\té'],
  ['a pair of escapes', String.raw`{"input":"😀"}`, '😀'],
  ['half a pair', String.raw`{"input":"\ud83d"}`, '\ud83d'],
  ['a text that was cut off', '{"input":"abc', 'abc'],
  ['an escape that was cut off', String.raw`{"input":"abc\u00`, String.raw`abc\u00`],
  ['an escape that is none', String.raw`{"input":"\d+"}`, String.raw`\d+`],
  ['a line break as it is', '{"input":"a\nb"}', 'a\nb'],
  ['a text before other members', '{"input":"a","other":1}', 'a'],
  ['a text behind other members', '{"other":1,"input":"a"}', 'a'],
  ['a text behind many blanks', `{${' '.repeat(100)}"input":"a"}`, 'a'],
  ['another member', '{"text":"a"}', '{"text":"a"}'],
  ['no string', '{"input":1}', '{"input":1}'],
  ['no object', '["input"]', '["input"]'],
  ['no JSON', '*** Begin Patch', '*** Begin Patch'],
  ['nothing', '', ''],
  ['no member', '{}', '{}'],
];

describe('free text in arguments', () => {
  it.each(CASES)('%s', (_says, input, text) => {
    expect(freeTextOf(input)).toBe(text);
    expect(streamed(input.split(''))).toBe(text);
  });

  it('is what was written, in whatever pieces it comes', () => {
    const strings = fc.string({
      unit: fc.oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), fc.constantFrom('"', '\\', '\n', '}', '\ud83d')),
    });
    fc.assert(
      fc.property(strings, fc.boolean(), fc.array(fc.nat(400), { maxLength: 8 }), (text, isAscii, at) => {
        const json = JSON.stringify({ input: text });
        const escaped = isAscii ? json.replace(/[^\0-~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`) : json;
        expect(streamed(cut(escaped, at))).toBe(text);
      }),
    );
  });

  it('is the same in pieces and as a whole, whatever it is', () => {
    const unit = fc.constantFrom('{', '"', 'input', ':', ' ', '\\', 'u', '0', 'd83d', '}', 'a', '\n', ',', '1', '{"input":"');
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 40 }), fc.array(fc.nat(400), { maxLength: 8 }), (text, at) => {
        expect(streamed(cut(text, at))).toBe(freeTextOf(text));
      }),
    );
  });

  it('never hands on half a character before the other half', () => {
    const text = new FreeText();
    expect(text.push(String.raw`{"input":"a\ud83d`)).toBe('a');
    expect(text.push(String.raw`\ude00b`)).toBe('😀b');
  });
});

describe('a request with tools for free text', () => {
  const grammar = { syntax: 'lark', definition: 'start: "a"' };
  const asked = generation({
    tools: [
      { kind: 'function', name: 'f', parameters: { type: 'object' } },
      { kind: 'custom', name: 'patch', description: 'd', grammar },
    ],
    messages: [
      {
        role: 'assistant',
        parts: [
          { type: 'text', text: 't' },
          { type: 'tool_call', id: 'c0', name: 'f', input: '{"a":1}', kind: 'function' },
          { type: 'tool_call', id: 'c1', name: 'patch', input: '{"a":1}', kind: 'custom' },
        ],
      },
    ],
  });

  it('is one with functions of one string', () => {
    const { tools, messages } = asFunctions(asked);
    const description = `Free text, by this grammar: ${JSON.stringify(grammar)}`;
    expect(tools).toEqual([
      asked.tools[0],
      {
        kind: 'function',
        name: 'patch',
        description: 'd',
        parameters: { type: 'object', properties: { input: { type: 'string', description } }, required: ['input'] },
      },
    ]);
    expect(messages[0]?.parts).toEqual([
      ...(asked.messages[0]?.parts.slice(0, 2) ?? []),
      { type: 'tool_call', id: 'c1', name: 'patch', input: String.raw`{"input":"{\"a\":1}"}`, kind: 'function' },
    ]);
    expect(asFunctions(asked)).toBe(asFunctions(asked));
  });
});

describe('calls of tools for free text', () => {
  const TOOLS = new Set(['patch']);
  const call = (block: number, name: string, kind: 'function' | 'custom', pieces: readonly string[]): StreamPart[] => [
    { type: 'block_start', block, completion: 0, head: { type: 'tool_call', id: `c${block}`, name, kind } },
    ...pieces.map((text): StreamPart => ({ type: 'delta', block, text })),
    { type: 'block_end', block },
  ];

  it('come as the client declared them, piece by piece', () => {
    const calls = new CustomCalls(TOOLS);
    const parts = [
      ...call(0, 'f', 'function', ['{"input":', '"a"}']),
      ...call(1, 'patch', 'function', ['{"inp', 'ut":"a\\', 'nb', 'c"', '}']),
      ...call(2, 'patch', 'custom', ['{"input":"a"}']),
      ...call(3, 'patch', 'function', ['{"text":', '1}']),
    ];
    expect(parts.flatMap((part) => calls.read([part]))).toEqual([
      ...call(0, 'f', 'function', ['{"input":', '"a"}']),
      ...call(1, 'patch', 'custom', ['a', '\nb', 'c']),
      ...call(2, 'patch', 'custom', ['{"input":"a"}']),
      ...call(3, 'patch', 'custom', ['{"text":1}']),
    ]);
    expect(new CustomCalls(new Set()).read(parts)).toBe(parts);
  });

  it('come so in a whole answer too', () => {
    const part = { type: 'tool_call', id: 'c', name: 'patch', kind: 'function', input: '{"input":"a"}' } as const;
    const other = { ...part, name: 'f' };
    const answer: Answer = { completions: [{ index: 0, parts: [part, other], finish: { reason: 'tool_calls' } }], usage: null };
    expect(withCustomCalls(answer, TOOLS).completions[0]?.parts).toEqual([{ ...part, kind: 'custom', input: 'a' }, other]);
    expect(withCustomCalls(answer, new Set())).toBe(answer);
  });
});
