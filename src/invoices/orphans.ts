import type { Pool, PoolClient } from '../db/postgres.ts';
import { msat, type Msat } from '../amount.ts';

/**
 * A payment that only the node knows: received for an invoice under our name, or paid without a withdrawal of
 * ours.
 */
export interface Orphan {
  readonly direction: 'received' | 'paid';
  readonly paymentHash: Buffer;
  readonly amountMsat: Msat;
  /** What routing cost, if the node paid. */
  readonly feeMsat: Msat;
  /** Whether the node still tries to pay. */
  readonly pending: boolean;
  readonly bolt11: string | null;
  readonly description: string | null;
  readonly happenedAt: Date | null;
}

/**
 * How an orphan was dealt with: by a deposit, by a withdrawal, or by the operator's word that the ledger has
 * no part in it.
 */
export type OrphanResolution = 'credited' | 'booked' | 'dismissed';

interface OrphanRow {
  direction: Orphan['direction'];
  payment_hash: Buffer;
  amount_msat: bigint;
  fee_msat: bigint;
  pending: boolean;
  bolt11: string | null;
  description: string | null;
  happened_at: Date | null;
}

const COLUMNS = `direction, payment_hash, amount_msat, fee_msat, pending, bolt11, description, happened_at`;

/** An SQL condition: the ledger knows everything in the books of the node `nodeId`. */
export const noOrphans = (nodeId: string): string =>
  `not exists (select from orphans where orphans.node_id = ${nodeId} and resolved_at is null)`;

/** Notes an orphan of a node, as it is now. Returns true if it is new. */
export async function noteOrphan(pool: Pool, nodeId: string, orphan: Orphan): Promise<boolean> {
  const { direction, paymentHash, amountMsat, feeMsat, pending, bolt11, description, happenedAt } = orphan;
  const { rows } = await pool.query<{ is_new: boolean }>(
    `insert into orphans as o (node_id, direction, payment_hash, amount_msat, fee_msat, bolt11, description, happened_at, pending)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
     on conflict (node_id, direction, payment_hash) do update set fee_msat = excluded.fee_msat, pending = excluded.pending
       where o.resolved_at is null and (o.fee_msat, o.pending) is distinct from (excluded.fee_msat, excluded.pending)
     returning xmax = 0 as is_new`,
    // PostgreSQL's text cannot hold NUL, and a node takes any description.
    [nodeId, direction, paymentHash, amountMsat, feeMsat, bolt11, description?.replaceAll('\0', '') ?? null, happenedAt, pending],
  );
  return rows[0]?.is_new ?? false;
}

/** Forgets a payment that failed in the end. */
export async function forgetOrphan(pool: Pool, nodeId: string, paymentHash: Buffer): Promise<void> {
  await pool.query(`delete from orphans where node_id = $1 and direction = 'paid' and payment_hash = $2 and resolved_at is null`, [
    nodeId,
    paymentHash,
  ]);
}

/** The orphans of a node that nobody has dealt with, the oldest first: all of them, or the first ones. */
export async function openOrphans(pool: Pool, nodeId: string, limit: number | null = null): Promise<Orphan[]> {
  const { rows } = await pool.query<OrphanRow>(
    `select ${COLUMNS} from orphans where node_id = $1 and resolved_at is null order by happened_at, payment_hash limit $2`,
    [nodeId, limit],
  );
  return rows.map(orphanFromRow);
}

/** How many there are. */
export async function countOrphans(pool: Pool, nodeId: string): Promise<number> {
  const { rows } = await pool.query<{ orphans: number }>(
    'select count(*)::integer as orphans from orphans where node_id = $1 and resolved_at is null',
    [nodeId],
  );
  return rows[0]?.orphans ?? 0;
}

/** One of them; undefined where it was dealt with, or never was. */
export async function findOrphan(
  pool: Pool,
  nodeId: string,
  { direction, paymentHash }: Pick<Orphan, 'direction' | 'paymentHash'>,
): Promise<Orphan | undefined> {
  const { rows } = await pool.query<OrphanRow>(
    `select ${COLUMNS} from orphans where node_id = $1 and direction = $2 and payment_hash = $3 and resolved_at is null`,
    [nodeId, direction, paymentHash],
  );
  return rows[0] && orphanFromRow(rows[0]);
}

/** Locks an orphan in the caller's transaction, after its account; undefined where it was dealt with already. */
export async function lockOrphan(
  client: PoolClient,
  nodeId: string,
  { direction, paymentHash }: Pick<Orphan, 'direction' | 'paymentHash'>,
): Promise<Orphan | undefined> {
  const { rows } = await client.query<OrphanRow>(
    `select ${COLUMNS} from orphans where node_id = $1 and direction = $2 and payment_hash = $3 and resolved_at is null for update`,
    [nodeId, direction, paymentHash],
  );
  return rows[0] && orphanFromRow(rows[0]);
}

/** Notes how a locked orphan was dealt with. */
export async function resolveOrphan(client: PoolClient, nodeId: string, orphan: Orphan, resolution: OrphanResolution): Promise<void> {
  await client.query(
    `update orphans set resolution = $4, resolved_at = clock_timestamp() where node_id = $1 and direction = $2 and payment_hash = $3`,
    [nodeId, orphan.direction, orphan.paymentHash, resolution],
  );
}

function orphanFromRow(row: OrphanRow): Orphan {
  return {
    direction: row.direction,
    paymentHash: row.payment_hash,
    amountMsat: msat(row.amount_msat),
    feeMsat: msat(row.fee_msat),
    pending: row.pending,
    bolt11: row.bolt11,
    description: row.description,
    happenedAt: row.happened_at,
  };
}
