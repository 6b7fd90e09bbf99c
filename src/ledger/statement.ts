import type { Pool } from '../db/postgres.ts';
import { msat, type Msat } from '../amount.ts';
import { UNRECORDED } from './spend.ts';

export type TransferKind = 'deposit' | 'charge' | 'refund' | 'withdrawal' | 'adjustment';

/** One line of a wallet's statement. */
export interface StatementLine {
  id: bigint;
  kind: TransferKind;
  /** Above 0 into the wallet, below 0 out of it. */
  amountMsat: Msat;
  balanceAfterMsat: Msat;
  createdAt: Date;
  invoiceId: string | null;
  requestId: string | null;
  model: string | null;
}

interface Row {
  id: bigint;
  kind: TransferKind;
  signed_msat: bigint;
  balance_after_msat: bigint;
  created_at: Date;
  invoice_id: string | null;
  request_id: string | null;
  model: string | null;
}

export interface StatementPage {
  accountId: string;
  /** Only the charges of this key; deposits are the whole account's. */
  keyId: string | null;
  /** Only lines older than the one of this id. */
  before: bigint | null;
  limit: number;
}

/** In SQL: a charge or refund from the time when only its hold named the key ($2). */
export const BEFORE_KEYS = `t.key_id is null and t.kind in ('charge', 'refund')
  and exists (select from holds k where k.request_id = t.request_id and k.key_id = $2)`;

/** A page of the statement, newest first. */
export async function readStatement(pool: Pool, { accountId, keyId, before, limit }: StatementPage): Promise<StatementLine[]> {
  const { rows } = await pool.query<Row>(keyId === null ? STATEMENT : STATEMENT_OF_KEY, [accountId, keyId, before, limit, UNRECORDED]);
  return rows.map((row) => ({
    id: row.id,
    kind: row.kind,
    amountMsat: msat(row.signed_msat),
    balanceAfterMsat: msat(row.balance_after_msat),
    createdAt: row.created_at,
    invoiceId: row.invoice_id,
    requestId: row.request_id,
    model: row.model,
  }));
}

const LINES = `
  select t.id, t.kind, case when t.credit = 'wallet' then t.amount_msat else -t.amount_msat end as signed_msat, t.balance_after_msat,
    t.created_at, t.invoice_id, t.request_id, case when t.kind = 'charge' then coalesce(r.model, $5) end as model
  from transfers t left join requests r on r.id = t.request_id`;

const STATEMENT = `${LINES} where t.account_id = $1 and $2::uuid is null and ($3::bigint is null or t.id < $3) order by t.id desc limit $4`;

/** By time and id, so that a page begins where the page before ended and reads only its own rows. */
const PAGE = `($3::bigint is null or (t.created_at, t.id) < ((select created_at from transfers where id = $3), $3))
  order by t.created_at desc, t.id desc limit $4`;

const STATEMENT_OF_KEY = `select * from (
  (${LINES} where t.account_id = $1 and t.key_id = $2 and ${PAGE})
  union all
  (${LINES} where t.account_id = $1 and ${BEFORE_KEYS} and ${PAGE})
) t order by t.created_at desc, t.id desc limit $4`;

/** What went in and out of a wallet in a period, charges and their refunds aside. */
export interface WalletMovements {
  depositsMsat: Msat;
  withdrawalsMsat: Msat;
  /** Into the wallet less out of it. */
  adjustmentsMsat: Msat;
}

/** The movements of an account's wallet since `windowStart`. */
export async function readMovements(pool: Pool, accountId: string, windowStart: Date): Promise<WalletMovements> {
  const { rows } = await pool.query<{ deposits: bigint; withdrawals: bigint; adjustments: bigint }>(MOVEMENTS, [accountId, windowStart]);
  const [row] = rows;
  return {
    depositsMsat: msat(row?.deposits ?? 0n),
    withdrawalsMsat: msat(row?.withdrawals ?? 0n),
    adjustmentsMsat: msat(row?.adjustments ?? 0n),
  };
}

/**
 * A partial index of all transfers but charges finds these rows. They are few, however many charges there
 * are.
 */
const MOVEMENTS = `
  select coalesce(sum(amount_msat) filter (where kind = 'deposit'), 0)::bigint as deposits,
    coalesce(sum(amount_msat) filter (where kind = 'withdrawal'), 0)::bigint as withdrawals,
    coalesce(sum(case when credit = 'wallet' then amount_msat else -amount_msat end) filter (where kind = 'adjustment'), 0)::bigint as adjustments
  from transfers where account_id = $1 and kind <> 'charge' and created_at >= $2`;
