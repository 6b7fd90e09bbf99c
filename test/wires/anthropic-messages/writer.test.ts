import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GatewayError } from '../../../src/errors.ts';
import type { StreamPart } from '../../../src/wires/answer.ts';
import { messageEvents } from '../../../src/wires/anthropic-messages/events.ts';
import { anthropicMessages as surface } from '../../../src/wires/anthropic-messages/surface.ts';
import { anthropicMessagesUpstream as upstream } from '../../../src/wires/anthropic-messages/upstream.ts';
import type { ReportedUsage } from '../../../src/wires/usage.ts';
import type { AnswerContext, Ending, JsonObject, Progress, SettledFigures } from '../../../src/wires/wire.ts';
import { decodeStrictly } from '../../support/strict-decoder.ts';
import { parsed } from './messages-request.ts';

const CONTEXT: AnswerContext = { requestId: 'req-1', model: 'model-a', created: 1, promptTokens: 42 };
const USAGE: ReportedUsage = { input: 5, cacheRead: 3, cacheWrite: 2, cacheWriteLong: 1, output: 9, reasoning: 4 };
const WIRED = {
  input_tokens: 5,
  cache_creation_input_tokens: 3,
  cache_read_input_tokens: 3,
  cache_creation: { ephemeral_5m_input_tokens: 2, ephemeral_1h_input_tokens: 1 },
  output_tokens: 9,
  output_tokens_details: { thinking_tokens: 4 },
};
const REQUEST = parsed({ max_tokens: 9, messages: [{ role: 'user', content: 'a' }], stream: true });

/** What a stream of these parts comes to: its events so far, and its ending. */
function written(parts: readonly StreamPart[], figures: SettledFigures | null = null): { events: string; ending: Ending; all: string } {
  const writer = surface.writer(REQUEST, CONTEXT);
  const events = parts.map((part) => writer.write(part)).join('');
  const ending = writer.ending(figures);
  return { events, ending, all: events + ending.usage.toString() + ending.last.toString() };
}

/** The events of a stream as objects, each under its own name. */
function eventsOf(raw: string): JsonObject[] {
  const names = [...raw.matchAll(/^event: (.*)$/gm)].map(([, name]) => name);
  const events = decodeStrictly(raw).map((data) => JSON.parse(data) as JsonObject);
  expect(events.map(({ type }) => type)).toEqual(names);
  return events;
}

let served = '';
const server = createServer((request, response) => {
  request.resume().on('end', () => {
    const isStream = served.startsWith('event:');
    response.setHeader('content-type', isStream ? 'text/event-stream' : 'application/json');
    response.end(served);
  });
});
let client: Anthropic;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  client = new Anthropic({ apiKey: 'key', baseURL: `http://127.0.0.1:${port}`, maxRetries: 0 });
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** What the published SDK accumulates of a stream. */
function accumulated(raw: string): Promise<Anthropic.Message> {
  served = raw;
  return client.messages.stream({ model: 'a', max_tokens: 1, messages: [{ role: 'user', content: 'a' }] }).finalMessage();
}

