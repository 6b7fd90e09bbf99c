import { expect, it } from '@jest/globals';
import type { Content, Part as WirePart } from '@google/genai';
import fc from 'fast-check';
import type { Message, Part } from '../../../src/wires/generation.ts';
import { geminiGenerateUpstream } from '../../../src/wires/gemini-generate/upstream.ts';
import { inferenceRequest, target } from '../../support/generation.ts';

const text: fc.Arbitrary<Part> = fc.record({ type: fc.constant('text'), text: fc.constantFrom('', 'a', '{"a":1}') });
const signature = fc.option(
  fc.record({ wire: fc.constantFrom('gemini-generate', 'anthropic-messages'), value: fc.constantFrom('S', 'T') }),
  {
    nil: undefined,
  },
);
const reasoning = fc.record({ type: fc.constant('reasoning'), text: fc.constantFrom('', 'b'), signature }) as fc.Arbitrary<Part>;

/** A step of a conversation: words of either side, instructions, or calls with their results. */
const words = fc.record({
  role: fc.constantFrom('user', 'assistant', 'system'),
  parts: fc.array(text, { maxLength: 3 }),
}) as fc.Arbitrary<Message>;
const calls = fc
  .record({
    asked: text,
    before: fc.array(fc.oneof(text, reasoning), { maxLength: 2 }),
    made: fc.array(
      fc.record({ name: fc.constantFrom('f', 'g'), input: fc.constantFrom('', '{"a":1}', '{"a', '[1]'), signature, value: fc.string() }),
      {
        minLength: 1,
        maxLength: 3,
      },
    ),
    isMessageEach: fc.boolean(),
    isReversed: fc.boolean(),
    after: fc.array(text, { maxLength: 1 }),
  })
  .map(({ asked, before, made, isMessageEach, isReversed, after }): Message[] => {
    const ids = made.map((_, index) => `id-${index}`);
    const results = made.map(({ value }, index): Part => {
      return { type: 'tool_result', callId: ids[index] ?? '', isError: false, parts: [{ type: 'text', text: value }] };
    });
    const ordered = isReversed ? results.toReversed() : results;
    const answers: Part[][] = isMessageEach ? ordered.map((one) => [one]) : [ordered];
    return [
      { role: 'user', parts: [asked] },
      {
        role: 'assistant',
        parts: [
          ...before,
          ...made.map(({ name, input, signature: proof }, index): Part => {
            return { type: 'tool_call', id: ids[index] ?? '', name, input, kind: 'function', ...(proof && { signature: proof }) };
          }),
        ],
      },
      ...answers.map((parts): Message => ({ role: 'user', parts })),
      { role: 'user', parts: after },
    ];
  });
const conversation = fc
  .array(
    fc.oneof(
      words.map((one) => [one]),
      calls,
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((steps) => [...steps.flat(), { role: 'user', parts: [{ type: 'text', text: 'end' }] } satisfies Message]);

const MEMBERS = new Set(['text', 'thought', 'thoughtSignature', 'functionCall', 'functionResponse']);
const callsOf = ({ parts = [] }: Content): WirePart[] => parts.filter(({ functionCall }) => functionCall);
const responsesOf = ({ parts = [] }: Content): WirePart[] => parts.filter(({ functionResponse }) => functionResponse);

it('says any conversation as the API wants it', () => {
  fc.assert(
    fc.property(conversation, (messages) => {
      const request = inferenceRequest({ messages });
      expect(geminiGenerateUpstream.obstacle(request, target())).toBeNull();
      const { contents } = JSON.parse(geminiGenerateUpstream.render(request, target()).body(1, '').toString()) as { contents: Content[] };
      expect(contents.map(({ role }) => role)).toEqual(contents.map((_, index) => (index % 2 === 0 ? 'user' : 'model')));
      for (const [index, content] of contents.entries()) {
        const parts = content.parts ?? [];
        expect(parts).not.toEqual([]);
        expect(parts.flatMap((part) => Object.keys(part)).filter((name) => !MEMBERS.has(name))).toEqual([]);
        // An empty text is one that only carries a signature.
        expect(parts.filter((part) => part.text === '' && !part.thoughtSignature)).toEqual([]);
        const [first] = callsOf(content);
        expect(first === undefined || typeof first.thoughtSignature === 'string').toBe(true);
        const names = callsOf(content).map(({ functionCall }) => [functionCall?.id, functionCall?.name]);
        const answered = contents[index + 1] ? responsesOf(contents[index + 1] as Content) : [];
        expect(answered.map(({ functionResponse }) => [functionResponse?.id, functionResponse?.name])).toEqual(names);
        expect(parts.slice(0, responsesOf(content).length)).toEqual(responsesOf(content));
        const objects = [
          ...callsOf(content).map(({ functionCall }) => functionCall?.args),
          ...responsesOf(content).map(({ functionResponse }) => functionResponse?.response),
        ];
        expect(objects.filter((value) => typeof value !== 'object' || value === null || Array.isArray(value))).toEqual([]);
        // Signatures of other wires never leave.
        expect(
          parts
            .map(({ thoughtSignature }) => thoughtSignature ?? 'S')
            .filter((one) => !/^(?:S|T|skip_thought_signature_validator)$/.test(one)),
        ).toEqual([]);
      }
    }),
  );
});
