import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { StreamPart } from '../../../src/wires/answer.ts';
import { readAnswer } from '../../../src/wires/gemini-generate/answer.ts';
import { finishOf } from '../../../src/wires/gemini-generate/finish.ts';
import { PartialArgs } from '../../../src/wires/gemini-generate/partial-args.ts';
import { GeminiParts } from '../../../src/wires/gemini-generate/parts.ts';
import { geminiGenerateUpstream } from '../../../src/wires/gemini-generate/upstream.ts';
import { collectParts } from '../../support/collect-parts.ts';

type WirePart = Record<string, unknown>;

const response = (parts: WirePart[], more: object = {}, candidate: object = {}) => ({
  candidates: [{ content: { role: 'model', parts }, ...candidate }],
  responseId: 'r1',
  ...more,
});
const STOP = { finishReason: 'STOP' };

function stream(...responses: unknown[]): StreamPart[] {
  const reader = new GeminiParts();
  const bytes = responses.map((one) => `data: ${typeof one === 'string' ? one : JSON.stringify(one)}\r\n\r\n`).join('');
  return [...reader.push(Buffer.from(bytes)), ...reader.finish()];
}

describe('streams', () => {
  it('reads pieces of a kind as one block, and a signature as its end', () => {
    const { completions } = collectParts(
      stream(
        response([{ text: 'I ', thought: true }]),
        response([{ text: 'see.', thought: true }, { text: 'Yes' }]),
        response([{ text: ', sir.' }, { text: '', thoughtSignature: 'S' }, { text: 'And more.' }], {}, STOP),
      ),
    );
    expect(completions[0]?.parts).toEqual([
      { type: 'reasoning', text: 'I see.' },
      { type: 'text', text: 'Yes, sir.', signature: { wire: 'gemini-generate', value: 'S' } },
      { type: 'text', text: 'And more.' },
    ]);
  });

  it('goes on after a reason to end, as long as more comes, and tells the last one', () => {
    const { completions, done } = collectParts(
      stream(response([{ text: 'a' }], {}, STOP), response([{ text: 'b' }], {}, { finishReason: 'MAX_TOKENS' })),
    );
    expect(completions).toEqual([{ index: 0, parts: [{ type: 'text', text: 'ab' }], finish: { reason: 'length', native: 'MAX_TOKENS' } }]);
    expect(done).toBe(true);
  });

  it.each([
    ['an error', { error: { code: 503, message: 'overloaded' } }],
    ['a list of one', [{ error: { code: 503, message: 'overloaded' } }]],
  ])('fails at %s after some text, and reads no further', (_, failing) => {
    const parts = stream(response([{ text: 'a' }]), failing, response([{ text: 'b' }], {}, STOP));
    expect(parts.at(-1)).toEqual({ type: 'failed', failure: { code: 503, message: 'overloaded' } });
    expect(parts.filter(({ type }) => type === 'delta')).toHaveLength(1);
  });

  it('passes over what is no response', () => {
    const { completions, done } = collectParts(stream('[DONE]', 'null', '{"candidates":', '', response([{ text: 'a' }], {}, STOP), '42'));
    expect(completions[0]?.parts).toEqual([{ type: 'text', text: 'a' }]);
    expect(done).toBe(true);
  });

  it('ends a prompt that was blocked as filtered, at no cost where none is told', () => {
    const blocked = { promptFeedback: { blockReason: 'SAFETY' } };
    const { completions, usage, done } = collectParts(stream(blocked));
    expect(completions).toEqual([{ index: 0, parts: [], finish: { reason: 'content_filter', native: 'SAFETY' } }]);
    expect([usage?.input, usage?.output, done]).toEqual([0, 0, true]);
    const counted = collectParts(stream({ ...blocked, usageMetadata: { promptTokenCount: 9, totalTokenCount: 9 } }));
    expect([counted.usage?.input, counted.usage?.output]).toEqual([9, 0]);
  });

  it('keeps completions apart, and is whole only where each of them is', () => {
    const candidate = (index: number, text: string, more: object = {}) => ({ index, content: { parts: [{ text }] }, ...more });
    const both = (one: object, other: object) => ({ responseId: 'r', candidates: [one, other] });
    const whole = collectParts(stream(both(candidate(0, 'a'), candidate(1, 'x')), both(candidate(1, 'y', STOP), candidate(0, 'b', STOP))));
    expect(whole.completions.map(({ index, parts }) => [index, parts])).toEqual([
      [0, [{ type: 'text', text: 'ab' }]],
      [1, [{ type: 'text', text: 'xy' }]],
    ]);
    expect(collectParts(stream(both(candidate(0, 'a', STOP), candidate(1, 'x')))).done).toBe(false);
  });

  it('keeps numbers in arguments as they were written', () => {
    const call =
      '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"id":12345678901234567890}}}]},"finishReason":"STOP"}]}';
    expect(collectParts(stream(call)).completions[0]?.parts).toMatchObject([{ input: '{"id":12345678901234567890}' }]);
  });

  it('is never asked for a client of its own wire', () => {
    expect(() => geminiGenerateUpstream.reader({ requestId: '', model: '', created: 0, promptTokens: 0 })).toThrow('no client speaks');
  });
});

