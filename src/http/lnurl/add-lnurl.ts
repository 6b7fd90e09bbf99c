import type { Express } from 'express';
import { LnurlAnswers, type LnurlAnswersDeps } from './lnurl-answers.ts';

export type LnurlDeps = LnurlAnswersDeps;

/** Where LUD-16 puts Lightning Addresses, and where everything else of LNURL is. */
const PREFIXES = ['/.well-known/lnurlp', '/lnurl'];

/** Adds what wallets ask for by LNURL. */
export function addLnurl(app: Express, deps: LnurlDeps): void {
  const answers = new LnurlAnswers(deps);
  app.use(PREFIXES, answers.openToAll);
  app.use(PREFIXES, answers.errors);
}
