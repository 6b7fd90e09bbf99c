import { msat, type Msat } from '../amount.ts';
import type { Pool } from '../db/postgres.ts';

/**
 * Gives back all that a posted request took, because its answer never left: the charge, the day's budget, a free slot, and its
 * Idempotency-Key (`ledger_refund`, migrations/0013). Idempotent by request: the second call changes nothing. Resolves to whether
 * it did the refund; false also where a repeat was given the stored answer, which the charge is for then.
 */
export async function refundCharge(pool: Pool, accountId: string, requestId: string): Promise<boolean> {
  return (await refundedCharge(pool, accountId, requestId)) !== null;
}

/** The same; resolves to what the wallet got back, and to null where it did not do the refund. */
export async function refundedCharge(pool: Pool, accountId: string, requestId: string): Promise<Msat | null> {
  const { rows } = await pool.query<{ refunded: boolean; posted_msat: bigint | null }>(
    'select ledger_refund($1, $2) as refunded, (select posted_msat from holds where request_id = $2) as posted_msat',
    [accountId, requestId],
  );
  const [row] = rows;
  return row?.refunded ? msat(row.posted_msat ?? 0n) : null;
}
