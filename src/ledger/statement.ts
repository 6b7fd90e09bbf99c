import type { Pool } from '../db/postgres.ts';
import { msat, type Msat, type PicoUsdPerMsat } from '../amount.ts';
import type { Via } from './movement.ts';
import { UNRECORDED } from './spend.ts';

export const TRANSFER_KINDS = ['deposit', 'charge', 'refund', 'withdrawal', 'adjustment'] as const;
export type TransferKind = (typeof TRANSFER_KINDS)[number];

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
  /** Of a charge. */
  model: string | null;
  /** The key of a charge or refund. */
  keyId: string | null;
  /** Of the moment: of a charge or refund, the one that it was reckoned at; null where it was not known. */
  picoUsdPerMsat: PicoUsdPerMsat | null;
  via: Via | null;
  /** The payer's comment, or the reason. Anybody may have written it. */
  note: string | null;
  /** Of a withdrawal: what the amount has of fees. */
  feeMsat: Msat | null;
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
  key_id: string | null;
  pico_usd_per_msat: bigint | null;
  via: Via | null;
  note: string | null;
  fee_msat: bigint | null;
}

/** Whose lines a statement has, and which. */
export interface StatementFilter {
  accountId: string;
  /** Only the charges of this key; deposits are the whole account's. */
  keyId: string | null;
  /** Only lines of this kind. */
  kind?: TransferKind | null | undefined;
  /** Only lines from this moment on, and before that one. */
  from?: Date | null | undefined;
  to?: Date | null | undefined;
}

export interface StatementPage extends StatementFilter {
  /** Only lines older than the one of this id. */
  before: bigint | null;
  limit: number;
}

/** In SQL: a charge or refund from the time when only its hold named the key ($2). */
export const BEFORE_KEYS = `t.key_id is null and t.kind in ('charge', 'refund')
  and exists (select from holds k where k.request_id = t.request_id and k.key_id = $2)`;

/** A page of the statement, newest first. */
export async function readStatement(pool: Pool, page: StatementPage): Promise<StatementLine[]> {
  const { accountId, keyId, before, limit, kind = null, from = null, to = null } = page;
  const sql = keyId !== null ? STATEMENT_OF_KEY : kind === null || kind === 'charge' ? STATEMENT : STATEMENT_BESIDES_CHARGES;
  const { rows } = await pool.query<Row>(sql, [accountId, keyId, before, limit, UNRECORDED, kind, from, to]);
  return rows.map((row) => ({
    id: row.id,
    kind: row.kind,
    amountMsat: msat(row.signed_msat),
    balanceAfterMsat: msat(row.balance_after_msat),
    createdAt: row.created_at,
    invoiceId: row.invoice_id,
    requestId: row.request_id,
    model: row.model,
    keyId: row.key_id,
    picoUsdPerMsat: row.pico_usd_per_msat as PicoUsdPerMsat | null,
    via: row.via,
    note: row.note,
    feeMsat: row.fee_msat === null ? null : msat(row.fee_msat),
  }));
}

const LINES = `
  select t.id, t.kind, case when t.credit = 'wallet' then t.amount_msat else -t.amount_msat end as signed_msat, t.balance_after_msat,
    t.created_at, t.invoice_id, t.request_id, case when t.kind = 'charge' then coalesce(r.model, $5) end as model,
    coalesce(t.key_id, h.key_id) as key_id, coalesce(t.pico_usd_per_msat, h.pico_usd_per_msat) as pico_usd_per_msat, t.via, t.note, w.fee_msat
  from transfers t left join requests r on r.id = t.request_id left join holds h on h.request_id = t.request_id
    left join withdrawals w on t.kind = 'withdrawal' and w.transfer_id = t.id`;

const OF_KIND = `($6::text is null or t.kind = $6)`;

/** The account's lock orders its transfers by id and time alike: so a time is a place among the ids. */
const STATEMENT = `${LINES}
  where t.account_id = $1 and $2::uuid is null and ($3::bigint is null or t.id < $3) and ${OF_KIND}
    and ($7::timestamptz is null or t.id >= transfer_place($1, $7)) and ($8::timestamptz is null or t.id < transfer_place($1, $8))
  order by t.id desc limit $4`;

const BETWEEN = `($7::timestamptz is null or t.created_at >= $7) and ($8::timestamptz is null or t.created_at < $8)`;

/** By time and id, so that a page begins where the page before ended and reads only its own rows. */
const PAGE = `${OF_KIND} and ${BETWEEN} and ($3::bigint is null or (t.created_at, t.id) < ((select created_at from transfers where id = $3), $3))
  order by t.created_at desc, t.id desc limit $4`;

/** What is no charge is rare, and has an index of its own, by time. */
const STATEMENT_BESIDES_CHARGES = `${LINES} where t.account_id = $1 and $2::uuid is null and t.kind <> 'charge' and ${PAGE}`;

const STATEMENT_OF_KEY = `select * from (
  (${LINES} where t.account_id = $1 and t.key_id = $2 and ${PAGE})
  union all
  (${LINES} where t.account_id = $1 and ${BEFORE_KEYS} and ${PAGE})
) t order by t.created_at desc, t.id desc limit $4`;

const LINES_AT_ONCE = 1_000;

/** All lines of a statement, newest first, at most `most` of them, a thousand at a time. Lines that are added meanwhile are not among them. */
export async function* statementPages(
  pool: Pool,
  filter: StatementFilter & { before?: bigint | null },
  most = Infinity,
): AsyncGenerator<StatementLine[], void, undefined> {
  let before = filter.before ?? null;
  for (let given = 0; given < most;) {
    const limit = Math.min(LINES_AT_ONCE, most - given);
    const lines = await readStatement(pool, { ...filter, before, limit });
    if (lines.length > 0) yield lines;
    if (lines.length < limit) return;
    given += lines.length;
    before = lines.at(-1)?.id ?? null;
  }
}

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
