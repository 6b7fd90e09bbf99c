import { z } from 'zod';
import { msat } from '../../amount.ts';
import type { LndConnection } from './lnd-connection.ts';
import { lightningUnavailable } from './lnd-failure.ts';
import type { BookedInvoice, BookedPayment, BookPage, NodeBooks } from '../node-books.ts';

/** LND's own methods: the library pages from the newest entry backwards only. */
interface Clients {
  default: Record<'listInvoices' | 'listPayments', (request: object, answered: (error: unknown, answer: unknown) => void) => void>;
}

/** The calls of LND's by which the gateway reads its books and means, and the coarser permission that each is part of. It can do without. */
export const INVOICE_LIST = 'uri:/lnrpc.Lightning/ListInvoices';
export const PAYMENT_LIST = 'uri:/lnrpc.Lightning/ListPayments';
/** By it the operator sees what the node can pay and receive. */
export const CHANNEL_BALANCE = 'uri:/lnrpc.Lightning/ChannelBalance';
export const READING_CALLS: ReadonlyMap<string, string> = new Map([
  [INVOICE_LIST, 'invoices:read'],
  [PAYMENT_LIST, 'offchain:read'],
  [CHANNEL_BALANCE, 'offchain:read'],
]);

const PAGE = 500;

/** int64 and uint64 of gRPC's JSON. */
const integer = z.string().regex(/^\d+$/).transform(BigInt);
const invoices = z.object({
  invoices: z.array(
    z.object({
      r_hash: z.instanceof(Buffer),
      memo: z.string(),
      payment_request: z.string(),
      state: z.enum(['OPEN', 'SETTLED', 'CANCELED', 'ACCEPTED']),
      amt_paid_msat: integer,
      settle_date: integer,
      creation_date: integer,
      add_index: integer,
    }),
  ),
});
const payments = z.object({
  payments: z.array(
    z.object({
      payment_hash: z.string().regex(/^[0-9a-f]{64}$/),
      status: z.string(),
      value_msat: integer,
      fee_msat: integer,
      payment_request: z.string(),
      creation_time_ns: integer,
      payment_index: integer,
    }),
  ),
});

export interface LndBooksOptions {
  connection: Pick<LndConnection<Clients>, 'call'>;
  /** Rejects where another node than the wallet's answers, or none. */
  confirmNode: () => Promise<unknown>;
  permits: (call: string) => boolean;
}

/** The books of an LND, as far as the macaroon permits to read them. They reject with GatewayError `lightning_unavailable` where it cannot be asked. */
export function lndBooks({ connection, confirmNode, permits }: LndBooksOptions): NodeBooks {
  const read = async <T>(method: keyof Clients['default'], request: object, schema: z.ZodType<T>): Promise<T> => {
    const answer = await connection.call((lnd) => called(lnd, method, request));
    // After the fact: what another node in its place has is none of this one's.
    await confirmNode();
    const parsed = schema.safeParse(answer);
    if (!parsed.success) throw lightningUnavailable(new Error(`LND's answer to ${method} is not understood`));
    return parsed.data;
  };
  return {
    ...(permits(INVOICE_LIST) && {
      async invoices(after) {
        const request = { index_offset: String(after), num_max_invoices: String(PAGE) };
        return onwards(after, (await read('listInvoices', request, invoices)).invoices.map(invoiceEntry));
      },
    }),
    ...(permits(PAYMENT_LIST) && {
      async payments(after) {
        const request = { index_offset: String(after), max_payments: String(PAGE), include_incomplete: true, omit_hops: true };
        return onwards(after, (await read('listPayments', request, payments)).payments.map(paymentEntry));
      },
    }),
  };
}

/** A page that leads on: a list that went back would be read for ever. */
function onwards<Entry extends { index: bigint }>(after: bigint, entries: readonly Entry[]): BookPage<Entry> {
  let last = after;
  for (const { index } of entries) {
    if (index <= last) throw lightningUnavailable(new Error('LND lists its books out of order'));
    last = index;
  }
  return { entries, more: entries.length > 0 };
}

function called(lnd: Clients, method: keyof Clients['default'], request: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    // As the library throws them.
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors
    lnd.default[method](request, (err, answer) => (err ? reject([503, method, { err }]) : resolve(answer)));
  });
}

function invoiceEntry(row: z.infer<typeof invoices>['invoices'][number]): BookedInvoice & { index: bigint } {
  return {
    index: row.add_index,
    paymentHash: row.r_hash,
    status: STATUSES[row.state],
    createdAt: new Date(Number(row.creation_date) * 1000),
    description: row.memo,
    ...(row.payment_request !== '' && { bolt11: row.payment_request }),
    ...(row.state === 'SETTLED' && { receivedMsat: msat(row.amt_paid_msat), settledAt: new Date(Number(row.settle_date) * 1000) }),
  };
}

const STATUSES = { OPEN: 'open', ACCEPTED: 'open', SETTLED: 'settled', CANCELED: 'canceled' } as const;

function paymentEntry(row: z.infer<typeof payments>['payments'][number]): BookedPayment & { index: bigint } {
  return {
    index: row.payment_index,
    paymentHash: Buffer.from(row.payment_hash, 'hex'),
    // LND has more words for what is neither, and may get others.
    status: row.status === 'SUCCEEDED' ? 'paid' : row.status === 'FAILED' ? 'failed' : 'pending',
    amountMsat: msat(row.value_msat),
    feeMsat: msat(row.fee_msat),
    bolt11: row.payment_request === '' ? null : row.payment_request,
    createdAt: new Date(Number(row.creation_time_ns / 1_000_000n)),
  };
}
