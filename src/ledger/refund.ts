import type { Pool } from '../db/postgres.ts';

/**
 * Gives back all that a posted request took, because its answer never left: the charge, the day's budget, a free slot, and its
 * Idempotency-Key (`ledger_refund`, migrations/0013). Idempotent by request: the second call changes nothing. Resolves to whether
 * it did the refund; false also where a repeat was given the stored answer, which the charge is for then.
 */
export async function refundCharge(pool: Pool, accountId: string, requestId: string): Promise<boolean> {
  const { rows } = await pool.query<{ refunded: boolean }>('select ledger_refund($1, $2) as refunded', [accountId, requestId]);
  return rows[0]?.refunded === true;
}
