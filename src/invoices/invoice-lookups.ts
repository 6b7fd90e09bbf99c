import { GatewayError } from '../errors.ts';
import { WindowLimit } from '../window-limit.ts';
import { NodeQueue } from '../lightning/node-queue.ts';
import type { InvoiceState, Wallet } from '../lightning/wallet.ts';

/** Asks the node about invoices, not more at once than it should bear. Rejects with what the wallet does, and `overloaded`. */
export class InvoiceLookups {
  readonly #wallet: Pick<Wallet, 'lookupInvoice'>;
  readonly #queue = new NodeQueue({ atOnce: 8, mostWaiting: 256 });
  /** Of what clients make the node be asked about one invoice. */
  readonly #limit = new WindowLimit({ points: 10, windowMs: 10_000 });

  constructor(wallet: Pick<Wallet, 'lookupInvoice'>) {
    this.#wallet = wallet;
  }

  /** Because its time has come, or something was heard of it: null where the node knows none by that hash. */
  forWatcher(paymentHash: Buffer): Promise<InvoiceState | null> {
    return this.#queue.run(() => this.#wallet.lookupInvoice(paymentHash));
  }

  /** Because a client asks: so often for one invoice, and behind what is looked up for the watcher. */
  async forClient(invoiceId: string, paymentHash: Buffer): Promise<InvoiceState | null> {
    if (this.#limit.take([{ name: invoiceId, times: 1 }]) > 0) throw new GatewayError('overloaded', { retryAfter: 1 });
    return this.#queue.run(() => this.#wallet.lookupInvoice(paymentHash), { yielding: true });
  }
}
