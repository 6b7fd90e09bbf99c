import { z } from 'zod';
import { PERIODS } from '../api/report-queries.ts';
import { form, page, text, type Operation } from '../server/operation.ts';
import { handleFields } from './address-card.ts';
import { autopayFields } from './autopay-card.ts';
import { registerFields } from './wallet-sign-in.ts';
import { renameFields, walletIdParams } from './wallets.ts';

const nextQuery = z.object({ next: z.string().optional().meta({ description: 'The path to go on to.' }) });

const CODE_PAGE = { 200: text('A page with a code, or one that asks for a proof.'), 401: text('The proof was none.') };
const WRONG = { 400: text('The page, with what is wrong.') };
const GONE = { description: 'The wallet is not linked any more.' };

const ACCOUNT_EVENTS =
  'event: balance\ndata: {"availableSats":2000}\n\nevent: invoice\ndata: {"invoiceId":"0195d2a4","status":"paid","receivedSats":1000}\n\n';

/** The pages of an account and the targets of their forms. */
export const CONSOLE_OPERATIONS = {
  signIn: page({
    id: 'showSignIn',
    path: '/console/sign-in',
    summary: 'Sign in',
    asker: 'anybody',
    query: nextQuery.extend({ reason: z.string().optional() }),
  }),
  sendSignIn: form({
    id: 'signIn',
    path: '/console/sign-in',
    summary: 'Exchange a key for a session',
    asker: 'anybody',
    query: nextQuery,
    fields: z.object({ key: z.string().optional(), next: z.string().optional() }),
    answers: { 401: text('The key signs in nowhere.') },
    errors: ['rate_limit_exceeded'],
  }),
  signOut: form({ id: 'signOut', path: '/console/sign-out', summary: 'End the session', asker: 'anybody' }),
  overview: page({
    id: 'showOverview',
    path: '/console',
    summary: "The account's overview",
    query: z.object({ period: z.enum(PERIODS).optional() }),
  }),
  walletSignIn: form({
    id: 'showWalletCode',
    path: '/console/sign-in/wallet',
    summary: 'A code for a linked wallet to sign',
    asker: 'anybody',
    fields: z.object({ next: z.string().optional() }),
    answers: { 200: text('The page with the code.') },
    errors: ['rate_limit_exceeded', 'not_permitted'],
  }),
  claimWalletSignIn: form({
    id: 'signInWithWallet',
    path: '/console/sign-in/wallet/claim',
    summary: 'Exchange a wallet’s signature for a session',
    asker: 'anybody',
    fields: z.object({ next: z.string().optional() }),
    answers: { 200: text('No wallet has signed yet: a new code.'), 404: text('The wallet is linked to no account.') },
    errors: ['rate_limit_exceeded', 'not_permitted'],
  }),
  registerWallet: form({
    id: 'makeAccountForWallet',
    path: '/console/sign-in/wallet/register',
    summary: 'Make an account for the wallet that has signed twice, and show its first key',
    asker: 'anybody',
    fields: registerFields,
    answers: {
      200: text('The page that shows the key, this once; a code where a signature is still to come.'),
      404: text('The wallet is linked to no account.'),
      409: text('The browser is signed in: nothing was made.'),
    },
    errors: ['rate_limit_exceeded', 'not_permitted'],
  }),
  walletSignInEvents: page({
    id: 'walletCodeEvents',
    path: '/console/sign-in/wallet/events',
    summary: 'Tells this browser that a wallet has signed its code',
    asker: 'anybody',
    query: z.object({ action: z.enum(['login', 'link', 'auth']) }),
    answers: { 200: text('An event `signed`.', 'text/event-stream') },
    errors: ['not_found', 'overloaded'],
  }),
  events: page({
    id: 'followAccount',
    path: '/console/events',
    summary: 'What changes at the account while somebody looks on, as server-sent events',
    answers: {
      200: text('Events `balance`, `invoice`, `withdrawal` and `autopay`, until the session ends.', 'text/event-stream', ACCOUNT_EVENTS),
    },
    errors: ['overloaded'],
  }),
  wallets: page({
    id: 'showWallets',
    path: '/console/wallets',
    summary: 'Lightning Address, linked wallets, autopay',
    query: z.object({ done: z.string().optional() }),
  }),
  linkWallet: form({
    id: 'linkWallet',
    path: '/console/wallets/link',
    summary: 'A code for the wallet to be linked',
    answers: CODE_PAGE,
    errors: ['rate_limit_exceeded'],
  }),
  claimWallet: form({
    id: 'claimLinkedWallet',
    path: '/console/wallets/claim',
    summary: 'Link the wallet that has signed',
    answers: CODE_PAGE,
    errors: ['rate_limit_exceeded'],
  }),
  renameWallet: form({
    id: 'renameWallet',
    path: '/console/wallets/:id/rename',
    summary: 'Name a linked wallet',
    params: walletIdParams,
    fields: renameFields,
    errors: ['not_found'],
  }),
  askUnlinkWallet: page({
    id: 'askUnlinkWallet',
    path: '/console/wallets/:id/unlink',
    summary: 'What unlinking a wallet means',
    params: walletIdParams,
    answers: { 303: GONE },
  }),
  unlinkWallet: form({
    id: 'unlinkWallet',
    path: '/console/wallets/:id/unlink',
    summary: 'Unlink a wallet',
    params: walletIdParams,
    answers: CODE_PAGE,
    errors: ['not_found'],
  }),
  poster: page({
    id: 'showPoster',
    path: '/console/wallets/poster',
    summary: 'The Lightning Address as a poster',
    errors: ['not_permitted'],
  }),
  askHandle: page({ id: 'askHandle', path: '/console/wallets/address', summary: 'Choose another Lightning Address' }),
  changeHandle: form({
    id: 'changeHandle',
    path: '/console/wallets/address',
    summary: 'Change the Lightning Address',
    fields: handleFields,
    answers: WRONG,
  }),
  autopay: page({ id: 'showAutopay', path: '/console/wallets/autopay', summary: 'Set up autopay' }),
  storeAutopay: form({
    id: 'storeAutopayForm',
    path: '/console/wallets/autopay',
    summary: 'Store a connection and the amounts of autopay',
    fields: autopayFields,
    answers: WRONG,
  }),
  checkAutopay: form({
    id: 'checkAutopay',
    path: '/console/wallets/autopay/check',
    summary: 'Ask the connected wallet what it may do',
    answers: { 200: text('What the wallet said.') },
    errors: ['rate_limit_exceeded'],
  }),
  pauseAutopay: form({ id: 'pauseAutopay', path: '/console/wallets/autopay/pause', summary: 'Pause autopay' }),
  resumeAutopay: form({ id: 'resumeAutopay', path: '/console/wallets/autopay/resume', summary: 'Let autopay go on' }),
  removeAutopay: form({ id: 'removeAutopayForm', path: '/console/wallets/autopay/remove', summary: 'Remove autopay' }),
} as const satisfies Record<string, Operation>;
