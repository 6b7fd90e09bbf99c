import type { Express } from 'express';
import type { Lnurl } from '../../lnurl/open-lnurl.ts';
import { addressPaths } from './address-paths.ts';
import { LnurlAnswers, type LnurlAnswersDeps } from './lnurl-answers.ts';

export interface LnurlDeps extends LnurlAnswersDeps {
  lnurl: Lnurl;
}

/** Where LUD-16 puts Lightning Addresses, and where everything else of LNURL is. */
const PREFIXES = ['/.well-known/lnurlp', '/lnurl'];

/** Adds what wallets ask for by LNURL. */
export function addLnurl(app: Express, deps: LnurlDeps): void {
  const answers = new LnurlAnswers(deps);
  app.use(PREFIXES, answers.openToAll);
  const address = addressPaths(deps.lnurl.addresses);
  app.get('/.well-known/lnurlp/:name', answers.path(address.payRequest));
  app.get('/lnurl/pay/:name', answers.path(address.pay));
  app.get('/lnurl/verify/:hash', answers.path(address.verify));
  app.use(PREFIXES, answers.errors);
}
