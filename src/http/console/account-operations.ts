import { z } from 'zod';
import { form, page, text, type Operation } from '../server/operation.ts';
import { requestIdParams } from './receipt.ts';
import { statementQuery } from './statement.ts';
import { usageQuery } from './usage.ts';
import { invoiceFields, payFields, withdrawalIdParams } from './withdraw.ts';

const PROOF = {
  200: text('A page that asks for a proof, or the page again.'),
  400: text('The page, with what is wrong.'),
  401: text('The proof was none.'),
};
const CSV = { 200: text('The rows, newest first.', 'text/csv') };
const CODE_STATE = {
  200: {
    description: 'How the last code stands.',
    content: {
      'text/html': { schema: z.string() },
      'application/json': { schema: z.strictObject({ state: z.string(), href: z.string().nullable() }) },
    },
  },
  303: { description: 'On to the withdrawal.' },
};

/** The pages of what an account used, and of its money. */
export const ACCOUNT_OPERATIONS = {
  usage: page({
    id: 'showUsage',
    path: '/console/usage',
    summary: 'What was asked, and what it cost',
    query: usageQuery,
    errors: ['key_not_found', 'invalid_request', 'rate_limit_exceeded'],
  }),
  usageCsv: page({
    id: 'usageCsv',
    path: '/console/usage.csv',
    summary: 'The requests as CSV',
    query: usageQuery,
    answers: CSV,
    errors: ['key_not_found', 'invalid_request', 'rate_limit_exceeded'],
  }),
  receipt: page({
    id: 'showReceipt',
    path: '/console/requests/:id',
    summary: 'Why a request cost what it did',
    params: requestIdParams,
    errors: ['not_found', 'rate_limit_exceeded'],
  }),
  statement: page({
    id: 'showStatement',
    path: '/console/statement',
    summary: 'Each movement of the balance',
    query: statementQuery,
    errors: ['invalid_request', 'rate_limit_exceeded'],
  }),
  statementCsv: page({
    id: 'statementCsv',
    path: '/console/statement.csv',
    summary: 'The statement as CSV',
    query: statementQuery,
    answers: CSV,
    errors: ['invalid_request', 'rate_limit_exceeded'],
  }),
  withdraw: page({ id: 'showWithdraw', path: '/console/withdraw', summary: 'Take the balance out' }),
  reviewWithdrawal: form({
    id: 'reviewWithdrawal',
    path: '/console/withdraw/review',
    summary: 'Read an invoice back before it is paid',
    fields: invoiceFields,
    answers: PROOF,
  }),
  payWithdrawal: form({
    id: 'payWithdrawal',
    path: '/console/withdraw',
    summary: 'Pay an invoice out of the balance',
    fields: payFields,
    answers: PROOF,
  }),
  showWithdrawCode: form({
    id: 'showWithdrawCode',
    path: '/console/withdraw/code',
    summary: 'A code that takes the balance out',
    answers: PROOF,
  }),
  withdrawCodeState: page({
    id: 'withdrawCodeState',
    path: '/console/withdraw/code',
    summary: 'Whether a wallet has used the code',
    answers: CODE_STATE,
  }),
  withdrawal: page({
    id: 'showWithdrawal',
    path: '/console/withdraw/:id',
    summary: 'How a withdrawal stands',
    params: withdrawalIdParams,
    errors: ['not_found'],
  }),
} as const satisfies Record<string, Operation>;
