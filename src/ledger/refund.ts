import { transaction, type Pool } from '../db/postgres.ts';

/**
 * Gives a charge back whose answer was never delivered. Idempotent by request: the second call changes nothing.
 * Resolves to whether it did the refund.
 */
export function refundCharge(pool: Pool, accountId: string, requestId: string): Promise<boolean> {
  return transaction(pool, async (client) => {
    await client.query('select from accounts where id = $1 for no key update', [accountId]);
    const { rowCount } = await client.query(REFUND, [accountId, requestId, `refund:${requestId}`, `charge:${requestId}`]);
    return rowCount === 1;
  });
}

/** The amount is the charge's own, so a refund can never give back more than was taken. */
const REFUND = `
  with refunded as (
    insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, request_id)
    select $3, t.account_id, 'refund', 'revenue', 'wallet', t.amount_msat, a.posted_msat + t.amount_msat, t.request_id
    from transfers t join accounts a on a.id = t.account_id
    where t.idempotency_key = $4 and t.account_id = $1 and t.request_id = $2
    on conflict (idempotency_key) do nothing
    returning account_id, amount_msat
  )
  update accounts a set posted_msat = a.posted_msat + r.amount_msat from refunded r where a.id = r.account_id`;
