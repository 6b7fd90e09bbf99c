import type { Response } from 'express';
import { readAccount, type Account } from '../../accounts/account.ts';
import { AccountFrozenError } from '../../accounts/frozen.ts';
import { msat } from '../../amount.ts';
import type { Pool } from '../../db/postgres.ts';
import { satsHeld } from '../pages/format.ts';
import type { Banner, Frame, Pages, Section } from '../pages/pages.ts';
import { isOwner, sessionOf } from './signed-in.ts';

/** The console's sections, in their order. An `inference` key sees only those for everybody. */
const SECTIONS: readonly (Section & { ownersOnly?: true })[] = [
  { href: '/console', name: 'Overview' },
  { href: '/console/keys', name: 'Keys', ownersOnly: true },
  { href: '/console/top-up', name: 'Top up' },
  { href: '/console/usage', name: 'Usage' },
  { href: '/console/statement', name: 'Statement', ownersOnly: true },
  { href: '/console/withdraw', name: 'Withdraw', ownersOnly: true },
  { href: '/console/wallets', name: 'Wallets', ownersOnly: true },
  { href: '/console/playground', name: 'Playground' },
];

export interface ConsoleFrameDeps {
  pages: Pages;
  /** For what a page shows: small reads. */
  pool: Pool;
  config: { FREE_TIER_REQUESTS: number };
}

/** A page of the console: which section, what it is called, and what stands above it. */
export interface ConsolePage extends Pick<Frame, 'title' | 'script' | 'refreshSeconds'> {
  /** The `href` of the section in the menu. */
  readonly section: string;
  readonly banners?: readonly Banner[];
  readonly status?: number;
  /** Where the page has read the account already. */
  readonly account?: Account;
}

/** Sends pages of the console within their frame, with what the account can spend in the corner. */
export class ConsoleFrame {
  readonly #deps: ConsoleFrameDeps;

  constructor(deps: ConsoleFrameDeps) {
    this.#deps = deps;
  }

  /** The account of the session, as it is now. */
  account(res: Response): Promise<Account> {
    return readAccount(this.#deps.pool, sessionOf(res).accountId, this.#deps.config.FREE_TIER_REQUESTS);
  }

  /** Answers with `views/<view>.eta`. `it` has also `account`, `session` and `owner`. */
  async send(res: Response, view: string, page: ConsolePage, data: object = {}): Promise<void> {
    const session = sessionOf(res);
    const account = page.account ?? (await this.account(res));
    const owner = isOwner(session);
    const availableMsat = msat(account.postedMsat - account.heldMsat);
    const frozen: Banner = { kind: 'bad', text: new AccountFrozenError(this.#deps.pages.contact).message };
    const frame: Frame = {
      ...page,
      banners: [...(account.isFrozen ? [frozen] : []), ...(page.banners ?? [])],
      script: page.script ?? (page.section === '/console' ? 'live.js' : undefined),
      menu: { label: 'Console', sections: SECTIONS.filter((each) => owner || !each.ownersOnly), current: page.section },
      corner: `${satsHeld(availableMsat)} sats`,
    };
    this.#deps.pages.send(res, view, frame, { account, availableMsat, session, owner, ...data }, page.status);
  }
}
