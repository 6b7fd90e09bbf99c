import type { PoolClient } from '../db/postgres.ts';
import { msat, type Msat } from '../amount.ts';
import { noteOf, type Movement } from './movement.ts';

/**
 * What a withdrawal does to an account's wallet. All of it happens in the caller's transaction, which holds
 * the account's lock. The money is reserved while the outcome is unknown. Then it is posted or released,
 * once: in the same transaction that moves the withdrawal's row out of that state.
 */

/** Reserves `heldMsat`. Returns false, and does nothing, if the account has less. */
export async function holdWithdrawal(client: PoolClient, accountId: string, heldMsat: Msat): Promise<boolean> {
  const { rowCount } = await client.query(
    `update accounts set held_msat = held_msat + $2 where id = $1 and posted_msat - held_msat >= $2::bigint`,
    [accountId, heldMsat],
  );
  return rowCount === 1;
}

export interface WithdrawalPosting extends Movement {
  accountId: string;
  /** The payment's, 32 bytes: one payment is one transfer. */
  paymentHash: Buffer;
  heldMsat: Msat;
  /** The amount and the fee, above 0 and not more than what is held. */
  paidMsat: Msat;
}

/** Takes what was paid out of the wallet and releases the rest of the hold. Gives the transfer's id. */
export async function postWithdrawal(client: PoolClient, posting: WithdrawalPosting): Promise<{ transferId: bigint }> {
  const { accountId, paymentHash, heldMsat, paidMsat, picoUsdPerMsat = null, via = null } = posting;
  if (paidMsat > heldMsat) throw new RangeError(`a withdrawal of ${paidMsat} msat with ${heldMsat} msat held for it`);
  const { rows } = await client.query<{ id: bigint }>(
    `with account as (
       update accounts set posted_msat = posted_msat - $3, held_msat = held_msat - $2 where id = $1 returning id, posted_msat
     )
     insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, pico_usd_per_msat, via, note)
     select $4, id, 'withdrawal', 'wallet', 'lightning_receivable', $3, posted_msat, $5, $6, $7 from account
     returning id`,
    [accountId, heldMsat, paidMsat, `withdrawal:${paymentHash.toString('hex')}`, picoUsdPerMsat, via, noteOf(posting)],
  );
  const [transfer] = rows;
  if (!transfer) throw new Error(`no account ${accountId} for a withdrawal`);
  return { transferId: transfer.id };
}

/** Gives the whole hold back. */
export async function releaseWithdrawal(client: PoolClient, accountId: string, heldMsat: Msat): Promise<void> {
  await client.query(`update accounts set held_msat = held_msat - $2 where id = $1`, [accountId, heldMsat]);
}

/** The most that `availableMsat` pays for besides the highest fee, in whole sats. */
export function mostWithdrawable(availableMsat: Msat, percent: number): Msat {
  if (availableMsat <= 0n) return msat(0n);
  const basisPoints = BigInt(Math.round(percent * 100));
  // Of whole sats, the fee is the least whole number that is not under its share: so this is exact.
  return msat((((availableMsat / 1000n) * 10_000n) / (10_000n + basisPoints)) * 1000n);
}

/** The most that routing a payment may cost: `percent` of its amount and not more than `namedSats`, in whole sats, rounded up. */
export function feeLimit(amountMsat: Msat, percent: number, namedSats?: number): Msat {
  const basisPoints = BigInt(Math.round(percent * 100));
  const allowed = msat(((amountMsat * basisPoints + 9_999_999n) / 10_000_000n) * 1000n);
  const named = namedSats === undefined ? allowed : BigInt(namedSats) * 1000n;
  return msat(named < allowed ? named : allowed);
}
