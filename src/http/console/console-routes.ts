import type { Observe } from '../../observation.ts';
import type { Express } from 'express';
import type { KeyAuthenticator } from '../../accounts/key-authenticator.ts';
import { LinkedWallets } from '../../accounts/linked-wallets.ts';
import { Sessions } from '../../accounts/sessions.ts';
import type { WalletSignIns } from '../../accounts/wallet-sign-ins.ts';
import type { Autopay } from '../../autopay/autopay.ts';
import type { Config } from '../../config/config.ts';
import { readForm } from '../pages/form.ts';
import type { Wallet } from '../../lightning/wallet.ts';
import { addRoute } from '../server/operation.ts';
import type { OwnPageConfig } from '../server/own-site.ts';
import type { Funding } from '../../funding.ts';
import { addressCard } from './address-card.ts';
import { autopayCard } from './autopay-card.ts';
import { addAccountPages, type AccountPagesDeps } from './account-routes.ts';
import { CONSOLE_OPERATIONS } from './console-operations.ts';
import { LANDING_OPERATIONS } from './landing-operations.ts';
import { landingHandlers } from './landing.ts';
import type { Fresh, Guards } from './guards.ts';
import { addKeyPages, type KeyPagesDeps } from './key-pages.ts';
import { overviewHandler, type OverviewDeps } from './overview.ts';
import { addPlayground, type PlaygroundDeps } from './playground.ts';
import { addTopUp, type TopUpDeps } from './top-up.ts';
import { ConsoleEvents } from './console-events.ts';
import { ConsoleFrame } from './console-frame.ts';
import type { Lnurl } from '../../lnurl/open-lnurl.ts';
import { WalletCodes } from './wallet-codes.ts';
import { walletSignInHandlers } from './wallet-sign-in.ts';
import { walletsPageHandlers } from './wallets.ts';
import { requireFresh, requireOwnerSession, requireSession, type Proofs } from './signed-in.ts';
import { signInHandlers } from './sign-in.ts';

export interface ConsoleDeps
  extends
    Omit<AccountPagesDeps, 'apiKeys' | 'wallet' | 'config'>,
    Omit<KeyPagesDeps, 'sessions' | 'frame' | 'config'>,
    Omit<OverviewDeps, 'frame' | 'linkedWallets' | 'config'>,
    Pick<PlaygroundDeps, 'gateway' | 'payers'>,
    Omit<TopUpDeps, 'frame' | 'addresses' | 'wallet' | 'config'> {
  observe: Observe;
  keys: Pick<KeyAuthenticator, 'authenticate'>;
  signIns: WalletSignIns;
  autopay: Autopay;
  wallet: Pick<Wallet, 'network' | 'status'>;
  funding: TopUpDeps['funding'] & Pick<Funding, 'accountChanges'>;
  lnurl: Lnurl;
  config: Pick<Config, 'FREE_TIER_REQUESTS' | 'WITHDRAW_MAX_FEE_PERCENT' | 'WITHDRAWALS' | 'markupBasisPoints' | 'DAILY_BUDGET_USD'> &
    OwnPageConfig;
}

