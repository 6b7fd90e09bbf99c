import { msat, type Msat } from '../amount.ts';
import { API_KEY_COLUMNS, apiKeyFromRow, type ApiKey, type ApiKeyRow } from '../accounts/api-key.ts';
import type { Pool } from '../db/postgres.ts';

/** An invoice as an operator sees it. */
export interface InvoiceLine {
  readonly id: string;
  /** Null for one of a payer without a key who has not paid. */
  readonly accountId: string | null;
  readonly nodeId: string;
  readonly state: string;
  readonly amountSat: number;
  readonly receivedMsat: Msat | null;
  /** Where it came from. */
  readonly source: 'console or API' | 'payment challenge' | 'Lightning Address';
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly creditedAt: Date | null;
  /** When the node is asked again; null once its word is final. */
  readonly nextCheckAt: Date | null;
  readonly checks: number;
}

/** A withdrawal as an operator sees it. */
export interface WithdrawalLine {
  readonly id: string;
  readonly accountId: string;
  readonly nodeId: string;
  readonly state: 'creating' | 'sent' | 'paid' | 'failed';
  readonly amountMsat: Msat;
  readonly feeMsat: Msat | null;
  readonly feeLimitMsat: Msat;
  readonly failure: string | null;
  readonly createdAt: Date;
  readonly resolvedAt: Date | null;
  readonly ageSeconds: number;
  /** Whether the node has said that it has the payment, and how often in a row that it has not. */
  readonly known: boolean;
  readonly notFound: number;
}

/** The newest keys of an account, revoked ones too. */
export async function newestKeys(pool: Pool, accountId: string, limit: number): Promise<ApiKey[]> {
  const { rows } = await pool.query<ApiKeyRow>(
    `select ${API_KEY_COLUMNS} from api_keys where account_id = $1 order by revoked_at is not null, created_at desc limit $2`,
    [accountId, limit],
  );
  return rows.map(apiKeyFromRow);
}

export type InvoiceFilter = 'due' | 'open' | 'paid';
const INVOICE_FILTERS: Record<InvoiceFilter, string> = {
  due: 'next_check_at is not null',
  open: `next_check_at is not null and state in ('creating', 'open')`,
  paid: `state = 'paid'`,
};
/** By which column each list goes, and whether the newest comes first. */
const INVOICE_ORDERS: Record<InvoiceFilter, { column: string; newestFirst: boolean }> = {
  due: { column: 'next_check_at', newestFirst: false },
  open: { column: 'created_at', newestFirst: true },
  paid: { column: 'credited_at', newestFirst: true },
};

/** Where a page of a list by time begins: after this row. */
export interface Place {
  readonly micros: bigint;
  readonly id: string;
}

/** A page of invoices: those that are due the soonest due first, all others newest first. */
export async function listInvoices(
  pool: Pool,
  { filter, after, limit }: { filter: InvoiceFilter; after: Place | undefined; limit: number },
): Promise<(InvoiceLine & { place: Place })[]> {
  const { column, newestFirst } = INVOICE_ORDERS[filter];
  const [before, order] = newestFirst ? ['<', 'desc'] : ['>', 'asc'];
  const { rows } = await pool.query<InvoiceRow & { micros: bigint }>(
    `select ${INVOICE_COLUMNS}, (extract(epoch from ${column}) * 1000000)::bigint as micros from invoices
     where ${INVOICE_FILTERS[filter]}
       and ($1::bigint is null or (${column}, id) ${before} (timestamptz 'epoch' + $1 * interval '1 microsecond', $2::uuid))
     order by ${column} ${order}, id ${order} limit $3`,
    [after?.micros ?? null, after?.id ?? null, limit],
  );
  return rows.map((row) => ({ ...invoiceFromRow(row), place: { micros: row.micros, id: row.id } }));
}

/** The newest invoices of an account. */
export async function newestInvoices(pool: Pool, accountId: string, limit: number): Promise<InvoiceLine[]> {
  const { rows } = await pool.query<InvoiceRow>(
    `select ${INVOICE_COLUMNS} from invoices where account_id = $1 order by created_at desc limit $2`,
    [accountId, limit],
  );
  return rows.map(invoiceFromRow);
}

