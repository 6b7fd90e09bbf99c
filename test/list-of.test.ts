import { describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { PARAMETERS } from '../src/wires/openai-chat/parameters.ts';
import { listOf, recordOf } from '../src/list-of.ts';

const MANY = 100_000;
const zeros = Array.from({ length: MANY }, () => 0);
const wide = Object.fromEntries(zeros.map((zero, index) => [`m${index}`, zero]));

/** A schema that refuses everything, and how often it was asked. */
function refusing() {
  const asked = { times: 0 };
  const schema = z.unknown().refine(() => {
    asked.times++;
    return false;
  }, 'wrong');
  return { asked, schema };
}

/** All issues of a refusal, those of a union's branches too. */
function issuesOf(issues: readonly z.core.$ZodIssue[]): number {
  return issues.reduce((sum, issue) => sum + 1 + (issue.code === 'invalid_union' ? issue.errors.flat().length : 0), 0);
}

describe('a list', () => {
  it('is checked up to the first element that is wrong', () => {
    const { asked, schema } = refusing();
    const { error } = listOf(schema).safeParse(zeros);
    expect(error?.issues).toEqual([expect.objectContaining({ path: [0], message: 'wrong' })]);
    expect(asked.times).toBe(1);
  });

  it('that is too long or too short is refused before its elements are looked at', () => {
    const { asked, schema } = refusing();
    const list = listOf(schema, { min: 1, max: 10, of: 'things' });
    expect(list.safeParse(zeros).error?.issues[0]?.message).toBe('must hold at most 10 things');
    expect(list.safeParse([]).error?.issues[0]?.message).toBe('must not be empty');
    expect(asked.times).toBe(0);
  });

  it('names the place of what is wrong in it, however deep', () => {
    const schema = z.looseObject({ a: listOf(z.looseObject({ b: recordOf(z.string()) })) });
    expect(schema.safeParse({ a: [{ b: {} }, { b: { c: '', d: 1 } }] }).error?.issues).toEqual([
      expect.objectContaining({ path: ['a', 1, 'b', 'd'], code: 'invalid_type' }),
    ]);
  });

  it('is given as it came', () => {
    const given = ['a', 'b'];
    expect(listOf(z.string()).parse(given)).toEqual(given);
    expect(recordOf(z.number()).parse({ a: 1 })).toEqual({ a: 1 });
  });

  it.each([undefined, null, 'a', 0, {}])('is not %j', (value) => {
    expect(listOf(z.string()).safeParse(value).error?.issues).toEqual([expect.objectContaining({ message: 'must be a list' })]);
  });
});

describe('a record', () => {
  it('is checked up to the first member that is wrong', () => {
    const { asked, schema } = refusing();
    expect(recordOf(schema).safeParse(wide).error?.issues).toEqual([expect.objectContaining({ path: ['m0'] })]);
    expect(asked.times).toBe(1);
  });

  it.each([undefined, null, 'a', 0, []])('is not %j', (value) => {
    expect(recordOf(z.string()).safeParse(value).error?.issues).toEqual([expect.objectContaining({ message: 'must be an object' })]);
  });
});

describe('whatever is wrong with a field of a request, however often', () => {
  const message = { role: 'user', content: 'hi' };
  const shapes = [zeros, wide, [zeros], [wide], { a: zeros }, zeros.map(() => ({})), zeros.map(() => [])];
  const fields: [string, string, unknown][] = [...PARAMETERS.keys()].flatMap((name) =>
    shapes.map((value, index): [string, string, unknown] => [name, `shape ${index}`, value]),
  );
  const inMessages = ['content', 'tool_calls', 'role', 'name', 'audio', 'x'].flatMap((name) =>
    shapes.map((value, index): [string, string, unknown] => ['messages', `${name}, shape ${index}`, [{ ...message, [name]: value }]]),
  );
  it.each([...fields, ...inMessages])('%s (%s) is told once', (name, _shape, value) => {
    const { error } = PARAMETERS.get(name)?.schema.safeParse(value) ?? {};
    expect(issuesOf(error?.issues ?? [])).toBeLessThan(10);
  });
});

describe('the schemas of the source', () => {
  /**
   * What checks the operator's own words, the prices that come with the source, a page of its own node's books, or the few numbers of a
   * price source whose answer is bounded.
   */
  const EXEMPT = [/^config\//, /^pricing\/(?:own-prices|known-prices|listed-price|rate-sources)\.ts$/, /^lightning\/lnd\/lnd-books\.ts$/];

  it('check lists and records of others by these alone, which stop at the first fault', () => {
    const source = path.join(import.meta.dirname, '../src');
    const sources = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
    const files = sources.filter((file) => !EXEMPT.some((exempt) => exempt.test(file)));
    // What describes answers never meets what a client sent; the tools' library checks what comes to them.
    const collecting = files
      .filter((file) => !/-(?:operations?|answers)\.ts$|^http\/mcp\//.test(file))
      .filter((file) => /\bz\s*\.(array|record|tuple|set|map)\(/.test(withoutComments(path.join(source, file))));
    expect(files.length).toBeGreaterThan(100);
    expect(collecting).toEqual([]);
  });
});

function withoutComments(file: string): string {
  return readFileSync(file, 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
}
