import type { Express } from 'express';
import type { WalletSignIns } from '../../accounts/wallet-sign-ins.ts';
import type { Lnurl } from '../../lnurl/open-lnurl.ts';
import { addRoute } from '../server/operation.ts';
import { addressPaths } from './address-paths.ts';
import { authPath } from './auth.ts';
import { LnurlAnswers, type LnurlAnswersDeps } from './lnurl-answers.ts';
import { LNURL_OPERATIONS } from './lnurl-operations.ts';
import { withdrawPaths } from './withdraw-paths.ts';

export interface LnurlDeps extends LnurlAnswersDeps {
  lnurl: Lnurl;
  signIns: Pick<WalletSignIns, 'signed'>;
}

/** Where LUD-16 puts Lightning Addresses, and where everything else of LNURL is. */
const PREFIXES = ['/.well-known/lnurlp', '/lnurl'];

/** Adds what wallets ask for by LNURL. */
export function addLnurl(app: Express, deps: LnurlDeps): void {
  const answers = new LnurlAnswers(deps);
  app.use(PREFIXES, answers.openToAll);
  const address = addressPaths(deps);
  addRoute(app, LNURL_OPERATIONS.payRequest, answers.path('payRequest', address.payRequest));
  addRoute(app, LNURL_OPERATIONS.pay, answers.path('payRequest', address.pay));
  addRoute(app, LNURL_OPERATIONS.verify, answers.path('payRequest', address.verify));
  const withdraw = withdrawPaths(deps);
  addRoute(app, LNURL_OPERATIONS.withdrawRequest, answers.path('withdrawRequest', withdraw.withdrawRequest));
  addRoute(app, LNURL_OPERATIONS.withdraw, answers.path('withdrawRequest', withdraw.pay));
  addRoute(app, LNURL_OPERATIONS.auth, answers.path('login', authPath(deps.signIns)));
  app.use(PREFIXES, answers.errors);
}
