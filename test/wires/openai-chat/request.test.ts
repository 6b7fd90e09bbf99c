import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { PARAMETERS } from '../../../src/wires/openai-chat/parameters.ts';
import { chatBodyFor, chatCandidate, readChat } from '../../support/chat-request.ts';
import { GatewayError } from '../../../src/errors.ts';
import { picoUsd } from '../../../src/amount.ts';
import type { Deployment } from '../../../src/models/deployment.ts';
import { PLAIN_DIALECT, type Dialect } from '../../../src/wires/target.ts';
import { deployment, target } from '../../support/deployment.ts';

const hi = [{ role: 'user', content: 'hi' }];
const ACCOUNT = 'account-hash';

const parseText = (text: string, streamDefault = false) => readChat(text, { streamDefault });
const parse = (fields: object, streamDefault = false) => parseText(JSON.stringify({ messages: hi, ...fields }), streamDefault);
const upstreamBody = (fields: object, { outputTokens = 100, to = deployment() }: { outputTokens?: number; to?: Deployment } = {}) =>
  JSON.parse(chatBodyFor(parse(fields), to, outputTokens, ACCOUNT).toString()) as Record<string, unknown>;

const withDialect = (dialect: Partial<Dialect>) => deployment({ target: target({ dialect: { ...PLAIN_DIALECT, ...dialect } }) });

function refusalOf(act: () => unknown): { code: string; param: string | undefined; message: string } {
  try {
    act();
  } catch (error) {
    if (error instanceof GatewayError) return { code: error.code, param: error.detail.param, message: error.message };
    throw error;
  }
  throw new Error('it was accepted');
}

/** `accepted`, the status of the refusal, or what kind of crash it was. */
function statusOf(act: () => unknown): string {
  try {
    act();
    return 'accepted';
  } catch (error) {
    return error instanceof GatewayError ? String(error.status) : String(error);
  }
}

/** As JSON where it can be; else as something that is not. */
function textOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? '';
  } catch {
    return '';
  }
}

