import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Generation, Message, Part } from '../../../src/wires/generation.ts';
import { openAiResponsesUpstream } from '../../../src/wires/openai-responses/upstream.ts';
import type { InferenceRequest } from '../../../src/wires/request.ts';
import { PLAIN_DIALECT, PLAIN_TRAITS, type Target } from '../../../src/wires/target.ts';
import { requestOf } from './requests.ts';

const TARGET: Target = {
  providerId: 'openai',
  model: 'gpt-x',
  maxOutputTokens: 1000,
  takesImages: true,
  takesDocuments: true,
  takesRemoteMedia: true,
  traits: { ...PLAIN_TRAITS, reasoning: 'effort', efforts: ['low', 'medium', 'high'] },
  dialect: { ...PLAIN_DIALECT, stores: true },
  allowParameters: [],
};
const GENERATION: Generation = {
  system: [],
  messages: [{ role: 'user', parts: [{ type: 'text', text: 'hi' }] }],
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

/** A request that came in the chat wire. */
function other(generation: Partial<Generation>, request: Partial<InferenceRequest> = {}): InferenceRequest {
  const whole = { ...GENERATION, ...generation };
  return { ...requestOf({ input: 'x' }), wire: 'openai-chat', ...request, generation: () => whole };
}

type Json = Record<string, unknown>;

function sent(request: InferenceRequest, target = TARGET): Json {
  const rendering = openAiResponsesUpstream.render(request, target);
  const body = JSON.parse(rendering.body(5000, 'account').toString()) as Json;
  // What the model reads is bounded by what the hold counts.
  const counted = JSON.parse(rendering.promptText()) as Json;
  for (const name of Object.keys(counted)) expect(body).toHaveProperty(name);
  return body;
}

describe('a request of the same wire', () => {
  it('goes upstream as it was sent, with what the gateway decides', () => {
    const body = {
      input: [{ type: 'message', id: 'msg_1', role: 'user', content: [{ type: 'input_text', text: 'x' }] }],
      instructions: 'Be brief.',
      temperature: 1.0,
      tools: [{ type: 'namespace', name: 'n', description: 'd', tools: [{ type: 'custom', name: 'c' }] }],
      include: ['reasoning.encrypted_content'],
    };
    const request = requestOf({
      ...body,
      model: 'mine',
      stream: true,
      store: true,
      user: 'somebody',
      safety_identifier: 'somebody',
      prompt_cache_key: 'key',
      metadata: { a: 'b' },
      max_output_tokens: 9,
      stream_options: { include_obfuscation: false, include_usage: true },
    });
    const { prompt_cache_key: cacheKey, ...rest } = sent(request);
    expect(rest).toEqual({
      ...(JSON.parse(JSON.stringify(body)) as Json),
      model: 'gpt-x',
      max_output_tokens: 1000,
      stream: true,
      stream_options: { include_obfuscation: false },
      store: false,
      user: 'account',
      safety_identifier: 'account',
    });
    expect(cacheKey).toMatch(/^[\w-]{43}$/);
  });

  it('goes without tools of the provider, thoughts that it cannot read, and notes of the client', () => {
    const rendering = openAiResponsesUpstream.render(
      requestOf({
        input: [
          { role: 'user', content: 'x', internal_chat_message_metadata_passthrough: { turn_id: 't' } },
          { type: 'reasoning', id: 'rs_stored', summary: [] },
          { type: 'reasoning', summary: [], encrypted_content: 'pura:anthropic-messages:sig' },
          { type: 'reasoning', summary: [], encrypted_content: 'gAAA' },
          { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
          { type: 'reasoning', summary: [], encrypted_content: 'pura-signs-previous:pura:gemini-generate:sig' },
          { type: 'function_call_output', call_id: 'c', output: 'y' },
        ],
        tools: [
          { type: 'function', name: 'f' },
          { type: 'web_search' },
          { type: 'tool_search', execution: 'client' },
          { type: 'tool_search' },
        ],
        temperature: 0,
      }),
      { ...TARGET, traits: { ...TARGET.traits, sampling: 'refused' } },
    );
    expect(rendering.ignored).toEqual(['web_search', 'tool_search', 'temperature']);
    const body = JSON.parse(rendering.body(10, 'a').toString()) as Json;
    expect(body['temperature']).toBeUndefined();
    expect(body['tools']).toEqual([
      { type: 'function', name: 'f' },
      { type: 'tool_search', execution: 'client' },
    ]);
    expect(body['input']).toEqual([
      { role: 'user', content: 'x' },
      { type: 'reasoning', summary: [], encrypted_content: 'gAAA' },
      { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c', output: 'y' },
    ]);
  });

  it('counts no data of media', () => {
    const data = 'A'.repeat(10_000);
    const content = [
      { type: 'input_image', image_url: `data:image/png;base64,${data}` },
      { type: 'input_file', file_data: `data:application/pdf;base64,${data}` },
    ];
    const request = requestOf({
      input: [
        { role: 'user', content },
        { type: 'function_call_output', call_id: 'c', output: content },
      ],
    });
    for (const one of [request, { ...request, wire: 'openai-chat' as const }]) {
      const rendering = openAiResponsesUpstream.render(one, TARGET);
      expect(rendering.promptText().length).toBeLessThan(1_000);
      expect(rendering.body(1, 'a').length).toBeGreaterThan(40_000);
    }
  });

  it.each<[string, Json, Partial<Target>, string]>([
    [
      'an image',
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'data:image/png;base64,AA' }] }] },
      { takesImages: false },
      'input.0.content.0.image_url',
    ],
    [
      'an image to fetch',
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'https://x/a' }] }] },
      { takesRemoteMedia: false },
      'input.0.content.0.image_url',
    ],
    [
      'a document',
      { input: [{ role: 'user', content: [{ type: 'input_file', file_data: 'data:application/pdf;base64,AA' }] }] },
      { takesDocuments: false },
      'input.0.content.0.file_data',
    ],
    ['a forced tool', { input: 'x', tool_choice: 'required' }, { traits: { ...PLAIN_TRAITS, forcesTools: false } }, 'tool_choice'],
    [
      'a schema',
      { input: 'x', text: { format: { type: 'json_schema', name: 'n', schema: {} } } },
      { traits: { ...PLAIN_TRAITS, takesSchema: false } },
      'text.format',
    ],
    [
      'a field that the provider refuses',
      { input: 'x', top_logprobs: 1 },
      { dialect: { ...PLAIN_DIALECT, refuses: ['top_logprobs'] } },
      'top_logprobs',
    ],
  ])('meets an obstacle: %s', (_name, body, target, param) => {
    expect(openAiResponsesUpstream.obstacle(requestOf(body), TARGET)).toBeNull();
    expect(openAiResponsesUpstream.obstacle(requestOf(body), { ...TARGET, ...target })).toMatchObject({
      code: 'invalid_request',
      detail: { param },
    });
  });
});

