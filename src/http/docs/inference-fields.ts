import { z } from 'zod';
import type { ParameterRule, Parameters } from '../../wires/parameter.ts';

const MEANINGS: Readonly<Record<Exclude<ParameterRule, 'refused'>, string | null>> = {
  free: null,
  multiplies: 'Multiplies what the request costs.',
  gateway: 'Read by the gateway.',
  harmless: 'Sent where the model knows it, else left out and named in `X-Pura-Ignored`.',
};

/** The body of a surface, made of its own table of parameters. `null` is as if absent. */
export function fieldsOf(parameters: Parameters, required: readonly string[]): z.ZodObject {
  const fields = [...parameters].flatMap(([name, { rule, schema }]) => {
    if (rule === 'refused') return [];
    const meaning = MEANINGS[rule];
    const field = required.includes(name) ? schema : schema.optional();
    return [[name, meaning === null ? field : field.meta({ description: meaning })] as const];
  });
  return z.strictObject(Object.fromEntries(fields));
}