const PARTS: StreamPart[] = [
  { type: 'start', model: 'theirs' },
  { type: 'block_start', block: 0, completion: 0, head: { type: 'reasoning' } },
  { type: 'delta', block: 0, text: 'so ' },
  { type: 'delta', block: 0, text: 'so' },
  { type: 'signature', block: 0, signature: { wire: 'openai-responses', value: 'sealed' } },
  { type: 'block_end', block: 0 },
  { type: 'block_start', block: 1, completion: 0, head: { type: 'text' } },
  { type: 'delta', block: 1, text: 'Hel' },
  { type: 'citation', block: 1, citation: { type: 'url_citation', url_citation: { url: 'https://a', title: 'A' } } },
  { type: 'delta', block: 1, text: 'lo 😀' },
  { type: 'block_end', block: 1 },
  {
    type: 'block_start',
    block: 2,
    completion: 0,
    head: { type: 'tool_call', id: 'functions.look:0', name: 'look', kind: 'function', signature: { wire: 'gemini-generate', value: 'g' } },
  },
  { type: 'delta', block: 2, text: '{"a":' },
  { type: 'delta', block: 2, text: '1}' },
  { type: 'block_end', block: 2 },
  { type: 'block_start', block: 3, completion: 0, head: { type: 'tool_call', id: '', name: 'rest', kind: 'function' } },
  { type: 'block_end', block: 3 },
  { type: 'finish', completion: 0, finish: { reason: 'tool_calls' } },
  { type: 'usage', usage: { ...USAGE, output: 1 } },
  { type: 'usage', usage: USAGE },
  { type: 'done' },
];
const CONTENT = [
  { type: 'thinking', thinking: 'so so', signature: 'pura:openai-responses:sealed' },
  {
    type: 'text',
    text: 'Hello 😀',
    citations: [{ type: 'web_search_result_location', url: 'https://a', title: 'A', cited_text: '', encrypted_index: '' }],
  },
  { type: 'tool_use', id: 'pura_ZnVuY3Rpb25zLmxvb2s6MA', name: 'look', input: { a: 1 } },
  { type: 'redacted_thinking', data: 'pura-signs-previous:pura:gemini-generate:g' },
  { type: 'tool_use', id: 'toolu_req1_3', name: 'rest', input: {} },
];

