import type { Pool } from '../db/postgres.ts';
import { readPaymentRequest } from './payment-request.ts';
import type { Network } from './wallet.ts';

/**
 * How many seconds a node's clock is behind the database's. The last invoices that the node made for an
 * account tell: each carries the node's time, and its row is stored just before. 0 if the clock is not
 * behind, or no invoice tells.
 */
export async function secondsBehind(pool: Pool, node: { accountId: string; nodeId: string; network: Network }): Promise<number> {
  const { rows } = await pool.query<{ bolt11: string; created_at: Date }>(
    `select bolt11, created_at from invoices where account_id = $1 and node_id = $2 and bolt11 is not null order by created_at desc limit 3`,
    [node.accountId, node.nodeId],
  );
  return Math.max(0, ...rows.map(({ bolt11, created_at }) => (created_at.getTime() - madeAt(bolt11, node.network)) / 1000));
}

/** By the node's clock, in milliseconds since 1970. Infinity where the text cannot be read. */
function madeAt(bolt11: string, network: Network): number {
  try {
    return readPaymentRequest(bolt11, network).createdAt.getTime();
  } catch {
    return Infinity;
  }
}
