import { isObject } from '../json-object.ts';

/** What a body or an event tells of a failure (https://docs.anthropic.com/en/api/errors); undefined where it tells of none. */
export function failureOf(value: unknown): unknown {
  if (!isObject(value)) return undefined;
  const error = value['error'] ?? undefined;
  if (error !== undefined && error !== false) return error;
  return value['type'] === 'error' ? value : undefined;
}
