import { describe, expect, it } from '@jest/globals';
import { parseEvents } from '../../../src/wires/sse.ts';
import { openAiChatUpstream } from '../../../src/wires/openai-chat/upstream.ts';
import { puraRouter } from '../../../src/wires/pura-router/surface.ts';
import { streamReader } from '../../../src/wires/translate.ts';
import { UPSTREAMS } from '../../../src/wires/upstreams.ts';
import type { SettledFigures, WireName } from '../../../src/wires/wire.ts';
import { ZERO_USAGE } from '../../../src/wires/usage.ts';
import { readChat } from '../../support/chat-request.ts';
import { contentEvent, event, finishEvent, usageEvent } from '../../support/fake-provider.ts';
import { plainAnswer } from '../../support/plain-answers.ts';

const routing = { selected_model: 'm', all_scores: { m: 0.25 } };
const CONTEXT = { requestId: 'r1', model: 'm', created: 0, promptTokens: 1, routing: () => routing };
const REQUEST = readChat(JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], stream_options: { include_usage: true } }));
const FIGURES: SettledFigures = { billed: { ...ZERO_USAGE, input: 10, output: 5 }, costs: { total_cost_msat: 7 } };
const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };

const readerOf = (wire: WireName = 'openai-chat') => streamReader(puraRouter, UPSTREAMS[wire] ?? openAiChatUpstream, REQUEST, CONTEXT);
const chunksOf = (bytes: Buffer) => [...parseEvents(bytes)];

describe('a stream of the router', () => {
  it.each(['openai-chat', 'openai-responses', 'anthropic-messages', 'gemini-generate'] as const)(
    'says on its first chunk what was decided, and has one id: from %s',
    (wire) => {
      const reader = readerOf(wire);
      const { body } = plainAnswer(wire, true, {});
      const seen = [...body].map((byte) => reader.push(Buffer.from([byte])));
      const chunks = chunksOf(Buffer.concat([...seen, reader.finish()].map(({ forward }) => forward)));
      const last = chunksOf(reader.ending(FIGURES).usage);
      expect(chunks.length).toBeGreaterThan(1);
      expect(new Set([...chunks, ...last].map(({ id }) => id))).toEqual(new Set(['router-r1']));
      expect(chunks[0]).toMatchObject({ object: 'chat.completion.chunk', routing });
      expect([...chunks.slice(1), ...last].filter((chunk) => 'routing' in chunk)).toEqual([]);
      expect(last).toMatchObject([{ choices: [], usage: { prompt_tokens: 10, total_cost_msat: 7 } }]);
      expect(seen.flatMap(({ usages }) => usages).length).toBeGreaterThan(0);
    },
  );

  it('says it with the usage where nothing else is handed on', () => {
    const reader = readerOf();
    expect(reader.push(Buffer.from(`${usageEvent(usage)}data: [DONE]\n\n`))).toMatchObject({ done: true, usages: [{ alone: true }] });
    const { usage: told, last } = reader.ending(FIGURES);
    expect(chunksOf(told)).toMatchObject([{ id: 'router-r1', routing, usage: { prompt_tokens: 10 } }]);
    expect(last.toString()).toBe('data: [DONE]\n\n');
  });

  it('is as long as its client wants: no usage where none is asked for', () => {
    expect(readerOf().ending(null).usage).toHaveLength(0);
  });

  it('leaves numbers and members as they were written', () => {
    const written = '"seed":12345678901234567890,"choices":[{"index":0,"delta":{"content":"a"},"p":1.0000000000000000001e-400}]';
    const { forward } = readerOf().push(Buffer.from(`data: {"id":"x",${written}}\n\n`));
    expect(forward.toString()).toBe(`data: {"id":"router-r1",${written},"routing":${JSON.stringify(routing)}}\n\n`);
  });

  const deep = `{"choices":[{"delta":{"content":"a","x":${'['.repeat(100_000)}${']'.repeat(100_000)}}}]}`;
  const UNTOUCHED: [name: string, data: string][] = [
    ['text', 'hello'],
    ['broken JSON', '{"choices":['],
    ['a list', '[1,2]'],
    ['what is nested without end', deep],
  ];
  it.each(UNTOUCHED)('hands on %s as it came, and says what was decided on the next chunk', (_name, data) => {
    const reader = readerOf();
    const { forward } = reader.push(Buffer.from(`data: ${data}\n\n${contentEvent('a')}`));
    expect(forward.toString().startsWith(`data: ${data}\n\n`)).toBe(true);
    const next = chunksOf(forward.subarray(`data: ${data}\n\n`.length));
    expect(next).toMatchObject([{ id: 'router-r1', routing }]);
  });

  it('tells where in the stream the usage stood, in the bytes as they are now', () => {
    const riding = event({ choices: [{ index: 0, delta: {} }], usage });
    const { forward, usages } = readerOf().push(Buffer.from(contentEvent('one') + riding + contentEvent('two') + finishEvent()));
    const [seen] = usages;
    expect(usages).toHaveLength(1);
    expect(chunksOf(forward.subarray(0, seen?.offset))).toHaveLength(2);
    expect(chunksOf(forward.subarray(seen?.offset))).toHaveLength(2);
  });

  it('keeps the name of an event, and drops what stands beside its data', () => {
    const { forward } = readerOf().push(Buffer.from(': said\nevent: x\nid: 7\ndata: {"choices":[]}\n\n'));
    expect(forward.toString()).toBe(`event: x\ndata: {"choices":[],"id":"router-r1","routing":${JSON.stringify(routing)}}\n\n`);
  });
});

describe('a JSON answer of the router', () => {
  it('has the id and the decision beside what a chat has', () => {
    const body = { id: 'chatcmpl-1', object: 'chat.completion', model: 'm', choices: [], extra: 1 };
    expect(puraRouter.withFigures(body, FIGURES, CONTEXT)).toMatchObject({
      ...body,
      id: 'router-r1',
      routing,
      usage: { prompt_tokens: 10 },
    });
  });
});
