import { GatewayError } from '../../errors.ts';
import type { CacheMark } from '../generation.ts';
import { isObject } from '../json-object.ts';

/** A number, also where it is kept in its own words; null for anything else. */
export function numberIn(value: unknown): number | null {
  if (typeof value === 'number') return value;
  const text = isObject(value) ? value['rawJSON'] : undefined;
  const number = typeof text === 'string' ? Number(text) : NaN;
  return Number.isFinite(number) ? number : null;
}

/** A text that has to be there. Throws GatewayError `invalid_request`. */
export function requiredText(value: unknown, param: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new GatewayError('invalid_request', { message: `${param}: must be a text`, param });
}

/** A `cache_control`, as many clients add it to parts and tools. */
export function cacheMarkOf(value: unknown): CacheMark | undefined {
  if (!isObject(value)) return undefined;
  return value['ttl'] === '1h' ? '1h' : '5m';
}
