import type { Msat } from '../amount.ts';
import type { InvoiceState } from './wallet.ts';

/**
 * A node's own lists of its invoices and payments, in the order of its own count, as far as the gateway may
 * read them.
 */
export interface NodeBooks {
  /** The invoices after a place in the count, the oldest first. Absent if the gateway may not read them. */
  readonly invoices?: (after: bigint) => Promise<BookPage<BookedInvoice>>;
  /** The same for payments. */
  readonly payments?: (after: bigint) => Promise<BookPage<BookedPayment>>;
  /**
   * True if the list of invoices may be incomplete. The node is then also asked about each unpaid invoice by
   * itself.
   */
  readonly mayLack?: boolean;
}

/** The node was expected to list its books, and does not. */
export class UnlistedError extends Error {
  override name = 'UnlistedError';
}

/** Some entries of a node's list, each with its place. `more`: the list may go on after the last entry. */
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