describe('a stream of another wire', () => {
  it('is what the published SDK accumulates, every part of it', async () => {
    const { all, events } = written(PARTS);
    expect(await accumulated(all)).toMatchObject({
      id: 'msg_req1',
      model: 'model-a',
      role: 'assistant',
      stop_reason: 'tool_use',
      stop_sequence: null,
      content: CONTENT,
      usage: { input_tokens: 5, cache_read_input_tokens: 3, cache_creation_input_tokens: 3, output_tokens: 9 },
    });
    const [start, ...rest] = eventsOf(all);
    expect(start).toMatchObject({
      type: 'message_start',
      message: { content: [], stop_reason: null, usage: { input_tokens: 42, output_tokens: 0 } },
    });
    expect(rest.at(-2)).toEqual({ type: 'message_delta', delta: { stop_reason: 'tool_use', stop_sequence: null }, usage: WIRED });
    expect(rest.at(-1)).toEqual({ type: 'message_stop' });
    expect(events).not.toContain('message_stop');
  });

  it('never overlaps its blocks, and counts them without gaps', () => {
    let open: unknown = null;
    let next = 0;
    for (const { type, index } of eventsOf(written(PARTS).all)) {
      if (type === 'content_block_start') {
        assert.deepEqual([open, index], [null, next++]);
        open = index;
      }
      if (type === 'content_block_delta' || type === 'content_block_stop') assert.equal(index, open);
      if (type === 'content_block_stop') open = null;
      if (type === 'message_delta') assert.equal(open, null);
    }
    expect(next).toBe(CONTENT.length);
  });

  it('comes back as the parts that it was: signatures with what they sign, and the ids of tools', () => {
    const messages = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: CONTENT },
    ];
    const { messages: read } = parsed({ max_tokens: 1, messages }).generation();
    expect(read[1]?.parts).toMatchObject([
      { type: 'reasoning', text: 'so so', signature: { wire: 'openai-responses', value: 'sealed' } },
      { type: 'text', text: 'Hello 😀' },
      { type: 'tool_call', id: 'functions.look:0', input: '{"a":1}', signature: { wire: 'gemini-generate', value: 'g' } },
      { type: 'tool_call', name: 'rest', input: '' },
    ]);
    expect(read[1]?.parts).toHaveLength(4);
  });

  it('tells the billed counts and the costs after the settlement where its provider told none', async () => {
    const parts = PARTS.filter(({ type }) => type !== 'usage');
    const { reasoning: _reasoning, ...counts } = USAGE;
    const figures: SettledFigures = { billed: { ...counts, input: 7, output: 8, reasoning: 0 }, costs: { total_cost_usd: 0.5 } };
    const { events, ending, all } = written(parts, figures);
    expect(events).not.toContain('message_delta');
    expect(ending.usage.toString()).toContain('"total_cost_usd":0.5');
    expect(await accumulated(all)).toMatchObject({ stop_reason: 'tool_use', usage: { input_tokens: 7, output_tokens: 8 } });
  });

  it('that holds nothing says at once that it is finished', async () => {
    const { events, all } = written([
      { type: 'start' },
      { type: 'finish', completion: 0, finish: { reason: 'refusal' } },
      { type: 'done' },
    ]);
    expect(messageEvents.isDelivery(Buffer.from(events))).toBe(true);
    expect(await accumulated(all)).toMatchObject({ content: [], stop_reason: 'refusal' });
  });

  it('without a word is whole all the same', async () => {
    expect(await accumulated(written([]).all)).toMatchObject({ content: [], stop_reason: 'end_turn' });
  });

  it.each<[Parameters<typeof surface.body>[0]['completions'][number]['finish'], string, string | null]>([
    [{ reason: 'stop' }, 'end_turn', null],
    [{ reason: 'stop', stopSequence: 'END' }, 'stop_sequence', 'END'],
    [{ reason: 'length' }, 'max_tokens', null],
    [{ reason: 'tool_calls' }, 'tool_use', null],
    [{ reason: 'content_filter' }, 'refusal', null],
    [{ reason: 'pause' }, 'pause_turn', null],
    [{ reason: 'error' }, 'end_turn', null],
  ])('ends as %j says', (finish, reason, sequence) => {
    const wanted = { stop_reason: reason, stop_sequence: sequence };
    expect(surface.body({ completions: [{ index: 0, parts: [], finish }], usage: null }, REQUEST, CONTEXT)).toMatchObject(wanted);
    const { all } = written([{ type: 'finish', completion: 0, finish }, { type: 'done' }]);
    expect(eventsOf(all).at(-2)).toMatchObject({ delta: wanted });
  });

  it('says free text of a tool as its one input, also where a pair is split', async () => {
    const [high = '', low = ''] = '😀'.split('');
    const { all } = written([
      { type: 'block_start', block: 0, completion: 0, head: { type: 'tool_call', id: 'a', name: 'patch', kind: 'custom' } },
      { type: 'delta', block: 0, text: `"x"\n${high}` },
      { type: 'delta', block: 0, text: low },
      { type: 'block_end', block: 0 },
      { type: 'done' },
    ]);
    expect((await accumulated(all)).content).toEqual([{ type: 'tool_use', id: 'a', name: 'patch', input: { input: '"x"\n😀' } }]);
  });

  it('is read for what was written, and for its end', () => {
    const { events } = written(PARTS);
    const progress: Progress = { written: { texts: [], binaryCharacters: 0 }, open: new Set(), finished: new Set() };
    messageEvents.read(Buffer.from(events), progress);
    expect(progress.written.texts.join('')).toBe('so soHello 😀look{"a":1}rest');
    expect([progress.open.size, progress.finished.size]).toEqual([0, 1]);
    const begun = written([{ type: 'start' }, { type: 'block_start', block: 0, completion: 0, head: { type: 'text' } }]).events;
    expect(messageEvents.isDelivery(Buffer.from(begun))).toBe(false);
  });
});

