import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { anthropicMessagesUpstream as upstream } from '../../../src/wires/anthropic-messages/upstream.ts';
import type { Generation, Message, Part } from '../../../src/wires/generation.ts';
import type { InferenceRequest } from '../../../src/wires/request.ts';
import { packToolId, unpackToolId } from '../../../src/wires/tool-id.ts';
import type { JsonObject } from '../../../src/wires/wire.ts';
import { ofAnotherWire, parsed, target } from './messages-request.ts';

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const NOTHING: Generation = {
  system: [],
  messages: [{ role: 'user', parts: [{ type: 'text', text: 'Hello' }] }],
  tools: [],
  toolChoice: null,
  parallelToolCalls: null,
  format: null,
  sampling: {},
  stop: [],
  reasoning: null,
  verbosity: null,
  logprobs: null,
  logitBias: null,
  namesUser: false,
  cacheKey: null,
  unsaid: [],
};

/** A request of the chat wire that comes to this. */
function request(generation: Partial<Generation>, more: Partial<InferenceRequest> = {}): InferenceRequest {
  const base = ofAnotherWire(parsed({ max_tokens: 1, messages: [{ role: 'user', content: 'x' }] }));
  return { ...base, generation: () => ({ ...NOTHING, ...generation }), ...more };
}

function sent(generation: Partial<Generation>, traits: Parameters<typeof target>[0] = {}, outputTokens = 4_096): JsonObject {
  const rendering = upstream.render(request(generation), target(traits));
  return JSON.parse(rendering.body(outputTokens, 'hash').toString()) as JsonObject;
}

const text = (value: string): Part => ({ type: 'text', text: value });
const said = (role: Message['role'], ...parts: (Part | string)[]): Message => ({
  role,
  parts: parts.map((part) => (typeof part === 'string' ? text(part) : part)),
});
const call = (id: string, input = ''): Part => ({ type: 'tool_call', id, name: 'look', input, kind: 'function' });
const result = (callId: string, value: string, isError = false): Part => ({
  type: 'tool_result',
  callId,
  parts: value === '' ? [] : [{ type: 'text', text: value }],
  isError,
});
const block = (value: string): JsonObject => ({ type: 'text', text: value });
const thinking = { effort: null, budgetTokens: null, show: null, sealed: false };
const tools = [{ kind: 'function' as const, name: 'look', parameters: { properties: {} } }];