describe('a request of another wire', () => {
  it('is said in items, tools and settings of this one', () => {
    const request = other(
      {
        system: [
          { type: 'text', text: 'Be brief.' },
          { type: 'text', text: 'Be kind.' },
        ],
        messages: [
          {
            role: 'user',
            parts: [
              { type: 'text', text: 'look' },
              { type: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'AAAA' } },
            ],
          },
          {
            role: 'assistant',
            parts: [
              { type: 'reasoning', text: 'hm', signature: { wire: 'openai-responses', value: 'gAAA' }, id: 'rs_1' },
              { type: 'reasoning', text: 'foreign', signature: { wire: 'anthropic-messages', value: 's' } },
              { type: 'text', text: 'I look.' },
              { type: 'tool_call', kind: 'function', id: 'c1', name: 'f', input: '' },
              { type: 'tool_call', kind: 'custom', id: 'c2', name: 'p', input: '***' },
            ],
          },
          {
            role: 'user',
            parts: [
              { type: 'tool_result', callId: 'c1', parts: [{ type: 'text', text: 'gone' }], isError: true },
              {
                type: 'tool_result',
                callId: 'c2',
                parts: [{ type: 'image', source: { kind: 'url', url: 'https://x/a' } }],
                isError: false,
              },
              { type: 'text', text: 'and?' },
            ],
          },
          { role: 'system', parts: [{ type: 'text', text: 'Hurry.' }] },
          { role: 'assistant', parts: [{ type: 'reasoning', text: '', signature: { wire: 'openai-responses', value: 'loose' } }] },
        ],
        tools: [
          { kind: 'function', name: 'f', description: 'd' },
          { kind: 'custom', name: 'p', grammar: { syntax: 'lark', definition: 'x' } },
        ],
        toolChoice: { mode: 'auto', allowed: ['p'] },
        parallelToolCalls: false,
        format: { type: 'schema', name: 'my answer', schema: { type: 'object' }, strict: true },
        sampling: { temperature: 0.5, topP: 0.5, topK: 3, seed: 1 },
        reasoning: { effort: 'xhigh', budgetTokens: null, show: true, sealed: false },
        verbosity: 'low',
        logprobs: 2,
        namesUser: true,
        cacheKey: 'k',
        unsaid: ['mirostat'],
      },
      { stream: true },
    );
    const { prompt_cache_key: cacheKey, ...body } = sent(request);
    expect(cacheKey).toMatch(/^[\w-]{43}$/);
    expect(body).toEqual({
      model: 'gpt-x',
      max_output_tokens: 1000,
      store: false,
      stream: true,
      safety_identifier: 'account',
      instructions: 'Be brief.\n\nBe kind.',
      input: [
        {
          type: 'message',
          role: 'user',
          content: [
            { type: 'input_text', text: 'look' },
            { type: 'input_image', image_url: 'data:image/png;base64,AAAA', detail: 'auto' },
          ],
        },
        { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'hm' }], encrypted_content: 'gAAA' },
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'I look.' }] },
        { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{}' },
        { type: 'custom_tool_call', call_id: 'c2', name: 'p', input: '***' },
        { type: 'function_call_output', call_id: 'c1', output: 'The tool failed:\ngone' },
        { type: 'custom_tool_call_output', call_id: 'c2', output: [{ type: 'input_image', image_url: 'https://x/a', detail: 'auto' }] },
        { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'and?' }] },
        { type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'Hurry.' }] },
      ],
      tools: [
        { type: 'function', name: 'f', description: 'd', parameters: { type: 'object', properties: {} }, strict: false },
        { type: 'custom', name: 'p', format: { type: 'grammar', syntax: 'lark', definition: 'x' } },
      ],
      tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'custom', name: 'p' }] },
      parallel_tool_calls: false,
      text: { format: { type: 'json_schema', name: 'my_answer', schema: { type: 'object' }, strict: true }, verbosity: 'low' },
      reasoning: { effort: 'high', summary: 'auto' },
      include: ['reasoning.encrypted_content', 'message.output_text.logprobs'],
      top_logprobs: 2,
      temperature: 0.5,
      top_p: 0.5,
    });
    expect(openAiResponsesUpstream.render(request, TARGET).ignored).toEqual(['mirostat', 'top_k', 'seed']);
  });

  it.each<[Partial<Generation['reasoning'] & object>, string | undefined]>([
    [{ effort: 'minimal' }, 'low'],
    [{ effort: 'medium' }, 'medium'],
    [{ effort: 'max' }, 'high'],
    [{ budgetTokens: 0 }, 'low'],
    [{ budgetTokens: 5_000 }, 'medium'],
    [{ budgetTokens: 100_000 }, 'high'],
    [{ show: true }, undefined],
  ])('thinks as deeply as %p asks', (reasoning, effort) => {
    const body = sent(other({ reasoning: { effort: null, budgetTokens: null, show: null, sealed: false, ...reasoning } }));
    expect((body['reasoning'] as Json)['effort']).toBe(effort);
  });

  it('ties results to calls without ids, by their names, and shortens ids that are too long', () => {
    const call = (name: string, id = ''): Part => ({ type: 'tool_call', kind: 'function', id, name, input: '{}' });
    const result = (name: string, callId = ''): Part => ({
      type: 'tool_result',
      callId,
      name,
      parts: [{ type: 'text', text: name }],
      isError: false,
    });
    const long = 'x'.repeat(100);
    const { input } = sent(
      other({
        messages: [
          { role: 'assistant', parts: [call('a'), call('b'), call('a'), call('c', long)] },
          { role: 'user', parts: [result('b'), result('a'), result('a'), result('c', long)] },
        ],
      }),
    );
    const ids = (input as Json[]).map(({ call_id: id }) => id);
    expect(ids.slice(4)).toEqual([ids[1], ids[0], ids[2], ids[3]]);
    expect(new Set(ids).size).toBe(4);
    expect(ids.every((id) => typeof id === 'string' && id.length <= 64)).toBe(true);
  });

  it.each<[string, Partial<Generation>, Partial<InferenceRequest>, Partial<Target>, string]>([
    ['several completions', {}, { completions: 2 }, {}, 'n'],
    ['stop sequences', { stop: ['x'] }, {}, {}, 'stop'],
    ['stop sequences of Anthropic', { stop: ['x'] }, { wire: 'anthropic-messages' }, {}, 'stop_sequences'],
    ['biased tokens', { logitBias: { 1: 2 } }, {}, {}, 'logit_bias'],
    [
      'a forced tool',
      { toolChoice: { mode: 'required' }, tools: [{ kind: 'function', name: 'f' }] },
      {},
      { traits: { ...PLAIN_TRAITS, forcesTools: false } },
      'tool_choice',
    ],
    ['a forced tool among none', { toolChoice: { mode: 'required' } }, {}, {}, 'tool_choice'],
    [
      'a schema',
      { format: { type: 'schema', name: 'n', schema: {} } },
      {},
      { traits: { ...PLAIN_TRAITS, takesSchema: false } },
      'response_format',
    ],
    ['a tool with an odd name', { tools: [{ kind: 'function', name: 'a.b' }] }, {}, {}, 'tools'],
    [
      'the beginning of the answer',
      { messages: [{ role: 'assistant', parts: [{ type: 'text', text: 'a' }] }] },
      {},
      { traits: { ...PLAIN_TRAITS, takesPrefill: false } },
      'messages',
    ],
  ])('meets an obstacle: %s', (_name, generation, request, target, param) => {
    expect(openAiResponsesUpstream.obstacle(other({}), { ...TARGET, ...target })).toBeNull();
    expect(openAiResponsesUpstream.obstacle(other(generation, request), { ...TARGET, ...target })).toMatchObject({ detail: { param } });
  });
});

