import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { GatewayError } from '../../../src/errors.ts';
import type { Generation, Message, Part } from '../../../src/wires/generation.ts';
import { generationObstacle } from '../../../src/wires/openai-chat/generation-obstacle.ts';
import { generationOf } from '../../../src/wires/openai-chat/generation.ts';
import { renderGeneration } from '../../../src/wires/openai-chat/from-generation.ts';
import type { InferenceRequest } from '../../../src/wires/request.ts';
import type { Target } from '../../../src/wires/target.ts';
import { requestOf, targetOf } from '../../support/inference-request.ts';
import { recordedRequests } from '../../support/recorded-clients.ts';

const CALL = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } };

function read(fields: Record<string, unknown>, extras: Record<string, unknown> = {}, own: Record<string, unknown> = {}): Generation {
  return generationOf({ messages: [{ role: 'user', content: 'hi' }], ...fields }, extras, own);
}

function rendered(request: InferenceRequest, target: Target = targetOf()): Record<string, unknown> {
  return JSON.parse(renderGeneration(request, target).body(100, 'hash').toString()) as Record<string, unknown>;
}

describe('a chat request in the canonical form', () => {
  it('keeps a conversation: instructions, results as the user’s, what was thought and called', () => {
    const messages = [
      { role: 'developer', content: 'Be brief.' },
      { role: 'system', content: [{ type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral', ttl: '1h' } }] },
      { role: 'user', name: 'ann', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA', detail: 'low' } }] },
      {
        role: 'assistant',
        reasoning_content: 'Hm.',
        reasoning_details: [
          { type: 'reasoning.text', text: 'H', index: 0 },
          { type: 'reasoning.text', text: 'm.', index: 0 },
          { type: 'reasoning.text', signature: 'pura:anthropic-messages:sig', index: 0 },
        ],
        tool_calls: [CALL, { ...CALL, id: 'call_2', extra_content: { google: { thought_signature: 'seal' } } }],
      },
      { role: 'tool', tool_call_id: 'call_2', content: 'rain' },
      { role: 'tool', tool_call_id: 'call_1', content: [{ type: 'text', text: 'sun' }] },
      { role: 'system', content: 'Now in French.' },
    ];
    const { system, messages: turns } = read({ messages });
    expect(system).toEqual([
      { type: 'text', text: 'Be brief.' },
      { type: 'text', text: 'Be kind.', cache: '1h' },
    ]);
    const call = { type: 'tool_call', id: 'call_1', name: 'weather', input: '{"city":"Rome"}', kind: 'function' };
    expect(turns).toEqual([
      {
        role: 'user',
        name: 'ann',
        parts: [
          {
            type: 'image',
            source: { kind: 'data', mediaType: 'image/png', base64: 'AAAA' },
            detail: 'low',
            param: 'messages.2.content.0.image_url.url',
          },
        ],
      },
      {
        role: 'assistant',
        parts: [
          { type: 'reasoning', text: 'Hm.', signature: { wire: 'anthropic-messages', value: 'sig' } },
          call,
          { ...call, id: 'call_2', signature: { wire: 'gemini-generate', value: 'seal' } },
        ],
      },
      {
        role: 'user',
        parts: [
          { type: 'tool_result', callId: 'call_2', name: 'weather', isError: false, parts: [{ type: 'text', text: 'rain' }] },
          { type: 'tool_result', callId: 'call_1', name: 'weather', isError: false, parts: [{ type: 'text', text: 'sun' }] },
        ],
      },
      { role: 'system', parts: [{ type: 'text', text: 'Now in French.' }] },
    ]);
  });

  it('gives old function calls the ids that their results have', () => {
    const messages = [
      { role: 'assistant', content: null, function_call: { name: 'weather', arguments: '{}' } },
      { role: 'function', name: 'weather', content: 'rain' },
    ];
    const [called, answered] = read({ messages }).messages;
    const [call] = called?.parts ?? [];
    expect(call).toMatchObject({ type: 'tool_call', name: 'weather' });
    expect(answered?.parts).toMatchObject([{ type: 'tool_result', name: 'weather', callId: (call as { id: string }).id }]);
  });

  const SETTINGS: [name: string, fields: Record<string, unknown>, extras: Record<string, unknown>, wanted: Partial<Generation>][] = [
    ['a stop in one word', { stop: 'end' }, {}, { stop: ['end'] }],
    ['probabilities', { logprobs: true, top_logprobs: 3 }, {}, { logprobs: 3 }],
    ['probabilities that are not wanted', { logprobs: false, top_logprobs: 3 }, {}, { logprobs: null }],
    ['JSON', { response_format: { type: 'json_object' } }, {}, { format: { type: 'json' } }],
    ['plain text', { response_format: { type: 'text' } }, {}, { format: null }],
    [
      'a schema',
      { response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { type: 'object' }, strict: true } } },
      {},
      { format: { type: 'schema', name: 'a', schema: { type: 'object' }, strict: true } },
    ],
    ['a named tool', { tool_choice: { type: 'function', function: { name: 'f' } } }, {}, { toolChoice: { mode: 'named', name: 'f' } }],
    ['an old named function', { function_call: { name: 'f' } }, {}, { toolChoice: { mode: 'named', name: 'f' } }],
    [
      'some of the tools',
      {
        tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [{ type: 'function', function: { name: 'f' } }] } },
      },
      {},
      { toolChoice: { mode: 'required', allowed: ['f'] } },
    ],
    [
      'a custom tool',
      { tools: [{ type: 'custom', custom: { name: 'f', format: { type: 'grammar', grammar: { syntax: 'lark', definition: 'x' } } } }] },
      {},
      { tools: [{ kind: 'custom', name: 'f', grammar: { syntax: 'lark', definition: 'x' } }] },
    ],
    [
      'an effort',
      { reasoning_effort: 'xhigh' },
      {},
      { reasoning: { effort: 'xhigh', budgetTokens: null, show: null, sealed: false }, unsaid: [] },
    ],
    [
      'thinking with a budget',
      {},
      { thinking: { type: 'enabled', budget_tokens: 2000 } },
      { reasoning: { effort: null, budgetTokens: 2000, show: null, sealed: false }, unsaid: [] },
    ],
    [
      'thinking turned off',
      {},
      { enable_thinking: false },
      { reasoning: { effort: 'none', budgetTokens: null, show: null, sealed: false }, unsaid: [] },
    ],
    [
      'hidden reasoning',
      {},
      { reasoning: { effort: 'low', exclude: true } },
      { reasoning: { effort: 'low', budgetTokens: null, show: false, sealed: false } },
    ],
    ['what has no place', { prompt_cache_retention: '24h' }, { min_p: 0.1, top_k: 5 }, { unsaid: ['min_p', 'prompt_cache_retention'] }],
  ];
  it.each(SETTINGS)('%s', (_name, fields, extras, wanted) => {
    expect(read(fields, extras)).toMatchObject(wanted);
  });

  it('reads numbers that are kept in their own words', () => {
    const words = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON('1e0');
    expect(read({ temperature: words }).sampling).toEqual({ temperature: 1 });
  });

  it.each([
    [{ tools: [{ type: 'function' }] }, 'tools.0.function.name'],
    [{ tool_choice: 'sometimes' }, 'tool_choice'],
    [{ response_format: { type: 'regex' } }, 'response_format.type'],
    [
      { messages: [{ role: 'assistant', tool_calls: [{ id: 'a', type: 'function', function: {} }] }] },
      'messages.0.tool_calls.0.function.name',
    ],
  ])('%j is refused by name', (fields, param) => {
    expect(() => read(fields)).toThrow(GatewayError);
    expect(() => read(fields)).toThrow(expect.objectContaining({ detail: expect.objectContaining({ param }) }));
  });
});

