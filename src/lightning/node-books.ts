import type { Msat } from '../amount.ts';
import type { InvoiceState } from './wallet.ts';

/** A node's own list of what it was asked to receive and to pay, in the order of its own count, as far as it lets the gateway read that. */
export interface NodeBooks {
  /** Its invoices after a place in its count, the oldest first. Not there where the gateway is not permitted to read them. */
  readonly invoices?: (after: bigint) => Promise<BookPage<BookedInvoice>>;
  /** Its payments likewise. */
  readonly payments?: (after: bigint) => Promise<BookPage<BookedPayment>>;
  /** Where the list of invoices may lack some: those that count as unpaid are asked about one by one besides. */
  readonly mayLack?: boolean;
}

/** A node that was to list its books does not. */
export class UnlistedError extends Error {
  override name = 'UnlistedError';
}

/** Some entries of a node's list, each with its place. `more` where the list may go on after the last one. */
export interface BookPage<Entry> {
  readonly entries: readonly (Entry & { readonly index: bigint })[];
  readonly more: boolean;
}

/** An invoice as its node has it. */
export interface BookedInvoice extends InvoiceState {
  readonly createdAt: Date;
}

/** A payment as its node has it. */
export interface BookedPayment {
  readonly paymentHash: Buffer;
  readonly status: 'pending' | 'paid' | 'failed';
  readonly amountMsat: Msat;
  readonly feeMsat: Msat;
  /** The invoice that was paid; null for a payment without one. */
  readonly bolt11: string | null;
  readonly createdAt: Date;
}
