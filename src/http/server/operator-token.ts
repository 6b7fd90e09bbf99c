import { hash, timingSafeEqual } from 'node:crypto';
import type { Request } from 'express';
import type { AdminToken } from '../../config/admin-tokens.ts';

/**
 * The name of the operator whose token a request shows as `Authorization: Bearer`; null where it shows none of them. Takes the same time for
 * every token that is wrong.
 */
export function operatorOf({ headers }: Pick<Request, 'headers'>, tokens: readonly AdminToken[]): string | null {
  const [, shown] = /^bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  return shown === undefined ? null : operatorWith(shown, tokens);
}

/** The same for a token from elsewhere. */
export function operatorWith(shown: string, tokens: readonly AdminToken[]): string | null {
  const digest = digestOf(shown);
  // Every one is looked at, whichever it is.
  const found = tokens.map(({ name, token }) => (timingSafeEqual(digest, digestOf(token)) ? name : null));
  return found.find((name) => name !== null) ?? null;
}

/** Of equal length, whatever was shown. */
function digestOf(token: string): Buffer {
  return hash('sha256', token, 'buffer');
}