describe('an answer of another wire', () => {
  it('is a message that the published SDK reads', async () => {
    const body = surface.body(
      {
        completions: [
          {
            index: 0,
            finish: { reason: 'tool_calls' },
            parts: [
              { type: 'reasoning', text: 'so so', signature: { wire: 'openai-responses', value: 'sealed' } },
              { type: 'text', text: 'Hello 😀', citations: [{ url: 'https://a', title: 'A' }] },
              {
                type: 'tool_call',
                id: 'functions.look:0',
                name: 'look',
                input: '{"a":1}',
                kind: 'function',
                signature: { wire: 'gemini-generate', value: 'g' },
              },
              { type: 'tool_call', id: '', name: 'rest', input: '', kind: 'function' },
            ],
          },
        ],
        usage: USAGE,
      },
      REQUEST,
      CONTEXT,
    );
    served = JSON.stringify(body);
    const message = await client.messages.create({ model: 'a', max_tokens: 1, messages: [{ role: 'user', content: 'a' }] });
    expect(message).toMatchObject({ id: 'msg_req1', model: 'model-a', content: CONTENT, stop_reason: 'tool_use', usage: WIRED });
  });

  it('gets the billed counts and the costs beside what its usage says', () => {
    const body = { id: 'a', usage: { input_tokens: 1, service_tier: 'standard' }, more: 1 };
    const billed = { input: 5, cacheRead: 3, cacheWrite: 2, cacheWriteLong: 1, output: 9, reasoning: 4 };
    expect(surface.withFigures(body, { billed, costs: { total_cost_usd: 1 } }, CONTEXT)).toEqual({
      id: 'a',
      more: 1,
      usage: { service_tier: 'standard', ...WIRED, total_cost_usd: 1 },
    });
  });
});

describe('an error', () => {
  it.each([
    ['invalid_request', 'invalid_request_error'],
    ['invalid_api_key', 'authentication_error'],
    ['insufficient_balance', 'billing_error'],
    ['free_tier_exceeded', 'billing_error'],
    ['budget_exhausted', 'billing_error'],
    ['model_not_allowed', 'permission_error'],
    ['model_not_found', 'not_found_error'],
    ['request_too_large', 'request_too_large'],
    ['rate_limit_exceeded', 'rate_limit_error'],
    ['internal_error', 'api_error'],
    ['upstream_error', 'api_error'],
    ['overloaded', 'overloaded_error'],
  ] as const)('%s is %s to these clients', (code, type) => {
    const error = new GatewayError(code, { retryAfter: 3, fields: { funding: { amount: 1 } } });
    expect(surface.errorBody(error.toJSON(), 'req')).toEqual({
      type: 'error',
      error: { type, message: error.message, code, param: null, retry_after: 3, funding: { amount: 1 } },
      request_id: 'req',
    });
  });

  it('of another provider keeps its words', () => {
    const error = { message: 'no', type: 'insufficient_quota', code: 'x' };
    expect(surface.errorBody({ error }, 'r')['error']).toEqual({ ...error, type: 'billing_error' });
  });

  it('in a stream is raised by the published SDK', async () => {
    const { events } = written(PARTS.slice(0, 4));
    const error = new GatewayError('upstream_error').toJSON();
    await expect(accumulated(events + surface.errorEvents(error, 'r'))).rejects.toThrow('No provider could answer');
  });
});

const FOLDER = new URL('../../../../shared/transcripts/anthropic/', import.meta.url);
const streams = existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => name.endsWith('.sse')) : [];
const readable = streams.filter((name) => !/error|spliced/.test(name));

(readable.length > 0 ? describe : describe.skip)('recorded streams, taken apart and written anew', () => {
  const ONLY_HERE = new Set(['text', 'thinking', 'redacted_thinking', 'tool_use']);

  it.each(readable.filter((name) => !name.startsWith('cut')))('%s: the same message to the published SDK', async (name) => {
    const bytes = readFileSync(new URL(name, FOLDER));
    const reader = upstream.parts();
    const { all } = written([...reader.push(bytes), ...reader.finish()]);
    const [theirs, ours] = [await accumulated(bytes.toString()), await accumulated(all)];
    const content = theirs.content.filter(({ type }) => ONLY_HERE.has(type));
    // Who may call a tool, and an empty list of citations, are not said anew.
    const plain = content.map((block) => ({
      ...block,
      caller: undefined,
      citations: block.type === 'text' && block.citations?.length ? block.citations : undefined,
    }));
    expect(JSON.parse(JSON.stringify(ours.content))).toEqual(JSON.parse(JSON.stringify(plain)));
    expect(ours.stop_reason).toBe(theirs.stop_reason);
    expect(ours.usage.output_tokens).toBeGreaterThanOrEqual(theirs.usage.output_tokens);
  });
});
