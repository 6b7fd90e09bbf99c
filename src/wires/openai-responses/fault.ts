import { z } from 'zod';

/** What is wrong with a value, and where in it. */
export interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

export type Check = (value: unknown) => Fault | null;

export function fault(path: readonly (string | number)[], message: string): Fault {
  return { path, message };
}

/** A schema for a field that is looked at by hand: a schema of its parts would copy each of them. */
export function checkedBy(check: Check): z.ZodType {
  return z.unknown().superRefine((value, context) => {
    const found = check(value);
    if (found) context.addIssue({ code: 'custom', path: [...found.path], message: found.message });
  });
}

/** The first fault of a list's elements; nothing is looked at after it, nor of a list that is too long. */
export function faultInList(value: unknown, check: Check, { min = 0, max, of }: { min?: number; max: number; of: string }): Fault | null {
  if (!Array.isArray(value)) return fault([], 'must be a list');
  if (value.length < min) return fault([], `must hold at least ${min} ${of}`);
  if (value.length > max) return fault([], `must hold at most ${max} ${of}`);
  for (let index = 0; index < value.length; index++) {
    const found = check(value[index]);
    if (found) return within(index, found);
  }
  return null;
}

export function within(place: string | number, found: Fault | null): Fault | null {
  return found && { ...found, path: [place, ...found.path] };
}

/** The first of some members that is no string; those that may be left out are not named here. */
export function faultInTexts(value: Readonly<Record<string, unknown>>, ...names: string[]): Fault | null {
  const wrong = names.find((name) => typeof value[name] !== 'string');
  if (wrong === undefined) return null;
  return fault([wrong], value[wrong] === undefined || value[wrong] === null ? 'is required' : 'must be a string');
}