describe('a conversation', () => {
  it('begins with instructions, keeps marks of caches, and leaves empty texts out', () => {
    const generation = {
      system: [
        { type: 'text' as const, text: 'be brief', cache: '1h' as const },
        { type: 'text' as const, text: ' ' },
      ],
      messages: [said('user', 'a', ''), said('user', { type: 'text', text: 'b', cache: '5m' }), said('assistant', '')],
    };
    expect(sent(generation)).toMatchObject({
      model: 'claude-test',
      max_tokens: 4_096,
      service_tier: 'standard_only',
      system: [{ ...block('be brief'), cache_control: { type: 'ephemeral', ttl: '1h' } }],
      messages: [{ role: 'user', content: [block('a'), { ...block('b'), cache_control: { type: 'ephemeral' } }] }],
    });
  });

  it('brings the results of tools first, all in one turn, right after the calls', () => {
    const messages = [
      said('user', 'a'),
      said('assistant', 'b', call('functions.look:0', '{"n":12345678901234567890}'), call('', 'cut {')),
      said('system', 'mind this'),
      said('user', result('functions.look:0', 'seen'), 'c'),
      said('user', result('', '', true)),
    ];
    const id = packToolId('functions.look:0');
    const body = upstream.render(request({ messages, tools }), target()).body(10, 'hash').toString();
    expect(body).toContain('12345678901234567890');
    expect(sent({ messages, tools })['messages']).toEqual([
      { role: 'user', content: [block('a')] },
      {
        role: 'assistant',
        content: [
          block('b'),
          { type: 'tool_use', id, name: 'look', input: { n: Number('12345678901234567890') } },
          { type: 'tool_use', id: 'call_1', name: 'look', input: { input: 'cut {' } },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: id, content: [block('seen')] },
          { type: 'tool_result', tool_use_id: 'call_1', is_error: true },
        ],
      },
      { role: 'system', content: [block('mind this')] },
      { role: 'user', content: [block('c')] },
    ]);
  });

  it.each<[string, Message[], JsonObject[]]>([
    [
      'the assistant first',
      [said('assistant', 'hi'), said('user', 'a')],
      [
        { role: 'user', content: [block('(The conversation begins.)')] },
        { role: 'assistant', content: [block('hi')] },
        { role: 'user', content: [block('a')] },
      ],
    ],
    [
      'the beginning of an answer',
      [said('user', 'a'), said('assistant', '{ \n')],
      [
        { role: 'user', content: [block('a')] },
        { role: 'assistant', content: [block('{')] },
      ],
    ],
    [
      'thoughts: signed by the same wire, or none',
      [
        said('user', 'a'),
        said(
          'assistant',
          { type: 'reasoning', text: 't', signature: { wire: 'anthropic-messages', value: 's' } },
          { type: 'reasoning', text: 'u' },
          { type: 'reasoning', text: 'v', signature: { wire: 'openai-responses', value: 's' } },
          { type: 'reasoning', text: '', redacted: { wire: 'anthropic-messages', value: 'r' } },
          { type: 'reasoning', text: '', redacted: { wire: 'gemini-generate', value: 'r' } },
          { type: 'refusal', text: 'no' },
        ),
        said('user', 'b'),
      ],
      [
        { role: 'user', content: [block('a')] },
        {
          role: 'assistant',
          content: [{ type: 'thinking', thinking: 't', signature: 's' }, { type: 'redacted_thinking', data: 'r' }, block('no')],
        },
        { role: 'user', content: [block('b')] },
      ],
    ],
    [
      'images and documents',
      [
        said(
          'user',
          { type: 'image', source: { kind: 'data', mediaType: 'image/PNG', base64: 'AA' } },
          { type: 'image', source: { kind: 'url', url: 'https://a/b' } },
          { type: 'document', source: { kind: 'data', mediaType: 'application/pdf', base64: 'AA' }, title: 't' },
          { type: 'document', source: { kind: 'text', text: 'plain' } },
          { type: 'document', source: { kind: 'data', mediaType: 'text/markdown', base64: Buffer.from('# ö').toString('base64') } },
        ),
      ],
      [
        {
          role: 'user',
          content: [
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA' } },
            { type: 'image', source: { type: 'url', url: 'https://a/b' } },
            { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'AA' }, title: 't' },
            { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'plain' } },
            { type: 'document', source: { type: 'text', media_type: 'text/plain', data: '# ö' } },
          ],
        },
      ],
    ],
  ])('%s', (_what, messages, wanted) => {
    expect(sent({ messages })['messages']).toEqual(wanted);
  });

  it('that is instructions alone is said by the user', () => {
    const body = sent({ system: [{ type: 'text', text: 'tell a joke' }], messages: [] });
    expect(body['messages']).toEqual([{ role: 'user', content: [block('tell a joke')] }]);
    expect(body['system']).toBeUndefined();
  });

  it('says instructions in its middle as marked text where the model knows none there', () => {
    const messages = [said('user', 'a'), said('system', 'b')];
    expect(sent({ messages }, { takesInlineSystem: false })['messages']).toEqual([
      { role: 'user', content: [block('a'), block('<system>\nb\n</system>')] },
    ]);
  });

  it('marks no more than four prefixes for the cache', () => {
    const parts = Array.from({ length: 6 }, (_, at): Part => ({ type: 'text', text: String(at), cache: '5m' }));
    const [turn] = sent({ messages: [{ role: 'user', parts }] })['messages'] as { content: JsonObject[] }[];
    expect(turn?.content.map((one) => one['cache_control'] !== undefined)).toEqual([false, false, true, true, true, true]);
  });
});

describe('tools', () => {
  const schema = { type: 'object', properties: { a: { type: 'integer', minimum: 1 } } };

  it.each<[string, Partial<Generation>, JsonObject]>([
    ['plain', { tools }, { tools: [{ name: 'look', input_schema: { type: 'object', properties: {} } }] }],
    ['any', { tools, toolChoice: { mode: 'required' } }, { tool_choice: { type: 'any' } }],
    ['one', { tools, toolChoice: { mode: 'named', name: 'look' } }, { tool_choice: { type: 'tool', name: 'look' } }],
    ['none', { tools, toolChoice: { mode: 'none' } }, { tool_choice: { type: 'none' } }],
    ['one at a time', { tools, parallelToolCalls: false }, { tool_choice: { type: 'auto', disable_parallel_tool_use: true } }],
    [
      'some of them',
      { tools: [...tools, { kind: 'function', name: 'other' }], toolChoice: { mode: 'auto', allowed: ['other'] } },
      { tools: [{ name: 'other', input_schema: { type: 'object' } }], tool_choice: { type: 'auto' } },
    ],
    [
      'kept to strictly',
      { tools: [{ kind: 'function', name: 'look', parameters: schema, strict: true }] },
      {
        tools: [
          {
            name: 'look',
            strict: true,
            input_schema: {
              type: 'object',
              properties: { a: { type: 'integer', description: '{minimum: 1}' } },
              additionalProperties: false,
            },
          },
        ],
      },
    ],
    [
      'of earlier turns',
      { messages: [said('user', 'a'), said('assistant', call('x')), said('user', result('x', 'b'))] },
      { tools: [{ name: 'look', input_schema: { type: 'object' } }], tool_choice: { type: 'none' } },
    ],
  ])('%s', (_what, generation, wanted) => {
    expect(sent(generation)).toMatchObject(wanted);
  });
});

