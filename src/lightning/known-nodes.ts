import { createHash } from 'node:crypto';
import type { Pool } from '../db/postgres.ts';
import { auditedPlaces } from './audited-places.ts';
import type { Network } from './wallet.ts';

/** Who a Lightning node is. */
export interface NodeIdentity {
  /** Its public key, hex. */
  readonly nodeId: string;
  readonly network: Network;
}

/**
 * The nodes that the database has met: which node a credential leads to, and how far each node's settlements
 * have been dealt with.
 */
export class KnownNodes {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** Notes that a node has answered to these credentials. */
  async remember({ nodeId, network }: NodeIdentity, credentials: Buffer): Promise<void> {
    await this.#pool.query(
      `insert into lightning_nodes (node_id, network, credentials_sha256) values ($1, $2, $3)
       on conflict (node_id) do update set credentials_sha256 = excluded.credentials_sha256, seen_at = clock_timestamp()`,
      [nodeId, network, sha256(credentials)],
    );
    await this.#pool.query(`delete from gone_nodes where node_id = $1`, [nodeId]);
    // From here on, every payment of the node is either a withdrawal of ours or to be reported.
    await auditedPlaces(this.#pool, nodeId);
  }

  /** The node that answered to these credentials last. Undefined if none ever did. */
  async recall(credentials: Buffer): Promise<NodeIdentity | undefined> {
    const { rows } = await this.#pool.query<{ node_id: string; network: Network }>(
      `select node_id, network from lightning_nodes where credentials_sha256 = $1 order by seen_at desc limit 1`,
      [sha256(credentials)],
    );
    return rows[0] && { nodeId: rows[0].node_id, network: rows[0].network };
  }

  /** The index up to which a node's settlements have been dealt with; 0 if none was seen yet. */
  async settleIndex(nodeId: string): Promise<number> {
    const { rows } = await this.#pool.query<{ settle_index: bigint }>(`select settle_index from lightning_nodes where node_id = $1`, [
      nodeId,
    ]);
    return Number(rows[0]?.settle_index ?? 0n);
  }

  /** Moves a node's index, forward only: another gateway may have been further. */
  async settledUpTo(nodeId: string, index: number): Promise<void> {
    await this.#pool.query(`update lightning_nodes set settle_index = $2 where node_id = $1 and settle_index < $2`, [nodeId, index]);
  }
}

function sha256(credentials: Buffer): Buffer {
  return createHash('sha256').update(credentials).digest();
}
