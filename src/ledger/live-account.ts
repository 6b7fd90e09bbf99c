import type { Pool } from '../db/postgres.ts';
import { msat, type Msat } from '../amount.ts';

/** What somebody who looks on is told of an account. */
export interface LiveAccount {
  readonly availableMsat: Msat;
  /** The newest transfer; 0 before the first. */
  readonly newest: bigint;
  /** What was paid in after the transfer that was asked about, oldest first. */
  readonly deposits: readonly { readonly invoiceId: string; readonly amountMsat: Msat }[];
  /** The newest withdrawal. */
  readonly withdrawal: { readonly id: string; readonly state: string } | null;
  /** `on`, `paused` or `stopped`. */
  readonly autopay: string | null;
}

interface Row {
  available_msat: bigint;
  newest: bigint;
  deposits: { invoice_id: string; amount_msat: string }[] | null;
  withdrawal: { id: string; state: string } | null;
  autopay: string | null;
}

/**
 * One small read, as those who look on come back every few seconds.
 * @param after a transfer that has been told of; null for none, and then no deposit is told.
 */
export async function readLiveAccount(pool: Pool, accountId: string, after: bigint | null): Promise<LiveAccount> {
  const { rows } = await pool.query<Row>({ name: 'read_live_account', text: READ, values: [accountId, after] });
  const [row] = rows;
  if (!row) throw new Error(`account ${accountId} is gone`);
  const { available_msat: available, newest, deposits, withdrawal, autopay } = row;
  return {
    availableMsat: msat(available),
    newest,
    deposits: (deposits ?? []).map(({ invoice_id: invoiceId, amount_msat: amount }) => ({ invoiceId, amountMsat: msat(BigInt(amount)) })),
    withdrawal,
    autopay,
  };
}

const READ = `
  select a.posted_msat - a.held_msat as available_msat,
    coalesce((select max(id) from transfers where account_id = $1), 0) as newest,
    (select json_agg(json_build_object('invoice_id', invoice_id, 'amount_msat', amount_msat::text) order by id)
     from transfers where account_id = $1 and id > $2::bigint and kind = 'deposit') as deposits,
    (select json_build_object('id', id, 'state', state) from withdrawals where account_id = $1 order by created_at desc limit 1) as withdrawal,
    (select state from autopay where account_id = $1) as autopay
  from accounts a where a.id = $1`;