describe('how deep a model thinks', () => {
  const efforts = ['low', 'medium', 'high', 'max'];

  it.each<[string, Partial<Generation>, Parameters<typeof target>[0], JsonObject]>([
    [
      'a word that it takes',
      { reasoning: { ...thinking, effort: 'high' } },
      { reasoning: 'effort', efforts },
      { output_config: { effort: 'high' }, thinking: { type: 'adaptive' } },
    ],
    [
      'the nearest word',
      { reasoning: { ...thinking, effort: 'xhigh', show: true } },
      { reasoning: 'effort', efforts: ['low', 'medium', 'high', 'max'] },
      { output_config: { effort: 'high' }, thinking: { type: 'adaptive', display: 'summarized' } },
    ],
    [
      'a budget as a word',
      { reasoning: { ...thinking, budgetTokens: 3_000 } },
      { reasoning: 'effort', efforts },
      { output_config: { effort: 'low' } },
    ],
    ['off', { reasoning: { ...thinking, effort: 'none' } }, { reasoning: 'effort', efforts }, { thinking: { type: 'disabled' } }],
    [
      'off, where it always thinks',
      { reasoning: { ...thinking, effort: 'none' } },
      { reasoning: 'effort', efforts, thinksAlways: true },
      { output_config: { effort: 'low' } },
    ],
    [
      'a budget for a word',
      { reasoning: { ...thinking, effort: 'low' } },
      { reasoning: 'budget' },
      { thinking: { type: 'enabled', budget_tokens: 2_048 } },
    ],
    [
      'a budget under the cap',
      { reasoning: { ...thinking, budgetTokens: 30_000 } },
      { reasoning: 'budget' },
      { thinking: { type: 'enabled', budget_tokens: 3_276 } },
    ],
    ['a toggle', { reasoning: { ...thinking, effort: 'low' } }, { reasoning: 'toggle' }, { thinking: { type: 'enabled' } }],
  ])('%s', (_what, generation, traits, wanted) => {
    expect(sent(generation, traits)).toMatchObject(wanted);
  });

  it('leaves out what does not go together with thinking, and names it', () => {
    const generation = { reasoning: { ...thinking, effort: 'low' }, sampling: { temperature: 0, topP: 0.5, topK: 3, seed: 1 } };
    const rendering = upstream.render(request(generation), target({ reasoning: 'budget' }));
    expect(rendering.ignored).toEqual(['seed', 'temperature', 'top_p', 'top_k']);
  });

  it.each<[string, Partial<Generation>]>([
    ['a forced tool', { tools, toolChoice: { mode: 'required' } }],
    [
      'a call that lost its thought',
      { tools, messages: [said('user', 'a'), said('assistant', call('x')), said('user', result('x', 'b'))] },
    ],
  ])('does not think beside %s', (_what, generation) => {
    const rendering = upstream.render(
      request({ ...generation, reasoning: { ...thinking, effort: 'low' } }),
      target({ reasoning: 'budget' }),
    );
    expect(rendering.ignored).toEqual(['reasoning_effort']);
    expect(rendering.body(4_096, '').toString()).not.toContain('"thinking"');
  });

  it('has no budget under a tiny cap', () => {
    expect(sent({ reasoning: { ...thinking, effort: 'low' } }, { reasoning: 'budget' }, 1_000)['thinking']).toBeUndefined();
  });
});

