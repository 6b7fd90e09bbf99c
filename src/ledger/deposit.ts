import type { PoolClient } from '../db/postgres.ts';
import { msat, type Msat } from '../amount.ts';
import { noteOf, type Movement } from './movement.ts';

export interface Deposit extends Movement {
  accountId: string;
  invoiceId: string;
  /** The payment's, 32 bytes: one payment is one deposit, however often it is reported. */
  paymentHash: Buffer;
  /** What was received, above 0. */
  receivedMsat: Msat;
}

/**
 * Takes an account's lock, which every change of its money takes first. Waits while another transaction has
 * the lock. To be called in a transaction, before any other row of the account is locked.
 */
export async function lockAccount(client: PoolClient, accountId: string): Promise<void> {
  await client.query(`select 1 from accounts where id = $1 for no key update`, [accountId]);
}

/**
 * Posts a deposit to an account's wallet, in the caller's transaction, which holds the account's lock.
 * Returns the transfer's id and the new balance. The transfer's idempotency key refuses a second deposit of
 * one payment hash.
 */
export async function postDeposit(client: PoolClient, deposit: Deposit): Promise<{ transferId: bigint; balanceMsat: Msat }> {
  const { accountId, invoiceId, paymentHash, receivedMsat, picoUsdPerMsat = null, via = null } = deposit;
  const { rows } = await client.query<{ id: bigint; balance_after_msat: bigint }>(
    `with account as (
       update accounts set posted_msat = posted_msat + $2, funded_at = coalesce(funded_at, clock_timestamp()) where id = $1
       returning id, posted_msat
     )
     insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, invoice_id,
       pico_usd_per_msat, via, note)
     select $3, id, 'deposit', 'lightning_receivable', 'wallet', $2, posted_msat, $4, $5, $6, $7 from account
     returning id, balance_after_msat`,
    [accountId, receivedMsat, `topup:${paymentHash.toString('hex')}`, invoiceId, picoUsdPerMsat, via, noteOf(deposit)],
  );
  const transfer = rows[0];
  if (!transfer) throw new Error(`no account ${accountId} for a deposit`);
  return { transferId: transfer.id, balanceMsat: msat(transfer.balance_after_msat) };
}
