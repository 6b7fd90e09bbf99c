import type { JsonObject } from './wire.ts';

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The elements of what may be a list. */
export function listIn(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** What may be a string; '' where it is none. */
export function textIn(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