describe('what is said otherwise', () => {
  it('a schema, closed, and its tokens counted', () => {
    const schema = {
      $schema: 'x',
      type: 'object',
      properties: { a: { type: 'array', items: { type: 'object', properties: {} }, maxItems: 3 } },
    };
    const format = { type: 'schema' as const, name: 'a', schema };
    expect(sent({ format })['output_config']).toEqual({
      format: {
        type: 'json_schema',
        schema: {
          type: 'object',
          additionalProperties: false,
          properties: {
            a: { type: 'array', description: '{maxItems: 3}', items: { type: 'object', properties: {}, additionalProperties: false } },
          },
        },
      },
    });
  });

  it('JSON without a schema, as an instruction that is counted', () => {
    const rendering = upstream.render(request({ format: { type: 'json' } }), target());
    expect(rendering.promptText()).toContain('single JSON object');
  });

  it('sampling, as far as the model takes it', () => {
    const sampling = { temperature: 0.5, topP: 0.9, topK: 5 };
    expect(sent({ sampling, stop: ['END'] })).toMatchObject({ temperature: 0.5, top_p: 0.9, top_k: 5, stop_sequences: ['END'] });
    expect(upstream.render(request({ sampling }), target({ sampling: 'one' })).ignored).toEqual(['top_p']);
    expect(upstream.render(request({ sampling }), target({ sampling: 'refused' })).ignored).toEqual(['temperature', 'top_p', 'top_k']);
    expect(upstream.render(request({ sampling: { temperature: 1.5 } }), target()).ignored).toEqual(['temperature']);
  });

  it('the end user, as the hash of the account, and a stream', () => {
    const rendering = upstream.render(request({ namesUser: true }, { stream: true }), target());
    expect(JSON.parse(rendering.body(1, 'hash').toString())).toMatchObject({ metadata: { user_id: 'hash' }, stream: true });
  });

  it('what has no place, by its name', () => {
    const generation = { verbosity: 'low', cacheKey: 'k', sampling: { presencePenalty: 1, frequencyPenalty: 1 }, unsaid: ['min_p'] };
    expect(upstream.render(request(generation), target()).ignored).toEqual([
      'min_p',
      'presence_penalty',
      'frequency_penalty',
      'verbosity',
      'prompt_cache_key',
    ]);
  });
});

describe('an obstacle', () => {
  const data = (mediaType: string): Message =>
    said('user', { type: 'image', source: { kind: 'data', mediaType, base64: 'AA' }, param: 'p' });

  it.each<[string, InferenceRequest, Parameters<typeof target>, string]>([
    ['several completions', request({}, { completions: 2 }), [], 'n'],
    ['probabilities', request({ logprobs: 0 }), [], 'logprobs'],
    ['a bias', request({ logitBias: { 1: 2 } }), [], 'logit_bias'],
    ['a schema', request({ format: { type: 'schema', name: 'a', schema: {} } }), [{ takesSchema: false }], 'response_format'],
    ['a forced tool', request({ tools, toolChoice: { mode: 'required' } }), [{ forcesTools: false }], 'tool_choice'],
    ['a blank to stop at', request({ stop: ['\n'] }), [], 'stop'],
    ['an answer that is begun', request({ messages: [said('user', 'a'), said('assistant', 'b')] }), [{ takesPrefill: false }], 'messages'],
    ['a name', request({ tools: [{ kind: 'function', name: 'a.b' }] }), [], 'tools.0.name'],
    ['nothing', request({ messages: [said('user', ' ')] }), [], 'messages'],
    [
      'a kind of image',
      request(
        { messages: [data('image/tiff')] },
        { media: { ...parsed({ max_tokens: 1, messages: [{ role: 'user', content: 'a' }] }).media, images: 1 } },
      ),
      [],
      'p',
    ],
    ['an image', request({}, { media: { ...request({}).media, images: 1, firstImageParam: 'p' } }), [{}, { takesImages: false }], 'p'],
    [
      'a URL',
      request({}, { media: { ...request({}).media, images: 1, firstImageParam: 'p', firstRemoteParam: 'q' } }),
      [{}, { takesRemoteMedia: false }],
      'q',
    ],
    [
      'a forced tool of the same wire',
      parsed({
        max_tokens: 1,
        messages: [{ role: 'user', content: 'a' }],
        tools: [{ name: 'a', input_schema: {} }],
        tool_choice: { type: 'any' },
      }),
      [{ forcesTools: false }],
      'tool_choice',
    ],
  ])('%s', (_what, asked, [traits, more], param) => {
    expect(upstream.obstacle(asked, target(traits, more))?.detail.param).toBe(param);
    expect(upstream.obstacle(request({}), target(traits, more))).toBeNull();
  });
});

