import type { Request, Response } from 'express';
import { SESSION_SECONDS } from '../../accounts/sessions.ts';
import { readCookie, writeCookie, type CookieConfig } from '../pages/cookies.ts';

const NAME = 'pura_session';

/**
 * The console's cookie: out of reach of scripts, sent by this site's own pages alone, and on https bound to the very host. Lasts as long as
 * a session at most.
 */
export function setSessionCookie(req: Request, res: Response, config: CookieConfig, token: string): void {
  writeCookie(req, res, config, { name: NAME, value: token, maxAgeSeconds: SESSION_SECONDS });
}

export function clearSessionCookie(req: Request, res: Response, config: CookieConfig): void {
  writeCookie(req, res, config, { name: NAME, value: '', maxAgeSeconds: 0 });
}

/** The session's token, undefined where the request brings none. */
export function sessionTokenOf(req: Request, config: CookieConfig): string | undefined {
  return readCookie(req, config, NAME);
}
