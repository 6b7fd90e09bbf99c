import type { Request, Response } from 'express';
import { GatewayError } from '../../errors.ts';
import type { Funding } from '../../funding.ts';
import { satsFromMsat } from '../../amount.ts';
import type { Invoice } from '../../invoices/invoice.ts';

const MOST_STREAMS = 2_000;
const MOST_STREAMS_AN_INVOICE = 20;
/** A change that was not heard of is seen after so long all the same; also what keeps idle connections open. */
const LOOK_AGAIN_MS = 5_000;

/** The live updates of invoice pages: server-sent `status` events with the payment's state and nothing of the account. */
export class InvoiceEvents {
  readonly #funding: Funding;
  readonly #streams = new Map<string, number>();
  #total = 0;

  constructor(funding: Funding) {
    this.#funding = funding;
  }

  /** Answers with the invoice's state now and at every change, until it is paid or the reader leaves. */
  async stream(req: Request, res: Response): Promise<void> {
    const id = String(req.params['id']);
    const now = await this.#funding.peek(id);
    if (!now) throw new GatewayError('invoice_not_found');
    const open = this.#streams.get(id) ?? 0;
    if (this.#total >= MOST_STREAMS || open >= MOST_STREAMS_AN_INVOICE) throw new GatewayError('overloaded', { retryAfter: 5 });
    this.#streams.set(id, open + 1);
    this.#total++;
    res.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store, no-transform', 'X-Accel-Buffering': 'no' });
    res.flushHeaders();
    try {
      await this.#follow(id, res);
    } finally {
      const left = (this.#streams.get(id) ?? 1) - 1;
      if (left > 0) this.#streams.set(id, left);
      else this.#streams.delete(id);
      this.#total--;
    }
  }

  async #follow(id: string, res: Response): Promise<void> {
    let sent = '';
    let looking: Promise<void> = Promise.resolve();
    await new Promise<void>((resolve) => {
      const look = async (): Promise<void> => {
        if (res.destroyed || res.writableEnded) return;
        const invoice = await this.#funding.peek(id);
        if (!invoice || res.destroyed || res.writableEnded) return;
        const event = `event: status\ndata: ${JSON.stringify(stateOf(invoice))}\n\n`;
        res.write(event === sent ? ': ping\n\n' : event);
        sent = event;
        if (invoice.status === 'paid') res.end();
      };
      // One look after the other: an older state must never follow a newer one. One that fails is made up for by the next.
      const lookNext = (): void => {
        looking = looking.then(look).catch(() => {});
      };
      const unsubscribe = this.#funding.subscribe(id, lookNext);
      const timer = setInterval(lookNext, LOOK_AGAIN_MS);
      res.once('close', () => {
        unsubscribe();
        clearInterval(timer);
        resolve();
      });
      lookNext();
    });
  }
}

function stateOf({ status, receivedMsat }: Invoice) {
  return { status, receivedSats: receivedMsat === null ? null : satsFromMsat(receivedMsat) };
}