describe('ids of calls', () => {
  const idsOf = (body: unknown) =>
    readAnswer(body)
      .answer()
      .completions[0]?.parts.map((part) => (part.type === 'tool_call' ? part.id : ''));
  const call = (id?: string): WirePart => ({ functionCall: { name: 'now', args: {}, ...(id !== undefined && { id }) } });

  it('are the same however an answer is read, and others in the next turn that calls the same', () => {
    const body = response([call(), call()], {}, STOP);
    const streamed = collectParts(stream(response([call()]), response([call()], {}, STOP)));
    const ids = idsOf(body);
    expect(streamed.completions[0]?.parts.map((part) => (part as { id: string }).id)).toEqual(ids);
    expect(new Set([...(ids ?? []), ...(idsOf({ ...body, responseId: 'r2' }) ?? [])]).size).toBe(4);
  });

  it('are unlike where answers have no ids of their own, and stay the same within one', () => {
    const body = { candidates: response([call()], {}, STOP).candidates };
    const read = readAnswer(body);
    expect(read.answer()).toEqual(read.answer());
    expect(idsOf(body)).not.toEqual(idsOf(body));
  });

  it('are the model’s own, but for one that it gave twice', () => {
    expect(idsOf(response([call('a'), call('a'), call('')], {}, STOP))).toEqual(['a', ...Array(2).fill(expect.stringMatching(/^gcall_/))]);
  });
});

describe('arguments in pieces', () => {
  const put = (...pieces: object[]): string => {
    const args = new PartialArgs();
    for (const piece of pieces) args.add([piece]);
    return args.text();
  };

  it('go to their places, texts going on where they left off', () => {
    const text = put(
      { jsonPath: '$.city', stringValue: 'Ber', willContinue: true },
      { jsonPath: '$.city', stringValue: 'lin' },
      { jsonPath: '$.days[0].rain', boolValue: false },
      { jsonPath: '$.days[1].rain', nullValue: 'NULL_VALUE' },
      { jsonPath: "$['a b'].c", numberValue: 1.5 },
      { jsonPath: '$.__proto__', stringValue: 'plain' },
    );
    expect(text).toBe('{"city":"Berlin","days":[{"rain":false},{"rain":null}],"a b":{"c":1.5},"__proto__":"plain"}');
  });

  it.each([['$'], ['city'], ['$..'], ['$[99999].a'], ['$[0]'], [`$${'.a'.repeat(40)}`], [42]])('pass over a place like %p', (jsonPath) => {
    expect(put({ jsonPath, stringValue: 'a' })).toBe('');
  });

  it('never fail, whatever the pieces are', () => {
    const path = fc.array(fc.constantFrom('.a', '[0]', "['b']", '.', '[', 'x')).map((steps) => `$${steps.join('')}`);
    const pieces = fc.array(fc.record({ jsonPath: path, stringValue: fc.option(fc.string()), numberValue: fc.double() }));
    fc.assert(fc.property(pieces, (given) => expect(() => JSON.parse(put(...given) || '{}') as unknown).not.toThrow()));
  });
});

describe('the end of a completion', () => {
  it.each([
    ['STOP', false, 'stop'],
    ['STOP', true, 'tool_calls'],
    [null, true, 'tool_calls'],
    ['MAX_TOKENS', true, 'length'],
    ['CONTINUATION', false, 'length'],
    ['SPII', false, 'content_filter'],
    ['IMAGE_SOMETHING_NEW', false, 'content_filter'],
    ['MALFORMED_FUNCTION_CALL', false, 'error'],
    ['SOMETHING_NEW', false, 'error'],
  ] as const)('%s (with calls: %p) is %s', (native, callsTools, reason) => {
    expect(finishOf(native, callsTools).reason).toBe(reason);
  });
});

it('reads the same from a body and from its stream, however the parts are dealt out', () => {
  const part = fc.oneof(
    fc.record({ text: fc.constantFrom('', 'a', 'b '), thought: fc.boolean() }),
    fc.record({ text: fc.constantFrom('', 'c'), thoughtSignature: fc.constantFrom('S', 'T') }),
    fc.record({
      functionCall: fc.record({ name: fc.constantFrom('f', 'g'), args: fc.dictionary(fc.constantFrom('x', 'y'), fc.integer()) }),
    }),
  );
  fc.assert(
    fc.property(fc.array(fc.array(part, { maxLength: 4 }), { minLength: 1, maxLength: 5 }), (chunks) => {
      const streamed = collectParts(stream(...chunks.map((parts) => response(parts)), response([], {}, STOP)));
      expect(streamed.completions).toEqual(readAnswer(response(chunks.flat(), {}, { index: 0, ...STOP })).answer().completions);
    }),
  );
});
