import type { Pool } from '../db/postgres.ts';

/** How far a node's books and the ledger were compared, each in its own count. */
export interface AuditedPlaces {
  /** When this database first had to do with the node. */
  readonly metAt: Date;
  readonly invoiceIndex: bigint;
  readonly paymentIndex: bigint;
  readonly transferId: bigint;
}

type Place = 'invoice_index' | 'payment_index' | 'transfer_id';

/** The places of a node. A new node is compared from its beginning. */
export async function auditedPlaces(pool: Pool, nodeId: string): Promise<AuditedPlaces> {
  const { rows } = await pool.query<{ met_at: Date } & Record<Place, bigint>>(
    `with met as (insert into node_audits (node_id) values ($1) on conflict do nothing returning *)
     select * from met union all select * from node_audits where node_id = $1`,
    [nodeId],
  );
  const [row] = rows;
  // Another process added it between the two looks of the statement.
  if (!row) return auditedPlaces(pool, nodeId);
  return { metAt: row.met_at, invoiceIndex: row.invoice_index, paymentIndex: row.payment_index, transferId: row.transfer_id };
}

/**
 * Moves a place of a node, forward only. Does nothing if the node turns out to have been met before `metAt`,
 * on which the walk relied.
 */
export async function auditedUpTo(pool: Pool, nodeId: string, place: Place, index: bigint, metAt = new Date(0)): Promise<void> {
  await pool.query(`update node_audits set ${place} = $2 where node_id = $1 and ${place} < $2 and met_at >= $3`, [nodeId, index, metAt]);
}

/** Notes that a node made invoices for a database that this one has lost: what it has paid since then is to be told of, too. */
export async function metBefore(pool: Pool, nodeId: string, when: Date): Promise<void> {
  await pool.query(`update node_audits set met_at = $2, payment_index = 0 where node_id = $1 and met_at > $2`, [nodeId, when]);
}

/**
 * Follows a list entry by entry. The place moves over entries that need no second look, up to the first that
 * does.
 */
export class Progress {
  #reached: bigint;
  #stopped = false;

  constructor(from: bigint) {
    this.#reached = from;
  }

  get reached(): bigint {
    return this.#reached;
  }

  passed(index: bigint, isDone: boolean): void {
    if (!isDone) this.#stopped = true;
    if (!this.#stopped && index > this.#reached) this.#reached = index;
  }
}
