import { describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../../src/errors.ts';
import { requestOf } from './requests.ts';

const PNG = 'data:image/png;base64,AAAA';
const PDF = 'data:application/pdf;base64,JVBERi0=';
const user = (...content: unknown[]) => ({ role: 'user', content });

describe('a request for a response', () => {
  it.each<[string, Record<string, unknown>, string, string?]>([
    ['no input', {}, 'input'],
    ['an empty list', { input: [] }, 'input'],
    ['an unknown field', { input: 'x', foo: 1 }, 'foo', 'unknown_parameter'],
    ['a response that came before', { input: 'x', previous_response_id: 'resp_1' }, 'previous_response_id', 'unknown_parameter'],
    ['a conversation', { input: 'x', conversation: 'conv_1' }, 'conversation', 'unknown_parameter'],
    ['a stored prompt', { input: 'x', prompt: { id: 'p' } }, 'prompt', 'unknown_parameter'],
    ['work in the background', { input: 'x', background: true }, 'background', 'unknown_parameter'],
    ['compaction', { input: 'x', context_management: [{ type: 'compaction' }] }, 'context_management', 'unknown_parameter'],
    ['a tier with a price of its own', { input: 'x', service_tier: 'flex' }, 'service_tier'],
    ['a mode with a price of its own', { input: 'x', reasoning: { mode: 'pro' } }, 'reasoning.mode'],
    ['an unknown setting of reasoning', { input: 'x', reasoning: { depth: 3 } }, 'reasoning.depth', 'unknown_parameter'],
    ['a stored item', { input: [{ type: 'item_reference', id: 'msg_1' }] }, 'input.0.type'],
    ['an unknown item', { input: [{ type: 'mcp_call', id: 'x' }] }, 'input.0.type'],
    ['an unknown role', { input: [{ role: 'tool', content: 'x' }] }, 'input.0.role'],
    ['a message without content', { input: [{ role: 'user' }] }, 'input.0.content'],
    ['a stored file', { input: [user({ type: 'input_file', file_id: 'file_1' })] }, 'input.0.content.0.file_id'],
    ['a file to fetch', { input: [user({ type: 'input_file', file_url: 'https://x/a.pdf' })] }, 'input.0.content.0.file_url'],
    ['a stored image', { input: [user({ type: 'input_image', file_id: 'file_1' })] }, 'input.0.content.0.file_id'],
    ['an image over http', { input: [user({ type: 'input_image', image_url: 'http://x/a.png' })] }, 'input.0.content.0.image_url'],
    [
      'a stored file in the result of a local tool',
      { input: [{ type: 'shell_call_output', call_id: 'c', output: [{ type: 'input_file', file_id: 'file_1' }] }] },
      'input.0.output.0.file_id',
    ],
    [
      'a document without data in the result of a local tool',
      { input: [{ type: 'apply_patch_call_output', call_id: 'c', output: [{ type: 'input_file' }] }] },
      'input.0.output.0.file_data',
    ],
    [
      'an image without an address beside a call',
      { input: [{ type: 'function_call', call_id: 'c', name: 'f', arguments: '', content: [{ type: 'input_image' }] }] },
      'input.0.content.0.image_url',
    ],
    [
      'a container that is stored',
      { input: [{ type: 'shell_call', call_id: 'c', environment: { type: 'container_reference', container_id: 'cntr_1' } }] },
      'input.0.environment.type',
    ],
    ['sound', { input: [user({ type: 'input_audio', data: 'AA' })] }, 'input.0.content.0.type'],
    ['a result without its call', { input: [{ type: 'function_call_output', output: 'x' }] }, 'input.0.call_id'],
    ['a costly tool in an item', { input: [{ type: 'additional_tools', tools: [{ type: 'web_search' }] }] }, 'input.0.tools.0.type'],
    [
      'a cache entry of unknown price',
      { input: [user({ type: 'input_text', text: 'x', prompt_cache_breakpoint: { ttl: '24h' } })] },
      'input.0.content.0.prompt_cache_breakpoint.ttl',
    ],
    ['a forced tool of the provider', { input: 'x', tool_choice: { type: 'web_search' } }, 'tool_choice.type'],
    [
      'only tools of the provider, forced',
      { input: 'x', tools: [{ type: 'web_search' }], tool_choice: 'required' },
      'tool_choice',
      'unknown_parameter',
    ],
    ['a tool without a name', { input: 'x', tools: [{ type: 'function' }] }, 'tools.0.name'],
    [
      'a costly tool in a namespace',
      { input: 'x', tools: [{ type: 'namespace', name: 'n', tools: [{ type: 'mcp' }] }] },
      'tools.0.tools.0.type',
    ],
    ['a schema without a name', { input: 'x', text: { format: { type: 'json_schema', schema: {} } } }, 'text.format.name'],
    ['a cap that is no number', { input: 'x', max_output_tokens: 0 }, 'max_output_tokens'],
  ])('with %s is refused by name', (_name, body, param, code = 'invalid_request') => {
    let refusal: unknown;
    try {
      requestOf(body);
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(GatewayError);
    expect(refusal).toMatchObject({ code, detail: { param } });
  });

  it('takes null, an empty list and the harmless value as if absent', () => {
    const request = requestOf({ input: 'x', previous_response_id: null, background: false, context_management: [], user: null, tools: [] });
    expect(request.fields).toEqual({ input: 'x', tools: [] });
    expect(request).toMatchObject({ model: 'auto', stream: false, completions: 1, outputCap: null, own: {} });
  });

  it('says what the gateway must know of it', () => {
    const request = requestOf({
      model: 'gpt-5',
      stream: true,
      max_output_tokens: 50,
      user: 'somebody',
      store: true,
      metadata: { a: 'b' },
      client_metadata: { 'x-codex-window-id': 'w' },
      input: [
        user({ type: 'input_text', text: 'first' }),
        user(
          { type: 'input_image', image_url: PNG },
          { type: 'input_image', image_url: 'https://x/a.png' },
          { type: 'input_text', text: 'last' },
        ),
        { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
        { type: 'function_call_output', call_id: 'c', output: [{ type: 'input_file', filename: 'a.pdf', file_data: PDF }] },
      ],
    });
    expect(Object.keys(request.fields)).toEqual(['input']);
    expect(request).toMatchObject({ model: 'gpt-5', stream: true, outputCap: 50 });
    expect(request.own).toMatchObject({ user: 'somebody', store: true });
    expect(request.facts()).toMatchObject({ asked: '\n\nlast', opening: 'first', turns: 2, hasTools: false });
    expect(request.media).toEqual({
      images: 2,
      firstImageParam: 'input.1.content.0.image_url',
      firstRemoteParam: 'input.1.content.1.image_url',
      documents: 1,
      firstDocumentParam: 'input.3.output.0.file_data',
      documentBytes: PDF.length,
    });
  });

  it('is read into the canonical form', () => {
    const request = requestOf({
      instructions: 'Be brief.',
      input: [
        { role: 'developer', content: 'Speak French.' },
        { role: 'user', content: 'hello' },
        { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'hm' }], encrypted_content: 'own' },
        { type: 'reasoning', summary: [], encrypted_content: 'pura-redacted:pura:anthropic-messages:secret' },
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'I look.' }] },
        { type: 'function_call', call_id: 'c1', name: 'close', namespace: 'agents', arguments: '{"id":1}' },
        { type: 'reasoning', summary: [], encrypted_content: 'pura-signs-previous:pura:gemini-generate:sig' },
        { type: 'custom_tool_call', call_id: 'c2', name: 'patch', input: '***' },
        { type: 'function_call_output', call_id: 'c1', output: 'done' },
        { type: 'custom_tool_call_output', call_id: 'c2', output: [{ type: 'input_image', image_url: PNG, detail: 'low' }] },
        { role: 'system', content: 'Hurry.' },
        { type: 'local_shell_call', call_id: 'c3', action: { type: 'exec', command: ['ls'] } },
        { type: 'local_shell_call_output', id: 'c3', output: 'a.txt' },
      ],
      tools: [
        {
          type: 'namespace',
          name: 'agents',
          description: 'About agents.',
          tools: [{ type: 'function', name: 'close', description: 'Closes.', parameters: { type: 'object' }, strict: true }],
        },
        { type: 'custom', name: 'patch', format: { type: 'grammar', syntax: 'lark', definition: 'x' } },
        { type: 'web_search' },
      ],
      tool_choice: { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'close', namespace: 'agents' }] },
      parallel_tool_calls: false,
      text: { format: { type: 'json_schema', name: 'n', schema: { type: 'object' }, strict: true }, verbosity: 'low' },
      reasoning: { effort: 'high', summary: 'auto' },
      include: ['reasoning.encrypted_content', 'message.output_text.logprobs'],
      top_logprobs: 2,
      temperature: 0.1,
      top_p: 0.9,
      truncation: 'auto',
      prompt_cache_key: 'k',
      safety_identifier: 's',
    });
    const close = { type: 'tool_call', kind: 'function', id: 'c1', name: 'agents__close', input: '{"id":1}' };
    expect(request.generation()).toEqual({
      system: [
        { type: 'text', text: 'Be brief.' },
        { type: 'text', text: 'Speak French.' },
      ],
      messages: [
        { role: 'user', parts: [{ type: 'text', text: 'hello' }] },
        {
          role: 'assistant',
          parts: [
            { type: 'reasoning', text: 'hm', id: 'rs_1', signature: { wire: 'openai-responses', value: 'own' } },
            { type: 'reasoning', text: '', redacted: { wire: 'anthropic-messages', value: 'secret' } },
            { type: 'text', text: 'I look.' },
            { ...close, signature: { wire: 'gemini-generate', value: 'sig' } },
            { type: 'tool_call', kind: 'custom', id: 'c2', name: 'patch', input: '***' },
          ],
        },
        {
          role: 'user',
          parts: [
            { type: 'tool_result', callId: 'c1', name: 'agents__close', parts: [{ type: 'text', text: 'done' }], isError: false },
            {
              type: 'tool_result',
              callId: 'c2',
              name: 'patch',
              parts: [
                {
                  type: 'image',
                  source: { kind: 'data', mediaType: 'image/png', base64: 'AAAA' },
                  detail: 'low',
                  param: 'input.9.output.0.image_url',
                },
              ],
              isError: false,
            },
          ],
        },
        { role: 'system', parts: [{ type: 'text', text: 'Hurry.' }] },
        {
          role: 'assistant',
          parts: [{ type: 'tool_call', kind: 'function', id: 'c3', name: 'local_shell', input: '{"type":"exec","command":["ls"]}' }],
        },
        {
          role: 'user',
          parts: [{ type: 'tool_result', callId: 'c3', name: 'local_shell', parts: [{ type: 'text', text: 'a.txt' }], isError: false }],
        },
      ],
      tools: [
        { kind: 'custom', name: 'patch', grammar: { syntax: 'lark', definition: 'x' } },
        { kind: 'function', name: 'agents__close', description: 'About agents.\n\nCloses.', parameters: { type: 'object' }, strict: true },
      ],
      toolChoice: { mode: 'required', allowed: ['agents__close'] },
      parallelToolCalls: false,
      format: { type: 'schema', name: 'n', schema: { type: 'object' }, strict: true },
      sampling: { temperature: 0.1, topP: 0.9 },
      stop: [],
      reasoning: { effort: 'high', budgetTokens: null, show: true, sealed: true },
      verbosity: 'low',
      logprobs: 2,
      logitBias: null,
      namesUser: true,
      cacheKey: 'k',
      unsaid: ['truncation', 'web_search'],
    });
  });

  it('gives tools in namespaces names that no other tool has', () => {
    const inner = (name: string) => ({ type: 'function', name });
    const long = 'x'.repeat(60);
    const { tools } = requestOf({
      input: 'x',
      tools: [
        inner('a__b'),
        { type: 'namespace', name: 'a', description: '', tools: [inner('b'), inner(`${long}1`), inner(`${long}2`), inner('é')] },
        { type: 'namespace', name: 'a_', description: '', tools: [inner('_b')] },
      ],
    }).generation();
    const names = tools.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toHaveLength(6);
    expect(names.every((name) => /^[\w-]{1,64}$/.test(name))).toBe(true);
  });

  it('stops at the first fault of a large list', () => {
    const many = Array.from({ length: 20_000 }, () => ({ role: 'nobody' }));
    const began = performance.now();
    expect(() => requestOf({ input: many })).toThrow('input: must hold at most 16384 items');
    expect(() => requestOf({ input: many.slice(0, 16_000) })).toThrow('input.0.role');
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});
