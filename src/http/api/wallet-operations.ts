import { z } from 'zod';
import { json, jsonBody, type Operation } from '../server/operation.ts';
import { aMoment, anId, count, idempotencyKey, msat, nextCursor, paymentHash, sats, usd } from '../server/described-values.ts';
import { transactionsQuery } from './report-queries.ts';
import { keyIdQuery } from './report-scope.ts';
import { fundBody } from './wallet.ts';
import { withdrawBody } from './withdraw.ts';

const INVOICE = {
  invoiceId: z.string(),
  paymentRequest: z.string().meta({ description: 'BOLT11: what a wallet pays.' }),
  paymentHash,
  amount: sats,
  unit: z.literal('sats'),
  status: z.enum(['pending', 'paid', 'expired', 'canceled']).meta({
    description: '`paid` is final. `expired` is only no longer advertised: a payment that the node still takes is credited.',
  }),
  rail: z.literal('lightning'),
  createdAt: aMoment,
  expiresAt: aMoment,
  invoiceUrl: z.string().meta({ description: 'A page with the QR code, for a person.' }),
  statusUrl: z.string(),
  lightningUrl: z.string().meta({ description: '`lightning:…`, opens a wallet.' }),
};

/** A top-up's invoice; also `error.funding` of a 402. */
export const invoice = z.strictObject(INVOICE).meta({ id: 'Invoice' });

const invoiceState = z
  .strictObject({
    ...INVOICE,
    receivedMsat: msat.nullable().meta({ description: 'What the node received: that amount is credited.' }),
    paidAt: aMoment.nullable(),
    creditedAt: aMoment.nullable(),
    balance: sats.meta({ description: 'What the account can spend now, in whole sats.' }),
  })
  .meta({ id: 'InvoiceState' });

const withdrawal = z
  .strictObject({
    withdrawalId: z.string(),
    status: z.enum(['pending', 'paid', 'failed']),
    amountMsat: msat,
    feeMsat: msat.nullable().meta({ description: 'Null until it is paid.' }),
    maxFeeMsat: msat,
    paymentHash,
    failure: z.string().nullable(),
    createdAt: aMoment,
  })
  .meta({ id: 'Withdrawal' });

const balance = z
  .strictObject({
    balance: sats.meta({ description: 'What can be spent, in whole sats, rounded down.' }),
    unit: z.literal('sats'),
    rail: z.literal('lightning'),
    estimatedRequests: count
      .nullable()
      .meta({ description: "Balance ÷ the mean charge of 30 days, else ÷ the cheapest model's 1,000 tokens." }),
    balanceMsat: msat,
    reservedMsat: msat.meta({ description: 'Held for requests and withdrawals under way.' }),
    availableMsat: msat,
    freeRequestsRemaining: count,
    freeRequestsLimit: count,
    dailyBudgetUsd: usd,
    dailySpendUsd: usd,
    budgetResetsAt: aMoment,
  })
  .meta({ id: 'Balance' });

const transaction = z
  .strictObject({
    id: z.string(),
    kind: z.enum(['deposit', 'charge', 'refund', 'withdrawal', 'adjustment']),
    amountMsat: msat.meta({ description: 'Signed: what leaves the wallet is negative.' }),
    balanceAfterMsat: msat,
    createdAt: aMoment,
    invoiceId: z.string().optional(),
    requestId: anId.optional(),
    model: z.string().optional(),
    keyId: anId.optional(),
    btcUsd: z.number().optional().meta({ description: 'The rate of the moment.' }),
    via: z.string().optional().meta({ description: 'How a deposit came: `invoice`, `l402`, `address`, `autopay`.' }),
    note: z.string().optional().meta({ description: "The payer's comment, or the reason of an adjustment." }),
    feeMsat: msat.optional(),
  })
  .meta({ id: 'Transaction' });

const replayed = z.object({ 'Idempotency-Replayed': z.literal('true').optional().meta({ description: 'On a repeat.' }) });

/** The operations on `/api/wallet`. */
export const WALLET_OPERATIONS = {
  fund: {
    id: 'createInvoice',
    method: 'post',
    path: '/api/wallet/fund',
    asker: 'key',
    tag: 'Wallet',
    summary: 'Make a Lightning invoice that tops the account up',
    headers: z.object({ 'Idempotency-Key': idempotencyKey.optional() }),
    body: jsonBody(fundBody, { amount: 1000 }),
    answers: {
      201: json('The invoice. What the node receives is credited once, whether anybody asks or not.', invoice, { headers: replayed }),
    },
    errors: ['idempotency_conflict', 'last_owner_key', 'rate_limit_exceeded', 'too_many_invoices'],
  },
  status: {
    id: 'getInvoice',
    method: 'get',
    path: '/api/wallet/status',
    asker: 'key',
    tag: 'Wallet',
    summary: "One invoice's state",
    query: z.object({ invoiceId: z.string().min(1) }),
    answers: { 200: json('The invoice as it stands.', invoiceState) },
    errors: ['invoice_not_found'],
  },
  withdraw: {
    id: 'withdraw',
    method: 'post',
    path: '/api/wallet/withdraw',
    asker: 'owner',
    tag: 'Wallet',
    summary: 'Pay a Lightning invoice out of the balance',
    description:
      'Only where the operator offers it. The amount and the highest fee are held until the payment is known to be paid or failed.',
    headers: z.object({ 'Idempotency-Key': idempotencyKey }),
    body: jsonBody(withdrawBody, { paymentRequest: 'lnbcrt10u1p…', maxFeeSats: 10 }),
    answers: { 202: json('The withdrawal; it may be final already.', withdrawal, { headers: replayed }) },
    errors: ['idempotency_conflict', 'insufficient_balance', 'rate_limit_exceeded'],
  },
  withdrawal: {
    id: 'getWithdrawal',
    method: 'get',
    path: '/api/wallet/withdraw',
    asker: 'owner',
    tag: 'Wallet',
    summary: "One withdrawal's state",
    query: z.object({ withdrawalId: z.string().min(1) }),
    answers: { 200: json('The withdrawal as it stands.', withdrawal) },
    errors: ['not_found'],
  },
  balance: {
    id: 'getBalance',
    method: 'get',
    path: '/api/wallet/balance',
    asker: 'key',
    tag: 'Wallet',
    summary: 'What can be spent, and what is left of the free requests and of the budget',
    query: keyIdQuery,
    answers: { 200: json('The balance.', balance) },
    errors: ['not_permitted', 'key_not_found', 'rate_limit_exceeded'],
  },
  transactions: {
    id: 'listTransactions',
    method: 'get',
    path: '/api/wallet/transactions',
    asker: 'key',
    tag: 'Wallet',
    summary: 'The statement, newest first',
    query: transactionsQuery,
    answers: { 200: json('A page of it.', z.strictObject({ transactions: z.array(transaction), nextCursor })) },
    errors: ['not_permitted', 'key_not_found', 'rate_limit_exceeded'],
  },
} as const satisfies Record<string, Operation>;
