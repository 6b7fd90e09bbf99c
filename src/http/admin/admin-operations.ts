import { z } from 'zod';
import { form, page, text, type Operation } from '../server/operation.ts';

const listQuery = z.object({ cursor: z.string().optional().meta({ description: 'Where the page begins.' }) });
const actFields = z.object({ act_id: z.uuid().optional(), reason: z.string().optional() });
const refused = { 400: text('The page again, with what is wrong.'), 401: text('The sign-in: nobody is signed in.') };

/** A page of an operator's; who is not signed in gets the sign-in, with a 401. */
function adminPage(id: string, path: string, summary: string, query: z.ZodObject = listQuery): Operation {
  return page({ id, path, summary, query, answers: { 401: text('The sign-in: nobody is signed in.') }, errors: ['not_found'] });
}

/** The page that asks for an act's reason, and the act itself. */
function adminAct(id: string, path: string, summary: string): { show: Operation; act: Operation } {
  const name = id.charAt(0).toUpperCase() + id.slice(1);
  return {
    show: adminPage(`show${name}`, path, `Ask why: ${summary.charAt(0).toLowerCase()}${summary.slice(1)}`, z.object({})),
    act: form({
      id,
      path,
      summary,
      fields: actFields,
      answers: { ...refused, 200: text('What comes of it, to be confirmed.') },
      errors: ['not_found', 'last_owner_key', 'idempotency_conflict'],
    }),
  };
}

const freeze = adminAct('freezeAccount', '/admin/accounts/:id/freeze', 'Freeze an account');
const unfreeze = adminAct('unfreezeAccount', '/admin/accounts/:id/unfreeze', 'Let a frozen account go on');
const adjust = adminAct('adjustAccount', '/admin/accounts/:id/adjust', 'Adjust the balance of an account');
const revokeKeys = adminAct('revokeAccountKeys', '/admin/accounts/:id/revoke-keys', 'Revoke all keys of an account');

const askNode = adminAct('askNode', '/admin/invoices/:id/ask', 'Ask the node about an invoice');
const assignOrphan = adminAct(
  'assignOrphan',
  '/admin/orphans/:direction/:hash/assign',
  'Credit or book a payment that only the node knows',
);
const dismissOrphan = adminAct('dismissOrphan', '/admin/orphans/:direction/:hash/dismiss', 'Set aside a payment that only the node knows');
const runAudit = adminAct('runAudit', '/admin/audit/run', 'Audit the whole ledger now');
const providerOff = adminAct('switchProviderOff', '/admin/providers/:id/off', 'Switch a provider off');
const providerOn = adminAct('switchProviderOn', '/admin/providers/:id/on', 'Switch a provider on');
const logLevel = adminAct('setLogLevel', '/admin/system/log-level', 'Set the log level');

/** The operator's pages and the targets of their forms. */
export const ADMIN_OPERATIONS = {
  signIn: page({ id: 'showOperatorSignIn', path: '/admin/sign-in', summary: 'Sign in as an operator' }),
  sendSignIn: form({
    id: 'signInOperator',
    path: '/admin/sign-in',
    summary: 'Exchange a name and token for a session',
    fields: z.object({ name: z.string().optional(), token: z.string().optional(), next: z.string().optional() }),
    answers: { 401: text('It is the name and token of nobody.') },
    errors: ['rate_limit_exceeded'],
  }),
  signOut: form({ id: 'signOutOperator', path: '/admin/sign-out', summary: 'End the session of an operator' }),
  money: adminPage('showMoney', '/admin', 'What is owed, and whether it can be paid', z.object({})),
  accounts: adminPage(
    'showAccounts',
    '/admin/accounts',
    'Find accounts',
    listQuery.extend({ q: z.string().optional(), show: z.string().optional(), found: z.string().optional() }),
  ),
  findAccounts: form({
    id: 'findAccounts',
    path: '/admin/accounts',
    summary: 'Search for an account',
    fields: z.object({ q: z.string().optional() }),
  }),
  account: adminPage('showAccount', '/admin/accounts/:id', 'One account', z.object({})),
  showFreeze: freeze.show,
  freeze: freeze.act,
  showUnfreeze: unfreeze.show,
  unfreeze: unfreeze.act,
  showAdjust: adjust.show,
  adjust: adjust.act,
  showRevokeKeys: revokeKeys.show,
  revokeKeys: revokeKeys.act,
  invoices: adminPage('showInvoices', '/admin/invoices', 'Invoices of all accounts', listQuery.extend({ show: z.string().optional() })),
  showAskNode: askNode.show,
  askNode: askNode.act,
  withdrawals: adminPage('showWithdrawals', '/admin/withdrawals', 'Withdrawals of all accounts'),
  orphans: adminPage('showOrphans', '/admin/orphans', 'Payments that only the node knows', z.object({})),
  showAssignOrphan: assignOrphan.show,
  assignOrphan: assignOrphan.act,
  showDismissOrphan: dismissOrphan.show,
  dismissOrphan: dismissOrphan.act,
  providers: adminPage('showProviders', '/admin/providers', 'Providers, how they do, and what they cost', z.object({})),
  showProviderOff: providerOff.show,
  providerOff: providerOff.act,
  showProviderOn: providerOn.show,
  providerOn: providerOn.act,
  freeTier: adminPage('showFreeTier', '/admin/free-tier', 'What is given away today', z.object({})),
  audit: adminPage('showAudits', '/admin/audit', 'How the audits of the ledger went'),
  showRunAudit: runAudit.show,
  runAudit: runAudit.act,
  system: adminPage('showSystem', '/admin/system', 'Versions, gateways, queues and configuration', z.object({})),
  showLogLevel: logLevel.show,
  logLevel: logLevel.act,
  acts: adminPage('showActs', '/admin/acts', 'What operators have done, and why'),
  actsCsv: page({
    id: 'downloadActs',
    path: '/admin/acts.csv',
    summary: 'All acts of operators as CSV',
    answers: { 200: text('One line for each act, newest first.', 'text/csv'), 401: text('The sign-in: nobody is signed in.') },
  }),
} as const satisfies Record<string, Operation>;
