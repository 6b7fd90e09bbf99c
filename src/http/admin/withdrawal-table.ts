import type { WithdrawalLine } from '../../operator/account-histories.ts';
import { satsExact, span, time } from '../pages/format.ts';
import type { Cell, Table } from './table.ts';

/** After this long, a payment is looked into. */
const LONG_SECONDS = 15 * 60;

/** Withdrawals; those under way for long stand out. */
export function withdrawalsTable(id: string, caption: string, withdrawals: readonly WithdrawalLine[], older?: string): Table {
  return {
    id,
    caption,
    columns: [
      { name: 'Withdrawal' },
      { name: 'State' },
      { name: 'Sats', n: true },
      { name: 'Fee', n: true },
      { name: 'Asked for' },
      { name: 'Took' },
      { name: 'Word of the node' },
      { name: 'Account' },
    ],
    rows: withdrawals.map((withdrawal) => ({
      gone: withdrawal.state === 'failed',
      cells: [
        { text: withdrawal.id, mono: true },
        { text: withdrawal.state },
        { text: satsExact(withdrawal.amountMsat) },
        { text: withdrawal.feeMsat === null ? `at most ${satsExact(withdrawal.feeLimitMsat)}` : satsExact(withdrawal.feeMsat) },
        { html: time(withdrawal.createdAt) },
        tookCell(withdrawal),
        { text: wordOf(withdrawal) },
        { text: withdrawal.accountId.slice(0, 8), href: `/admin/accounts/${withdrawal.accountId}` },
      ],
    })),
    empty: 'No withdrawal.',
    older,
  };
}

function tookCell({ createdAt, resolvedAt, ageSeconds }: WithdrawalLine): Cell {
  if (resolvedAt) return { text: span(resolvedAt.getTime() - createdAt.getTime()) };
  return { text: span(ageSeconds * 1000), ...(ageSeconds > LONG_SECONDS && { tone: 'bad' as const }) };
}

function wordOf({ state, failure, known, notFound }: WithdrawalLine): string {
  if (failure !== null) return failure.replaceAll('_', ' ');
  if (state === 'creating') return 'not asked yet';
  if (state === 'paid') return 'paid';
  if (notFound > 0) return `knows no such payment, said ${notFound} times`;
  return known ? 'looks for a route' : 'nothing yet';
}
