import type { Request, RequestHandler, Response } from 'express';
import { GatewayError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import type { Observe } from '../../observation.ts';
import { OPERATOR_SESSION_SECONDS, type OperatorSession, type OperatorSessions } from '../../operator/operator-sessions.ts';
import { WindowLimit } from '../../window-limit.ts';
import { readCookie, writeCookie, type CookieConfig } from '../pages/cookies.ts';
import type { Pages } from '../pages/pages.ts';
import { sharesOf } from '../server/client-address.ts';
import { clientOf } from '../server/forwarded.ts';
import { networkOf } from '../server/sender-network.ts';

export interface AdminSessionDeps {
  sessions: OperatorSessions;
  pages: Pages;
  config: CookieConfig;
  log: Logger;
  observe: Observe;
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
const FAILURES = 10;
const WINDOW_MS = 10 * 60_000;
const OWN_PATH = /^\/admin(?:[/?][^\s\\]*)?$/;
const WRONG = 'That is not the name and token of an operator.';
const WRONG_TOKEN = 'That is not the token of the operator.';

/** Signing operators in and out. Ten wrong tokens in ten minutes from an address, and it has to wait. */
export function adminSessionHandlers({ sessions, pages, config, log, observe }: AdminSessionDeps): AdminSessionHandlers {
  const failures = new WindowLimit({ points: FAILURES, windowMs: WINDOW_MS });

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
      const shares = sharesOf(clientOf(req)).slice(0, 1);
      const retryAfter = failures.secondsUntilFree(shares);
      if (retryAfter > 0)
        throw new GatewayError('rate_limit_exceeded', { message: `Too many tries. Wait ${retryAfter} s.`, retryAfter, limit: 'sign_in' });
      const name = sessions.identify(textOf(req, 'name'), textOf(req, 'token'));
      if (name === undefined) {
        failures.take(shares);
        observe({ kind: 'sign_in', how: 'admin', result: 'refused' });
        log.warn({ network: networkOf(req) }, 'somebody tried to sign in as an operator');
        return ask(req, res, 401, sessions.named ? WRONG : WRONG_TOKEN);
      }
      const token = await sessions.start({ name, network: networkOf(req) });
      observe({ kind: 'sign_in', how: 'admin', result: 'ok' });
      log.info({ operator: name, network: networkOf(req) }, 'an operator signed in');
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
