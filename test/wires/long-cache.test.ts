import { describe, expect, it } from '@jest/globals';
import { anthropicMessages } from '../../src/wires/anthropic-messages/surface.ts';
import { anthropicMessagesUpstream } from '../../src/wires/anthropic-messages/upstream.ts';
import { openAiChat } from '../../src/wires/openai-chat/surface.ts';
import { openAiChatUpstream } from '../../src/wires/openai-chat/upstream.ts';
import { openAiResponses } from '../../src/wires/openai-responses/surface.ts';
import { openAiResponsesUpstream } from '../../src/wires/openai-responses/upstream.ts';
import type { JsonObject, Surface, Upstream } from '../../src/wires/wire.ts';
import { target } from './anthropic-messages/messages-request.ts';

const WIRES: readonly (readonly [Surface, Upstream, JsonObject])[] = [
  [openAiChat, openAiChatUpstream, { model: 'm' }],
  [openAiResponses, openAiResponsesUpstream, { model: 'm' }],
  [anthropicMessages, anthropicMessagesUpstream, { model: 'm', max_tokens: 100 }],
];
const [chat, responses, messages] = WIRES.map(([surface, upstream, base]) => (fields: JsonObject) => {
  const body = { ...base, ...fields };
  const request = surface.parse({ fields: body, verbatim: body, bodyBytes: 0 }, { streamDefault: false });
  return upstream.render(request, target()).cachesLong === true;
}) as [Holds, Holds, Holds];

type Holds = (fields: JsonObject) => boolean;

const asks = (text: string, mark?: JsonObject) => ({
  messages: [{ role: 'user', content: [{ type: 'text', text, ...(mark && { cache_control: mark }) }] }],
});
const HOUR = { type: 'ephemeral', ttl: '1h' };
const USUAL = { type: 'ephemeral', ttl: '5m' };

describe('a prompt that is to be cached for long', () => {
  it.each<[string, Holds, JsonObject, boolean]>([
    ["OpenAI's word on chat", chat, { ...asks('x'), prompt_cache_retention: '24h' }, true],
    ["OpenAI's usual word on chat", chat, { ...asks('x'), prompt_cache_retention: 'in_memory' }, false],
    ["Anthropic's mark on chat", chat, asks('x', HOUR), true],
    ["Anthropic's usual mark on chat", chat, asks('x', USUAL), false],
    ['the mark in what a client writes on chat', chat, asks('"ttl":"1h"'), false],
    ["OpenAI's word on responses", responses, { input: 'x', prompt_cache_retention: '24h' }, true],
    ['nothing of it on responses', responses, { input: '"ttl":"1h"' }, false],
    ["Anthropic's mark on messages", messages, asks('x', HOUR), true],
    ["Anthropic's mark on a tool", messages, { ...asks('x'), tools: [{ name: 't', input_schema: {}, cache_control: HOUR }] }, true],
    ["Anthropic's usual mark on messages", messages, asks('x', USUAL), false],
    ['the mark in what a client writes on messages', messages, asks('"ttl":"1h"'), false],
  ])('is held for at its own price: %s', (_name, holds, fields, wanted) => {
    expect(holds(fields)).toBe(wanted);
  });
});
