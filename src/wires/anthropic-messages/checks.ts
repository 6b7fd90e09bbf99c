import { at, fault, faultInElements, type Check } from '../fault.ts';
import { isObject } from '../json-object.ts';

export const REQUIRED = 'Field required';
export const EXTRA = 'Extra inputs are not permitted';

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

/** A list whose elements are all as the check says. */
export function listOfAll(check: Check, most: number): Check {
  return (value) => {
    if (value === undefined) return fault(REQUIRED);
    if (!Array.isArray(value)) return fault('must be a list');
    if (value.length > most) return fault(`must hold at most ${most} elements`);
    return faultInElements(value, check);
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

/** One of some words. */
export function oneOf(...values: readonly string[]): Check {
  return (value) => {
    if (value === undefined) return fault(REQUIRED);
    return typeof value === 'string' && values.includes(value) ? null : fault(`must be ${values.join(' or ')}`);
  };
}
