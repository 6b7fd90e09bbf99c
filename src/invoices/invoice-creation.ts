import { setTimeout as delay } from 'node:timers/promises';
import { GatewayError } from '../errors.ts';
import { msatFromSats } from '../amount.ts';
import { expirySecondsOf, invoiceFromRow, type Invoice, type InvoiceRow } from './invoice.ts';
import type { Invoices } from './invoices.ts';
import { NodeQueue } from '../lightning/node-queue.ts';
import type { Wallet } from '../lightning/wallet.ts';

/** A wallet's deadline is 5 s. A process that waits for another one's creation gives up after that. */
const DEADLINE_MS = 6_000;
const POLL_MS = 50;

/**
 * Has the node make the invoice of a row: once, however many callers wait and however often the node's answer
 * is lost.
 */
export class InvoiceCreation {
  readonly #invoices: Invoices;
  readonly #wallet: Pick<Wallet, 'nodeId' | 'createInvoice' | 'takesPreimage'>;
  readonly #expirySeconds: number;
  readonly #running = new Map<string, Promise<Invoice>>();
  readonly #queue = new NodeQueue({ atOnce: 8, mostWaiting: 256 });

  constructor(invoices: Invoices, wallet: Pick<Wallet, 'nodeId' | 'createInvoice' | 'takesPreimage'>, expirySeconds: number) {
    this.#invoices = invoices;
    this.#wallet = wallet;
    this.#expirySeconds = expirySeconds;
  }

  /**
   * The invoice of a row. Asks the node to make it if it has none yet. Throws GatewayError
   * `lightning_unavailable` or `overloaded`; the next caller then tries again.
   */
  async complete(row: InvoiceRow): Promise<Invoice> {
    if (row.bolt11 !== null) return invoiceFromRow(row);
    const running = this.#running.get(row.id);
    if (running) return running;
    const creation = this.#create(row).finally(() => this.#running.delete(row.id));
    this.#running.set(row.id, creation);
    return creation;
  }

  async #create(row: InvoiceRow): Promise<Invoice> {
    // The row belongs to another node. From the same preimage, this node would make a second invoice.
    if (row.node_id !== this.#wallet.nodeId) throw new GatewayError('lightning_unavailable');
    // Another process may have asked already. Asking twice is harmless only if we chose the preimage.
    if (!this.#wallet.takesPreimage && !row.fresh) return this.#created(row.id);
    try {
      const make = () =>
        this.#wallet.createInvoice({
          amountMsat: msatFromSats(row.amount_sat),
          description: this.#invoices.description(row),
          metadata: row.address_metadata ?? undefined,
          expirySeconds: expirySecondsOf(row, this.#expirySeconds),
          preimage: this.#invoices.preimage(row),
        });
      // What strangers ask for comes last.
      const made = await this.#queue.run(make, { yielding: row.account_id === null || row.handle !== null });
      const opened = await this.#invoices.opened(row.id, made);
      if (!opened) throw new Error(`invoice ${row.id} is gone`);
      return invoiceFromRow(opened);
    } catch (error) {
      await this.#invoices.creationFailed(row.id).catch(() => {});
      throw error;
    }
  }

  /** Waits until another process has created the invoice. */
  async #created(id: string): Promise<Invoice> {
    const deadline = performance.now() + DEADLINE_MS;
    while (performance.now() < deadline) {
      const row = await this.#invoices.find(id);
      if (!row || row.state === 'failed') break;
      if (row.bolt11 !== null) return invoiceFromRow(row);
      await delay(POLL_MS);
    }
    throw new GatewayError('lightning_unavailable', { retryAfter: 5 });
  }
}
