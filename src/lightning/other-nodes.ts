import type { Pool } from '../db/postgres.ts';

/** What is open with a node that this gateway cannot ask. */
export interface OpenElsewhere {
  readonly nodeId: string;
  /** Invoices about which the node has not said its last word. */
  readonly invoices: number;
  /** Withdrawals that are not final: the money stays held. */
  readonly withdrawals: number;
}

/**
 * What is open with nodes other than `nodeIds`, which the gateway asks. Invoices of a node that is gone for
 * good do not count.
 */
export async function openElsewhere(pool: Pool, nodeIds: readonly string[]): Promise<OpenElsewhere[]> {
  const { rows } = await pool.query<{ node_id: string; invoices: number; withdrawals: number }>(
    `select node_id, sum(invoices)::integer as invoices, sum(withdrawals)::integer as withdrawals from (
       select node_id, count(*) as invoices, 0 as withdrawals from invoices
       where next_check_at is not null and payment_hash is not null and node_id <> all ($1)
         and not exists (select from gone_nodes g where g.node_id = invoices.node_id) group by node_id
       union all select node_id, 0, count(*) from withdrawals where next_check_at is not null and node_id <> all ($1) group by node_id) o
     group by node_id order by node_id`,
    [nodeIds],
  );
  return rows.map(({ node_id: nodeId, invoices, withdrawals }) => ({ nodeId, invoices, withdrawals }));
}

/** Notes, by the operator's word, that a node is gone for good. Returns true if that is new. */
export async function giveUpNode(pool: Pool, nodeId: string): Promise<boolean> {
  const { rowCount } = await pool.query(`insert into gone_nodes (node_id) values ($1) on conflict do nothing`, [nodeId]);
  return rowCount === 1;
}

export async function isGone(pool: Pool, nodeId: string): Promise<boolean> {
  const { rowCount } = await pool.query(`select from gone_nodes where node_id = $1`, [nodeId]);
  return rowCount === 1;
}
