import { msat } from '../../amount.ts';
import type { BookedInvoice, BookedPayment, BookPage, NodeBooks } from '../node-books.ts';
import { readPaymentRequest } from '../payment-request.ts';
import type { SimulatedQuery } from './simulated-payments.ts';

interface SettledRow {
  payment_hash: Buffer;
  bolt11: string;
  received_msat: bigint;
  settle_index: bigint;
  settled_at: Date;
  description: string | null;
}

interface PaymentRow {
  payment_hash: Buffer;
  bolt11: string;
  fee_msat: bigint | null;
  payment_index: bigint;
  created_at: Date;
}

const PAGE = 500;

/** The simulated node's tables, read as a node's own lists. Its invoices are told in the order of their settlement, open ones not at all. */
export class SimulatedBooks implements Required<Omit<NodeBooks, 'mayLack'>> {
  readonly #query: SimulatedQuery;
  readonly #describe: (bolt11: string) => string;

  constructor(query: SimulatedQuery, describe: (bolt11: string) => string) {
    this.#query = query;
    this.#describe = describe;
  }

  readonly invoices = async (after: bigint): Promise<BookPage<BookedInvoice>> => {
    const rows = await this.#query<SettledRow>(
      `select payment_hash, bolt11, received_msat, settle_index, settled_at, description from simulated_invoices where settle_index > $1
       order by settle_index limit ${PAGE}`,
      [after],
    );
    const entries = rows.map(({ payment_hash, bolt11, received_msat, settle_index, settled_at, description }) => ({
      index: settle_index,
      paymentHash: payment_hash,
      status: 'settled' as const,
      createdAt: readPaymentRequest(bolt11, 'simulated').createdAt,
      receivedMsat: msat(received_msat),
      settledAt: settled_at,
      description: description ?? this.#describe(bolt11),
      bolt11,
    }));
    return { entries, more: rows.length === PAGE };
  };

  readonly payments = async (after: bigint): Promise<BookPage<BookedPayment>> => {
    const rows = await this.#query<PaymentRow>(
      `select payment_hash, bolt11, fee_msat, payment_index, created_at from simulated_payments where payment_index > $1
       order by payment_index limit ${PAGE}`,
      [after],
    );
    const entries = rows.map(({ payment_hash, bolt11, fee_msat, payment_index, created_at }) => ({
      index: payment_index,
      paymentHash: payment_hash,
      status: fee_msat === null ? ('failed' as const) : ('paid' as const),
      amountMsat: readPaymentRequest(bolt11, 'simulated').amountMsat,
      feeMsat: msat(fee_msat ?? 0n),
      bolt11,
      createdAt: created_at,
    }));
    return { entries, more: rows.length === PAGE };
  };
}