describe('a request of another wire as a chat request', () => {
  it('has one cap, in the field that the provider takes, and what the gateway decides', () => {
    const request = requestOf({ namesUser: true, cacheKey: 'k' }, { stream: true });
    const body = rendered(request, targetOf({}, { capField: 'max_completion_tokens', stores: true }));
    expect(body).toMatchObject({
      model: 'upstream-model',
      max_completion_tokens: 100,
      stream: true,
      stream_options: { include_usage: true },
      store: false,
      user: 'hash',
    });
    expect(body['prompt_cache_key']).not.toBe('k');
    expect(body).not.toHaveProperty('max_tokens');
  });

  it('names what it leaves out', () => {
    const request = requestOf({
      sampling: { temperature: 1, topP: 0.5, topK: 3, seed: 1 },
      verbosity: 'low',
      system: [{ type: 'text', text: 'a', cache: '5m' }],
      unsaid: ['context_management'],
      reasoning: { effort: 'high', budgetTokens: null, show: null, sealed: false },
    });
    const { ignored } = renderGeneration(request, targetOf({ sampling: 'one' }, { drops: ['seed', 'verbosity'] }));
    expect(ignored).toEqual(['context_management', 'top_p', 'top_k', 'seed', 'verbosity', 'output_config.effort', 'cache_control']);
  });

  const DEPTHS: [string, Partial<Target['traits']>, string[], string | number, Record<string, unknown>][] = [
    ['a word that it knows', { reasoning: 'effort', efforts: ['low', 'high'] }, [], 'high', { reasoning_effort: 'high' }],
    ['the nearest word', { reasoning: 'effort', efforts: ['low', 'high', 'max'] }, [], 'xhigh', { reasoning_effort: 'max' }],
    ['a budget as a word', { reasoning: 'effort', efforts: ['low', 'medium', 'high'] }, [], 2000, { reasoning_effort: 'low' }],
    ['off', { reasoning: 'toggle' }, ['thinking'], 'none', { thinking: { type: 'disabled' } }],
    ['on', { reasoning: 'toggle' }, ['chat_template_kwargs'], 'low', { chat_template_kwargs: { enable_thinking: true } }],
  ];
  it.each(DEPTHS)('says depth of thought: %s', (_name, traits, takes, wish, wanted) => {
    const [effort, budgetTokens] = typeof wish === 'string' ? [wish, null] : [null, wish];
    const request = requestOf({ reasoning: { effort, budgetTokens, show: null, sealed: false } });
    expect(rendered(request, targetOf(traits, { takes }))).toMatchObject(wanted);
  });

  it('gives thoughts back to those that want them, and to nobody else', () => {
    const parts: Part[] = [
      { type: 'reasoning', text: 'Hm.' },
      { type: 'tool_call', id: 'a', name: 'f', input: '', kind: 'function' },
    ];
    const request = requestOf({ messages: [{ role: 'assistant', parts }] });
    const calling = {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
    };
    expect(rendered(request)['messages']).toEqual([calling]);
    expect(rendered(request, targetOf({}, {}, { providerId: 'deepseek' }))['messages']).toEqual([{ ...calling, reasoning_content: 'Hm.' }]);
  });

  it('shortens ids that are too long, the same in the call and in its result', () => {
    const id = 'x'.repeat(64);
    const request = requestOf({
      messages: [
        { role: 'assistant', parts: [{ type: 'tool_call', id, name: 'f', input: '{}', kind: 'function' }] },
        { role: 'user', parts: [{ type: 'tool_result', callId: id, parts: [{ type: 'text', text: 'no' }], isError: true }] },
      ],
    });
    const [call, result] = rendered(request)['messages'] as [{ tool_calls: { id: string }[] }, { tool_call_id: string; content: string }];
    expect(call.tool_calls[0]?.id.length).toBeLessThanOrEqual(40);
    expect(result).toEqual({ role: 'tool', tool_call_id: call.tool_calls[0]?.id, content: 'Error: no' });
  });

  it('shows a tool’s image as the user’s, its data left out of the text that is counted', () => {
    const image: Part = { type: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'SECRET' } };
    const request = requestOf({
      messages: [{ role: 'user', parts: [{ type: 'tool_result', callId: 'a', parts: [image], isError: false }] }],
    });
    expect(rendered(request)['messages']).toEqual([
      { role: 'tool', tool_call_id: 'a', content: '' },
      { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,SECRET' } }] },
    ]);
    expect(renderGeneration(request, targetOf()).promptText()).not.toContain('SECRET');
  });

  const TOOL = { kind: 'function', name: 'f' } as const;
  const OBSTACLES: [name: string, InferenceRequest, Target, param: string][] = [
    ['several completions', requestOf({}, { completions: 2 }), targetOf({}, { manyCompletions: false }), 'n'],
    [
      'a schema',
      requestOf({ format: { type: 'schema', name: 'a', schema: {} } }),
      targetOf({ takesSchema: false }),
      'output_config.format',
    ],
    ['a forced tool', requestOf({ tools: [TOOL], toolChoice: { mode: 'required' } }), targetOf({ forcesTools: false }), 'tool_choice'],
    ['a begun answer', requestOf({ messages: [{ role: 'assistant', parts: [] }] }), targetOf({ takesPrefill: false }), 'messages'],
    ['probabilities', requestOf({ logprobs: 0 }), targetOf({}, { refuses: ['logprobs'] }), 'logprobs'],
    ['stops', requestOf({ stop: ['a'] }), targetOf({}, { refuses: ['stop'] }), 'stop_sequences'],
    ['tools beside thought', requestOf({ tools: [TOOL] }), targetOf({ toolsNeedResponses: true }), 'tools'],
  ];
  it.each(OBSTACLES)('%s may be an obstacle', (_name, request, target, param) => {
    expect(generationObstacle(request, target)?.detail.param).toBe(param);
    expect(generationObstacle(request, targetOf())).toBeNull();
  });
});

