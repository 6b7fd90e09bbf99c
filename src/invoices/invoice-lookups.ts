import { GatewayError } from '../errors.ts';
import { WindowLimit } from '../window-limit.ts';
import { NodeQueue } from '../lightning/node-queue.ts';
import type { InvoiceState, Wallet } from '../lightning/wallet.ts';

/**
 * Asks the node about invoices, with a bound on how many at once. Rejects with the wallet's errors, and
 * `overloaded`.
 */
export class InvoiceLookups {
  readonly #wallet: Pick<Wallet, 'lookupInvoice'>;
  readonly #queue = new NodeQueue({ atOnce: 8, mostWaiting: 256 });
  /** How often clients may have the node asked about one invoice. */
  readonly #limit = new WindowLimit({ points: 10, windowMs: 10_000 });

  constructor(wallet: Pick<Wallet, 'lookupInvoice'>) {
    this.#wallet = wallet;
  }

  /** A lookup by the schedule, or because of a hint. Null if the node has no invoice with that hash. */
  forWatcher(paymentHash: Buffer): Promise<InvoiceState | null> {
    return this.#queue.run(() => this.#wallet.lookupInvoice(paymentHash));
  }

  /** A lookup because a client asks: limited for each invoice, and behind the watcher's lookups. */
  async forClient(invoiceId: string, paymentHash: Buffer): Promise<InvoiceState | null> {
    if (this.#limit.take([{ name: invoiceId, times: 1 }]) > 0) throw new GatewayError('overloaded', { retryAfter: 1 });
    return this.#queue.run(() => this.#wallet.lookupInvoice(paymentHash), { yielding: true });
  }
}
