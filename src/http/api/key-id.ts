import { GatewayError } from '../../errors.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A key's id from a path or a query. What cannot be an id is nobody's key: throws `key_not_found`. */
export function keyId(value: unknown): string {
  if (typeof value !== 'string' || !UUID.test(value)) throw new GatewayError('key_not_found');
  return value;
}
