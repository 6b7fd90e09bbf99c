import { describe, expect, it } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { GatewayError } from '../../../src/errors.ts';
import { parseCountRequest, countInputTokens } from '../../../src/wires/anthropic-messages/count-tokens.ts';
import { anthropicMessagesUpstream as upstream } from '../../../src/wires/anthropic-messages/upstream.ts';
import { countOutputTokens, promptTokenBound } from '../../../src/wires/tokens.ts';
import type { JsonObject } from '../../../src/wires/wire.ts';
import { parsed, target } from './messages-request.ts';

const HELLO = { model: 'claude', max_tokens: 100, messages: [{ role: 'user', content: 'Hello' }] };
const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } };
const pdf = { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'AAAAAAAA' } };
const tool = { name: 'look', input_schema: { type: 'object', properties: {} } };

function refusal(body: JsonObject): GatewayError {
  try {
    parsed(body);
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

const user = (...content: unknown[]): JsonObject => ({ ...HELLO, messages: [{ role: 'user', content }] });

describe('what is refused, and how', () => {
  it.each<[string, JsonObject, string, string]>([
    ['no cap', { messages: HELLO.messages }, 'max_tokens', 'max_tokens: Field required'],
    ['no messages', { max_tokens: 1 }, 'messages', 'messages: Field required'],
    ['an unknown field', { ...HELLO, colour: 1 }, 'colour', 'colour: Extra inputs are not permitted'],
    ['a container', { ...HELLO, container: 'c_1' }, 'container', 'container: Extra inputs are not permitted'],
    ['MCP servers', { ...HELLO, mcp_servers: [{ url: 'https://a' }] }, 'mcp_servers', 'mcp_servers: Extra inputs are not permitted'],
    ['a region', { ...HELLO, inference_geo: 'us' }, 'inference_geo', 'inference_geo: Extra inputs are not permitted'],
    ['speed', { ...HELLO, speed: 'fast' }, 'speed', 'speed: Extra inputs are not permitted'],
    [
      'compaction',
      { ...HELLO, context_management: { edits: [{ type: 'clear_thinking_20251015' }, { type: 'compact_20260112' }] } },
      'context_management',
      'context_management: Extra inputs are not permitted',
    ],
    ['an odd output setting', { ...HELLO, output_config: { volume: 1 } }, 'output_config.volume', 'Extra inputs are not permitted'],
    ['a stored file', user({ type: 'image', source: { type: 'file', file_id: 'f' } }), 'messages.0.content.0.source.type', 'stored'],
    ['a hosted block', user({ type: 'container_upload', file_id: 'f' }), 'messages.0.content.0.type', 'must be text'],
    ['plain http', user({ type: 'image', source: { type: 'url', url: 'http://a/b' } }), 'messages.0.content.0.source.url', 'https'],
    [
      'a lifetime without a price',
      user({ type: 'text', text: 'a', cache_control: { type: 'ephemeral', ttl: '9h' } }),
      'messages.0.content.0.cache_control.ttl',
      '5m',
    ],
    ['a role', { ...HELLO, messages: [{ role: 'tool', content: 'a' }] }, 'messages.0.role', 'must be user'],
    ['no content', { ...HELLO, messages: [{ role: 'user' }] }, 'messages.0.content', 'Field required'],
    ['a member of a message', { ...HELLO, messages: [{ role: 'user', content: 'a', thread: 1 }] }, 'messages.0.thread', 'Extra inputs'],
    ['an empty conversation', { ...HELLO, messages: [] }, 'messages', 'at least one'],
    ['a tool without a schema', { ...HELLO, tools: [{ name: 'a' }] }, 'tools.0.input_schema', 'Field required'],
    [
      'a tool that code calls',
      { ...HELLO, tools: [{ ...tool, allowed_callers: ['code_execution_20260120'] }] },
      'tools.0.allowed_callers.0',
      'direct',
    ],
    [
      'a forced hosted tool',
      { ...HELLO, tools: [{ type: 'web_search_20250305', name: 'web_search' }], tool_choice: { type: 'any' } },
      'tool_choice',
      'web_search_20250305',
    ],
    [
      'a forced hosted tool by name',
      { ...HELLO, tools: [tool, { type: 'web_search_20250305', name: 'web_search' }], tool_choice: { type: 'tool', name: 'web_search' } },
      'tool_choice',
      'web_search_20250305',
    ],
    ['a tiny budget', { ...HELLO, thinking: { type: 'enabled', budget_tokens: 10 } }, 'thinking.budget_tokens', '1024'],
    ['priority', { ...HELLO, service_tier: 'priority' }, 'service_tier', 'standard_only'],
    ['no cap at all', { ...HELLO, max_tokens: 0 }, 'max_tokens', 'at least 1'],
    [
      'an added tool that is defined',
      user({ type: 'tool_addition', tool: { type: 'tool_definition', definition: {} } }),
      'messages.0.content.0.tool.type',
      'tool_reference',
    ],
  ])('%s', (_what, body, param, message) => {
    const error = refusal(body);
    expect(error.status).toBe(400);
    expect(error.detail.param).toBe(param);
    expect(error.message).toContain(message);
  });

  it('a conversation kept by the server, so that clients send all of it', () => {
    const { error } = refusal({ ...HELLO, thread: { type: 'create' } }).toJSON();
    expect(error).toMatchObject({
      message: 'thread: Extra inputs are not permitted',
      details: { error_code: 'thread_unsupported_request', unsupported: ['thread'] },
    });
  });

  it('a million wrong blocks, in no time', () => {
    const content = Array.from({ length: 90_000 }, () => ({ type: 'x' }));
    const begun = performance.now();
    expect(refusal(user(...content)).detail.param).toBe('messages.0.content.0.type');
    expect(performance.now() - begun).toBeLessThan(1_000);
  });
});

describe('what is accepted', () => {
  it('says nothing: null, an empty list, the default of a refused field', () => {
    const request = parsed({ ...HELLO, container: null, mcp_servers: [], speed: 'standard', inference_geo: 'global', thinking: null });
    expect(request.fields).toEqual({ messages: HELLO.messages });
  });

  it('says nothing with null to another wire either', () => {
    const nulls = [
      'temperature',
      'top_p',
      'top_k',
      'stop_sequences',
      'system',
      'tools',
      'tool_choice',
      'context_management',
      'output_config',
    ];
    const silent = parsed({ ...HELLO, ...Object.fromEntries(nulls.map((name) => [name, null])) });
    expect(silent.generation()).toEqual(parsed(HELLO).generation());
  });

  it('reads what the gateway must know', () => {
    const request = parsed({ ...HELLO, stream: true, routing: { quality: 'low' }, metadata: { user_id: 'me' }, service_tier: 'auto' });
    expect(request).toMatchObject({ model: 'claude', stream: true, includeUsage: true, completions: 1, outputCap: 100 });
    expect(request.routing.quality).toBe('low');
    expect(request.fields).toEqual({ messages: HELLO.messages });
    expect(parsed({ max_tokens: 1, messages: HELLO.messages }).model).toBe('auto');
  });

  it('finds images and documents, those in results of tools too', () => {
    const remote = { type: 'image', source: { type: 'url', url: 'https://a/b.png' } };
    const result = { type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: 'a' }, image, pdf] };
    expect(parsed(user(result, remote)).media).toEqual({
      images: 2,
      firstImageParam: 'messages.0.content.0.content.1.source',
      firstRemoteParam: 'messages.0.content.1.source',
      documents: 1,
      firstDocumentParam: 'messages.0.content.0.content.2.source',
      documentBytes: 8,
    });
  });

  it('tells what a request asks: not the results of tools', () => {
    const messages = [
      { role: 'user', content: 'first' },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'look', input: {} }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: 'seen' }] },
    ];
    expect(parsed({ ...HELLO, messages, tools: [tool] }).facts()).toMatchObject({
      asked: 'first',
      opening: 'first',
      turns: 1,
      hasTools: true,
    });
  });

  it('leaves hosted tools that are only offered out, and names them', () => {
    const hosted = [
      { type: 'web_search_20250305', name: 'web_search' },
      { type: 'tool_search_tool_regex_20251119', name: 'find' },
    ];
    const request = parsed({ ...HELLO, tools: [{ ...tool, defer_loading: true }, ...hosted], tool_choice: { type: 'any' } });
    expect(request.fields['tools']).toEqual([{ ...tool, defer_loading: false }]);
    const rendering = upstream.render(request, target());
    expect(rendering.ignored).toEqual(['web_search_20250305', 'tool_search_tool_regex_20251119']);
    expect(request.generation().unsaid).toEqual(['web_search_20250305', 'tool_search_tool_regex_20251119']);
    const only = parsed({ ...HELLO, tools: hosted, tool_choice: { type: 'auto' } });
    expect(only.fields).toEqual({ messages: HELLO.messages });
  });

  it('hands on the betas that change no price, and names the others', () => {
    const headers = { 'anthropic-beta': 'context-management-2025-06-27, context-1m-2025-08-07,files-api-2025-04-14,x"\r\ny: z' };
    const rendering = upstream.render(parsed(HELLO, { headers }), target());
    expect(rendering.headers).toEqual(['anthropic-beta', 'context-management-2025-06-27']);
    expect(rendering.ignored).toEqual(['context-1m-2025-08-07', 'files-api-2025-04-14']);
  });
});

