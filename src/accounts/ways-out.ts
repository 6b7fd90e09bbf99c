import type { Pool } from '../db/postgres.ts';

/** What can take an account's money out. */
export interface WaysOut {
  readonly ownerKeys: number;
  readonly wallets: number;
}

/** How many live owner keys and linked wallets an account has. */
export async function readWaysOut(pool: Pool, accountId: string): Promise<WaysOut> {
  const { rows } = await pool.query<WaysOut>(
    `select
       (select count(*)::integer from api_keys where account_id = $1 and role = 'owner' and revoked_at is null
          and (expires_at is null or expires_at > clock_timestamp())) as "ownerKeys",
       (select count(*)::integer from linked_wallets where account_id = $1 and unlinked_at is null) as wallets`,
    [accountId],
  );
  return rows[0] ?? { ownerKeys: 0, wallets: 0 };
}
