import { msat, type Msat } from '../amount.ts';
import type { PoolClient } from '../db/postgres.ts';
import { noteOf, type Movement } from './movement.ts';

export interface AdjustmentPosting extends Pick<Movement, 'picoUsdPerMsat' | 'note'> {
  accountId: string;
  /** Of the operator's act: one act is one transfer. */
  adjustmentId: string;
  /** Above 0 into the wallet, below 0 out of it. */
  changeMsat: Msat;
  /** The wallet's network. */
  network: string;
}

/**
 * Posts an operator's adjustment to an account's wallet, in the caller's transaction, which holds the account's lock and has made sure that
 * as much is left as is reserved. Returns the transfer's id and the new balance. The transfer's idempotency key refuses a second one. Rejects
 * with the database's refusal (`OtherNetwork`) where the balances are of another network.
 */
export async function postAdjustment(client: PoolClient, posting: AdjustmentPosting): Promise<{ transferId: bigint; balanceMsat: Msat }> {
  const { accountId, adjustmentId, changeMsat, network, picoUsdPerMsat = null } = posting;
  if (changeMsat > 0n) await client.query('select require_network($1)', [network]);
  const { rows } = await client.query<{ id: bigint; balance_after_msat: bigint }>(
    `with account as (
       update accounts set posted_msat = posted_msat + $2 where id = $1 returning id, posted_msat
     )
     insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, pico_usd_per_msat, note)
     select $3, id, 'adjustment', case when $2::bigint > 0 then 'write_off' else 'wallet' end::ledger_account,
       case when $2::bigint > 0 then 'wallet' else 'write_off' end::ledger_account, abs($2::bigint), posted_msat, $4, $5 from account
     returning id, balance_after_msat`,
    [accountId, changeMsat, `adjustment:${adjustmentId}`, picoUsdPerMsat, noteOf(posting)],
  );
  const [transfer] = rows;
  if (!transfer) throw new Error(`no account ${accountId} for an adjustment`);
  return { transferId: transfer.id, balanceMsat: msat(transfer.balance_after_msat) };
}
