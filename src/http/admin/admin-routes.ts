import type { Express, RequestHandler } from 'express';
import type { Config } from '../../config/config.ts';
import type { Pool } from '../../db/postgres.ts';
import type { Funding } from '../../funding.ts';
import type { Wallet } from '../../lightning/wallet.ts';
import type { Models } from '../../models/models.ts';
import { AuditRuns } from '../../operator/audit-runs.ts';
import type { OperatorSettings } from '../../operator/operator-settings.ts';
import { Reconciling } from '../../operator/reconciling.ts';
import type { FleetHealth } from '../../routing/fleet-health.ts';
import type { Logger } from '../../log.ts';
import type { Observe } from '../../observation.ts';
import { NodeMeans } from '../../operator/node-means.ts';
import { OperatorSessions } from '../../operator/operator-sessions.ts';
import type { ExchangeRate } from '../../pricing/exchange-rate.ts';
import { readForm } from '../pages/form.ts';
import type { Pages } from '../pages/pages.ts';
import { addRoute, type Operation } from '../server/operation.ts';
import type { OperatorGuesses } from '../server/operator-guesses.ts';
import { accountActs } from './account-acts.ts';
import { accountPages } from './account-pages.ts';
import { actHandlers, type ActForm } from './act-form.ts';
import { actPages } from './act-pages.ts';
import { ADMIN_OPERATIONS } from './admin-operations.ts';
import { adminSessionHandlers } from './admin-session.ts';
import { auditPages } from './audit-pages.ts';
import { moneyPage } from './money-page.ts';
import { orphanPages } from './orphan-pages.ts';
import { paymentPages } from './payment-pages.ts';
import { providerPages } from './provider-pages.ts';
import { systemPages } from './system-pages.ts';

export interface AdminDeps {
  pool: Pool;
  /** Connections for what takes a while. */
  reportPool: Pool;
  pages: Pages;
  wallet: Wallet;
  funding: Funding;
  models: Models;
  health: FleetHealth;
  settings: OperatorSettings;
  exchangeRate: ExchangeRate;
  log: Logger;
  observe: Observe;
  guesses: OperatorGuesses;
  version: string;
  config: Config;
}

/** Adds `/admin`, for operators. Without an `ADMIN_TOKEN` there is nothing there. */
export function addAdmin(app: Express, deps: AdminDeps): void {
  const { pool, pages, config, observe, guesses } = deps;
  if (config.ADMIN_TOKEN.length === 0) return;
  const sessions = new OperatorSessions(pool, config.ADMIN_TOKEN);
  const session = adminSessionHandlers({ sessions, pages, config, observe, guesses });
  const form = readForm(config);
  const add: Add = (operation, ...handlers) => addRoute(app, operation, ...handlers);
  const addAct: AddAct = (show, act, asked) => {
    const handlers = actHandlers({ pages, observe }, asked);
    add(show, handlers.show);
    add(act, form, handlers.act);
  };

  add(ADMIN_OPERATIONS.signIn, session.page);
  add(ADMIN_OPERATIONS.sendSignIn, form, session.signIn);
  add(ADMIN_OPERATIONS.signOut, form, session.signOut);
  // Whatever is below, and whatever is not there: who has no session learns nothing of it.
  app.use('/admin', session.require);

  add(ADMIN_OPERATIONS.money, moneyPage({ ...deps, means: new NodeMeans(deps.wallet) }));
  addAccounts(deps, add, addAct);
  addPayments(deps, add, addAct);
  addHouse(deps, add, addAct);
}

type Add = (operation: Operation, ...handlers: RequestHandler[]) => void;
type AddAct = (show: Operation, act: Operation, asked: ActForm) => void;

function addAccounts(deps: AdminDeps, add: Add, addAct: AddAct): void {
  const accounts = accountPages(deps);
  add(ADMIN_OPERATIONS.accounts, accounts.list);
  add(ADMIN_OPERATIONS.findAccounts, readForm(deps.config), accounts.find);
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

function addPayments(deps: AdminDeps, add: Add, addAct: AddAct): void {
  const { pool, wallet, config } = deps;
  const payments = paymentPages(deps);
  add(ADMIN_OPERATIONS.invoices, payments.invoices);
  addAct(ADMIN_OPERATIONS.showAskNode, ADMIN_OPERATIONS.askNode, payments.askNode);
  add(ADMIN_OPERATIONS.withdrawals, payments.withdrawals);
  const reconciling = new Reconciling({ pool, wallet, roots: config.secretKeys, dailyBudgetPicoUsd: config.DAILY_BUDGET_USD });
  const orphans = orphanPages({ ...deps, reconciling });
  add(ADMIN_OPERATIONS.orphans, orphans.list);
  addAct(ADMIN_OPERATIONS.showAssignOrphan, ADMIN_OPERATIONS.assignOrphan, orphans.assign);
  addAct(ADMIN_OPERATIONS.showDismissOrphan, ADMIN_OPERATIONS.dismissOrphan, orphans.dismiss);
}

function addHouse(deps: AdminDeps, add: Add, addAct: AddAct): void {
  const { reportPool, observe, config } = deps;
  const providers = providerPages(deps);
  add(ADMIN_OPERATIONS.providers, providers.list);
  addAct(ADMIN_OPERATIONS.showProviderOff, ADMIN_OPERATIONS.providerOff, providers.off);
  addAct(ADMIN_OPERATIONS.showProviderOn, ADMIN_OPERATIONS.providerOn, providers.on);
  const oldestHoldSeconds = config.STREAM_MAX_SECONDS + 2 * config.HOLD_LEASE_SECONDS;
  const audits = new AuditRuns({ pool: reportPool, observe, oldestHoldSeconds, freeRequests: config.FREE_TIER_REQUESTS });
  const audit = auditPages({ ...deps, audits });
  add(ADMIN_OPERATIONS.audit, audit.list);
  addAct(ADMIN_OPERATIONS.showRunAudit, ADMIN_OPERATIONS.runAudit, audit.run);
  const system = systemPages(deps);
  add(ADMIN_OPERATIONS.freeTier, system.freeTier);
  add(ADMIN_OPERATIONS.system, system.system);
  addAct(ADMIN_OPERATIONS.showLogLevel, ADMIN_OPERATIONS.logLevel, system.logLevel);
}