const FOLDER = new URL('../../../../shared/transcripts/anthropic/', import.meta.url);
const recorded = existsSync(FOLDER)
  ? readdirSync(FOLDER).filter((name) => name.endsWith('.request.json') && !name.startsWith('count'))
  : [];

(recorded.length > 0 ? describe : describe.skip)('recorded requests, read and written again across the canonical form', () => {
  it.each(recorded)('%s', (file) => {
    const body = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as JsonObject;
    const { model: _model, service_tier: _tier, max_tokens: _cap, stream, ...wanted } = body;
    const traits = {
      reasoning: file.includes('adaptive') || file.includes('summarized') ? ('effort' as const) : ('budget' as const),
      efforts: ['high', 'xhigh', 'max'],
    };
    const rendering = upstream.render(ofAnotherWire(parsed(body)), target(traits));
    const {
      model,
      service_tier: tier,
      max_tokens: cap,
      stream: streamed,
      ...rest
    } = JSON.parse(rendering.body(64_000, '').toString()) as JsonObject;
    expect([model, tier, cap, streamed ?? false]).toEqual(['claude-test', 'standard_only', 64_000, stream ?? false]);
    // The default is not said.
    if ((wanted['tool_choice'] as JsonObject | undefined)?.['disable_parallel_tool_use'] === false)
      wanted['tool_choice'] = { type: 'auto' };
    expect(rest).toEqual(wanted);
    expect(rendering.ignored).toEqual([]);
  });
});

/** Conversations as clients have them: turns in order, each call answered in the next one. */
const word = fc.string({ minLength: 1, maxLength: 12 }).map((value) => `${value}.`);
const id = fc.oneof(fc.stringMatching(/^[a-zA-Z0-9_-]{1,12}$/), fc.stringMatching(/^functions\.[a-z]{1,5}:\d$/), fc.constant('pura_QQ'));
const picture = fc.constantFrom<Part>(
  { type: 'image', source: { kind: 'url', url: 'https://a/b.png' } },
  { type: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'AAAA' } },
);
const asking = fc.array(fc.oneof(word.map(text), picture), { minLength: 1, maxLength: 3 });
const calling = fc.uniqueArray(fc.tuple(id, fc.dictionary(word, fc.oneof(word, fc.integer()))), {
  maxLength: 3,
  selector: ([name]) => name,
});
const conversation = fc.array(fc.tuple(asking, word, calling, word), { minLength: 1, maxLength: 4 }).map((rounds) =>
  rounds.flatMap(([asked, answer, calls, seen]): Message[] => [
    { role: 'user', parts: asked },
    {
      role: 'assistant',
      parts: [text(answer), ...calls.map(([name, input]) => call(name, Object.keys(input).length > 0 ? JSON.stringify(input) : ''))],
    },
    ...(calls.length > 0 ? [{ role: 'user' as const, parts: calls.map(([name]) => result(name, seen)) }] : []),
    ...(calls.length > 0 ? [{ role: 'assistant' as const, parts: [text(seen)] }] : []),
  ]),
);

describe('a generated conversation', () => {
  it(`keeps its meaning there and back (seed ${SEED})`, () => {
    fc.assert(
      fc.property(conversation, (messages) => {
        const { messages: wired } = sent({ messages: [...messages, said('user', 'go on')], tools });
        const back = parsed({ max_tokens: 1, messages: wired, tools: [{ name: 'look', input_schema: {} }] }).generation();
        const plain = back.messages.map(({ role, parts }) => ({
          role,
          parts: parts.map((part) => {
            const { param: _param, ...rest } = part as Part & { param?: string };
            if (rest.type !== 'tool_result') return rest;
            const { name: _name, ...named } = rest;
            return named;
          }),
        }));
        expect(plain).toEqual([...messages, said('user', 'go on')]);
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it(`never makes two ids of tools one (seed ${SEED})`, () => {
    const anyId = fc.oneof(
      id,
      fc.string({ minLength: 1 }).filter((value) => value.isWellFormed()),
      id.map(packToolId),
    );
    fc.assert(
      fc.property(anyId, anyId, (one, other) => {
        expect(packToolId(one)).toMatch(/^[a-zA-Z0-9_-]+$/);
        expect(unpackToolId(packToolId(one))).toBe(one);
        expect(packToolId(one) === packToolId(other)).toBe(one === other);
      }),
      { seed: SEED, numRuns: 1_000 },
    );
  });
});
