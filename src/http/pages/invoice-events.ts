import type { Request, Response } from 'express';
import { GatewayError } from '../../errors.ts';
import type { Funding } from '../../funding.ts';
import { satsFromMsat } from '../../amount.ts';
import type { Invoice } from '../../invoices/invoice.ts';
import { LiveEvents } from '../server/live-events.ts';

const LIMITS = { most: 2_000, mostEach: 20 };

/** The live updates of invoice pages: server-sent `status` events with the payment's state and nothing of the account. */
export class InvoiceEvents {
  readonly #funding: Pick<Funding, 'peek' | 'subscribe'>;
  readonly #live = new LiveEvents(LIMITS);

  constructor(funding: Pick<Funding, 'peek' | 'subscribe'>) {
    this.#funding = funding;
  }

  /** Answers with the invoice's state now and at every change, until it is paid or the reader leaves. */
  async stream(req: Request, res: Response): Promise<void> {
    const id = String(req.params['id']);
    if (!(await this.#funding.peek(id))) throw new GatewayError('invoice_not_found');
    let told = '';
    await this.#live.stream(req, res, {
      name: id,
      subscribe: (listener) => this.#funding.subscribe(id, listener),
      look: async () => {
        const invoice = await this.#funding.peek(id);
        if (!invoice) return { events: [] };
        const data = stateOf(invoice);
        const text = JSON.stringify(data);
        const events = text === told ? [] : [{ name: 'status', data }];
        told = text;
        return { events, isLast: invoice.status === 'paid' };
      },
    });
  }
}

function stateOf({ status, receivedMsat }: Invoice) {
  return { status, receivedSats: receivedMsat === null ? null : satsFromMsat(receivedMsat) };
}
