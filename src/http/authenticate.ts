import type { Request, RequestHandler } from 'express';
import type { ApiKey, Principal } from '../accounts/api-key.ts';
import { GatewayError } from '../errors.ts';
import { clientAddress } from './client-address.ts';

/** Finds out who a request acts for. */
export interface Authenticate {
  /**
   * The principal of the request's credential. Throws `invalid_api_key` where it is missing, malformed, unknown,
   * revoked or expired, without telling which, and `invalid_request` where credentials contradict each other.
   */
  (req: Request): Promise<Principal>;
}

/** A credential as sent, not yet checked. */
export type Credential = { kind: 'key'; secret: string } | { kind: 'unusable' };

/** @param keys tells whose a secret is; the address bounds how many wrong ones a sender may try. */
export function createAuthenticate(keys: { authenticate(secret: string, addressOf: () => string): Promise<ApiKey> }): Authenticate {
  return async (req) => {
    const credential = readCredential(req);
    if (credential?.kind !== 'key') throw new GatewayError('invalid_api_key');
    return { key: await keys.authenticate(credential.secret, () => clientAddress(req.ip)) };
  };
}

/** Middleware that lets only authenticated requests on, with the principal in `res.locals.principal`. */
export function requireKey(authenticate: Authenticate): RequestHandler {
  return async (req, res, next) => {
    (res.locals as { principal?: Principal }).principal = await authenticate(req);
    next();
  };
}

/** The principal that `requireKey` found. */
export function principalOf(res: { locals: Record<string, unknown> }): Principal {
  const principal = res.locals['principal'] as Principal | undefined;
  if (!principal) throw new GatewayError('invalid_api_key');
  return principal;
}

/**
 * The request's credential, or null where it carries none. `Authorization` wins over `x-api-key`.
 * Throws `invalid_request` for several different `Authorization` lines.
 */
export function readCredential(req: Request): Credential | null {
  const authorization = authorizationOf(req);
  if (authorization !== undefined) {
    const secret = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
    return secret ? { kind: 'key', secret } : { kind: 'unusable' };
  }
  const apiKey = req.headers['x-api-key'];
  if (apiKey === undefined) return null;
  return typeof apiKey === 'string' && apiKey !== '' ? { kind: 'key', secret: apiKey } : { kind: 'unusable' };
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
