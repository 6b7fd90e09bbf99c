import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import { UnconfirmedError, type LinkedWallets } from '../../accounts/linked-wallets.ts';
import type { Sessions } from '../../accounts/sessions.ts';
import type { Observe } from '../../observation.ts';
import { formFields } from '../pages/form.ts';
import { networkOf } from '../server/sender-network.ts';
import { sendFirstKey, toldOfKey, whyNoKey, type FirstKeyDeps } from './first-key.ts';
import { setSessionCookie } from './session-cookie.ts';
import { nextOf } from './sign-in.ts';
import type { WalletCodes } from './wallet-codes.ts';

export interface WalletSignInDeps extends FirstKeyDeps {
  sessions: Sessions;
  linkedWallets: LinkedWallets;
  codes: WalletCodes;
  observe: Observe;
}

const PATH = '/console/sign-in/wallet';
const REGISTER = `${PATH}/register`;

export const registerFields = z.object({ confirmed: z.string().optional() });

/** The handlers of signing in with a wallet: a code, the browser's claim of its signature, and an account for a wallet that has none. */
export function walletSignInHandlers(deps: WalletSignInDeps): Record<'show' | 'claim' | 'register', RequestHandler> {
  const { sessions, linkedWallets, codes, pages, config, observe } = deps;

  async function showCode(req: Request, res: Response, notYet: boolean): Promise<void> {
    const code = await codes.show(req, res, 'login');
    const data = { code, notYet, next: nextOf(req), claim: `${PATH}/claim`, again: PATH };
    pages.send(res, 'console/code', { title: 'Sign in with a wallet', script: 'code.js' }, data);
  }

  /** The code by which a wallet that has signed in, and has no account, confirms that one is made. */
  async function showConfirmation(req: Request, res: Response): Promise<void> {
    const notYet = formFields(req, registerFields).confirmed !== undefined;
    const code = await codes.showNewcomer(req, res);
    const data = { code, notYet, claim: REGISTER, again: REGISTER };
    pages.send(res, 'console/code', { title: 'Make an account', script: 'code.js' }, data);
  }

  /**
   * A session for the wallet that signed; a page that says what to do where none did, or where it is linked to no account: then with the
   * problem that kept it from getting one.
   */
  async function signIn(req: Request, res: Response, problem: { text: string; status: number } | null): Promise<void> {
    const browser = codes.browserOf(req);
    const login = browser === '' ? 'unsigned' : await linkedWallets.login(browser, codes.hostOf(req));
    if (login === 'unsigned') return showCode(req, res, true);
    observe({ kind: 'sign_in', how: 'wallet', result: login === 'unknown' ? 'refused' : 'ok' });
    if (login === 'unknown')
      return pages.send(res, 'console/unknown-wallet', { title: 'This wallet is new here' }, { problem }, problem?.status ?? 404);
    setSessionCookie(req, res, config, await sessions.start(login.key, networkOf(req)));
    res.set('Cache-Control', 'no-store').redirect(303, nextOf(req));
  }

  return {
    show: (req, res) => showCode(req, res, false),

    claim: (req, res) => signIn(req, res, null),

    /** An account for the wallet that signed twice: one for all who press at the same time, for they share its signatures. */
    async register(req, res) {
      if (await toldOfKey(deps, req, res)) return;
      const [browser, host] = [codes.browserOf(req), codes.hostOf(req)];
      try {
        await sendFirstKey(deps, req, res, {
          given: {},
          link: (client, accountId) => linkedWallets.linkNew(client, accountId, browser, host),
        });
      } catch (error) {
        if (error instanceof UnconfirmedError) return showConfirmation(req, res);
        // The signature may be over, or the wallet have an account by now.
        return signIn(req, res, whyNoKey(res, error));
      }
      observe({ kind: 'sign_in', how: 'wallet', result: 'ok' });
    },
  };
}