describe('a chat request', () => {
  it('has defaults', () => {
    expect(parse({})).toMatchObject({
      model: 'auto',
      stream: false,
      includeUsage: false,
      completions: 1,
      outputCap: null,
      unruled: [],
    });
    expect(parse({}, true).stream).toBe(true);
    expect(parse({ stream: false }, true).stream).toBe(false);
  });

  it('takes null for absent', () => {
    const nulls = {
      model: null,
      stream: null,
      n: null,
      max_tokens: null,
      stream_options: null,
      routing: null,
      stop: null,
      tools: null,
      temperature: null,
    };
    expect(parse(nulls)).toMatchObject({ model: 'auto', stream: false, completions: 1, outputCap: null });
    expect(upstreamBody(nulls)).toEqual({ model: 'upstream-model', max_tokens: 100, messages: hi });
  });

  const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } };
  it.each<[string, object]>([
    ['an assistant that only calls tools', { role: 'assistant', tool_calls: [call] }],
    ['an assistant that only calls a function', { role: 'assistant', function_call: { name: 'f', arguments: '{}' } }],
    ['an assistant that refused', { role: 'assistant', refusal: 'I cannot.' }],
    ['an assistant that only reasoned', { role: 'assistant', reasoning_content: 'Hm.' }],
    ['a function without a result', { role: 'function', name: 'f' }],
  ])('takes %s, whether content is left out or null', (_what, message) => {
    for (const whole of [message, { ...message, content: null }, { content: null, name: 'x', audio: null, tool_calls: null, ...message }]) {
      expect(upstreamBody({ messages: [...hi, whole] })['messages']).toEqual([...hi, whole]);
    }
  });

  it.each<[string, object]>([
    ['a user', { role: 'user' }],
    ['a system', { role: 'system' }],
    ['a developer', { role: 'developer' }],
    ['a tool', { role: 'tool', tool_call_id: 'c1' }],
    ['an assistant that does nothing', { role: 'assistant' }],
    ['an assistant whose list of calls is empty', { role: 'assistant', tool_calls: [], refusal: null, name: 'x' }],
  ])('wants content from %s, left out and null alike, and says so', (_what, message) => {
    for (const content of [{}, { content: null }]) {
      expect(refusalOf(() => parse({ messages: [...hi, { ...message, ...content }] }))).toEqual({
        code: 'invalid_request',
        param: 'messages.1.content',
        message: 'messages.1.content: is required',
      });
    }
  });

  it('takes null for absent in every field and every optional member, refused and unknown ones included', () => {
    const names = [...PARAMETERS.keys(), 'no_such_field'].filter((name) => name !== 'messages');
    for (const name of names) expect(upstreamBody({ [name]: null })).toEqual({ model: 'upstream-model', max_tokens: 100, messages: hi });
    const part = { type: 'text', text: 'x', prompt_cache_breakpoint: { ttl: null } };
    const members = {
      messages: [
        { role: 'user', name: null, tool_call_id: null, tool_calls: null, audio: null, content: [part] },
        { role: 'assistant', tool_calls: [{ ...call, type: null }] },
      ],
      prompt_cache_options: { ttl: null },
    };
    expect(upstreamBody(members)).toMatchObject(members);
    const routing = { quality: null, prefer: null, maxCost: null, maxLatency: null, excludeProviders: null };
    expect(parse({ routing, stream: true, stream_options: { include_usage: null } }).routing).toEqual(parse({}).routing);
  });

  it.each([
    ['audio', []],
    ['prediction', []],
    ['background', false],
  ])('takes a refused field that asks for nothing as absent: %s', (name, value) => {
    expect(upstreamBody({ [name]: value })).toEqual({ model: 'upstream-model', max_tokens: 100, messages: hi });
  });

  it('reads what it must know', () => {
    const read = parse({
      model: 'gpt-4o',
      stream: true,
      stream_options: { include_usage: true },
      n: 3,
      max_completion_tokens: 50,
      tools: [{ type: 'function', function: { name: 'f' } }],
    });
    expect(read).toMatchObject({
      model: 'gpt-4o',
      stream: true,
      includeUsage: true,
      completions: 3,
      outputCap: 50,
    });
    expect(read.facts().hasTools).toBe(true);
    expect(read.bodyBytes).toBeGreaterThan(100);
  });

  it('reads how it is to be routed, in the units of the ledger', () => {
    const own = { models: ['a', 'b'], cost_weight: 0.25, cascade: true, cascade_threshold: 0.9 };
    const routing = { quality: 'high', prefer: 'openai', maxCost: 1e-7, maxLatency: 800, excludeProviders: ['demo'], ...own };
    expect(parse({ routing }).routing).toEqual({
      quality: 'high',
      prefer: 'openai',
      maxCostPicoUsd: picoUsd(100_000n),
      maxLatencyMs: 800,
      excludeProviders: ['demo'],
      models: ['a', 'b'],
      costWeight: 0.25,
      cascade: { threshold: 0.9, maxDepth: 3 },
    });
    expect(parse({}).routing).toEqual({
      quality: null,
      prefer: null,
      maxCostPicoUsd: null,
      maxLatencyMs: null,
      excludeProviders: [],
      models: null,
      costWeight: null,
      cascade: null,
    });
  });

  describe('is refused, naming the field', () => {
    it.each<[string, object, string]>([
      ['no messages at all', { messages: undefined }, 'messages'],
      ['messages that are none', { messages: 'hi' }, 'messages'],
      ['an empty conversation', { messages: [] }, 'messages'],
      ['a role that is none', { messages: [{ role: 'wizard', content: 'x' }] }, 'messages.0.role'],
      ['a message that is no object', { messages: [...hi, 7] }, 'messages.1'],
      ['a user without words', { messages: [{ role: 'user' }] }, 'messages.0.content'],
      ['content of a wrong type', { messages: [{ role: 'user', content: 7 }] }, 'messages.0.content'],
      ['a part without a type', { messages: [{ role: 'user', content: [{ text: 'x' }] }] }, 'messages.0.content.0.type'],
      ['a text part without text', { messages: [{ role: 'user', content: [{ type: 'text' }] }] }, 'messages.0.content.0.text'],
      ['audio', { messages: [{ role: 'user', content: [{ type: 'input_audio', input_audio: {} }] }] }, 'messages.0.content.0.type'],
      ['a file', { messages: [{ role: 'user', content: [{ type: 'file', file: { file_id: 'file-1' } }] }] }, 'messages.0.content.0.type'],
      [
        'an image from a local file',
        { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'file:///etc/passwd' } }] }] },
        'messages.0.content.0.image_url.url',
      ],
      [
        'an image over plain http',
        { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'http://10.0.0.1/' } }] }] },
        'messages.0.content.0.image_url.url',
      ],
      ['an answer stored upstream', { messages: [{ role: 'assistant', content: null, audio: { id: 'audio_1' } }] }, 'messages.0.audio'],
      [
        'a cache lifetime without a price',
        { messages: [{ role: 'user', content: [{ type: 'text', text: 'x', prompt_cache_breakpoint: { ttl: '12h' } }] }] },
        'messages.0.content.0.prompt_cache_breakpoint.ttl',
      ],
      ['a model that is no string', { model: 5 }, 'model'],
      ['stream that is no boolean', { stream: 'yes' }, 'stream'],
      ['a negative cap', { max_tokens: -1 }, 'max_tokens'],
      ['a cap of nothing', { max_completion_tokens: 0 }, 'max_completion_tokens'],
      ['a fractional cap', { max_tokens: 1.5 }, 'max_tokens'],
      ['two caps that differ', { max_tokens: 1, max_completion_tokens: 2 }, 'max_tokens'],
      ['n of nothing', { n: 0 }, 'n'],
      ['n of too many', { n: 129 }, 'n'],
      ['a dearer tier of service', { service_tier: 'priority' }, 'service_tier'],
      ['output that is not text', { modalities: ['text', 'audio'] }, 'modalities.1'],
      [
        'a tool that runs upstream',
        { tools: [{ type: 'function', function: { name: 'f' } }, { type: 'code_interpreter' }] },
        'tools.1.type',
      ],
      ['a quality that is none', { routing: { quality: 'best' } }, 'routing.quality'],
      ['a cost limit that is none', { routing: { maxCost: -1 } }, 'routing.maxCost'],
    ])('%s', (_what, fields, param) => {
      expect(refusalOf(() => parse(fields))).toMatchObject({ code: 'invalid_request', param });
    });

    it.each([
      ['audio'],
      ['prediction'],
      ['web_search_options'],
      ['moderation'],
      ['previous_response_id'],
      ['conversation'],
      ['prompt'],
      ['background'],
      ['best_of'],
      ['Max_Tokens'],
      ['constructor'],
      ['toString'],
      ['hasOwnProperty'],
    ])('%s, for which no rule lets it through', (name) => {
      expect(refusalOf(() => parseText(`{"messages":[{"role":"user","content":"x"}],${JSON.stringify(name)}:{}}`))).toMatchObject({
        code: 'unknown_parameter',
        param: name,
      });
    });

    it.each(['cascades', 'nope'])('routing.%s', (name) => {
      expect(refusalOf(() => parse({ routing: { [name]: true } }))).toMatchObject({ code: 'unknown_parameter', param: `routing.${name}` });
    });

    it.each([[''], ['{'], ['{"messages":'], ['nope'], ['{"messages":[]}x'], ["{'a':1}"]])('a body that is not JSON: %j', (text) => {
      expect(refusalOf(() => parseText(text))).toMatchObject({ code: 'invalid_request' });
    });

    it.each([['[]'], ['null'], ['"text"'], ['7']])('a body that is no object: %s', (text) => {
      expect(refusalOf(() => parseText(text))).toMatchObject({ code: 'invalid_request' });
    });

    it('a body that is not UTF-8', () => {
      const body = Buffer.concat([Buffer.from('{"messages":[{"role":"user","content":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}]}')]);
      expect(refusalOf(() => readChat(body))).toMatchObject({ code: 'invalid_request' });
    });

    it.each([
      ['objects', '{"a":', '1', '}'],
      ['lists', '[', '', ']'],
    ])('%s nested without end', (_what, open, middle, close) => {
      const deep = open.repeat(50_000) + middle + close.repeat(50_000);
      expect(refusalOf(() => parseText(`{"messages":[{"role":"user","content":"x"}],"metadata":${deep}}`))).toMatchObject({
        code: 'invalid_request',
        param: 'metadata',
      });
    });

    it('too many messages', () => {
      expect(refusalOf(() => parse({ messages: Array.from({ length: 5_000 }, () => hi[0]) }))).toMatchObject({
        code: 'invalid_request',
        param: 'messages',
      });
    });

    it('a prototype at any depth, and none is touched', () => {
      const text = '{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"__proto__":{"polluted":true}}}]}';
      expect(refusalOf(() => parseText(text))).toMatchObject({ code: 'invalid_request', param: 'tools.0.function.__proto__' });
      expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    });

    it('anything at all with an error of its own, never a crash', () => {
      const chat = fc.record(
        { messages: fc.anything(), model: fc.anything(), routing: fc.anything(), tools: fc.anything(), stream_options: fc.anything() },
        { requiredKeys: [] },
      );
      fc.assert(
        fc.property(fc.oneof(chat, fc.anything()), (value) => {
          expect(statusOf(() => chatBodyFor(parseText(textOf(value)), deployment(), 1, ACCOUNT))).toMatch(/^(accepted|400)$/);
        }),
        { numRuns: 500 },
      );
    });
  });

  describe('its upstream body', () => {
    it('passes what is free through untouched, unknown members inside included', () => {
      const whole = {
        messages: [
          { role: 'system', content: 'You are terse.', cache_hint: 1 },
          {
            role: 'user',
            name: 'ann',
            content: [
              { type: 'text', text: 'x', extra: [1] },
              { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA', detail: 'low' } },
            ],
          },
          {
            role: 'assistant',
            content: null,
            tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{"usage":{"prompt_tokens":0}}' } }],
          },
          { role: 'tool', tool_call_id: 'c1', content: 'ok' },
        ],
        tools: [
          {
            type: 'function',
            function: {
              name: 'f',
              strict: true,
              parameters: { type: 'object', properties: { constructor: { type: 'string' } }, 'x-y': 1 },
            },
          },
        ],
        tool_choice: { type: 'function', function: { name: 'f' } },
        response_format: { type: 'json_schema', json_schema: { name: 's', schema: { anyOf: [] } } },
        n: 2,
        logprobs: true,
        top_logprobs: 5,
        logit_bias: { 50256: -100 },
        stop: ['\n'],
        temperature: 0.25,
        top_p: 0.5,
        seed: 7,
        reasoning_effort: 'low',
        parallel_tool_calls: false,
      };
      expect(upstreamBody(whole)).toEqual({ model: 'upstream-model', max_tokens: 100, ...whole });
    });

    it.each(['max_tokens', 'max_completion_tokens'] as const)('has exactly one cap, in %s where the model takes that', (capField) => {
      for (const fields of [{}, { max_tokens: 9 }, { max_completion_tokens: 9 }, { max_tokens: 9, max_completion_tokens: 9 }]) {
        const body = upstreamBody(fields, { outputTokens: 9, to: withDialect({ capField }) });
        expect(['max_tokens', 'max_completion_tokens'].filter((name) => name in body)).toEqual([capField]);
        expect(body[capField]).toBe(9);
      }
    });

    it('never asks a fallback for more than it can give', () => {
      expect(upstreamBody({}, { outputTokens: 4_096, to: deployment({ maxOutputTokens: 1_024 }) })['max_tokens']).toBe(1_024);
    });

    it('asks for usage on streams, keeps the client’s other options, and sends none elsewhere', () => {
      expect(upstreamBody({ stream: true })).toMatchObject({ stream: true, stream_options: { include_usage: true } });
      expect(upstreamBody({ stream: true, stream_options: { include_usage: false, include_obfuscation: false } })).toMatchObject({
        stream_options: { include_usage: true, include_obfuscation: false },
      });
      const json = upstreamBody({ stream: false, stream_options: { include_usage: true } });
      expect([json['stream'], json['stream_options']]).toEqual([undefined, undefined]);
    });

    it('hides who the end user is, keeps accounts out of each other’s caches, and has nothing stored', () => {
      const body = upstreamBody({
        user: 'ann@example.com',
        safety_identifier: 'ann',
        prompt_cache_key: 'k',
        store: true,
        metadata: { a: 'b' },
        routing: { quality: 'low' },
      });
      expect(body).toEqual({
        model: 'upstream-model',
        max_tokens: 100,
        messages: hi,
        user: ACCOUNT,
        safety_identifier: ACCOUNT,
        store: false,
        prompt_cache_key: expect.any(String),
      });
      expect(body['prompt_cache_key']).not.toContain('k\0');
      const other = JSON.parse(chatBodyFor(parse({ prompt_cache_key: 'k' }), deployment(), 1, 'another').toString()) as Record<
        string,
        unknown
      >;
      expect(other['prompt_cache_key']).not.toBe(body['prompt_cache_key']);
    });

    it('tells OpenAI to store nothing, asked or not', () => {
      expect(upstreamBody({}, { to: withDialect({ stores: true }) })['store']).toBe(false);
      expect(upstreamBody({})).not.toHaveProperty('store');
    });

    it('has no duplicate of a key that was sent twice', () => {
      const text =
        '{"max_tokens":1000000,"messages":[{"role":"user","content":"a"}],"max_tokens":5,"n":100,"n":1,"messages":[{"role":"user","content":"b"}]}';
      const request = parseText(text);
      expect(request).toMatchObject({ outputCap: 5, completions: 1 });
      const body = chatBodyFor(request, deployment(), 5, ACCOUNT).toString();
      expect(body).toBe('{"model":"upstream-model","max_tokens":5,"messages":[{"role":"user","content":"b"}],"n":1}');
    });

    it('carries a field without a rule only where the operator lets it through', () => {
      const body = JSON.stringify({ messages: hi, one: 5, other: 0.1 });
      const request = readChat(body, { allowParameters: new Set(['one', 'other']) });
      expect(request.unruled).toEqual(['one', 'other']);
      expect(JSON.parse(chatBodyFor(request, deployment(), 5, ACCOUNT).toString())).toMatchObject({ one: 5, other: 0.1 });
      expect(refusalOf(() => readChat(body, { allowParameters: new Set(['one']) }))).toMatchObject({ param: 'other' });
    });
  });

  it('shows its text for counting without its images, which are counted apiece', () => {
    const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(10_000)}` } };
    const remote = { type: 'image_url', image_url: { url: 'https://example.com/a.png' } };
    const request = parse({ messages: [{ role: 'user', content: [{ type: 'text', text: 'what is this' }, image, remote] }] });
    expect(request.media).toMatchObject({
      images: 2,
      firstImageParam: 'messages.0.content.1.image_url.url',
      firstRemoteParam: 'messages.0.content.2.image_url.url',
    });
    const { rendering } = chatCandidate(request, deployment());
    expect(rendering.promptText()).toContain('what is this');
    expect(rendering.promptText().length).toBeLessThan(200);
    expect(chatBodyFor(request, deployment(), 1, ACCOUNT).length).toBeGreaterThan(10_000);
  });

  it('counts as text whatever only looks like an image', () => {
    const hidden = { type: 'image_url', image_url: { url: 'data:image/png,', note: 'n'.repeat(1_000) }, text: 't'.repeat(1_000) };
    const parameters = { type: 'image_url', image_url: { url: 'd'.repeat(1_000) } };
    const request = parse({
      messages: [{ role: 'user', content: [hidden] }],
      tools: [{ type: 'function', function: { name: 'f', parameters } }],
    });
    expect(chatCandidate(request, deployment()).rendering.promptText().length).toBeGreaterThan(3_000);
  });
});
