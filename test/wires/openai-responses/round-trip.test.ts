import { describe, expect, it } from '@jest/globals';
import { readAnswer } from '../../../src/wires/openai-responses/answer.ts';
import { openAiResponsesUpstream } from '../../../src/wires/openai-responses/upstream.ts';
import { parseEvents } from '../../../src/wires/sse.ts';
import { SURFACES } from '../../../src/wires/surfaces.ts';
import { PLAIN_DIALECT, PLAIN_TRAITS, type Target } from '../../../src/wires/target.ts';
import { streamReader } from '../../../src/wires/translate.ts';
import { UPSTREAMS } from '../../../src/wires/upstreams.ts';
import type { JsonObject, Upstream, WireName } from '../../../src/wires/wire.ts';
import { bytesOf, everyStream, pieces } from './recorded.ts';
import { recordedRequests } from './recorded-requests.ts';
import { CONTEXT, requestOf } from './requests.ts';

type SurfaceName = keyof typeof SURFACES;

const TARGET: Target = {
  providerId: 'openai',
  model: 'gpt-x',
  maxOutputTokens: 1000,
  takesImages: true,
  takesDocuments: true,
  takesRemoteMedia: true,
  traits: { ...PLAIN_TRAITS, reasoning: 'effort' },
  dialect: PLAIN_DIALECT,
  allowParameters: [],
};
/** Those that chat: legacy completions take none of the other wires' requests. */
const upstreams = Object.values(UPSTREAMS).filter(({ operation, wire }) => operation === 'generate' && wire !== 'openai-completions');

function parse(wire: SurfaceName, body: JsonObject) {
  return SURFACES[wire].parse({ fields: body, verbatim: body, bodyBytes: 0 }, { streamDefault: false, headers: {} });
}

function rendered(upstream: Upstream, wire: SurfaceName, body: JsonObject): { sent: JsonObject; ignored: readonly string[] } | string {
  const request = parse(wire, body);
  const obstacle = upstream.obstacle(request, TARGET);
  if (obstacle) return obstacle.detail.param ?? '';
  const rendering = upstream.render(request, TARGET);
  expect(rendering.promptText()).not.toBe('');
  return { sent: JSON.parse(rendering.body(100, 'account').toString()) as JsonObject, ignored: rendering.ignored };
}

/** What a Responses provider answered with thoughts and a call, as it is told to a client of another wire. */
function thoughtfulAnswer(): JsonObject {
  const events = [...parseEvents(bytesOf('openai-responses/reasoning-summary-stream.sse'))];
  return events.at(-1)?.['response'] as JsonObject;
}

const recordings = recordedRequests();
const everyRecorded = everyStream(Object.keys(UPSTREAMS));

(recordings.length > 0 ? describe : describe.skip)('a request recorded from a real client', () => {
  it.each(recordings)('$file goes to a provider of Responses, and one for a response goes to any', ({ wire, body }) => {
    const reached = wire === 'openai-responses' ? upstreams : [openAiResponsesUpstream];
    const reply = reached.map((upstream) => ({ wire: upstream.wire, result: rendered(upstream, wire, body) }));
    const refused = reply.filter(({ result }) => typeof result === 'string');
    // A tool for free text is more than some can say.
    const hasFreeText = JSON.stringify(body['tools'] ?? []).includes('"custom"');
    expect(refused.map(({ result }) => result).filter((param) => !(hasFreeText && (param as string).startsWith('tools.')))).toEqual([]);
  });

  it('has its thoughts and calls back when the conversation goes on', () => {
    const response = thoughtfulAnswer();
    const sealed = ((response['output'] as JsonObject[])[0] ?? {})['encrypted_content'];
    const answer = readAnswer(response).answer();
    const chatRequest = parse('openai-chat', { messages: [{ role: 'user', content: 'x' }] });
    const chat = SURFACES['openai-chat'].body(answer, chatRequest, CONTEXT) as {
      choices: [{ message: JsonObject & { tool_calls: [{ id: string }] } }];
    };
    const { message } = chat.choices[0];
    const claudeRequest = parse('anthropic-messages', { max_tokens: 9, messages: [{ role: 'user', content: 'x' }] });
    const claude = SURFACES['anthropic-messages'].body(answer, claudeRequest, CONTEXT) as {
      content: (JsonObject & { type: string; id: string })[];
    };
    const called = claude.content.find(({ type }) => type === 'tool_use');
    const bodies: [SurfaceName, JsonObject][] = [
      [
        'openai-chat',
        { messages: [{ role: 'user', content: 'x' }, message, { role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'sunny' }] },
      ],
      [
        'anthropic-messages',
        {
          max_tokens: 9,
          messages: [
            { role: 'user', content: 'x' },
            { role: 'assistant', content: claude.content },
            { role: 'user', content: [{ type: 'tool_result', tool_use_id: called?.id, content: 'sunny' }] },
          ],
        },
      ],
    ];
    for (const [wire, body] of bodies) {
      const { sent } = rendered(openAiResponsesUpstream, wire, body) as { sent: JsonObject };
      expect(sent['input']).toMatchObject([
        { role: 'user' },
        { type: 'reasoning', encrypted_content: sealed },
        { type: 'function_call', name: 'weather', arguments: '{"location":"Florence, Italy"}' },
        { type: 'function_call_output', output: 'sunny' },
      ]);
      const [, , call, result] = sent['input'] as JsonObject[];
      expect(result?.['call_id']).toBe(call?.['call_id']);
    }
  });
});

describe('a recorded stream', () => {
  const surface = SURFACES['openai-responses'];
  const seed = Math.floor(Math.random() * 2 ** 31);

  (everyRecorded.length > 0 ? it : it.skip).each(everyRecorded)(
    `$file reaches a client of Responses in pieces as in one (seed ${seed})`,
    ({ file, wire }) => {
      const upstream = UPSTREAMS[wire as WireName];
      if (!upstream) throw new Error(`no wire ${wire}`);
      const read = (packets: Buffer[]): string => {
        const reader = streamReader(surface, upstream, requestOf({ input: 'x' }), CONTEXT);
        const seen = [...packets.map((packet) => reader.push(packet)), reader.finish()];
        const { usage, last } = reader.ending(null);
        return Buffer.concat([...seen.map(({ forward }) => forward), usage, last]).toString();
      };
      const bytes = bytesOf(file);
      const whole = read([bytes]);
      expect(read(pieces(bytes, seed))).toBe(whole);
      expect(whole).toMatch(/response\.(?:completed|incomplete)/);
    },
  );
});