/** One invoice, undefined where there is none. */
export async function readInvoiceLine(pool: Pool, id: string): Promise<InvoiceLine | undefined> {
  const { rows } = await pool.query<InvoiceRow>(`select ${INVOICE_COLUMNS} from invoices where id = $1`, [id]);
  return rows[0] && invoiceFromRow(rows[0]);
}

/** The withdrawals under way, the oldest first; never more than a few of each account. */
export async function pendingWithdrawals(pool: Pool, limit: number): Promise<WithdrawalLine[]> {
  const { rows } = await pool.query<WithdrawalRow>(
    `select ${WITHDRAWAL_COLUMNS} from withdrawals where next_check_at is not null order by created_at limit $1`,
    [limit],
  );
  return rows.map(withdrawalFromRow);
}

/** A page of the withdrawals that have ended, newest first. */
export async function listWithdrawals(
  pool: Pool,
  { after, limit }: { after: Place | undefined; limit: number },
): Promise<(WithdrawalLine & { place: Place })[]> {
  const { rows } = await pool.query<WithdrawalRow & { micros: bigint }>(
    `select ${WITHDRAWAL_COLUMNS}, (extract(epoch from created_at) * 1000000)::bigint as micros from withdrawals
     where state in ('paid', 'failed') and ($1::bigint is null or (created_at, id) < (timestamptz 'epoch' + $1 * interval '1 microsecond', $2::uuid))
     order by created_at desc, id desc limit $3`,
    [after?.micros ?? null, after?.id ?? null, limit],
  );
  return rows.map((row) => ({ ...withdrawalFromRow(row), place: { micros: row.micros, id: row.id } }));
}

/** The newest withdrawals of an account, whatever their state. */
export async function newestWithdrawals(pool: Pool, accountId: string, limit: number): Promise<WithdrawalLine[]> {
  const { rows } = await pool.query<WithdrawalRow>(
    `select ${WITHDRAWAL_COLUMNS} from withdrawals where account_id = $1 order by created_at desc limit $2`,
    [accountId, limit],
  );
  return rows.map(withdrawalFromRow);
}

interface InvoiceRow {
  id: string;
  account_id: string | null;
  node_id: string;
  state: string;
  amount_sat: number;
  received_msat: bigint | null;
  source: InvoiceLine['source'];
  created_at: Date;
  expires_at: Date;
  credited_at: Date | null;
  next_check_at: Date | null;
  checks: number;
}

const INVOICE_COLUMNS = `id, account_id, node_id, state, amount_sat, received_msat, created_at, expires_at, credited_at, next_check_at, checks,
  case when handle is not null then 'Lightning Address' when reusable or payer_key_id is not null then 'payment challenge' else 'console or API' end as source`;

function invoiceFromRow(row: InvoiceRow): InvoiceLine {
  return {
    id: row.id,
    accountId: row.account_id,
    nodeId: row.node_id,
    state: row.state,
    amountSat: row.amount_sat,
    receivedMsat: row.received_msat === null ? null : msat(row.received_msat),
    source: row.source,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    creditedAt: row.credited_at,
    nextCheckAt: row.next_check_at,
    checks: row.checks,
  };
}

interface WithdrawalRow {
  id: string;
  account_id: string;
  node_id: string;
  state: WithdrawalLine['state'];
  amount_msat: bigint;
  fee_msat: bigint | null;
  fee_limit_msat: bigint;
  failure: string | null;
  created_at: Date;
  resolved_at: Date | null;
  age: number;
  known: boolean;
  not_found: number;
}

const WITHDRAWAL_COLUMNS = `id, account_id, node_id, state, amount_msat, fee_msat, fee_limit_msat, failure, created_at, resolved_at,
  extract(epoch from clock_timestamp() - created_at)::float8 as age, known_at is not null as known, not_found`;

function withdrawalFromRow(row: WithdrawalRow): WithdrawalLine {
  return {
    id: row.id,
    accountId: row.account_id,
    nodeId: row.node_id,
    state: row.state,
    amountMsat: msat(row.amount_msat),
    feeMsat: row.fee_msat === null ? null : msat(row.fee_msat),
    feeLimitMsat: msat(row.fee_limit_msat),
    failure: row.failure,
    createdAt: row.created_at,
    resolvedAt: row.resolved_at,
    ageSeconds: row.age,
    known: row.known,
    notFound: row.not_found,
  };
}