describe('requests of real clients', () => {
  it('are all understood, and say the same when they are written again', () => {
    for (const { file, body } of recordedRequests('/v1/chat/completions')) {
      const { model: _model, stream: _stream, stream_options: _options, user, ...fields } = body;
      const generation = generationOf(fields, {}, { user });
      const again = rendered(requestOf(generation, { wire: 'openai-chat' }));
      const { unsaid: _unsaid, ...reread } = generationOf(again, {}, { user });
      const { unsaid, ...before } = generation;
      expect({ file, ...reread }).toEqual({ file, ...before, system: joined(before.system), reasoning: null });
      expect(unsaid).toEqual([]);
    }
  });
});

/** Instructions become one message. */
function joined(system: Generation['system']): Generation['system'] {
  return system.length > 0 ? [{ type: 'text', text: system.map(({ text }) => text).join('\n\n') }] : [];
}

describe('any conversation', () => {
  const text = fc.string({ minLength: 1 }).map((value): Part => ({ type: 'text', text: value }));
  const user = text.map((part): Message => ({ role: 'user', parts: [part] }));
  const said = text.map((part): Message => ({ role: 'assistant', parts: [part] }));
  const exchange = fc
    .tuple(fc.uniqueArray(fc.stringMatching(/^[a-z]{1,12}$/), { minLength: 1, maxLength: 3 }), fc.string())
    .map(([ids, result]): Message[] => [
      { role: 'assistant', parts: ids.map((id) => ({ type: 'tool_call', id, name: `tool_${id}`, input: '{"a":1}', kind: 'function' })) },
      {
        role: 'user',
        parts: ids.map((id) => ({
          type: 'tool_result',
          callId: id,
          name: `tool_${id}`,
          parts: result === '' ? [] : [{ type: 'text', text: result }],
          isError: false,
        })),
      },
    ]);
  const conversation = fc.array(
    fc.oneof(
      user.map((one) => [one]),
      said.map((one) => [one]),
      exchange,
    ),
    { minLength: 1 },
  );

  it('means the same after it was written and read', () => {
    fc.assert(
      fc.property(conversation, fc.array(fc.string({ minLength: 1 })), (turns, stop) => {
        // Two rounds of results in a row cannot be: an assistant's turn is between them.
        const messages = turns.flat();
        const fields = rendered(requestOf({ messages, stop }));
        expect(generationOf(fields, {}, {})).toMatchObject({ messages, stop });
      }),
    );
  });
});
