import { describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import type { StreamPart } from '../../../src/wires/answer.ts';
import { chatBody } from '../../../src/wires/openai-chat/chat-body.ts';
import { generationOf } from '../../../src/wires/openai-chat/generation.ts';
import { ChatParts } from '../../../src/wires/openai-chat/chat-parts.ts';
import { ChatWriter } from '../../../src/wires/openai-chat/chat-writer.ts';
import { ZERO_USAGE } from '../../../src/wires/usage.ts';
import { withCannedServer } from '../../support/canned-server.ts';
import { collectParts } from '../../support/collect-parts.ts';

const CONTEXT = { requestId: 'r1', model: 'm', created: 1, promptTokens: 9 };
const SIGNATURE = { wire: 'anthropic-messages', value: 'proof' } as const;
const SEALED = { wire: 'openai-responses', value: 'sealed' } as const;

/** An answer with one of everything. */
const EVERYTHING: StreamPart[] = [
  { type: 'start' },
  { type: 'block_start', block: 0, completion: 0, head: { type: 'reasoning' } },
  { type: 'delta', block: 0, text: 'H' },
  { type: 'delta', block: 0, text: 'm.' },
  { type: 'signature', block: 0, signature: SIGNATURE },
  { type: 'block_end', block: 0 },
  { type: 'block_start', block: 1, completion: 0, head: { type: 'reasoning', redacted: SEALED } },
  { type: 'block_end', block: 1 },
  { type: 'block_start', block: 2, completion: 0, head: { type: 'text' } },
  { type: 'delta', block: 2, text: 'It rains.' },
  { type: 'citation', block: 2, citation: { type: 'web_search_result_location', url: 'https://a.example/', title: 'A' } },
  { type: 'block_end', block: 2 },
  {
    type: 'block_start',
    block: 3,
    completion: 0,
    head: { type: 'tool_call', id: 'call_1', name: 'f', kind: 'function', signature: { wire: 'gemini-generate', value: 'seal' } },
  },
  { type: 'delta', block: 3, text: '{"a":' },
  { type: 'delta', block: 3, text: '1}' },
  { type: 'block_end', block: 3 },
  { type: 'block_start', block: 4, completion: 0, head: { type: 'tool_call', id: '', name: 'g', kind: 'function' } },
  { type: 'block_end', block: 4 },
  { type: 'finish', completion: 0, finish: { reason: 'tool_calls' } },
  { type: 'done' },
];
const FIGURES = { billed: { ...ZERO_USAGE, input: 3, cacheRead: 2, output: 4 }, costs: { total_cost_usd: 1 } };

function streamed(): Buffer {
  const writer = new ChatWriter({ includeUsage: true }, CONTEXT);
  const events = EVERYTHING.map((part) => writer.write(part)).join('');
  const { usage, last } = writer.ending(FIGURES);
  return Buffer.concat([Buffer.from(events), usage, last]);
}

describe('an answer of another wire', () => {
  it('is streamed to the openai SDK', async () => {
    const completion = await withCannedServer('text/event-stream', streamed(), (baseURL) =>
      new OpenAI({ apiKey: 'k', baseURL }).chat.completions
        .stream({ model: 'm', messages: [{ role: 'user', content: 'hi' }], stream_options: { include_usage: true } })
        .finalChatCompletion(),
    );
    expect(completion).toMatchObject({
      id: 'chatcmpl-r1',
      usage: { prompt_tokens: 5, completion_tokens: 4, prompt_tokens_details: { cached_tokens: 2 }, total_cost_usd: 1 },
    });
    const [choice] = completion.choices;
    expect(choice?.finish_reason).toBe('tool_calls');
    expect(choice?.message.content).toBe('It rains.');
    const calls = choice?.message.tool_calls?.map((call) => (call.type === 'function' ? call.function : null));
    expect(calls).toMatchObject([
      { name: 'f', arguments: '{"a":1}' },
      { name: 'g', arguments: '{}' },
    ]);
  });

  it('is the same as a body, and the openai SDK reads that', async () => {
    const { completions } = collectParts(EVERYTHING);
    const body = chatBody({ completions, usage: FIGURES.billed }, CONTEXT);
    const read = await withCannedServer('application/json', JSON.stringify(body), (baseURL) =>
      new OpenAI({ apiKey: 'k', baseURL }).chat.completions.create({ model: 'm', messages: [] }),
    );
    expect(read.choices[0]?.message).toMatchObject({
      content: 'It rains.',
      reasoning_content: 'Hm.',
      reasoning_details: [
        { type: 'reasoning.text', text: 'Hm.', signature: 'pura:anthropic-messages:proof', index: 0 },
        { type: 'reasoning.encrypted', data: 'pura:openai-responses:sealed', index: 1 },
      ],
      annotations: [{ type: 'url_citation', url_citation: { url: 'https://a.example/', title: 'A' } }],
      tool_calls: [{ id: 'call_1', extra_content: { google: { thought_signature: 'seal' } } }, { function: { arguments: '{}' } }],
    });
  });

  it('comes back with every proof that a client returns', () => {
    const body = chatBody({ completions: collectParts(EVERYTHING).completions, usage: null }, CONTEXT);
    const [{ message }] = body['choices'] as [{ message: unknown }];
    const [turn] = generationOf({ messages: [message] }, {}, {}).messages;
    expect(turn?.parts).toMatchObject([
      { type: 'reasoning', text: 'Hm.', signature: SIGNATURE },
      { type: 'reasoning', text: '', redacted: SEALED },
      { type: 'text', text: 'It rains.' },
      { type: 'tool_call', id: 'call_1', signature: { wire: 'gemini-generate', value: 'seal' } },
      { type: 'tool_call', name: 'g' },
    ]);
  });

  it.each([
    ['pause', 'length'],
    ['error', 'length'],
    ['refusal', 'content_filter'],
    ['stop', 'stop'],
  ] as const)('that ends with %s ends with %s', (reason, word) => {
    const writer = new ChatWriter({ includeUsage: false }, CONTEXT);
    expect(writer.write({ type: 'finish', completion: 0, finish: { reason } })).toContain(`"finish_reason":"${word}"`);
    expect(writer.ending(FIGURES).usage).toHaveLength(0);
  });
});

function taken(...choices: unknown[]) {
  const events = choices.map((choice) => `data: ${JSON.stringify({ id: 'x', choices: [choice] })}\n\n`).join('');
  const parts = new ChatParts();
  return collectParts([...parts.push(Buffer.from(events)), ...parts.finish()]);
}

function calling(...calls: unknown[]) {
  return { index: 0, delta: { tool_calls: calls } };
}

const FINISH = { index: 0, delta: {}, finish_reason: 'stop' };

describe('a stream of a server with habits of its own', () => {
  it('puts calls in order whose pieces come mixed', () => {
    const { completions, done } = taken(
      calling({ index: 0, id: 'a', function: { name: 'f', arguments: '{"x"' } }),
      calling({ index: 1, id: 'b', function: { name: 'g', arguments: '{"y"' } }),
      calling({ index: 0, function: { arguments: ':1}' } }, { index: 1, function: { arguments: ':2}' } }),
      FINISH,
    );
    expect(done).toBe(true);
    expect(completions[0]).toMatchObject({
      parts: [
        { id: 'a', name: 'f', input: '{"x":1}' },
        { id: 'b', name: 'g', input: '{"y":2}' },
      ],
      finish: { reason: 'tool_calls', native: 'stop' },
    });
  });

  it.each([
    [
      'a name in pieces',
      [
        { index: 0, id: 'a', function: { name: 'get_' } },
        { index: 0, function: { name: 'it', arguments: '{}' } },
      ],
      'get_it',
    ],
    [
      'a name said twice',
      [
        { index: 0, id: 'a', function: { name: 'f' } },
        { index: 0, function: { name: 'f', arguments: '{}' } },
      ],
      'f',
    ],
    ['no index', [{ id: 'a', function: { name: 'f', arguments: '{' } }, { function: { arguments: '}' } }], 'f'],
    ['arguments as an object', [{ index: 0, function: { name: 'f', arguments: {} } }], 'f'],
  ])('%s', (_name, pieces, name) => {
    const { completions } = taken(...pieces.map((piece) => calling(piece)), FINISH);
    expect(completions[0]?.parts).toMatchObject([{ type: 'tool_call', name, input: '{}' }]);
    expect(completions[0]?.parts).not.toMatchObject([{ id: '' }]);
  });

  it('tells calls of one index apart by their ids', () => {
    const call = (id: string) => calling({ index: 0, id, function: { name: 'f', arguments: '{}' } });
    expect(taken(call('a'), call('b'), FINISH).completions[0]?.parts).toMatchObject([{ id: 'a' }, { id: 'b' }]);
  });

  it.each([['insufficient_system_resource'], ['error']])('fails with %s', (reason) => {
    const { failure, done } = taken({ index: 0, delta: { content: 'a' } }, { ...FINISH, finish_reason: reason });
    expect([failure === undefined, done]).toEqual([false, false]);
  });

  it('is not whole without a finish', () => {
    expect(taken({ index: 0, delta: { content: 'a' } }).done).toBe(false);
  });
});
