import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { GatewayError } from '../../../src/errors.ts';
import { readAnswer } from '../../../src/wires/openai-responses/answer.ts';
import { responseEvents } from '../../../src/wires/openai-responses/events.ts';
import { openAiResponses } from '../../../src/wires/openai-responses/surface.ts';
import { openAiResponsesUpstream } from '../../../src/wires/openai-responses/upstream.ts';
import { PLAIN_DIALECT, PLAIN_TRAITS } from '../../../src/wires/target.ts';
import { checkEventOrder } from './event-order.ts';
import { blocksOf } from './recorded.ts';
import { CONTEXT, requestOf } from './requests.ts';

const words = fc.constantFrom(
  'message',
  'reasoning',
  'function_call',
  'custom_tool_call',
  'function_call_output',
  'namespace',
  'function',
  'x',
  '',
);
const odd = fc.oneof(fc.jsonValue({ maxDepth: 2 }), words, fc.constant(null));
/** An object with the members that matter, each of any type. */
const object = (...names: string[]) => fc.record(Object.fromEntries(names.map((name) => [name, odd])), { requiredKeys: [] });
const item = object(
  'type',
  'id',
  'role',
  'content',
  'call_id',
  'name',
  'arguments',
  'input',
  'output',
  'summary',
  'encrypted_content',
  'tools',
  'namespace',
);
const usage = object('input_tokens', 'output_tokens', 'total_tokens', 'input_tokens_details', 'output_tokens_details');
const response = fc.record({
  status: odd,
  model: odd,
  output: fc.oneof(fc.array(item, { maxLength: 3 }), odd),
  usage: fc.oneof(usage, odd),
  incomplete_details: odd,
});
const eventNames = [
  'created',
  'output_item.added',
  'output_item.done',
  'output_text.delta',
  'content_part.done',
  'reasoning_summary_text.delta',
  'function_call_arguments.delta',
  'output_text.annotation.added',
  'completed',
  'incomplete',
  'failed',
  'novel',
];
const event = fc.record({
  type: fc.oneof(fc.constantFrom(...eventNames.map((name) => `response.${name}`)), fc.constant('error'), odd),
  output_index: fc.oneof(fc.nat({ max: 2 }), odd),
  content_index: fc.oneof(fc.nat({ max: 1 }), odd),
  delta: fc.oneof(fc.string(), odd),
  item: fc.oneof(item, odd),
  part: fc.oneof(object('type', 'text', 'refusal', 'annotations'), odd),
  response: fc.oneof(response, odd),
});
const TARGET = {
  providerId: 'p',
  model: 'm',
  maxOutputTokens: 9,
  takesImages: true,
  takesDocuments: true,
  takesRemoteMedia: true,
  traits: PLAIN_TRAITS,
  dialect: PLAIN_DIALECT,
  allowParameters: [],
};

describe('garbage', () => {
  it('in a request is refused by name, or can be said', () => {
    const body = fc.record(
      {
        input: fc.oneof(fc.array(item, { maxLength: 3 }), odd),
        tools: fc.oneof(fc.array(item, { maxLength: 3 }), odd),
        tool_choice: odd,
        text: odd,
        reasoning: odd,
        include: odd,
        instructions: odd,
      },
      { requiredKeys: ['input'] },
    );
    fc.assert(
      fc.property(body, (fields) => {
        let request;
        try {
          request = requestOf(fields);
        } catch (error) {
          if (error instanceof GatewayError) return;
          throw error;
        }
        for (const one of [request, { ...request, wire: 'openai-chat' as const }]) {
          if (openAiResponsesUpstream.obstacle(one, TARGET)) continue;
          const rendering = openAiResponsesUpstream.render(one, TARGET);
          JSON.parse(rendering.body(1, 'a').toString());
          rendering.promptText();
        }
      }),
      { numRuns: 500 },
    );
  });

  it('in a stream is passed over, and what is made of it is in order', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 8 }), (events) => {
        const bytes = Buffer.from(events.map((one) => `data: ${JSON.stringify(one)}\n\n`).join(''));
        const reader = openAiResponsesUpstream.parts();
        const parts = [...reader.push(bytes), ...reader.finish()];
        blocksOf(parts);
        const writer = openAiResponses.writer(requestOf({ input: 'x' }), CONTEXT);
        const text = parts.filter(({ type }) => type !== 'failed').map((part) => writer.write(part));
        const { usage: before, last } = writer.ending(null);
        checkEventOrder([...text, before, last].join(''));
        const watcher = openAiResponsesUpstream.reader(CONTEXT);
        watcher.push(bytes);
        watcher.finish();
        responseEvents.isDelivery(bytes);
      }),
      { numRuns: 500 },
    );
  });

  it('in an answer is no answer, or can be read', () => {
    fc.assert(
      fc.property(fc.oneof(response, odd), (body) => {
        const read = readAnswer(body);
        read.written();
        const told = openAiResponses.body(read.answer(), requestOf({ input: 'x' }), CONTEXT);
        expect(told['object']).toBe('response');
        for (const count of Object.values(read.usage ?? {}))
          expect(count === null || (Number.isSafeInteger(count) && count >= 0)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
