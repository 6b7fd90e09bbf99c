import { msat, type Msat } from '../amount.ts';
import type { Pool } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';

/** An account as an operator sees it in a list. */
export interface AccountLine {
  readonly id: string;
  readonly createdAt: Date;
  readonly postedMsat: Msat;
  readonly heldMsat: Msat;
  readonly freeUsed: number;
  readonly keys: number;
  readonly frozenAt: Date | null;
}

/** All of an account but its histories. */
export interface AccountView extends AccountLine {
  readonly fundedAt: Date | null;
  readonly freeLimit: number;
  readonly handle: string | null;
  readonly linkedWallets: number;
}

interface AccountRow {
  id: string;
  created_at: Date;
  posted_msat: bigint;
  held_msat: bigint;
  free_used: number;
  keys: number;
  frozen_at: Date | null;
}

const COLUMNS = `a.id, a.created_at, a.posted_msat, a.held_msat, a.free_used, a.frozen_at,
  (select count(*)::integer from api_keys k where k.account_id = a.id and k.revoked_at is null) as keys`;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const HASH = /^[0-9a-f]{64}$/i;
const HANDLE = /^([a-z0-9][a-z0-9._-]{1,30}[a-z0-9])(@[\w.:-]+)?$/i;
/** Of a key's secret, what may be kept and shown. */
const PREFIX = /^pura_[\w-]{0,6}/;

/** What of a search may stand on a page: of a key's secret no more than its prefix. */
export function searchable(text: string): string {
  const trimmed = text.trim().slice(0, 200);
  return PREFIX.exec(trimmed)?.[0] ?? trimmed;
}

/**
 * The accounts that a search names: by the id of an account, key, invoice, request or withdrawal, the hash of a payment, a key's prefix, or a
 * Lightning Address. Newest first, at most `limit`.
 */
export async function findAccounts(pool: Pool, text: string, limit: number): Promise<AccountLine[]> {
  const search = searchFor(searchable(text));
  if (!search) return [];
  const { rows } = await pool.query<AccountRow>(
    `select ${COLUMNS} from accounts a where a.id in (${search.ids}) order by a.id desc limit $2`,
    [search.wanted, limit],
  );
  return rows.map(lineFromRow);
}

function searchFor(wanted: string): { ids: string; wanted: string } | undefined {
  if (UUID.test(wanted)) return { ids: BY_ID, wanted };
  if (HASH.test(wanted)) return { ids: BY_HASH, wanted };
  if (PREFIX.test(wanted)) return { ids: BY_PREFIX, wanted };
  const handle = HANDLE.exec(wanted)?.[1];
  return handle === undefined ? undefined : { ids: BY_HANDLE, wanted: handle.toLowerCase() };
}

const BY_ID = `select $1::uuid
  union all select account_id from api_keys where id = $1::uuid
  union all select account_id from invoices where id = $1::uuid
  union all select account_id from holds where request_id = $1::uuid
  union all select account_id from withdrawals where id = $1::uuid`;
const BY_HASH = `select account_id from invoices where payment_hash = decode($1, 'hex')
  union all select account_id from withdrawals where payment_hash = decode($1, 'hex')`;
/** By its index: `~` comes after all that a prefix may have. */
const BY_PREFIX = `select account_id from api_keys where prefix collate "C" >= $1 and prefix collate "C" < $1 || '~'`;
const BY_HANDLE = `select account_id from lightning_handles where handle = $1`;

export type AccountFilter = 'all' | 'frozen' | 'funded';
const FILTERS: Record<AccountFilter, string> = { all: 'true', frozen: 'a.frozen_at is not null', funded: 'a.posted_msat > 0' };

/** A page of accounts, newest first, after the account `after`. */
export async function listAccounts(
  pool: Pool,
  { filter, after, limit }: { filter: AccountFilter; after: string | undefined; limit: number },
): Promise<AccountLine[]> {
  const { rows } = await pool.query<AccountRow>(
    `select ${COLUMNS} from accounts a where ${FILTERS[filter]} and ($1::uuid is null or a.id < $1) order by a.id desc limit $2`,
    [after ?? null, limit],
  );
  return rows.map(lineFromRow);
}

/** The accounts with the most sats. */
export async function largestAccounts(pool: Pool, limit: number): Promise<AccountLine[]> {
  const { rows } = await pool.query<AccountRow>(
    `select ${COLUMNS} from (select * from accounts where posted_msat > 0 order by posted_msat desc limit $1) a order by a.posted_msat desc`,
    [limit],
  );
  return rows.map(lineFromRow);
}

/** One account. Throws GatewayError `not_found`. */
export async function readAccountView(pool: Pool, id: string, freeRequests: number): Promise<AccountView> {
  if (!UUID.test(id)) throw noAccount();
  const { rows } = await pool.query<AccountRow & { funded_at: Date | null; free_limit: number; handle: string | null; wallets: number }>(
    `select ${COLUMNS}, a.funded_at, coalesce(a.free_limit, $2) as free_limit,
       (select handle from lightning_handles h where h.account_id = a.id and retired_at is null) as handle,
       (select count(*)::integer from linked_wallets w where w.account_id = a.id and unlinked_at is null) as wallets
     from accounts a where a.id = $1`,
    [id, freeRequests],
  );
  const [row] = rows;
  if (!row) throw noAccount();
  const { funded_at: fundedAt, free_limit: freeLimit, handle, wallets: linkedWallets } = row;
  return { ...lineFromRow(row), fundedAt, freeLimit, handle, linkedWallets };
}

function noAccount(): GatewayError {
  return new GatewayError('not_found', { message: 'The account does not exist.' });
}

function lineFromRow(row: AccountRow): AccountLine {
  return {
    id: row.id,
    createdAt: row.created_at,
    postedMsat: msat(row.posted_msat),
    heldMsat: msat(row.held_msat),
    freeUsed: row.free_used,
    keys: row.keys,
    frozenAt: row.frozen_at,
  };
}
