import type { Observe } from '../../observation.ts';
import type { Request, RequestHandler, Response } from 'express';
import type { ApiKey } from '../../accounts/api-key.ts';
import type { KeyAuthenticator } from '../../accounts/key-authenticator.ts';
import type { Session, Sessions } from '../../accounts/sessions.ts';
import { GatewayError } from '../../errors.ts';
import { WindowLimit } from '../../window-limit.ts';
import type { Pages } from '../pages/pages.ts';
import { clientAddress, sharesOf } from '../server/client-address.ts';
import { clientOf } from '../server/forwarded.ts';
import { networkOf } from '../server/sender-network.ts';
import type { CookieConfig } from '../pages/cookies.ts';
import { clearSessionCookie, sessionTokenOf, setSessionCookie } from './session-cookie.ts';
import type { WalletCodes } from './wallet-codes.ts';
import type { Proofs } from './signed-in.ts';

export interface SignInDeps {
  observe: Observe;
  sessions: Sessions;
  keys: Pick<KeyAuthenticator, 'authenticate'>;
  pages: Pages;
  codes: Pick<WalletCodes, 'obstacle'>;
  config: CookieConfig;
}

const FAILURES_A_MINUTE = 10;
const MINUTE_MS = 60_000;
/** A path of this site: nobody is sent anywhere else after the sign-in. */
const OWN_PATH = /^\/(?![/\\])[^\s\\]*$/;
/** One sentence for missing, unknown, revoked and expired: nobody learns whether a key exists. */
const NO_SUCH_KEY = 'That key does not sign in anywhere. Paste it whole: it begins with pura_.';

/** The handlers of signing in with a key, and of signing out. */
export function signInHandlers(deps: SignInDeps): {
  page: RequestHandler;
  signIn: RequestHandler;
  signOut: RequestHandler;
  provesKey: Proofs['prove'];
} {
  const { sessions, pages, config } = deps;
  const failures = new WindowLimit({ points: FAILURES_A_MINUTE, windowMs: MINUTE_MS });

  /** The key of what was typed; null for what is none. Throws `rate_limit_exceeded` for an address that guesses. */
  async function keyIn(req: Request, field: string): Promise<ApiKey | null> {
    const typed = textOf(req, field).trim();
    const shares = sharesOf(clientOf(req)).slice(0, 1);
    const retryAfter = failures.secondsUntilFree(shares);
    if (retryAfter > 0) {
      deps.observe({ kind: 'sign_in', how: 'key', result: 'refused' });
      throw new GatewayError('rate_limit_exceeded', { message: `Too many tries. Wait ${retryAfter} s.`, retryAfter, limit: 'sign_in' });
    }
    try {
      return await deps.keys.authenticate(typed, () => clientAddress(clientOf(req)));
    } catch (error) {
      if (!(error instanceof GatewayError && error.code === 'invalid_api_key')) throw error;
      failures.take(shares);
      return null;
    }
  }

  function show(req: Request, res: Response, problem: string | null, status = 200): void {
    const next = nextOf(req);
    const revoked = req.query['reason'] === 'revoked';
    pages.send(res, 'console/sign-in', { title: 'Sign in' }, { next, problem, revoked, noCodes: deps.codes.obstacle(req) }, status);
  }

  return {
    page(req, res) {
      show(req, res, null);
    },

    async signIn(req, res) {
      const key = await keyIn(req, 'key');
      deps.observe({ kind: 'sign_in', how: 'key', result: key ? 'ok' : 'refused' });
      if (!key) return show(req, res, NO_SUCH_KEY, 401);
      setSessionCookie(req, res, config, await sessions.start(key, networkOf(req)));
      res.set('Cache-Control', 'no-store').redirect(303, nextOf(req));
    },

    async signOut(req, res) {
      const session = await sessions.find(sessionTokenOf(req, config));
      if (typeof session !== 'string') await sessions.end(session);
      clearSessionCookie(req, res, config);
      res.set('Cache-Control', 'no-store').redirect(303, '/console/sign-in');
    },

    /** Whether an owner key of the session's account stands in `confirm_key`. */
    async provesKey(req, { accountId }: Session) {
      if (textOf(req, 'confirm_key') === '') return false;
      const key = await keyIn(req, 'confirm_key');
      return key?.accountId === accountId && key.role === 'owner';
    },
  };
}

/** The path of this site that the sign-in leads on to: `next` of the form or the query. */
export function nextOf(req: Request): string {
  const { next } = req.query;
  const asked = textOf(req, 'next') || next;
  return typeof asked === 'string' && OWN_PATH.test(asked) ? asked : '/console';
}

function textOf(req: Request, field: string): string {
  const value = (req.body as Record<string, unknown> | undefined)?.[field];
  return typeof value === 'string' ? value : '';
}
