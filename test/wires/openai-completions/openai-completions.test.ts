import { describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { GatewayError } from '../../../src/errors.ts';
import type { StreamPart } from '../../../src/wires/answer.ts';
import { openAiChatUpstream } from '../../../src/wires/openai-chat/upstream.ts';
import { ChatParts } from '../../../src/wires/openai-chat/chat-parts.ts';
import { openAiCompletions } from '../../../src/wires/openai-completions/surface.ts';
import { openAiCompletionsUpstream } from '../../../src/wires/openai-completions/upstream.ts';
import { parseBody } from '../../../src/wires/parse-json.ts';
import type { InferenceRequest } from '../../../src/wires/request.ts';
import { ZERO_USAGE } from '../../../src/wires/usage.ts';
import { withCannedServer } from '../../support/canned-server.ts';
import { collectParts } from '../../support/collect-parts.ts';
import { targetOf } from '../../support/inference-request.ts';
import { recordedRequests } from '../../support/recorded-clients.ts';
import { transcriptBytes, transcriptsOf } from '../../support/transcripts.ts';

const CONTEXT = { requestId: 'r1', model: 'm', created: 1, promptTokens: 9 };
const INSTRUCT = targetOf({}, { capField: 'max_completion_tokens' }, { model: 'gpt-3.5-turbo-instruct' });
const FIGURES = { billed: { ...ZERO_USAGE, input: 3, output: 4 }, costs: { total_cost_usd: 1 } };
const answers = transcriptsOf('openai-completions').filter(({ status }) => status === 200);
const streams = answers.filter(({ file }) => file.endsWith('.sse'));
const bodies = answers.filter(({ file }) => file.endsWith('.json'));

function parse(body: unknown): InferenceRequest {
  return openAiCompletions.parse(parseBody(Buffer.from(JSON.stringify(body))), { streamDefault: false });
}

describe('a completions request', () => {
  it.each([
    [{ prompt: 'a' }, 1, 16, undefined],
    [{ prompt: ['a'], max_tokens: 5 }, 1, 5, undefined],
    [{ prompt: ['a', 'b'], n: 3 }, 6, 16, 'prompt'],
    [{ prompt: [1, 2, 3] }, 1, 16, 'prompt'],
    [{ prompt: [[1], [2, 3]] }, 2, 16, 'prompt'],
    [{ prompt: 'a', n: 2, best_of: 5 }, 5, 16, 'best_of'],
    [{ prompt: 'a', echo: true }, 1, 16, 'echo'],
    [{ prompt: 'a', echo: false, suffix: '' }, 1, 16, undefined],
    [{ prompt: 'a', suffix: 'b' }, 1, 16, 'suffix'],
    [{ prompt: 'a', logprobs: 0 }, 1, 16, 'logprobs'],
  ])('%j: what it costs at most, and what keeps it to its own wire', (body, completions, outputCap, ownWireOnly) => {
    const request = parse(body);
    expect([request.completions, request.outputCap, request.ownWireOnly]).toEqual([completions, outputCap, ownWireOnly]);
  });

  it.each([
    [{}, 'prompt'],
    [{ prompt: [] }, 'prompt'],
    [{ prompt: 5 }, 'prompt'],
    [{ prompt: ['a', 5] }, 'prompt.1'],
    [{ prompt: [[1], []] }, 'prompt.1'],
    [{ prompt: Array.from({ length: 129 }, () => 'a') }, 'prompt'],
    [{ prompt: 'a', max_tokens: 0 }, 'max_tokens'],
    [{ prompt: 'a', n: 3, best_of: 2 }, 'best_of'],
    [{ prompt: 'a', best_of: 2, stream: true }, 'best_of'],
    [{ prompt: 'a', messages: [] }, 'messages'],
  ])('%j is refused, the field named', (body, param) => {
    expect(() => parse(body)).toThrow(GatewayError);
    expect(() => parse(body)).toThrow(expect.objectContaining({ detail: expect.objectContaining({ param }) }));
  });

  it('goes to a provider of the same wire as it came, under one cap', () => {
    const body = { model: 'm', prompt: ['a', 'b'], n: 2, max_tokens: 9, stop: ['x'], user: 'ann', stream: true, top_k: 4 };
    const request = parse(body);
    expect(openAiCompletionsUpstream.obstacle(request, INSTRUCT)).toBeNull();
    const rendering = openAiCompletionsUpstream.render(request, INSTRUCT);
    expect([rendering.path, rendering.ignored]).toEqual(['/completions', ['top_k']]);
    expect(JSON.parse(rendering.body(5000, 'hash').toString())).toEqual({
      model: 'gpt-3.5-turbo-instruct',
      prompt: ['a', 'b'],
      n: 2,
      stop: ['x'],
      max_tokens: 1000,
      user: 'hash',
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  it('goes to a model that chats as the user’s message', () => {
    const request = parse({ prompt: 'Say 42', max_tokens: 9, stop: 'x', temperature: 0.5 });
    expect(openAiCompletionsUpstream.obstacle(request, targetOf())?.detail.param).toBe('model');
    expect(openAiChatUpstream.obstacle(request, targetOf())).toBeNull();
    expect(JSON.parse(openAiChatUpstream.render(request, targetOf()).body(9, 'hash').toString())).toEqual({
      model: 'upstream-model',
      max_tokens: 9,
      messages: [{ role: 'user', content: 'Say 42' }],
      stop: ['x'],
      temperature: 0.5,
    });
  });

  it('is understood from every recorded client', () => {
    for (const { body } of recordedRequests('/v1/completions')) expect(parse(body).generation().messages).toHaveLength(1);
  });
});

interface Raw {
  choices: { text: string; index: number; finish_reason: string | null }[];
}

/** The texts of each completion, and how it ended, gathered in the plainest way. */
function said(chunks: readonly Raw[]): [text: string, end: string | undefined][] {
  const completions: [string, string | undefined][] = [];
  for (const { text, index, finish_reason: end } of chunks.flatMap(({ choices }) => choices)) {
    const [before, ended] = completions[index] ?? ['', undefined];
    completions[index] = [before + text, end ?? ended];
  }
  return completions;
}

function usageIn(usage: { uncachedInput: number; output: number } | null): unknown {
  return usage && { ...ZERO_USAGE, input: usage.uncachedInput, output: usage.output };
}

(answers.length > 0 ? describe : describe.skip)('recorded completions', () => {
  it.each(streams)('$file: bytes untouched, counted, and taken apart', ({ file, usage }) => {
    const bytes = transcriptBytes(file);
    const raw = (bytes.toString().match(/^data: \{.*$/gm) ?? []).map((line) => JSON.parse(line.slice(6)) as Raw);
    for (const length of [1, 17, bytes.length]) {
      const chunks = Array.from({ length: Math.ceil(bytes.length / length) }, (_one, at) => bytes.subarray(at * length, (at + 1) * length));
      const reader = openAiCompletionsUpstream.reader(CONTEXT);
      const seen = [...chunks.map((chunk) => reader.push(chunk)), reader.finish()];
      const forward = Buffer.concat(seen.map((one) => one.forward)).toString();
      expect(bytes.toString().startsWith(forward)).toBe(true);
      expect(forward).not.toContain('[DONE]');
      expect(seen.flatMap(({ usages }) => usages).at(-1)?.usage ?? null).toEqual(usageIn(usage));
      expect(openAiCompletions.events.isDelivery(Buffer.from(forward))).toBe(true);
      const { usage: told, last } = reader.ending(FIGURES);
      expect(JSON.parse(told.toString().slice(6))).toMatchObject({
        object: 'text_completion',
        choices: [],
        usage: { prompt_tokens: 3, completion_tokens: 4, total_cost_usd: 1 },
      });
      expect(last.toString()).toBe('data: [DONE]\n\n');

      const parts = new ChatParts();
      const whole = collectParts([...chunks.flatMap((chunk) => parts.push(chunk)), ...parts.finish()]);
      expect(whole.done).toBe(true);
      expect(whole.completions.map(({ parts: [part], finish }) => [(part as { text: string }).text, finish.native])).toEqual(said(raw));
    }
  });

  it.each(bodies)('$file is read, and written again', ({ file, usage }) => {
    const body = JSON.parse(transcriptBytes(file).toString()) as Raw & Record<string, unknown>;
    const read = openAiCompletionsUpstream.read(body);
    expect([read.failure, read.isAnswer]).toEqual([undefined, true]);
    expect(read.usage).toEqual(usageIn(usage));
    expect(read.written().texts).toEqual(body.choices.map(({ text }) => text));
    const again = openAiCompletions.body(read.answer(), parse({ prompt: 'a' }), CONTEXT) as unknown as Raw;
    expect(said([again])).toEqual(said([body]));
    expect(openAiCompletions.withFigures(body, FIGURES, CONTEXT)).toMatchObject({ choices: body.choices, usage: { total_cost_usd: 1 } });
  });
});

describe('an answer of a model that chats', () => {
  const parts: StreamPart[] = [
    { type: 'start' },
    { type: 'block_start', block: 0, completion: 0, head: { type: 'reasoning' } },
    { type: 'delta', block: 0, text: 'Hm.' },
    { type: 'block_end', block: 0 },
    { type: 'block_start', block: 1, completion: 0, head: { type: 'text' } },
    { type: 'delta', block: 1, text: '4' },
    { type: 'delta', block: 1, text: '2' },
    { type: 'block_end', block: 1 },
    { type: 'finish', completion: 0, finish: { reason: 'length' } },
    { type: 'done' },
  ];

  it('is streamed to the openai SDK', async () => {
    const writer = openAiCompletions.writer(parse({ prompt: 'a', stream: true, stream_options: { include_usage: true } }), CONTEXT);
    const events = parts.map((part) => writer.write(part)).join('');
    const { usage, last } = writer.ending(FIGURES);
    const chunks = await withCannedServer('text/event-stream', Buffer.concat([Buffer.from(events), usage, last]), async (baseURL) => {
      const stream = await new OpenAI({ apiKey: 'k', baseURL }).completions.create({ model: 'm', prompt: 'a', stream: true });
      const read: OpenAI.Completion[] = [];
      for await (const chunk of stream) read.push(chunk);
      return read;
    });
    expect(chunks.map(({ choices: [choice] }) => choice?.text)).toEqual(['4', '2', '', undefined]);
    expect(chunks.map(({ choices: [choice] }) => choice?.finish_reason)).toEqual([null, null, 'length', undefined]);
    expect(chunks.at(-1)?.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 4, total_cost_usd: 1 });
  });

  it('is told as a body without the thoughts', () => {
    const { completions } = collectParts(parts);
    expect(openAiCompletions.body({ completions, usage: null }, parse({ prompt: 'a' }), CONTEXT)).toEqual({
      id: 'cmpl-r1',
      object: 'text_completion',
      created: 1,
      model: 'm',
      choices: [{ text: '42', index: 0, logprobs: null, finish_reason: 'length' }],
    });
  });
});
