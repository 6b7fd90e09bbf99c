import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { geminiSchema, parametersSchema } from '../../../src/wires/gemini-generate/schema.ts';

const text = { type: 'string' };
const told = (rule: object): string => `JSON Schema: ${JSON.stringify(rule)}`;

describe('JSON schemas in the words of the API', () => {
  it.each([
    ['what is known, as it is', { ...text, title: 'T', enum: ['a'] }, { ...text, title: 'T', enum: ['a'] }],
    ['remarks, left out', { ...text, $schema: 'x', examples: ['a'], deprecated: true }, text],
    [
      'rules that there are no words for, told',
      { ...text, pattern: '^a', maxLength: 3 },
      { ...text, description: told({ pattern: '^a', maxLength: 3 }) },
    ],
    ['rules beside a description', { ...text, description: 'D', default: 'a' }, { ...text, description: `D\n${told({ default: 'a' })}` }],
    ['a constant', { const: 'a' }, { enum: ['a'] }],
    ['a constant that cannot be listed', { const: true }, { type: 'boolean', description: told({ enum: [true] }) }],
    ['null among the values', { type: 'string', enum: ['a', null] }, { type: ['string', 'null'], enum: ['a'] }],
    ['nullable', { ...text, nullable: true }, { type: ['string', 'null'] }],
    ['a list of anything', { type: 'array' }, { type: 'array', items: {} }],
    ['a tuple', { type: 'array', items: [text, text] }, { type: 'array', prefixItems: [text, text] }],
    ['anything and nothing', { properties: { a: true, b: false } }, { properties: { a: {}, b: { description: told({ not: {} }) } } }],
    ['additionalProperties', { additionalProperties: { const: 1 } }, { additionalProperties: { enum: [1] } }],
    ['no additionalProperties', { additionalProperties: false }, { additionalProperties: false }],
    ['alternatives', { oneOf: [{ const: 1 }, text] }, { oneOf: [{ enum: [1] }, text] }],
    [
      'definitions',
      { definitions: { A: { const: 1 } }, properties: { a: { $ref: '#/definitions/A' } } },
      { $defs: { A: { enum: [1] } }, properties: { a: { $ref: '#/$defs/A' } } },
    ],
    ['a reference with a description', { $ref: '#/$defs/A', description: 'D' }, { description: 'D', anyOf: [{ $ref: '#/$defs/A' }] }],
    ['a reference in allOf', { allOf: [{ $ref: '#/$defs/A' }] }, { $ref: '#/$defs/A' }],
    [
      'schemas that all hold',
      { type: 'object', required: ['a'], allOf: [{ properties: { a: text }, required: ['b'] }, { properties: { b: { const: 1 } } }] },
      { type: 'object', required: ['a', 'b'], properties: { a: text, b: { enum: [1] } } },
    ],
    [
      'schemas that contradict each other',
      { ...text, allOf: [{ minimum: 1 }, { type: 'number' }] },
      { ...text, minimum: 1, description: told({ allOf: [{ type: 'number' }] }) },
    ],
    [
      'two rules for one property',
      { properties: { a: text }, allOf: [{ properties: { a: { enum: ['x'] } } }] },
      { properties: { a: { ...text, enum: ['x'] } } },
    ],
  ])('%s', (_, schema, cleaned) => {
    const before = JSON.stringify(schema);
    expect(geminiSchema(schema)).toEqual(cleaned);
    expect(JSON.stringify(schema)).toBe(before);
  });

  it('makes an object of the parameters of a tool', () => {
    expect(parametersSchema({})).toEqual({ type: 'object' });
    expect(parametersSchema({ properties: { a: text } })).toEqual({ type: 'object', properties: { a: text } });
    expect(parametersSchema({ $ref: '#/$defs/A', $defs: { A: text } })).toEqual({ $ref: '#/$defs/A', $defs: { A: text } });
  });

  const KNOWN = new Set(
    (
      'type format title description enum minimum maximum minItems maxItems required propertyOrdering $id $anchor $ref $defs items ' +
      'prefixItems anyOf oneOf properties additionalProperties'
    ).split(' '),
  );

  /** Every member of a schema and of the schemas in it that the API does not know. */
  function unknownIn(schema: unknown): string[] {
    if (typeof schema !== 'object' || schema === null) return [];
    return Object.entries(schema).flatMap(([name, value]): string[] => {
      if (!KNOWN.has(name)) return [name];
      if (['anyOf', 'oneOf', 'prefixItems'].includes(name)) return (value as unknown[]).flatMap(unknownIn);
      if (['properties', '$defs'].includes(name)) return Object.values(value as object).flatMap(unknownIn);
      return ['items', 'additionalProperties'].includes(name) ? unknownIn(value) : [];
    });
  }

  function schemaOf(levels: number): fc.Arbitrary<Record<string, unknown>> {
    const members = {
      type: fc.constantFrom('string', 'object', 'array', ['string', 'null']),
      description: fc.string(),
      pattern: fc.string(),
      const: fc.jsonValue({ maxDepth: 1 }),
      enum: fc.array(fc.jsonValue({ maxDepth: 1 }), { maxLength: 3 }),
      $ref: fc.constantFrom('#/$defs/a', '#/definitions/a'),
      nullable: fc.boolean(),
      mystery: fc.jsonValue({ maxDepth: 1 }),
    };
    if (levels === 0) return fc.record(members, { requiredKeys: [] });
    const inner = schemaOf(levels - 1);
    const named = fc.dictionary(fc.constantFrom('a', 'b', '$schema'), inner, { maxKeys: 2 });
    const list = fc.array(inner, { maxLength: 2 });
    const nesting = {
      not: inner,
      items: fc.oneof(inner, list, fc.boolean()),
      properties: named,
      definitions: named,
      patternProperties: named,
    };
    const holding = { additionalProperties: fc.oneof(fc.boolean(), inner), anyOf: list, allOf: list };
    return fc.record({ ...members, ...nesting, ...holding }, { requiredKeys: [] });
  }

  it('leaves nothing that the API does not know, whatever a schema says', () => {
    const anySchema = schemaOf(3);
    fc.assert(
      fc.property(anySchema, (schema) => {
        const cleaned: unknown = JSON.parse(JSON.stringify(geminiSchema(JSON.parse(JSON.stringify(schema)) as Record<string, unknown>)));
        expect(unknownIn(cleaned)).toEqual([]);
      }),
    );
  });
});
