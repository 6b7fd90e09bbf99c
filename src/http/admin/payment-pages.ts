import type { Request, RequestHandler } from 'express';
import { z } from 'zod';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import type { Funding } from '../../funding.ts';
import type { Wallet } from '../../lightning/wallet.ts';
import {
  listInvoices,
  listWithdrawals,
  pendingWithdrawals,
  readInvoiceLine,
  type InvoiceFilter,
  type InvoiceLine,
  type Place,
} from '../../operator/account-histories.ts';
import { performAct } from '../../operator/acts.ts';
import { count, satsExact, utc } from '../pages/format.ts';
import type { Pages } from '../pages/pages.ts';
import { doneBanners, type ActForm } from './act-form.ts';
import { sendAdmin } from './admin-frame.ts';
import { invoicesTable } from './invoice-table.ts';
import { PAGE_ROWS, pageOf, queryText, withQuery } from './table.ts';
import { withdrawalsTable } from './withdrawal-table.ts';

export interface PaymentPagesDeps {
  pool: Pool;
  reportPool: Pool;
  pages: Pages;
  wallet: Pick<Wallet, 'nodeId'>;
  funding: Pick<Funding, 'ofPayment' | 'confirm' | 'peek'>;
}

const INVOICES = '/admin/invoices';
const WITHDRAWALS = '/admin/withdrawals';
const FILTERS: readonly [InvoiceFilter, string][] = [
  ['due', 'To be checked, oldest due first'],
  ['open', 'Open'],
  ['paid', 'Paid'],
];

/** Invoices and withdrawals of all accounts, and asking the node about one. */
export function paymentPages(deps: PaymentPagesDeps): { invoices: RequestHandler; withdrawals: RequestHandler; askNode: ActForm } {
  const { pool, reportPool, pages } = deps;
  return {
    async invoices(req, res) {
      const filter = FILTERS.find(([name]) => name === req.query['show'])?.[0] ?? 'due';
      const found = await listInvoices(reportPool, { filter, after: placeIn(queryText(req.query, 'cursor')), limit: PAGE_ROWS + 1 });
      const { rows, last, more } = pageOf(found);
      const older = more && last ? withQuery(INVOICES, { show: filter, cursor: cursorOf(last.place) }) : undefined;
      const data = {
        filters: FILTERS.map(([name, label]) => ({ name: label, href: withQuery(INVOICES, { show: name }), current: name === filter })),
        tables: [invoicesTable('invoices', 'Invoices', rows, { older, ofNode: deps.wallet.nodeId })],
      };
      sendAdmin(pages, res, 'list', { title: 'Invoices', section: INVOICES, banners: await doneBanners(pool, req) }, data);
    },

    async withdrawals(req, res) {
      const after = placeIn(queryText(req.query, 'cursor'));
      const [pending, ended] = await Promise.all([
        pendingWithdrawals(reportPool, PAGE_ROWS * 4),
        listWithdrawals(reportPool, { after, limit: PAGE_ROWS + 1 }),
      ]);
      const { rows, last, more } = pageOf(ended);
      const older = more && last ? withQuery(WITHDRAWALS, { cursor: cursorOf(last.place) }) : undefined;
      const underWay = {
        ...withdrawalsTable('under-way', 'Under way, the oldest first', pending),
        heading: true,
        empty: 'None is under way.',
      };
      const done = { ...withdrawalsTable('ended', 'Ended, newest first', rows, older), heading: true };
      sendAdmin(pages, res, 'list', { title: 'Withdrawals', section: WITHDRAWALS }, { tables: after ? [done] : [underWay, done] });
    },

    askNode: askNode(deps),
  };
}

/** Changes nothing but what the node's own word changes: what was paid is credited. */
function askNode({ pool, funding, wallet }: PaymentPagesDeps): ActForm {
  const invoiceOf = async (req: Request): Promise<InvoiceLine> => {
    const id = String(req.params['id']);
    const found = z.uuid().safeParse(id).success ? await readInvoiceLine(pool, id) : undefined;
    if (!found) throw new GatewayError('invoice_not_found');
    return found;
  };
  return {
    section: INVOICES,
    async describe(req) {
      const invoice = await invoiceOf(req);
      return {
        title: 'Ask the node now',
        consequence: 'The node is asked whether this invoice was paid. If it was, it is credited.',
        facts: [
          ['Invoice', invoice.id],
          ['State', invoice.state],
          ['Amount', `${count(invoice.amountSat)} sats`],
          ['Expires', utc(invoice.expiresAt)],
        ],
        verb: 'Ask',
        back: INVOICES,
      };
    },
    async perform(req, act) {
      const line = await invoiceOf(req);
      if (line.nodeId !== wallet.nodeId)
        throw new GatewayError('invalid_request', { message: 'It is of another node, which this gateway does not ask.' });
      const invoice = await funding.peek(line.id);
      if (!invoice) throw new GatewayError('invalid_request', { message: 'The node never made this invoice.' });
      const { status, receivedMsat } = await funding.confirm(invoice);
      const details = { status, ...(receivedMsat && { received: `${satsExact(receivedMsat)} sats` }) };
      const { act: done } = await performAct(pool, { ...act, act: 'ask_node', subject: { kind: 'invoice', id: line.id } }, () =>
        Promise.resolve(details),
      );
      return done;
    },
  };
}

function placeIn(text: string | undefined): Place | undefined {
  const [, micros, id] = /^(\d{1,17})\.([0-9a-f-]{36})$/.exec(text ?? '') ?? [];
  return micros === undefined || id === undefined || !z.uuid().safeParse(id).success ? undefined : { micros: BigInt(micros), id };
}

function cursorOf({ micros, id }: Place): string {
  return `${micros}.${id}`;
}
