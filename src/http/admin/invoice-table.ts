import type { InvoiceLine } from '../../operator/account-histories.ts';
import { count, satsExact, time } from '../pages/format.ts';
import type { Cell, Table } from './table.ts';

/** Invoices, each with a link to ask its node. */
export function invoicesTable(
  id: string,
  caption: string,
  invoices: readonly InvoiceLine[],
  { older, ofNode }: { older?: string | undefined; ofNode: string },
): Table {
  return {
    id,
    caption,
    columns: [
      { name: 'Invoice' },
      { name: 'State' },
      { name: 'Sats', n: true },
      { name: 'Received', n: true },
      { name: 'Source' },
      { name: 'Made' },
      { name: 'Credited' },
      { name: 'Next check' },
      { name: 'Account' },
      { name: 'Node' },
    ],
    rows: invoices.map((invoice) => ({
      gone: invoice.state === 'expired' || invoice.state === 'canceled' || invoice.state === 'failed',
      cells: [
        { text: invoice.id, mono: true },
        { text: invoice.state },
        { text: count(invoice.amountSat) },
        { text: invoice.receivedMsat === null ? '' : satsExact(invoice.receivedMsat) },
        { text: invoice.source },
        { html: time(invoice.createdAt) },
        invoice.creditedAt ? { html: time(invoice.creditedAt) } : { text: '' },
        invoice.nextCheckAt ? { html: time(invoice.nextCheckAt) } : { text: '' },
        invoice.accountId === null
          ? { text: 'nobody yet' }
          : { text: invoice.accountId.slice(0, 8), href: `/admin/accounts/${invoice.accountId}` },
        nodeCell(invoice, ofNode),
      ],
    })),
    empty: 'No invoice.',
    older,
  };
}

/** Another node's word cannot be had here. */
function nodeCell({ id, nodeId, state }: InvoiceLine, ofNode: string): Cell {
  if (nodeId !== ofNode) return { text: `another: ${nodeId.slice(0, 8)}` };
  return state === 'paid' ? { text: '' } : { text: 'Ask now…', href: `/admin/invoices/${id}/ask` };
}
