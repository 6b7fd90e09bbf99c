import { z } from 'zod';

/** How many elements a list may have, and what is said of one that has more. */
export interface ListLimits {
  min?: number;
  max?: number;
  /** Of what, for the message: `must hold at most 64 tools`. */
  of?: string;
}

/** What of a list or a record is told to readers of `/openapi.json`: their schemas check by hand. */
export type Shape =
  { readonly list: z.ZodType; readonly min: number; readonly max: number } | { readonly record: z.ZodType } | { readonly json: object };
const shapes = new WeakMap<object, Shape>();

/** The shape of such a schema, also of one made from it by adding a description; undefined for all others. */
export function shapeOf(schema: { readonly _zod: { readonly parent?: object | undefined } }): Shape | undefined {
  const { parent } = schema['_zod'];
  return shapes.get(schema) ?? (parent && shapes.get(parent));
}

/** Tells the shape of a schema that checks by hand. */
export function shaped<Schema extends z.ZodType>(schema: Schema, shape: Shape): Schema {
  shapes.set(schema, shape);
  return schema;
}

/**
 * A list whose elements are as `element` says, in place of `z.array`, which checks every element and collects an issue for each before it
 * looks at the length: five million wrong elements take seconds and gigabytes. This one looks at the length first and stops at the first
 * element that is wrong. It checks only: an element that its schema would change is left as it is.
 */
export function listOf<Element extends z.ZodType>(element: Element, { min = 0, max = Infinity, of = 'elements' }: ListLimits = {}) {
  const schema = z.unknown().transform((value, context): z.input<Element>[] => {
    const refuse = (message: string): never => {
      context.issues.push({ code: 'custom', message, input: value });
      return z.NEVER;
    };
    if (!Array.isArray(value)) return refuse('must be a list');
    if (value.length < min) return refuse(min === 1 ? 'must not be empty' : `must hold at least ${min} ${of}`);
    if (value.length > max) return refuse(`must hold at most ${max} ${of}`);
    for (let index = 0; index < value.length; index++) {
      if (hasIssue(element, value[index], index, context)) return z.NEVER;
    }
    return value as z.input<Element>[];
  });
  shapes.set(schema, { list: element, min, max });
  return schema;
}

/** An object of any names whose values are as `member` says, in place of `z.record`: stops at the first one that is wrong. */
export function recordOf<Member extends z.ZodType>(member: Member) {
  const schema = z.unknown().transform((value, context): Record<string, z.input<Member>> => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      context.issues.push({ code: 'custom', message: 'must be an object', input: value });
      return z.NEVER;
    }
    for (const name of Object.keys(value)) {
      if (hasIssue(member, (value as Record<string, unknown>)[name], name, context)) return z.NEVER;
    }
    return value as Record<string, z.input<Member>>;
  });
  shapes.set(schema, { record: member });
  return schema;
}

/** Checks one value; tells the first thing that is wrong with it under its place in the whole. */
function hasIssue(schema: z.ZodType, value: unknown, place: string | number, context: z.core.$RefinementCtx): boolean {
  const { error } = schema.safeParse(value);
  const issue = error?.issues[0];
  if (!issue) return false;
  context.issues.push({ ...issue, path: [place, ...issue.path], input: value } as z.core.$ZodRawIssue);
  return true;
}
