import type { Request } from 'express';
import { GatewayError } from '../../errors.ts';

/** A credential as sent, not yet checked. */
export type Credential =
  | { kind: 'key'; secret: string }
  | { kind: 'l402'; token: string; preimage: string }
  | { kind: 'mpp'; token: string }
  | { kind: 'unusable' };

/** Whether a request carries any credential at all, good or not. */
export function hasCredential(req: Request): boolean {
  return readCredential(req) !== null || req.headers['payment-signature'] !== undefined;
}

/**
 * The credential of `Authorization` or `x-api-key`, or null where there is none. `Authorization` wins over `x-api-key`.
 * Throws `invalid_request` for several different `Authorization` lines.
 */
export function readCredential(req: Request): Credential | null {
  const authorization = authorizationOf(req);
  if (authorization !== undefined) {
    return credentialIn(authorization);
  }
  const apiKey = req.headers['x-api-key'];
  if (apiKey === undefined) return null;
  return typeof apiKey === 'string' && apiKey !== '' ? { kind: 'key', secret: apiKey } : { kind: 'unusable' };
}

function credentialIn(authorization: string): Credential {
  const [, scheme, rest = ''] = /^(\w+) +(\S+)$/.exec(authorization) ?? [];
  switch ((scheme ?? '').toLowerCase()) {
    case 'bearer':
      return { kind: 'key', secret: rest };
    case 'l402':
    case 'lsat': {
      const colon = rest.indexOf(':');
      return colon < 0 ? { kind: 'unusable' } : { kind: 'l402', token: rest.slice(0, colon), preimage: rest.slice(colon + 1) };
    }
    case 'payment':
      return { kind: 'mpp', token: rest };
    default:
      return { kind: 'unusable' };
  }
}

/** The one `Authorization` of a request. Node keeps only the first line in `headers`, so all are read from `rawHeaders`. */
function authorizationOf(req: Request): string | undefined {
  const first = req.headers.authorization;
  if (first === undefined) return undefined;
  const { rawHeaders } = req;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    if (name?.length !== AUTHORIZATION.length || name.toLowerCase() !== AUTHORIZATION) continue;
    const line = (rawHeaders[index + 1] ?? '').trim();
    if (line !== first && !samePayment(line, first)) {
      throw new GatewayError('invalid_request', { message: 'The Authorization headers contradict each other.', param: 'Authorization' });
    }
  }
  return first;
}

const AUTHORIZATION = 'authorization';

/** Aperture's client sends one payment under both of the scheme's names. */
function samePayment(one: string, other: string): boolean {
  const [, first] = /^(?:L402|LSAT) +(\S.*)$/i.exec(one) ?? [];
  const [, second] = /^(?:L402|LSAT) +(\S.*)$/i.exec(other) ?? [];
  return first !== undefined && first === second;
}