describe('the same wire', () => {
  const bodyOf = (body: JsonObject | string, ...[traits, more]: Parameters<typeof target>): JsonObject =>
    JSON.parse(upstream.render(parsed(body), target(traits, more)).body(5_000, 'hash').toString()) as JsonObject;

  it('sends the fields as they were written, and what the gateway decides', () => {
    const text = `{"model":"x","max_tokens":100,"stream":true,"service_tier":"auto","metadata":{"user_id":"me"},"temperature":1.0e0,
      "messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"b","input":{"n":12345678901234567890}}]}]}`;
    const sent = upstream.render(parsed(text), target()).body(5_000, 'hash').toString();
    expect(sent).toContain('12345678901234567890');
    expect(sent).toContain('"temperature":1.0e0');
    expect(JSON.parse(sent)).toMatchObject({
      model: 'claude-test',
      max_tokens: 5_000,
      stream: true,
      service_tier: 'standard_only',
      metadata: { user_id: 'hash' },
    });
  });

  it('lowers a budget for thinking with the cap', () => {
    const thinking = { type: 'enabled', budget_tokens: 31_999, display: 'omitted' };
    expect(bodyOf({ ...HELLO, thinking })['thinking']).toEqual({ ...thinking, budget_tokens: 4_999 });
  });

  it.each<[string, JsonObject, Parameters<typeof target>[0], JsonObject]>([
    [
      'an effort as a budget',
      { thinking: { type: 'adaptive', display: 'omitted' }, output_config: { effort: 'low' } },
      { reasoning: 'budget' },
      { thinking: { type: 'enabled', budget_tokens: 2_048, display: 'omitted' } },
    ],
    [
      'thinking that was only turned on',
      { thinking: { type: 'adaptive' } },
      { reasoning: 'budget' },
      { thinking: { type: 'enabled', budget_tokens: 4_000 } },
    ],
    [
      'a budget as an effort',
      { thinking: { type: 'enabled', budget_tokens: 4_500 }, output_config: { task_budget: { type: 'tokens', total: 5 } } },
      { reasoning: 'effort', efforts: ['low', 'medium', 'high', 'xhigh', 'max'] },
      { thinking: { type: 'adaptive' }, output_config: { effort: 'medium', task_budget: { type: 'tokens', total: 5 } } },
    ],
    [
      'off, where it cannot be',
      { thinking: { type: 'disabled' } },
      { reasoning: 'effort', efforts: ['low', 'max'], thinksAlways: true },
      { thinking: { type: 'adaptive' }, output_config: { effort: 'low' } },
    ],
  ])('says %s to a model that would refuse the words', (_what, fields, traits, wanted) => {
    const { thinking, output_config: output } = bodyOf({ ...HELLO, ...fields }, traits);
    expect({ thinking, ...(output !== undefined && { output_config: output }) }).toEqual(wanted);
    expect(bodyOf({ ...HELLO, ...fields }, { reasoning: 'none' })).toMatchObject(fields);
  });

  it('leaves sampling out where the model refuses it, and names it', () => {
    const rendering = upstream.render(parsed({ ...HELLO, temperature: 0, top_k: 5 }), target({ sampling: 'refused' }));
    expect(rendering.ignored).toEqual(['temperature', 'top_k']);
    expect(rendering.body(1, '').toString()).not.toContain('temperature');
  });

  it('sends no thought of another wire, and keeps its own', () => {
    const own = { type: 'thinking', thinking: 'a', signature: 'sig' };
    const foreign = [
      { type: 'thinking', thinking: 'b', signature: '' },
      { type: 'thinking', thinking: 'c', signature: 'pura:openai-responses:x' },
      { type: 'redacted_thinking', data: 'pura-signs-previous:pura:gemini-generate:y' },
    ];
    const messages = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: [own, ...foreign, { type: 'redacted_thinking', data: 'own' }, { type: 'text', text: 'b' }] },
      { role: 'user', content: 'c' },
    ];
    const sent = bodyOf({ ...HELLO, messages })['messages'] as { content: unknown[] }[];
    expect(sent[1]?.content).toEqual([own, { type: 'redacted_thinking', data: 'own' }, { type: 'text', text: 'b' }]);
  });

  it('says an instruction in the middle as marked text to a model that knows none there', () => {
    const messages = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'x', name: 'look', input: {} }] },
      { role: 'system', content: 'mind this', output_config: { effort: 'low' } },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'x', content: 'seen' }] },
    ];
    expect(bodyOf({ ...HELLO, messages })['messages']).toEqual(messages);
    expect(bodyOf({ ...HELLO, messages }, { takesInlineSystem: false })['messages']).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'a' }] },
      messages[1],
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'x', content: 'seen' },
          { type: 'text', text: '<system>\nmind this\n</system>' },
        ],
      },
    ]);
  });

  it("counts the schemas of Claude's own tools, which the API adds by itself", () => {
    const known = ['bash_20250124', 'text_editor_20250728', 'memory_20250818'].map((type) => ({ type, name: type.slice(0, 4) }));
    const tokensOf = (tools: object[]) =>
      promptTokenBound(upstream.render(parsed({ ...HELLO, tools }), target()).promptText(), 'o200k_base');
    return Promise.all([tokensOf(known), tokensOf(known.slice(0, 1))]).then(([three, one]) => {
      expect(three - one).toBeGreaterThanOrEqual(2 * 800);
    });
  });

  it('counts all that is sent but the data of images and PDFs', () => {
    const { promptText } = upstream.render(
      parsed({ ...user({ ...image, source: { ...image.source, data: 'ZZZZ' } }), system: 'be brief' }),
      target(),
    );
    expect(promptText()).toContain('be brief');
    expect(promptText()).not.toContain('ZZZZ');
    expect(upstream.render(parsed({ ...HELLO, tools: [tool] }), target()).promptText().length).toBeGreaterThan(1_800);
  });
});

