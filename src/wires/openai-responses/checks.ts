import { fault, faultInElements, type Check, type Fault } from '../fault.ts';

/** The first fault of a list's elements; nothing is looked at after it, nor of a list that is too long. */
export function faultInList(value: unknown, check: Check, { min = 0, max, of }: { min?: number; max: number; of: string }): Fault | null {
  if (!Array.isArray(value)) return fault('must be a list');
  if (value.length < min) return fault(min === 1 ? 'must not be empty' : `must hold at least ${min} ${of}`);
  if (value.length > max) return fault(`must hold at most ${max} ${of}`);
  return faultInElements(value, check);
}

/** The first of some members that is no string; those that may be left out are not named here. */
export function faultInTexts(value: Readonly<Record<string, unknown>>, ...names: string[]): Fault | null {
  const wrong = names.find((name) => typeof value[name] !== 'string');
  if (wrong === undefined) return null;
  return fault(value[wrong] === undefined || value[wrong] === null ? 'is required' : 'must be a string', wrong);
}
