import type { InvoiceLine } from '../../operator/account-histories.ts';
import { count, satsExact, time } from '../pages/format.ts';
import type { Table } from './table.ts';

/** Invoices, each with a link to ask its node. */
export function invoicesTable(id: string, caption: string, invoices: readonly InvoiceLine[], older?: string): Table {
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
      ],
    })),
    empty: 'No invoice.',
    older,
  };
}
