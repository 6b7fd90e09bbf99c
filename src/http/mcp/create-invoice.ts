import { createHash } from 'node:crypto';
import { z } from 'zod';
import { invoiceView } from '../../invoices/invoice.ts';
import { idempotencyKeyOf } from '../../records/stored-answer.ts';
import { FUND_PATH, topupAmount } from '../api/wallet.ts';
import { tool } from './tool.ts';

/** An invoice as the JSON paths tell it. */
export const invoiceOutput = {
  invoiceId: z.string(),
  paymentRequest: z.string().describe('The BOLT11 invoice.'),
  paymentHash: z.string(),
  amount: z.int().describe('In sats.'),
  unit: z.literal('sats'),
  status: z.enum(['pending', 'paid', 'expired', 'canceled']),
  rail: z.literal('lightning'),
  createdAt: z.string(),
  expiresAt: z.string(),
  invoiceUrl: z.string().describe('A page with the code to scan, which shows by itself that it was paid.'),
  statusUrl: z.string(),
  lightningUrl: z.string().describe('A link that opens a wallet.'),
};

/** As `POST /api/wallet/fund`, with its limits. */
export const createInvoice = tool({
  name: 'create_invoice',
  title: 'Make an invoice',
  description:
    'Makes a Lightning invoice that tops the account up. Nothing is paid by this: show the page or the invoice to whoever is to pay it, ' +
    'then ask invoice_status. At most five may be open at a time.',
  input: z.strictObject({
    amount: topupAmount.describe('Sats, 100 to 1,000,000.'),
    idempotencyKey: z
      .string()
      .optional()
      .describe('The same key and amount give the same invoice again for a day: name one to repeat a call safely.'),
  }),
  output: z.looseObject(invoiceOutput),
  readsOnly: false,
  needsKey: true,
  run: async ({ funding }, { amount, idempotencyKey }, { key, origin }) => {
    const bodySha256 = createHash('sha256').update(JSON.stringify({ amount })).digest();
    const repeatable = idempotencyKeyOf(idempotencyKey, FUND_PATH, bodySha256)?.key;
    const { invoice } = await funding.fund(key, { amountSat: amount, idempotencyKey: repeatable, bodySha256 });
    const figures = { ...invoiceView(invoice, origin) };
    const { invoiceUrl, lightningUrl, paymentRequest, expiresAt } = figures;
    const sentence =
      `An invoice for ${figures.amount} sats, good until ${expiresAt}. Pay it on its page ${invoiceUrl}, with the link ${lightningUrl}, ` +
      `or with any Lightning wallet: ${paymentRequest}`;
    return { figures, sentence };
  },
});