describe('a conversation', () => {
  const text = fc.string({ minLength: 1, maxLength: 20 });
  const name = fc.constantFrom('f', 'patch', 'agents__close');
  const image = fc.record({
    type: fc.constant('image' as const),
    source: fc.constantFrom(
      { kind: 'url' as const, url: 'https://x/a' },
      { kind: 'data' as const, mediaType: 'image/png', base64: 'AAAA' },
    ),
    detail: fc.constantFrom('low', 'auto'),
  });
  const textPart = text.map((value) => ({ type: 'text' as const, text: value }));
  const thought = fc.record({
    type: fc.constant('reasoning' as const),
    text: fc.constantFrom('', 'hm'),
    signature: fc.constant({ wire: 'openai-responses' as const, value: 'gAAA' }),
  });
  /** An exchange: what the user asks, and what the model does about it, with the results of its calls. */
  const exchange = fc
    .tuple(
      fc.array(fc.oneof(textPart, image), { minLength: 1, maxLength: 3 }),
      fc.array(thought, { maxLength: 2 }),
      text,
      fc.array(fc.tuple(name, text, fc.array(fc.oneof(textPart, image), { minLength: 1, maxLength: 2 })), { maxLength: 3 }),
    )
    .map(([asked, thoughts, said, calls]) => ({ asked, thoughts, said, calls }));

  it('keeps its meaning from this wire to the canonical form and back', () => {
    fc.assert(
      fc.property(fc.array(exchange, { minLength: 1, maxLength: 4 }), fc.option(text, { nil: undefined }), (exchanges, instructions) => {
        let calls = 0;
        const messages = exchanges.flatMap(({ asked, thoughts, said, calls: made }): Message[] => {
          const ids = made.map(() => `call_${calls++}`);
          const parts = made.map(([called, input], at): Part => ({
            type: 'tool_call',
            kind: called === 'patch' ? 'custom' : 'function',
            id: ids[at] ?? '',
            name: called,
            input,
          }));
          const results = made.map(([called, , given], at): Part => {
            const joined = given.every((part) => part.type === 'text')
              ? [{ type: 'text' as const, text: given.map((part) => (part as { text: string }).text).join('\n') }]
              : given;
            return { type: 'tool_result', callId: ids[at] ?? '', name: called, parts: joined, isError: false };
          });
          return [
            { role: 'user', parts: asked },
            { role: 'assistant', parts: [...thoughts, { type: 'text', text: said }, ...parts] },
            ...(results.length > 0 ? [{ role: 'user' as const, parts: results }] : []),
          ];
        });
        const system = instructions === undefined ? [] : [{ type: 'text' as const, text: instructions }];
        const again = requestOf(sent(other({ messages, system }))).generation();
        const withoutParam = JSON.parse(
          JSON.stringify(again.messages, (key, value: unknown) => (key === 'param' ? undefined : value)),
        ) as unknown;
        expect(withoutParam).toEqual(JSON.parse(JSON.stringify(messages)));
        expect(again.system).toEqual(system);
      }),
    );
  });
});
