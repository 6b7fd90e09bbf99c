import { z } from 'zod';
import { shaped } from '../list-of.ts';

/** The first thing that is wrong with a value, and where in it. */
export interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Looks at a value by hand and stops at its first fault: a conversation may hold any number of parts, and a schema would copy each. */
export type Check = (value: unknown) => Fault | null;

export function fault(message: string, ...path: (string | number)[]): Fault {
  return { path, message };
}

/** A fault of a member as one of the whole. */
export function at(step: string | number, inner: Fault | null): Fault | null {
  return inner && { path: [step, ...inner.path], message: inner.message };
}

/** The first fault among the elements of a list; nothing is looked at after it. */
export function faultInElements(list: readonly unknown[], check: Check): Fault | null {
  for (let index = 0; index < list.length; index++) {
    const found = at(index, check(list[index]));
    if (found) return found;
  }
  return null;
}

/** A schema of one check, for a field of a request. `shape` is its JSON Schema as far as it can be told. */
export function checked(check: Check, shape: object = {}): z.ZodType {
  const schema = z.unknown().superRefine((value, context) => {
    const found = check(value);
    if (found) context.addIssue({ code: 'custom', path: [...found.path], message: found.message });
  });
  return shaped(schema, { json: shape });
}