const DIRECTORY = new URL('../../../../shared/clients/', import.meta.url);
const present = existsSync(DIRECTORY);
if (!present) console.warn(`skipped: no recorded clients in ${DIRECTORY.pathname}`);

interface Recorded {
  file: string;
  provider: string;
  request?: string;
  usage: { uncachedInput: number; cachedRead: number; cacheWrite: number } | null;
}

interface RecordedRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: JsonObject;
}

function recordings(path: string): (RecordedRequest & { file: string })[] {
  return readdirSync(DIRECTORY)
    .filter((name) => name.endsWith('.json'))
    .flatMap((file) => {
      const { requests = [] } = JSON.parse(readFileSync(new URL(file, DIRECTORY), 'utf8')) as { requests?: RecordedRequest[] };
      return requests.filter((one) => one.path === path && one.method === 'POST').map((one) => ({ ...one, file }));
    });
}

(present ? describe : describe.skip)('every messages request recorded from a real client', () => {
  it('is refused where it names a thread, so that the client sends it whole', () => {
    const threads = recordings('/v1/messages').filter(({ body }) => body['thread']);
    expect(threads).toHaveLength(2);
    for (const { body } of threads) expect(refusal(body).detail.fields).toMatchObject({ details: { unsupported: ['thread'] } });
  });

  it('is accepted otherwise, and goes upstream as it came', () => {
    const all = recordings('/v1/messages').filter(({ body }) => !body['thread']);
    expect(all.length).toBeGreaterThan(30);
    for (const { file, body, headers } of all) {
      try {
        const request = parsed(body, { headers });
        const { model: _model, max_tokens: cap, stream, metadata, ...fields } = body;
        const rendering = upstream.render(request, target());
        const sent = JSON.parse(rendering.body(200_000, 'hash').toString()) as JsonObject;
        expect(sent).toEqual({
          ...fields,
          model: 'claude-test',
          max_tokens: 64_000,
          service_tier: 'standard_only',
          ...(stream === true && { stream }),
          ...(metadata !== undefined && { metadata: { user_id: 'hash' } }),
        });
        expect(request.outputCap).toBe(cap);
        expect(upstream.obstacle(request, target())).toBeNull();
        expect(request.generation().messages.length).toBeGreaterThan(0);
      } catch (error) {
        throw new Error(file, { cause: error });
      }
    }
  });

  it('is counted without a provider', async () => {
    const all = recordings('/v1/messages/count_tokens');
    expect(all.length).toBeGreaterThan(30);
    for (const { body } of all) {
      const read = { fields: body, verbatim: body, bodyBytes: 1 };
      const request = parseCountRequest(read, { streamDefault: false });
      const { input_tokens: tokens } = await countInputTokens(request, (text) => text.length / 4);
      expect(Number.isInteger(tokens)).toBe(true);
      expect(tokens).toBeGreaterThan(0);
    }
  });

  it('comes to no more tokens than its bound, as recorded answers tell', async () => {
    const folder = new URL('../transcripts/', DIRECTORY);
    const index = JSON.parse(readFileSync(new URL('index.json', folder), 'utf8')) as Recorded[];
    const asked = index.filter(({ provider, request, usage }) => provider === 'anthropic' && request && usage);
    expect(asked.length).toBeGreaterThan(14);
    for (const { file, request = '', usage } of asked) {
      const sent = parsed(readFileSync(new URL(request, folder), 'utf8'));
      const { promptText } = upstream.render(sent, target());
      const prompt = (usage?.uncachedInput ?? 0) + (usage?.cachedRead ?? 0) + (usage?.cacheWrite ?? 0);
      const bound = await promptTokenBound(promptText(), 'o200k_base');
      expect({ file, isBound: bound >= prompt }).toEqual({ file, isBound: true });
      const { input_tokens: counted } = await countInputTokens(sent, (text) => countOutputTokens(text, 'o200k_base'));
      // A picture counts as one of the usual size.
      const isNear = sent.media.images > 0 || (counted > prompt * 0.7 && counted < prompt * 1.5);
      expect({ file, isNear }).toEqual({ file, isNear: true });
    }
  });

  it('is counted about as Anthropic counts', async () => {
    const question = { messages: [{ role: 'user', content: [{ type: 'text', text: 'What is the capital of France?' }] }] };
    const request = parseCountRequest({ fields: question, verbatim: question, bodyBytes: 1 }, { streamDefault: false });
    expect(await countInputTokens(request, () => 7)).toEqual({ input_tokens: 14 });
  });
});
