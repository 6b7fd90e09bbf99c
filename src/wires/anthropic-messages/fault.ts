import { z } from 'zod';
import { isObject } from '../json-object.ts';

/** The first thing that is wrong with a value, and where in it. */
export interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

export type Check = (value: unknown) => Fault | null;

export const REQUIRED = 'Field required';
export const EXTRA = 'Extra inputs are not permitted';

export function fault(message: string, ...path: (string | number)[]): Fault {
  return { path, message };
}

/** A fault of a member as one of the whole. */
export function at(step: string | number, inner: Fault | null): Fault | null {
  return inner && { path: [step, ...inner.path], message: inner.message };
}

/** A schema that checks and copies nothing, and stops at the first fault: a conversation may hold any number of blocks. */
export function checked(check: Check): z.ZodType {
  return z.unknown().superRefine((value, context) => {
    const found = check(value);
    if (found) context.addIssue({ code: 'custom', path: [...found.path], message: found.message });
  });
}

export const aText: Check = (value) => {
  if (value === undefined) return fault(REQUIRED);
  return typeof value === 'string' ? null : fault('must be a string');
};

export const anObject: Check = (value) => {
  if (value === undefined) return fault(REQUIRED);
  return isObject(value) ? null : fault('must be an object');
};

/** May be left out or null. */
export function optional(check: Check): Check {
  return (value) => (value === undefined || value === null ? null : check(value));
}

export function listOfAll(check: Check, most: number): Check {
  return (value) => {
    if (value === undefined) return fault(REQUIRED);
    if (!Array.isArray(value)) return fault('must be a list');
    if (value.length > most) return fault(`must hold at most ${most} elements`);
    for (let index = 0; index < value.length; index++) {
      const found = at(index, check(value[index]));
      if (found) return found;
    }
    return null;
  };
}

/** An object whose members are as the checks say; others may stand beside them unless it is closed. */
export function objectOf(members: Readonly<Record<string, Check>>, { closed = false } = {}): Check {
  return (value) => {
    if (!isObject(value)) return anObject(value);
    for (const [name, check] of Object.entries(members)) {
      const found = at(name, check(value[name]));
      if (found) return found;
    }
    const extra = closed ? Object.keys(value).find((name) => !(name in members) && value[name] !== null) : undefined;
    return extra === undefined ? null : fault(EXTRA, extra);
  };
}

export function oneOf(...values: readonly string[]): Check {
  return (value) => {
    if (value === undefined) return fault(REQUIRED);
    return typeof value === 'string' && values.includes(value) ? null : fault(`must be ${values.join(' or ')}`);
  };
}
