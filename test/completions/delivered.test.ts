import { describe, expect, it } from '@jest/globals';
import { Delivered, tokensOfWritten } from '../../src/completions/delivered.ts';
import { chatEvents } from '../../src/wires/openai-chat/events.ts';
import { openAiChatUpstream } from '../../src/wires/openai-chat/upstream.ts';
import { contentEvent, event, finishEvent } from '../support/fake-provider.ts';

/** Counts characters, and keeps what it was given. */
function counter(): { count: (text: string) => number; texts: string[] } {
  const texts: string[] = [];
  return { texts, count: (text) => (texts.push(text), text.length) };
}

const delta = (members: object): Buffer => Buffer.from(event({ choices: [{ index: 0, delta: members }] }));

describe('Delivered', () => {
  it('counts nothing until it is asked, and no text twice', async () => {
    const { count, texts } = counter();
    const delivered = new Delivered(chatEvents, count);
    delivered.add(Buffer.from(contentEvent('one')));
    delivered.add(Buffer.from(contentEvent('two')));
    expect(texts).toEqual([]);
    expect(await delivered.tokens()).toBe(6);
    expect(await delivered.tokens()).toBe(6);
    delivered.add(Buffer.from(contentEvent('three')));
    expect(await delivered.tokens()).toBe(11);
    expect(texts).toEqual(['onetwo', 'three']);
  });

  const WRITTEN: [what: string, delta: object, tokens: number][] = [
    ['content', { role: 'assistant', content: 'abc' }, 3],
    ['content in parts', { content: [{ type: 'text', text: 'abc' }] }, 3],
    [
      'thoughts in parts',
      {
        content: [
          { type: 'thinking', thinking: [{ type: 'text', text: 'abc' }] },
          { type: 'text', text: 'de' },
        ],
      },
      5,
    ],
    ['reasoning', { reasoning_content: 'abc', reasoning: 'de' }, 5],
    ['thinking', { thinking: 'abc' }, 3],
    ['reasoning in a member of an object', { reasoning: { summary: [{ text: 'abc' }] } }, 3],
    [
      'reasoning details',
      { reasoning_details: [{ type: 'reasoning.text', format: 'f', index: 0, id: 'x', signature: 's', text: 'abc' }] },
      3,
    ],
    ['what nobody knows yet', { musings: { deep: [[{ words: 'abc' }]] } }, 3],
    ['the same reasoning in two members once', { reasoning: 'abc', reasoning_details: [{ type: 'reasoning.text', text: 'abc' }] }, 3],
    ['the same reasoning in pieces once', { reasoning: 'ab\n\ncd', reasoning_details: [{ text: 'ab' }, { text: 'cd' }] }, 6],
    [
      'the same in three members once',
      { reasoning: 'abc', reasoning_content: 'abc', provider_specific_fields: { reasoning_content: 'abc' } },
      3,
    ],
    ['what one member says twice twice', { content: [{ text: 'abc' }, { text: 'abc' }] }, 6],
    ['a refusal', { refusal: 'no' }, 2],
    [
      'a tool call',
      {
        tool_calls: [{ index: 0, id: 'x', type: 'function', function: { name: 'f', arguments: '{}' } }, { function: { arguments: '12' } }],
      },
      5,
    ],
    [
      'equal tool calls apiece',
      { tool_calls: [{ function: { name: 'f', arguments: '{}' } }, { function: { name: 'f', arguments: '{}' } }] },
      6,
    ],
    [
      'arguments that are no text',
      { tool_calls: [{ function: { name: 'f', arguments: { id: 'xy', days: [1, 23] } } }] },
      1 + 2 + 2 + 4 + 3,
    ],
    ['a custom tool call', { tool_calls: [{ custom: { name: 'f', input: 'abc' } }] }, 4],
    ['an old function call', { function_call: { name: 'f', arguments: '{}' } }, 3],
    ['what is said in sound', { audio: { id: 'audio_1', expires_at: 1, transcript: 'abc' } }, 3],
    ['sound by its size', { audio: { data: 'A'.repeat(3_000) } }, 3],
    ['pictures by their size', { images: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(2_000)}` } }] }, 2],
    ['sealed thoughts by their size', { reasoning_details: [{ type: 'reasoning.encrypted', data: 'A'.repeat(1_024) }] }, 1],
    ['words where data would be', { parts: [{ data: 'plain words' }] }, 11],
    [
      'no ids, roles and verdicts',
      { role: 'assistant', id: 'x', tool_call_id: 'y', toolCallId: 'z', channel: 'analysis', annotations: [{ url: 'u' }] },
      0,
    ],
    ['no signatures', { signature: 's', extra_content: { google: { thought_signature: 's' } }, thoughtSignature: 's' }, 0],
    ['nothing', {}, 0],
    ['nulls', { content: null, tool_calls: null, function_call: null }, 0],
    ['values of wrong types', { content: 5, tool_calls: [null, 7, { function: 5 }] }, 0],
  ];

  it.each(WRITTEN)('counts %s', async (_what, members, tokens) => {
    const delivered = new Delivered(chatEvents, counter().count);
    delivered.add(delta(members));
    expect(await delivered.tokens()).toBe(tokens);
    const choices = [{ index: 0, message: members }];
    expect(await tokensOfWritten(openAiChatUpstream.read({ choices }).written(), (text) => text.length)).toBe(tokens);
    expect(chatEvents.isDelivery(delta(members))).toBe(tokens > 0);
  });

  it('counts what stands in the choice itself, but for what the server says of it', async () => {
    const choices = [
      {
        index: 0,
        text: 'abc',
        finish_reason: 'stop',
        native_finish_reason: 'STOP',
        stop_reason: 'end',
        logprobs: { content: [{ token: 'abc', bytes: [1] }] },
        content_filter_results: { hate: { severity: 'safe' } },
        usage: { note: 'x' },
      },
    ];
    expect(await tokensOfWritten(openAiChatUpstream.read({ choices }).written(), (text) => text.length)).toBe(3);
  });

  it('counts to any depth and any number, without a stack that could overflow', async () => {
    const depth = 100_000;
    const deep = `{"delta":{"x":${'['.repeat(depth)}"abc"${']'.repeat(depth)}}}`;
    const delivered = new Delivered(chatEvents, counter().count);
    delivered.add(Buffer.from(`data: {"choices":[${deep}]}\n\n`));
    const wide = { delta: { x: Array.from({ length: 300_000 }, () => 'ab') } };
    delivered.add(Buffer.from(`data: ${JSON.stringify({ choices: [wide] })}\n\n`));
    expect(await delivered.tokens()).toBe(3 + 600_000);
  });

  it('knows whether anything was written after the figures', () => {
    const delivered = new Delivered(chatEvents, counter().count);
    expect(delivered.wroteAfterUsage()).toBe(false);
    delivered.add(Buffer.from(contentEvent('one')));
    delivered.usageSeen();
    expect(delivered.wroteAfterUsage()).toBe(false);
    delivered.add(Buffer.from(finishEvent()));
    expect(delivered.wroteAfterUsage()).toBe(false);
    delivered.add(Buffer.from(contentEvent('two')));
    expect(delivered.wroteAfterUsage()).toBe(true);
    delivered.usageSeen();
    expect(delivered.wroteAfterUsage()).toBe(false);
    delivered.add(Buffer.from(contentEvent('x'.repeat(300_000))));
    expect(delivered.wroteAfterUsage()).toBe(true);
  });

  it('counts all choices, and passes over what is no chunk', async () => {
    const delivered = new Delivered(chatEvents, counter().count);
    const two = event({ choices: [{ delta: { content: 'ab' } }, { delta: { content: 'cd' } }] });
    delivered.add(Buffer.from(`: ping\n\ndata: nonsense\n\ndata: {"choices":5}\n\ndata: null\n\n${two}`));
    expect(await delivered.tokens()).toBe(4);
    expect(await tokensOfWritten(openAiChatUpstream.read({ choices: ['nonsense', null] }).written(), (text) => text.length)).toBe(0);
  });

  it('tells when some choice was finished', () => {
    const delivered = new Delivered(chatEvents, counter().count);
    delivered.add(Buffer.from(contentEvent('one')));
    expect(delivered.finishing()).toBe(false);
    delivered.add(Buffer.from(finishEvent('length')));
    expect(delivered.finishing()).toBe(true);
  });

  it('counts what it kept and what it read on its own the same', async () => {
    const delivered = new Delivered(chatEvents, counter().count);
    const piece = 'x'.repeat(50_000);
    for (let round = 0; round < 20; round++) delivered.add(Buffer.from(contentEvent(piece)));
    expect(await delivered.tokens()).toBe(20 * 50_000);
  });
});
