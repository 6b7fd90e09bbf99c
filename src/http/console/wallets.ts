import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { LinkedWallets } from '../../accounts/linked-wallets.ts';
import type { Pool } from '../../db/postgres.ts';
import type { Autopay } from '../../autopay/autopay.ts';
import type { LightningAddress } from '../../lnurl/lightning-addresses.ts';
import type { WalletSignIns } from '../../accounts/wallet-sign-ins.ts';
import type { Pages } from '../pages/pages.ts';
import type { ConsoleFrame } from './console-frame.ts';
import { formFields } from '../pages/form.ts';
import { whyAutopayStopped } from './overview-banners.ts';
import { sessionOf } from './signed-in.ts';
import { waysOutBanner } from './ways-out-banner.ts';
import type { WalletCodes } from './wallet-codes.ts';

export interface WalletsPageDeps {
  pool: Pool;
  linkedWallets: LinkedWallets;
  signIns: WalletSignIns;
  codes: WalletCodes;
  /** What the other cards show. */
  address: (req: Request, res: Response) => Promise<LightningAddress>;
  autopay: Pick<Autopay, 'autopayState'>;
  frame: ConsoleFrame;
  pages: Pages;
}

const PAGE = '/console/wallets';
const LONGEST_NAME = 60;

export const walletIdParams = z.object({ id: z.uuid() });
export const renameFields = z.object({
  name: z
    .string()
    .trim()
    .max(LONGEST_NAME)
    .regex(/^\P{Cc}*$/u, 'must not hold control characters')
    .transform((name) => (name === '' ? null : name)),
});

/** What the page says after an act; in the address, so that a reload says it again and does nothing. */
const DONE = new Map([
  ['linked', 'The wallet is linked: it signs in to this account from now on.'],
  ['renamed', 'The name is changed.'],
  ['address', 'The Lightning Address is changed.'],
  ['autopay', 'Autopay is on.'],
  ['paused', 'Autopay is paused.'],
  ['resumed', 'Autopay goes on.'],
  ['removed', 'Autopay is removed, and the connection forgotten.'],
  ['unlinked', 'The wallet is unlinked, and its sessions have ended.'],
]);

/** The handlers of the Wallets page: linked wallets, linking, renaming, unlinking. */
export function walletsPageHandlers(
  deps: WalletsPageDeps,
): Record<'page' | 'link' | 'claim' | 'rename' | 'askUnlink' | 'unlink', RequestHandler> {
  const { linkedWallets, signIns, codes, frame, pages } = deps;
  const done = (res: Response, what: 'linked' | 'renamed' | 'unlinked') =>
    res.set('Cache-Control', 'no-store').redirect(303, `${PAGE}?done=${what}`);

  return {
    async page(req, res) {
      const session = sessionOf(res);
      const { accountId } = session;
      const [wallets, recent, address, autopay, banners] = await Promise.all([
        linkedWallets.list(accountId),
        signIns.recent(accountId),
        deps.address(req, res),
        deps.autopay.autopayState(accountId),
        waysOutBanner(deps.pool, session),
      ]);
      const { done: act } = req.query;
      const said = typeof act === 'string' ? DONE.get(act) : undefined;
      const data = {
        wallets,
        recent,
        address,
        autopay,
        stopped: autopay && whyAutopayStopped(autopay),
        said,
        noCodes: codes.obstacle(req),
      };
      await frame.send(res, 'console/wallets', { title: said ?? 'Wallets', section: PAGE, banners }, data);
    },

    async link(req, res) {
      const code = await codes.show(req, res, 'link', sessionOf(res));
      const data = { code, notYet: false, claim: `${PAGE}/claim`, again: `${PAGE}/link` };
      pages.send(res, 'console/code', { title: 'Link a wallet', script: 'code.js' }, data);
    },

    async claim(req, res) {
      const session = sessionOf(res);
      const browser = codes.browserOf(req);
      const linked = browser !== '' && (await linkedWallets.link(session, browser, codes.hostOf(req)));
      if (linked) return done(res, 'linked');
      const code = await codes.show(req, res, 'link', session);
      const data = { code, notYet: true, claim: `${PAGE}/claim`, again: `${PAGE}/link` };
      pages.send(res, 'console/code', { title: 'Link a wallet', script: 'code.js' }, data);
    },

    async rename(req, res) {
      const { name } = formFields(req, renameFields);
      await linkedWallets.rename(sessionOf(res).key, idOf(req), name);
      done(res, 'renamed');
    },

    async askUnlink(req, res) {
      const wallets = await linkedWallets.list(sessionOf(res).accountId);
      const wallet = wallets.find(({ id }) => id === idOf(req));
      if (!wallet) return done(res, 'unlinked');
      await frame.send(res, 'console/unlink', { title: 'Unlink a wallet', section: PAGE }, { wallet, last: wallets.length === 1 });
    },

    async unlink(req, res) {
      await linkedWallets.unlink(sessionOf(res).key, idOf(req));
      done(res, 'unlinked');
    },
  };
}

function idOf(req: { params: Record<string, unknown> }): string {
  return formFields({ body: req.params }, walletIdParams).id;
}