/** Adds `/`, and `/console`: a person's view of an account. */
export function addConsole(app: Express, deps: ConsoleDeps): void {
  const { pages, pool, config } = deps;
  const sessions = new Sessions(pool);
  const linkedWallets = new LinkedWallets(pool);
  const codes = new WalletCodes(deps);
  const signIn = signInHandlers({ ...deps, sessions, codes });
  const walletSignIn = walletSignInHandlers({ ...deps, sessions, linkedWallets, codes });
  const frame = new ConsoleFrame(deps);
  const address = addressCard({ ...deps, addresses: deps.lnurl.addresses, frame });
  const autopay = autopayCard({ ...deps, frame });
  const wallets = walletsPageHandlers({ ...deps, linkedWallets, codes, frame, address: address.read });
  const form = readForm(config);
  const session = requireSession({ sessions, pages, config });
  const owner = [session, requireOwnerSession];
  const proofs: Proofs = {
    async prove(req, who) {
      if (await signIn.provesKey(req, who)) return true;
      const browser = who.how === 'wallet' ? codes.browserOf(req) : '';
      return browser !== '' && linkedWallets.confirm(who, browser, codes.hostOf(req));
    },
    challenge: async (req, res, who) => (codes.obstacle(req) === null ? codes.show(req, res, 'auth', who) : null),
  };
  const fresh: Fresh = (what, facts) => requireFresh({ sessions, pages, config, ...proofs }, what, facts);
  const guards: Guards = { form, session, owner, fresh };
  const landing = landingHandlers({ ...deps, sessions });

  addRoute(app, LANDING_OPERATIONS.landing, landing.landing);
  addRoute(app, LANDING_OPERATIONS.models, landing.models);
  addRoute(app, LANDING_OPERATIONS.start, form, landing.start);
  addAccountPages(app, deps, frame, { session, owner, form, fresh });
  addRoute(app, CONSOLE_OPERATIONS.signIn, signIn.page);
  addRoute(app, CONSOLE_OPERATIONS.sendSignIn, form, signIn.signIn);
  addRoute(app, CONSOLE_OPERATIONS.signOut, form, signIn.signOut);
  addRoute(app, CONSOLE_OPERATIONS.walletSignIn, form, walletSignIn.show);
  addRoute(app, CONSOLE_OPERATIONS.claimWalletSignIn, form, walletSignIn.claim);
  addRoute(app, CONSOLE_OPERATIONS.registerWallet, form, walletSignIn.register);
  addRoute(app, CONSOLE_OPERATIONS.walletSignInEvents, codes.events);
  addRoute(app, CONSOLE_OPERATIONS.overview, session, overviewHandler({ ...deps, frame, linkedWallets }));
  addRoute(app, CONSOLE_OPERATIONS.events, session, new ConsoleEvents({ ...deps, sessions }).stream);
  addKeyPages(app, { ...deps, sessions, frame }, guards);
  addPlayground(app, { ...deps, frame }, guards);
  addTopUp(app, { ...deps, frame, addresses: deps.lnurl.addresses }, guards);
  addRoute(app, CONSOLE_OPERATIONS.wallets, ...owner, wallets.page);
  addRoute(app, CONSOLE_OPERATIONS.linkWallet, form, ...owner, fresh('link a wallet'), wallets.link);
  addRoute(app, CONSOLE_OPERATIONS.claimWallet, form, ...owner, fresh('link a wallet'), wallets.claim);
  addRoute(app, CONSOLE_OPERATIONS.renameWallet, form, ...owner, wallets.rename);
  addRoute(app, CONSOLE_OPERATIONS.askUnlinkWallet, ...owner, wallets.askUnlink);
  addRoute(app, CONSOLE_OPERATIONS.unlinkWallet, form, ...owner, fresh('unlink a wallet'), wallets.unlink);
  addRoute(app, CONSOLE_OPERATIONS.poster, ...owner, address.poster);
  addRoute(app, CONSOLE_OPERATIONS.askHandle, ...owner, address.ask);
  addRoute(app, CONSOLE_OPERATIONS.changeHandle, form, ...owner, address.change);
  addRoute(app, CONSOLE_OPERATIONS.autopay, ...owner, autopay.edit);
  addRoute(app, CONSOLE_OPERATIONS.storeAutopay, form, ...owner, autopay.store);
  addRoute(app, CONSOLE_OPERATIONS.checkAutopay, form, ...owner, autopay.check);
  addRoute(app, CONSOLE_OPERATIONS.pauseAutopay, form, ...owner, autopay.pause);
  addRoute(app, CONSOLE_OPERATIONS.resumeAutopay, form, ...owner, autopay.resume);
  addRoute(app, CONSOLE_OPERATIONS.removeAutopay, form, ...owner, autopay.remove);
}
