import type { Request, RequestHandler, Response } from 'express';
import { isFresh, type Session, type Sessions } from '../../accounts/sessions.ts';
import { GatewayError } from '../../errors.ts';
import type { Pages } from '../pages/pages.ts';
import type { CookieConfig } from '../pages/cookies.ts';
import type { ShownCode } from './wallet-codes.ts';
import { clearSessionCookie, sessionTokenOf } from './session-cookie.ts';

export interface SignedInDeps {
  sessions: Pick<Sessions, 'find' | 'confirm'>;
  pages: Pages;
  config: CookieConfig;
}

const SIGN_IN = '/console/sign-in';
/** How the fields of a proof begin. They are never written into a page again. */
const PROOF = 'confirm_';

/**
 * Lets only people on who are signed in, with the session in `res.locals.session`; sends everybody else to the sign-in page; a script that asks for JSON
 * is told by the status 401. A link from
 * another site arrives without the cookie, which is for this site's own pages: then the page loads itself once more, as one of them.
 */
export function requireSession({ sessions, pages, config }: SignedInDeps): RequestHandler {
  return async (req, res, next) => {
    const token = sessionTokenOf(req, config);
    if (token === undefined && req.method === 'GET' && req.headers['sec-fetch-site'] === 'cross-site') {
      pages.send(res, 'console/bounce', { title: 'One moment' }, { here: req.originalUrl });
      return;
    }
    const session = await sessions.find(token);
    if (typeof session === 'string') {
      if (token !== undefined) clearSessionCookie(req, res, config);
      // A page's script would take the sign-in page for its answer.
      if (req.accepts(['html', 'json']) === 'json')
        throw new GatewayError('invalid_api_key', { message: 'You are signed out. Sign in again.' });
      const reason = session === 'revoked' ? '&reason=revoked' : '';
      const back = req.method === 'GET' ? req.originalUrl : '/console';
      res.set('Cache-Control', 'no-store').redirect(303, `${SIGN_IN}?next=${encodeURIComponent(back)}${reason}`);
      return;
    }
    res.locals['session'] = session;
    next();
  };
}

/** The session that `requireSession` found. */
export function sessionOf(res: Response): Session {
  const session = res.locals['session'] as Session | undefined;
  if (!session) throw new GatewayError('invalid_api_key');
  return session;
}

/** Lets only sessions of owners on: of an owner key, or of a linked wallet. Throws `not_permitted`. */
export const requireOwnerSession: RequestHandler = (_req, res, next) => {
  if (!isOwner(sessionOf(res))) throw new GatewayError('not_permitted', { message: 'This needs an owner key of the account.' });
  next();
};

export function isOwner({ key }: Session): boolean {
  return key.role === 'owner';
}

/** How a signed-in person proves anew who they are. */
export interface Proofs {
  /** Whether the form carries a proof: a key of the session's account, or a wallet's second signature. */
  prove: (req: Request, session: Session) => Promise<boolean>;
  /** What a linked wallet is to sign instead; null where none can. */
  challenge: (req: Request, res: Response, session: Session) => Promise<ShownCode | null>;
}

/** What the page that asks for a proof tells of what is confirmed. */
export type Facts = (req: Request, res: Response) => Promise<readonly { name: string; value: string; isCode?: boolean }[]>;

/**
 * Lets a form on whose sender has shown a key (or signed with a wallet) within the last quarter of an hour. Everybody else is asked for it
 * in place: the page carries the form's own fields, so that nothing typed is lost, and is sent to the same address.
 * @param what is confirmed, in a few words for the page: a signature must not be had for something else.
 * @param facts how much goes where, where money goes out.
 */
export function requireFresh({ sessions, pages, prove, challenge }: SignedInDeps & Proofs, what: string, facts?: Facts): RequestHandler {
  return async (req, res, next) => {
    const session = sessionOf(res);
    if (isFresh(session)) return next();
    if (await prove(req, session)) {
      await sessions.confirm(session);
      return next();
    }
    const given = (req.body ?? {}) as Record<string, string | string[]>;
    const fields = Object.entries(given)
      .filter(([name]) => !name.startsWith(PROOF))
      .flatMap(([name, value]) => [value].flat().map((each) => ({ name, value: each })));
    const tried = Object.keys(given).some((name) => name.startsWith(PROOF));
    const code = session.how === 'wallet' ? await challenge(req, res, session) : null;
    const data = { action: req.originalUrl, fields, tried, what, code, facts: (await facts?.(req, res)) ?? [] };
    pages.send(res, 'console/confirm', { title: `Confirm: ${what}`, script: code ? 'code.js' : undefined }, data, tried ? 401 : 200);
  };
}
