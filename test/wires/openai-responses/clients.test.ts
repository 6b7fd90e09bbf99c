import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { requestOf } from './requests.ts';

/** Requests recorded from real clients. They lie beside the project, where they are at all. */
const DIRECTORY = new URL('../../../../shared/clients/', import.meta.url);

function recordings(): { file: string; body: Record<string, unknown> }[] {
  if (!existsSync(DIRECTORY)) {
    console.warn(`skipped: no recorded clients in ${DIRECTORY.pathname}`);
    return [];
  }
  return readdirSync(DIRECTORY)
    .filter((name) => name.endsWith('.json'))
    .flatMap((file) => {
      const { requests = [] } = JSON.parse(readFileSync(new URL(file, DIRECTORY), 'utf8')) as {
        requests?: { method: string; path: string; body: unknown }[];
      };
      const sent = requests.filter(({ path, body }) => path.startsWith('/v1/responses') && typeof body === 'object' && body !== null);
      return sent.map(({ body }, index) => ({ file: `${file}#${index}`, body: body as Record<string, unknown> }));
    });
}

const all = recordings();

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
