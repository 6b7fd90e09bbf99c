import type { Request, RequestHandler, Response } from 'express';
import { GatewayError } from '../../errors.ts';
import type { Observe } from '../../observation.ts';
import { OPERATOR_SESSION_SECONDS, type OperatorSession, type OperatorSessions } from '../../operator/operator-sessions.ts';
import { readCookie, writeCookie, type CookieConfig } from '../pages/cookies.ts';
import type { Pages } from '../pages/pages.ts';
import type { OperatorGuesses } from '../server/operator-guesses.ts';
import { networkOf } from '../server/sender-network.ts';

export interface AdminSessionDeps {
  sessions: OperatorSessions;
  pages: Pages;
  config: CookieConfig;
  observe: Observe;
  guesses: OperatorGuesses;
}

/** Whatever of these pages is asked for without a session is answered by the sign-in: nobody learns what there is. */
export interface AdminSessionHandlers {
  /** Lets only operators on who are signed in, with the session in `res.locals.operator`. */
  readonly require: RequestHandler;
  readonly page: RequestHandler;
  readonly signIn: RequestHandler;
  readonly signOut: RequestHandler;
}

const COOKIE = 'pura_operator';
const OWN_PATH = /^\/admin(?:[/?][^\s\\]*)?$/;
const WRONG = 'That is not the name and token of an operator.';
const WRONG_TOKEN = 'That is not the token of the operator.';

/** Signing operators in and out. */
export function adminSessionHandlers({ sessions, pages, config, observe, guesses }: AdminSessionDeps): AdminSessionHandlers {
  function ask(req: Request, res: Response, status: number, problem: string | null = null): void {
    pages.send(res, 'admin/sign-in', { title: 'Operators' }, { next: nextOf(req), problem, named: sessions.named }, status);
  }

  return {
    async require(req, res, next) {
      const token = readCookie(req, config, COOKIE);
      if (token === undefined && req.method === 'GET' && req.headers['sec-fetch-site'] === 'cross-site') {
        // A link from another site comes without the cookie: the page loads itself once more, as one of this site's own.
        pages.send(res, 'console/bounce', { title: 'One moment' }, { here: req.originalUrl });
        return;
      }
      const session = await sessions.find(token);
      if (!session) return ask(req, res, 401);
      res.locals['operator'] = session;
      next();
    },

    page: (req, res) => ask(req, res, 200),

    async signIn(req, res) {
      const name = guesses.name(req, () => sessions.identify(textOf(req, 'name'), textOf(req, 'token')) ?? null);
      if (name === null) return ask(req, res, 401, sessions.named ? WRONG : WRONG_TOKEN);
      const network = networkOf(req);
      const token = await sessions.start({ name, network });
      observe({ kind: 'sign_in', how: 'admin', result: 'ok', operator: name, network });
      writeCookie(req, res, config, { name: COOKIE, value: token, maxAgeSeconds: OPERATOR_SESSION_SECONDS });
      res.set('Cache-Control', 'no-store').redirect(303, nextOf(req));
    },

    async signOut(req, res) {
      const token = readCookie(req, config, COOKIE);
      if (token !== undefined) await sessions.end(token);
      writeCookie(req, res, config, { name: COOKIE, value: '', maxAgeSeconds: 0 });
      res.set('Cache-Control', 'no-store').redirect(303, '/admin/sign-in');
    },
  };
}

/** The operator that `require` found. */
export function operatorOf(res: Response): OperatorSession {
  const session = res.locals['operator'] as OperatorSession | undefined;
  if (!session) throw new GatewayError('not_permitted');
  return session;
}

function nextOf(req: Request): string {
  const asked = textOf(req, 'next') || (req.method === 'GET' ? req.originalUrl : '');
  return OWN_PATH.test(asked) && !asked.startsWith('/admin/sign-') ? asked : '/admin';
}

function textOf(req: Request, field: string): string {
  const value = (req.body as Record<string, unknown> | undefined)?.[field];
  return typeof value === 'string' ? value.trim() : '';
}
