import { z } from 'zod';
import { shapeOf } from '../../list-of.ts';

/** The JSON Schema of a schema that checks by hand, as far as its room tells it; undefined for all others. */
export function jsonShapeOf(schema: z.core.$ZodTypes, io: 'input' | 'output'): object | undefined {
  const shape = shapeOf(schema);
  if (!shape) return undefined;
  if ('json' in shape) return shape.json;
  if ('record' in shape) return { type: 'object', additionalProperties: inner(shape.record, io) };
  const { list, min, max } = shape;
  return { type: 'array', items: inner(list, io), ...(min > 0 && { minItems: min }), ...(max < Infinity && { maxItems: max }) };
}

function inner(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => void Object.assign(jsonSchema, jsonShapeOf(zodSchema, io)),
  });
  return rest;
}
