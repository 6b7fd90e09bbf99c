import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { jsonExtent, type JsonExtent } from '../../src/wires/json-extent.ts';

const WITHOUT_END = { values: Infinity, names: Infinity, depth: Infinity, longNumbers: Infinity };

function measured(text: string, most: JsonExtent = WITHOUT_END): JsonExtent {
  const { fieldAt: _fieldAt, fieldOfNameAt: _fieldOfNameAt, ...extent } = jsonExtent(Buffer.from(text), most);
  return extent;
}

/** The same, of the value that was read. */
function extentOf(value: unknown): JsonExtent {
  return { ...sizeOf(value), names: new Set(namesOf(value).filter((name) => !/^\d{1,6}$/.test(name))).size };
}

function namesOf(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return [...(Array.isArray(value) ? [] : Object.keys(value)), ...Object.values(value).flatMap(namesOf)];
}

function sizeOf(value: unknown): Omit<JsonExtent, 'names'> {
  const text = typeof value === 'number' ? JSON.stringify(value) : '';
  const longNumbers = Math.floor(text.length / 16) + (text.includes('e') ? 1 : 0);
  if (typeof value !== 'object' || value === null) return { values: 1, depth: 0, longNumbers };
  const inside = Object.values(value).map(sizeOf);
  return {
    values: inside.reduce((sum, { values }) => sum + values, 1),
    depth: inside.reduce((deepest, { depth }) => Math.max(deepest, depth), 0) + 1,
    longNumbers: inside.reduce((sum, each) => sum + each.longNumbers, 0),
  };
}

/** White space of every kind after every mark that is not in a string. */
function spacedOut(text: string): string {
  return text.replaceAll(/"(?:[^"\\]|\\.)*"|[[\]{},:]/g, (token) => `\r\n${token} \t`);
}

describe('the extent of a JSON text', () => {
  it.each([
    ['0', { values: 1, names: 0, depth: 0, longNumbers: 0 }],
    ['[]', { values: 1, names: 0, depth: 1, longNumbers: 0 }],
    ['[ \n ]', { values: 1, names: 0, depth: 1, longNumbers: 0 }],
    ['[0]', { values: 2, names: 0, depth: 1, longNumbers: 0 }],
    ['{"a":{},"b":[[]]}', { values: 4, names: 2, depth: 3, longNumbers: 0 }],
    ['{"a":{"b":1},"b":[{"a":0}],"":""}', { values: 7, names: 3, depth: 3, longNumbers: 0 }],
    ['{"0":1,"100257":1,"1000000":1,"1a":1}', { values: 5, names: 2, depth: 1, longNumbers: 0 }],
    [`[{"${'x'.repeat(65)}":0},{"${'x'.repeat(65)}":0}]`, { values: 5, names: 2, depth: 2, longNumbers: 0 }],
    ['["[{,:","\\"[,","\\\\"]', { values: 4, names: 0, depth: 1, longNumbers: 0 }],
    ['[123456789012345,-1.5]', { values: 3, names: 0, depth: 1, longNumbers: 0 }],
    ['[1234567890123456, "1234567890123456"]', { values: 3, names: 0, depth: 1, longNumbers: 1 }],
    ['[-1e5,1.5E-3,0.00000000000000000000000000000001]', { values: 4, names: 0, depth: 1, longNumbers: 4 }],
    [`["${'x'.repeat(100)}\\",${'\\\\'.repeat(50)}",1]`, { values: 3, names: 0, depth: 1, longNumbers: 0 }],
    [`["${'\\'.repeat(201)}"]"]`, { values: 2, names: 0, depth: 1, longNumbers: 0 }],
  ])('of %j is %j', (text, extent) => {
    expect(measured(text)).toEqual(extent);
  });

  it('is that of the value, however it is written', () => {
    const strings = fc.string({ unit: fc.constantFrom('\\', '"', ',', ':', '[', '{', '}', 'a', 'ü', '\n'), maxLength: 200 });
    const names = fc.string({ unit: fc.constantFrom('\\', '"', ':', '{', '0', 'a', 'ü', '\n'), maxLength: 20 });
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof({ maxDepth: 6 }, strings, fc.double(), fc.constant(null), tie('list'), tie('object')),
      list: fc.array(tie('value'), { maxLength: 6 }),
      object: fc.dictionary(names, tie('value'), { maxKeys: 6 }),
    }));
    fc.assert(
      fc.property(value, (each) => {
        const text = JSON.stringify(each);
        const extent = extentOf(JSON.parse(text));
        expect(measured(text)).toEqual(extent);
        expect(measured(spacedOut(text))).toEqual(extent);
      }),
      { numRuns: 500 },
    );
  });

  it('is not measured on, once it is more than may be', () => {
    const most = { values: 100, names: 50, depth: 10, longNumbers: 5 };
    expect(measured(`[${'0,'.repeat(1_000_000)}`, most).values).toBe(101);
    expect(measured(`{${Array.from({ length: 1_000 }, (_, index) => `"a${index}":0`).join(',')}`, most).names).toBe(51);
    expect(measured('['.repeat(1_000_000), most).depth).toBe(11);
    expect(measured(`{"a":[${'1e1,'.repeat(1_000_000)}`, most).values).toBe(101);
    expect(measured('[{"":'.repeat(1_000_000), most).depth).toBe(11);
  });

  it.each(['"', '"\\', `"${'x'.repeat(99)}`, `"${'x'.repeat(99)}\\"`, '[', '{"a":', '[   ', ']]]', '{]', ',', ''])(
    'of %j, which is no JSON, comes to an end',
    (text) => {
      expect(measured(text).values).toBeGreaterThan(0);
    },
  );
});
