import { describe, expect, it } from '@jest/globals';
import { recordedRequests } from './recorded-requests.ts';
import { requestOf } from './requests.ts';

const all = recordedRequests().filter(({ wire }) => wire === 'openai-responses');

(all.length > 0 ? describe : describe.skip)('every request for a response recorded from a real client', () => {
  it('has been found', () => expect(all.length).toBeGreaterThan(30));

  it.each(all)('$file is accepted, goes on whole, and can be said to any provider', ({ body }) => {
    const request = requestOf(body);
    expect(request.fields['input']).toEqual(body['input']);
    expect(request.fields['tools'] ?? []).toEqual(body['tools'] ?? []);
    const { messages, tools, unsaid } = request.generation();
    const offered = (body['tools'] ?? []) as { type: string; tools?: unknown[] }[];
    const functions = offered.flatMap(({ type, tools: inner }) =>
      type === 'namespace' ? (inner ?? []) : type === 'function' || type === 'custom' ? [1] : [],
    );
    expect(tools).toHaveLength(functions.length);
    expect(new Set(tools.map(({ name }) => name)).size).toBe(tools.length);
    expect(tools.every(({ name }) => /^[\w-]{1,64}$/.test(name))).toBe(true);
    for (const { type } of offered) expect(unsaid.includes(type)).toBe(!['function', 'custom', 'namespace'].includes(type));
    expect(messages.length).toBeGreaterThan(0);
    expect(request.facts().turns).toBeGreaterThan(0);
  });
});
