import { z } from 'zod';
import { topupView } from '../api/wallet.ts';
import { invoiceOutput } from './create-invoice.ts';
import { tool } from './tool.ts';

/** As `GET /api/wallet/status`. */
export const invoiceStatus = tool({
  name: 'invoice_status',
  title: 'State of an invoice',
  description: 'Whether an invoice of the account was paid, by the word of the Lightning node, and what the account has now.',
  input: z.strictObject({ invoiceId: z.string().min(1).max(100).describe('As create_invoice gave it.') }),
  output: z.looseObject({
    ...invoiceOutput,
    receivedMsat: z.int().nullable(),
    paidAt: z.string().nullable(),
    creditedAt: z.string().nullable(),
    balance: z.int().describe('What can be spent now, in whole sats.'),
  }),
  readsOnly: true,
  needsKey: true,
  run: async (deps, { invoiceId }, { key: { accountId }, origin }) => ({
    figures: await topupView(deps, { accountId, invoiceId, origin }),
  }),
});
