import { z } from 'zod';
import { shapeOf } from '../../list-of.ts';

interface Limited {
  pattern?: string | undefined;
  minimum?: number | undefined;
  maximum?: number | undefined;
}

/** Puts into a JSON Schema what its room tells of a schema that checks by hand, and says the rest in words that all readers know. */
export function tidy(jsonSchema: Limited, zodSchema: z.core.$ZodTypes, io: 'input' | 'output'): void {
  Object.assign(jsonSchema, jsonShapeOf(zodSchema, io));
  const { pattern, minimum, maximum } = jsonSchema;
  if (pattern !== undefined) jsonSchema.pattern = pattern.replaceAll('\\P{Cc}', '[^\\u0000-\\u001f\\u007f-\\u009f]');
  // The largest whole number says nothing.
  if (minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
}

/** The JSON Schema of a schema that checks by hand, as far as its room tells it; undefined for all others. */
function jsonShapeOf(schema: z.core.$ZodTypes, io: 'input' | 'output'): object | undefined {
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
    override: ({ zodSchema, jsonSchema }) => tidy(jsonSchema, zodSchema, io),
  });
  return rest;
}
