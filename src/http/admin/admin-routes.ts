import type { Express, RequestHandler } from 'express';
import type { Config } from '../../config/config.ts';
import type { Pool } from '../../db/postgres.ts';
import type { Wallet } from '../../lightning/wallet.ts';
import type { Logger } from '../../log.ts';
import { NodeMeans } from '../../operator/node-means.ts';
import { OperatorSessions } from '../../operator/operator-sessions.ts';
import type { ExchangeRate } from '../../pricing/exchange-rate.ts';
import { readForm } from '../pages/form.ts';
import type { Pages } from '../pages/pages.ts';
import { addRoute, type Operation } from '../server/operation.ts';
import type { OwnPageConfig } from '../server/own-site.ts';
import { accountActs } from './account-acts.ts';
import { accountPages } from './account-pages.ts';
import { actHandlers, type ActForm } from './act-form.ts';
import { actPages } from './act-pages.ts';
import { ADMIN_OPERATIONS } from './admin-operations.ts';
import { adminSessionHandlers } from './admin-session.ts';
import { moneyPage } from './money-page.ts';

export interface AdminDeps {
  pool: Pool;
  /** Connections for what takes a while. */
  reportPool: Pool;
  pages: Pages;
  wallet: Wallet;
  exchangeRate: Pick<ExchangeRate, 'current'>;
  log: Logger;
  config: Pick<Config, 'ADMIN_TOKEN' | 'FREE_TIER_REQUESTS' | 'FREE_TIER_GLOBAL_DAILY_USD' | 'markupBasisPoints' | 'WITHDRAWALS'> &
    OwnPageConfig;
}

/** Adds `/admin`, for operators. Without an `ADMIN_TOKEN` there is nothing there. */
export function addAdmin(app: Express, deps: AdminDeps): void {
  const { pool, pages, config, log } = deps;
  if (config.ADMIN_TOKEN.length === 0) return;
  const sessions = new OperatorSessions(pool, config.ADMIN_TOKEN);
  const session = adminSessionHandlers({ sessions, pages, config, log });
  const form = readForm(config);
  const add = (operation: Operation, ...handlers: RequestHandler[]) => addRoute(app, operation, ...handlers);
  const addAct = (show: Operation, act: Operation, asked: ActForm) => {
    const handlers = actHandlers({ pages, log }, asked);
    add(show, handlers.show);
    add(act, form, handlers.act);
  };

  add(ADMIN_OPERATIONS.signIn, session.page);
  add(ADMIN_OPERATIONS.sendSignIn, form, session.signIn);
  add(ADMIN_OPERATIONS.signOut, form, session.signOut);
  // Whatever is below, and whatever is not there: who has no session learns nothing of it.
  app.use('/admin', session.require);

  add(ADMIN_OPERATIONS.money, moneyPage({ ...deps, means: new NodeMeans(deps.wallet) }));
  const accounts = accountPages(deps);
  add(ADMIN_OPERATIONS.accounts, accounts.list);
  add(ADMIN_OPERATIONS.findAccounts, form, accounts.find);
  add(ADMIN_OPERATIONS.account, accounts.show);
  const acts = accountActs(deps);
  addAct(ADMIN_OPERATIONS.showFreeze, ADMIN_OPERATIONS.freeze, acts.freeze);
  addAct(ADMIN_OPERATIONS.showUnfreeze, ADMIN_OPERATIONS.unfreeze, acts.unfreeze);
  addAct(ADMIN_OPERATIONS.showAdjust, ADMIN_OPERATIONS.adjust, acts.adjust);
  addAct(ADMIN_OPERATIONS.showRevokeKeys, ADMIN_OPERATIONS.revokeKeys, acts.revokeKeys);
  const record = actPages(deps);
  add(ADMIN_OPERATIONS.acts, record.list);
  add(ADMIN_OPERATIONS.actsCsv, record.csv);
}
