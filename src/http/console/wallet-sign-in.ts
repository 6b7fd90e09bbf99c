import type { Request, RequestHandler, Response } from 'express';
import type { LinkedWallets } from '../../accounts/linked-wallets.ts';
import type { Sessions } from '../../accounts/sessions.ts';
import type { Observe } from '../../observation.ts';
import type { Pages } from '../pages/pages.ts';
import type { CookieConfig } from '../pages/cookies.ts';
import { networkOf } from '../server/sender-network.ts';
import { setSessionCookie } from './session-cookie.ts';
import { nextOf } from './sign-in.ts';
import type { WalletCodes } from './wallet-codes.ts';

export interface WalletSignInDeps {
  sessions: Sessions;
  linkedWallets: LinkedWallets;
  codes: WalletCodes;
  pages: Pages;
  config: CookieConfig;
  observe: Observe;
}

/** The handlers of signing in with a linked wallet: a code, and the browser's claim of its signature. */
export function walletSignInHandlers(deps: WalletSignInDeps): Record<'show' | 'claim', RequestHandler> {
  const { sessions, linkedWallets, codes, pages, config, observe } = deps;

  async function showCode(req: Request, res: Response, notYet: boolean): Promise<void> {
    const code = await codes.show(req, res, 'login');
    const data = { code, notYet, next: nextOf(req), claim: '/console/sign-in/wallet/claim', again: '/console/sign-in/wallet' };
    pages.send(res, 'console/code', { title: 'Sign in with a wallet', script: 'code.js' }, data);
  }

  return {
    show: (req, res) => showCode(req, res, false),

    /** A session for the wallet that signed; a page that says what to do where none did, or where it is linked to no account. */
    async claim(req, res) {
      const browser = codes.browserOf(req);
      const login = browser === '' ? 'unsigned' : await linkedWallets.login(browser, codes.hostOf(req));
      if (login === 'unsigned') return showCode(req, res, true);
      observe({ kind: 'sign_in', how: 'wallet', result: login === 'unknown' ? 'refused' : 'ok' });
      if (login === 'unknown') return pages.send(res, 'console/unknown-wallet', { title: 'No account yet' }, {}, 404);
      setSessionCookie(req, res, config, await sessions.start(login.key, networkOf(req)));
      res.set('Cache-Control', 'no-store').redirect(303, nextOf(req));
    },
  };
}
