import type { Express, RequestHandler } from 'express';
import type { ApiKeys } from '../../accounts/api-keys.ts';
import type { Config } from '../../config/config.ts';
import type { Pool } from '../../db/postgres.ts';
import type { Wallet } from '../../lightning/wallet.ts';
import type { Lnurl } from '../../lnurl/open-lnurl.ts';
import type { Withdrawing } from '../../withdrawing.ts';
import type { Turns } from '../payment/turns.ts';
import { addRoute } from '../server/operation.ts';
import { ACCOUNT_OPERATIONS } from './account-operations.ts';
import { asPrincipal } from './account-session.ts';
import type { ConsoleFrame } from './console-frame.ts';
import type { Fresh } from './guards.ts';
import { receiptHandler } from './receipt.ts';
import { statementHandlers } from './statement.ts';
import { usageHandlers } from './usage.ts';
import { withdrawFacts } from './withdraw-facts.ts';
import { withdrawPageHandlers } from './withdraw.ts';

export interface AccountPagesDeps {
  /** For what may take a while. */
  reportPool: Pool;
  turns: Turns;
  apiKeys: Pick<ApiKeys, 'find' | 'named' | 'list'>;
  recorder: { flush(): Promise<void> };
  withdrawing: Withdrawing;
  lnurl: Lnurl;
  wallet: Pick<Wallet, 'network'>;
  config: Pick<Config, 'PUBLIC_URL' | 'WITHDRAW_MAX_FEE_PERCENT'>;
}

/** What stands before the handlers of the console: a session, an owner's, a form, a proof of a short while ago. */
export interface Gates {
  readonly session: RequestHandler;
  readonly owner: readonly RequestHandler[];
  readonly form: RequestHandler;
  readonly fresh: Fresh;
}

/** Adds the pages of what an account used, and of its money. */
export function addAccountPages(app: Express, deps: AccountPagesDeps, frame: ConsoleFrame, { session, owner, form, fresh }: Gates): void {
  const { turns, lnurl, reportPool: pool } = deps;
  const usage = usageHandlers({ ...deps, pool, frame });
  const statement = statementHandlers({ ...deps, pool, frame });
  const withdraw = withdrawPageHandlers({ ...deps, withdrawCodes: lnurl.withdrawCodes, frame });
  const facts = withdrawFacts(deps);
  const turn = (handler: RequestHandler): RequestHandler[] => [asPrincipal, turns.limit(handler)];

  addRoute(app, ACCOUNT_OPERATIONS.usage, session, ...turn(usage.page));
  addRoute(app, ACCOUNT_OPERATIONS.usageCsv, session, ...turn(usage.csv));
  addRoute(app, ACCOUNT_OPERATIONS.receipt, session, ...turn(receiptHandler({ ...deps, pool, frame })));
  addRoute(app, ACCOUNT_OPERATIONS.statement, ...owner, ...turn(statement.page));
  addRoute(app, ACCOUNT_OPERATIONS.statementCsv, ...owner, ...turn(statement.csv));
  addRoute(app, ACCOUNT_OPERATIONS.withdraw, ...owner, withdraw.page);
  addRoute(app, ACCOUNT_OPERATIONS.reviewWithdrawal, form, ...owner, withdraw.review);
  addRoute(app, ACCOUNT_OPERATIONS.payWithdrawal, form, ...owner, fresh('withdraw', facts.invoice), withdraw.pay);
  addRoute(app, ACCOUNT_OPERATIONS.showWithdrawCode, form, ...owner, fresh('show a code to withdraw', facts.code), withdraw.code);
  addRoute(app, ACCOUNT_OPERATIONS.withdrawCodeState, ...owner, withdraw.codeState);
  addRoute(app, ACCOUNT_OPERATIONS.withdrawal, ...owner, withdraw.result);
}
