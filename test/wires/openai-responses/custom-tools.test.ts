import { describe, expect, it } from '@jest/globals';
import { translatedBody, streamReader } from '../../../src/wires/translate.ts';
import { anthropicMessagesUpstream } from '../../../src/wires/anthropic-messages/upstream.ts';
import { geminiGenerateUpstream } from '../../../src/wires/gemini-generate/upstream.ts';
import { openAiChatUpstream } from '../../../src/wires/openai-chat/upstream.ts';
import { openAiResponses } from '../../../src/wires/openai-responses/surface.ts';
import type { Target } from '../../../src/wires/target.ts';
import type { JsonObject, Upstream } from '../../../src/wires/wire.ts';
import { target } from '../../support/generation.ts';
import { checkEventOrder } from './event-order.ts';
import { recordedRequests } from './recorded-requests.ts';
import { CONTEXT, requestOf } from './requests.ts';

const PATCH = '*** Begin Patch\n+"a\\b" 😀\n*** End Patch';
const ARGUMENTS = JSON.stringify({ input: PATCH });
const CALL = { id: 'call_1', type: 'function', function: { name: 'apply_patch', arguments: ARGUMENTS } };

interface Provider {
  readonly name: string;
  readonly upstream: Upstream;
  readonly target: Target;
  /** An answer that calls the tool. */
  readonly answer: JsonObject;
  readonly events: readonly JsonObject[];
}

const candidate = {
  content: { role: 'model', parts: [{ functionCall: { name: 'apply_patch', args: { input: PATCH } } }] },
  finishReason: 'STOP',
};
const chunk = (delta: JsonObject, finish: string | null = null): JsonObject => ({ choices: [{ index: 0, delta, finish_reason: finish }] });
const PROVIDERS: readonly Provider[] = [
  {
    name: 'Gemini',
    upstream: geminiGenerateUpstream,
    target: target({}, {}, { providerId: 'gemini' }),
    answer: { candidates: [candidate] },
    events: [{ candidates: [candidate] }],
  },
  {
    name: 'a chat that knows functions alone',
    upstream: openAiChatUpstream,
    target: target({}, {}, { providerId: 'groq' }),
    answer: { choices: [{ index: 0, message: { role: 'assistant', content: null, tool_calls: [CALL] }, finish_reason: 'tool_calls' }] },
    events: [
      chunk({ tool_calls: [{ index: 0, ...CALL, function: { name: 'apply_patch', arguments: '' } }] }),
      ...ARGUMENTS.split('').map((text) => chunk({ tool_calls: [{ index: 0, function: { arguments: text } }] })),
      chunk({}, 'tool_calls'),
    ],
  },
];

const HISTORY = requestOf({
  model: 'm',
  input: [
    { role: 'user', content: 'x' },
    { type: 'custom_tool_call', call_id: 'c1', name: 'apply_patch', input: PATCH },
    { type: 'custom_tool_call_output', call_id: 'c1', output: 'Done' },
  ],
  tools: [{ type: 'custom', name: 'apply_patch', format: { type: 'grammar', syntax: 'lark', definition: 'start: "a"' } }],
});

describe.each(PROVIDERS)('$name', ({ upstream, target: to, answer, events }) => {
  it('hears of tools for free text, and of calls of them, as functions', () => {
    expect(upstream.obstacle(HISTORY, to)).toBeNull();
    const body = upstream.render(HISTORY, to).body(100, 'a').toString();
    expect(body).toContain('Free text, by this grammar');
    expect(body).not.toContain('custom');
    expect(body).toContain(upstream === openAiChatUpstream ? JSON.stringify(ARGUMENTS) : ARGUMENTS);
  });

  it('calls them as the client declared them', () => {
    const call = { type: 'custom_tool_call', name: 'apply_patch', input: PATCH };
    expect(translatedBody(openAiResponses, upstream.read(answer), HISTORY, CONTEXT)['output']).toMatchObject([call]);
    const reader = streamReader(openAiResponses, upstream, HISTORY, CONTEXT);
    const stream = [...events.map((event) => JSON.stringify(event)), ...(upstream === openAiChatUpstream ? ['[DONE]'] : [])];
    const seen = stream.map((data) => reader.push(Buffer.from(`data: ${data}\n\n`)).forward.toString()).join('');
    const rest = reader.finish().forward.toString();
    const { usage, last } = reader.ending(null);
    const text = seen + rest + usage.toString() + last.toString();
    expect(checkEventOrder(text)['output']).toMatchObject([call]);
    const deltas = text.match(/response\.custom_tool_call_input\.delta/g) ?? [];
    expect(deltas.length > 20).toBe(upstream === openAiChatUpstream);
  });
});

it('Anthropic hears of them so too', () => {
  const body = anthropicMessagesUpstream.render(HISTORY, target()).body(100, 'a').toString();
  expect(body).toContain('Free text, by this grammar');
  expect(body).toContain(`"input":${ARGUMENTS}`);
});

const recorded = recordedRequests().filter(({ file, wire }) => file.startsWith('codex') && wire === 'openai-responses');

(recorded.length > 0 ? describe : describe.skip)('every request recorded from Codex', () => {
  it.each(recorded.flatMap(({ file, body }) => PROVIDERS.map((provider) => ({ file, body, provider }))))(
    '$file is taken by $provider.name',
    ({ body, provider: { upstream, target: to } }) => {
      const request = requestOf(body);
      expect(upstream.obstacle(request, to)).toBeNull();
      expect(upstream.render(request, to).body(100, 'a').toString()).not.toContain('"type":"custom"');
    },
  );
});
