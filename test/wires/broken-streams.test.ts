import { describe, expect, it } from '@jest/globals';
import { MessagesPartReader } from '../../src/wires/anthropic-messages/parts.ts';
import { MessagesReader } from '../../src/wires/anthropic-messages/reader.ts';
import { ChatParts } from '../../src/wires/openai-chat/chat-parts.ts';
import { openAiChat } from '../../src/wires/openai-chat/surface.ts';
import { responseEvents } from '../../src/wires/openai-responses/events.ts';
import { streamReader } from '../../src/wires/translate.ts';
import { mergeUsage, type ReportedUsage } from '../../src/wires/usage.ts';
import { UPSTREAMS } from '../../src/wires/upstreams.ts';
import type { JsonObject, Progress, UsageSeen, WireName } from '../../src/wires/wire.ts';
import { collectParts } from '../support/collect-parts.ts';

const CONTEXT = { requestId: 'id', model: 'm', created: 0, promptTokens: 1 };
const body = { model: 'm', messages: [{ role: 'user', content: 'x' }], stream: true };
const REQUEST = openAiChat.parse({ fields: body, verbatim: body, bodyBytes: 0 }, { streamDefault: false });

const sse = (...events: (JsonObject | string)[]): Buffer =>
  Buffer.from(events.map((event) => `data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`).join(''));

/** What is known once the connection has ended in order, of a stream that another wire's client reads. */
function watched(wire: WireName, bytes: Buffer): { usages: UsageSeen[]; done: boolean } {
  const upstream = UPSTREAMS[wire];
  if (!upstream) throw new Error(`no provider speaks ${wire}`);
  const reader = streamReader(openAiChat, upstream, REQUEST, CONTEXT);
  const seen = [reader.push(bytes), reader.finish()];
  return { usages: seen.flatMap(({ usages }) => [...usages]), done: seen.some(({ done }) => done) };
}

describe('a stream that ends before its answer does', () => {
  const half = {
    'gemini-generate': sse({
      candidates: [{ index: 0, content: { parts: [{ text: 'Once' }] } }],
      usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 1, totalTokenCount: 11 },
    }),
    'anthropic-messages': sse(
      { type: 'message_start', message: { usage: { input_tokens: 10, output_tokens: 1 } } },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    ),
  };

  it.each(Object.entries(half) as [WireName, Buffer][])('is not whole for the figures that came with it: %s', (wire, bytes) => {
    const { usages, done } = watched(wire, bytes);
    expect(done).toBe(false);
    expect(usages).toHaveLength(1);
    // Figures by themselves would be taken for the end of it.
    expect(usages.map(({ alone }) => alone)).toEqual([false]);
  });

  const text = { choices: [{ index: 0, delta: { content: 'Once' } }] };
  const figures = { choices: [], usage: { prompt_tokens: 10, completion_tokens: 1 } };

  it.each<[string, JsonObject[], boolean]>([
    ['figures by themselves, once, at the end', [text, figures], true],
    ['figures by themselves, and text after them', [text, figures, text], false],
    ['figures by themselves again and again', [text, figures, text, figures], false],
    ['no figures', [text], false],
    ['figures alone, and nothing written', [figures], false],
  ])('on the chat wire, without a finish reason: %s', (_name, events, isWhole) => {
    const parts = new ChatParts();
    expect(collectParts([...parts.push(sse(...events)), ...parts.finish()]).done).toBe(isWhole);
  });
});

describe('figures of a messages stream', () => {
  const start = { input_tokens: 100, cache_read_input_tokens: 50, cache_creation_input_tokens: 7, output_tokens: 1 };

  it.each<[string, JsonObject, Partial<ReportedUsage>]>([
    ['nothing for the prompt', { input_tokens: 0, output_tokens: 20 }, { input: 100, cacheRead: 50, cacheWrite: 7, output: 20 }],
    [
      'nothing for all of the prompt',
      { input_tokens: 0, cache_read_input_tokens: 0, cache_creation_input_tokens: 0, output_tokens: 20 },
      { input: 100, cacheRead: 50, cacheWrite: 7, output: 20 },
    ],
    ['another prompt', { input_tokens: 0, cache_read_input_tokens: 150, output_tokens: 20 }, { input: 0, cacheRead: 150, output: 20 }],
    ['the output alone', { output_tokens: 20 }, { input: 100, cacheRead: 50, cacheWrite: 7, output: 20 }],
  ])('keep the prompt that the first event counted where the last one gives %s', (_name, last, wanted) => {
    const bytes = sse(
      { type: 'message_start', message: { usage: start } },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: last },
    );
    const ofReader = new MessagesReader().push(bytes).usages.map(({ usage }) => usage);
    const ofParts = new MessagesPartReader().push(bytes).flatMap((part) => (part.type === 'usage' ? [part.usage] : []));
    for (const usages of [ofReader, ofParts]) expect(usages.reduce(mergeUsage, null as ReportedUsage | null)).toMatchObject(wanted);
  });
});

describe('the texts of a response that a host tells at their end alone', () => {
  const at = { output_index: 0, content_index: 0 };
  const begun = { type: 'response.output_item.added', output_index: 0, item: { type: 'message', role: 'assistant', content: [] } };

  function read(...events: JsonObject[]): Progress {
    const progress: Progress = { written: { texts: [], binaryCharacters: 0 }, open: new Set(), finished: new Set() };
    responseEvents.read(sse(...events), progress);
    return progress;
  }

  it.each<[string, JsonObject, string]>([
    ['text', { type: 'response.output_text.done', ...at, text: 'Once' }, 'Once'],
    ['a refusal', { type: 'response.refusal.done', ...at, refusal: 'No' }, 'No'],
    ['thoughts', { type: 'response.reasoning_text.done', ...at, text: 'Hm' }, 'Hm'],
    ['a summary', { type: 'response.reasoning_summary_text.done', output_index: 0, summary_index: 0, text: 'Hm' }, 'Hm'],
    ['arguments', { type: 'response.function_call_arguments.done', output_index: 0, arguments: '{"a":1}' }, '{"a":1}'],
    ['the input of a tool', { type: 'response.custom_tool_call_input.done', output_index: 0, input: 'ls' }, 'ls'],
    ['a part', { type: 'response.content_part.done', ...at, part: { type: 'output_text', text: 'Once' } }, 'Once'],
  ])('are delivered, and count: %s', (_name, event, text) => {
    expect(responseEvents.isDelivery(sse(begun))).toBe(false);
    expect(responseEvents.isDelivery(sse(begun, event))).toBe(true);
    expect(read(begun, event).written.texts).toEqual([text]);
  });

  it('count once, however often they are said again, and all of them', () => {
    const part = (index: number, text: string) => ({ ...at, content_index: index, part: { type: 'output_text', text } });
    const item = { type: 'message', content: [part(0, 'Once').part, part(1, ' more').part] };
    const { written, open } = read(
      begun,
      { type: 'response.output_text.done', ...at, text: 'Once' },
      { type: 'response.content_part.done', ...part(0, 'Once') },
      { type: 'response.output_text.delta', ...at, content_index: 1, delta: ' more' },
      { type: 'response.output_text.done', ...at, content_index: 1, text: ' more' },
      { type: 'response.content_part.done', ...part(1, ' more') },
      { type: 'response.output_item.done', output_index: 0, item },
    );
    expect(written.texts).toEqual(['Once', ' more']);
    expect([...open]).toEqual(['response']);
    const whole = read(begun, { type: 'response.output_text.done', ...at, text: 'Once' }, { type: 'response.completed', response: {} });
    expect([whole.open.size, whole.finished.size]).toEqual([0, 1]);
  });
});
