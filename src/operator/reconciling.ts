import { tellWithCommit } from '../accounts/account-changes.ts';
import { createHash, randomUUID } from 'node:crypto';
import { insertPayerAccount } from '../accounts/payer-account.ts';
import type { RootSecret } from '../config/secret-keys.ts';
import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';
import { divideRoundingUp, msat, type PicoUsd } from '../amount.ts';
import { lockAccount, postDeposit } from '../ledger/deposit.ts';
import { holdWithdrawal, postWithdrawal } from '../ledger/withdrawal.ts';
import { handleInMetadata } from '../invoices/address-metadata.ts';
import { invoicePreimage } from '../invoices/invoice.ts';
import { readSeal, type InvoiceOwner } from '../invoices/invoice-seal.ts';
import { countOrphans, findOrphan, lockOrphan, openOrphans, resolveOrphan, type Orphan } from '../invoices/orphans.ts';
import { readPaymentRequest } from '../lightning/payment-request.ts';
import type { Wallet } from '../lightning/wallet.ts';

export interface ReconcilingOptions {
  pool: Pool;
  wallet: Pick<Wallet, 'backend' | 'nodeId' | 'network' | 'takesPreimage'>;
  roots: readonly RootSecret[];
  /** Of the key rows that keyless payments make. */
  dailyBudgetPicoUsd: PicoUsd;
}

/** Why an orphan cannot be dealt with as asked. The message is the operator's. */
export class CannotReconcileError extends Error {
  override name = 'CannotReconcileError';
}

/** What is written in the same transaction, once an orphan is dealt with: for which account, or for none. */
export type Also = (client: PoolClient, accountId: string | null) => Promise<unknown>;

/** Where an orphan belongs as far as can be told: an account, or why none. */
export type Belonging = { readonly accountId: string } | { readonly payerKeyId: string } | { readonly unknown: string };

/**
 * Brings the ledger to agree with its node again. Each orphan is dealt with once, in one transaction, however many do so at the same time:
 * a payment received becomes its deposit, one that was made becomes its withdrawal, or the operator says that it is none of the ledger's.
 */
export class Reconciling {
  readonly #options: ReconcilingOptions;

  constructor(options: ReconcilingOptions) {
    this.#options = options;
  }

  /** What the node has and the ledger has not, the oldest first: all of it, or as much as `limit`. */
  open(limit?: number): Promise<Orphan[]> {
    return openOrphans(this.#options.pool, this.#options.wallet.nodeId, limit);
  }

  /** How much of it there is. */
  count(): Promise<number> {
    return countOrphans(this.#options.pool, this.#options.wallet.nodeId);
  }

  /** One payment of it; undefined where it was dealt with, or never was. */
  find(direction: Orphan['direction'], paymentHash: Buffer): Promise<Orphan | undefined> {
    return findOrphan(this.#options.pool, this.#options.wallet.nodeId, { direction, paymentHash });
  }

  /** Whose an orphan is: by the seal in the invoice that was paid, or by the withdrawal that counts as failed. */
  async belongsTo(orphan: Orphan): Promise<Belonging> {
    const { pool } = this.#options;
    if (orphan.direction === 'paid') {
      const { rows } = await pool.query<{ account_id: string }>(`select account_id from withdrawals where payment_hash = $1`, [
        orphan.paymentHash,
      ]);
      return rows[0] ? { accountId: rows[0].account_id } : { unknown: 'the ledger knows no such withdrawal' };
    }
    const sealed = this.#sealed(orphan);
    if (!sealed) return { unknown: await this.#whyUnsealed(orphan) };
    if ('payerKeyId' in sealed.owner) return sealed.owner;
    const { rowCount } = await pool.query(`select from accounts where id = $1`, [sealed.owner.accountId]);
    return rowCount === 1 ? sealed.owner : { unknown: `its account ${sealed.owner.accountId} is not in this database` };
  }

  /**
   * Credits an orphan to the account that its seal names (the payer's own, made now, where it names a key row), or to `accountId`. Gives
   * false where another process has dealt with it. Throws CannotReconcileError where it cannot be told whose it is.
   */
  async credit(orphan: Orphan, accountId?: string, also?: Also): Promise<boolean> {
    const { pool, wallet } = this.#options;
    const sealed = this.#sealed(orphan);
    const owner: InvoiceOwner | undefined = accountId === undefined ? sealed?.owner : { accountId };
    if (!owner) throw new CannotReconcileError('its description has no seal of this gateway: name the account that it is for');
    const credit = async (client: PoolClient): Promise<boolean> => {
      if ('accountId' in owner) await lockExisting(client, owner.accountId);
      const locked = await lockOrphan(client, wallet.nodeId, orphan);
      if (!locked) return false;
      const creditedTo = 'accountId' in owner ? owner.accountId : await this.#payerAccount(client, owner.payerKeyId);
      const invoiceId = sealed?.invoiceId ?? randomUUID();
      const received = { accountId: creditedTo, invoiceId, paymentHash: locked.paymentHash, receivedMsat: locked.amountMsat };
      const { transferId } = await postDeposit(client, received);
      await this.#addPaidInvoice(client, locked, { ...received, transferId, payerKeyId: 'payerKeyId' in owner ? owner.payerKeyId : null });
      await resolveOrphan(client, wallet.nodeId, locked, 'credited');
      await tellWithCommit(client, creditedTo);
      await also?.(client, creditedTo);
      return true;
    };
    return transaction(pool, credit, { promised: true });
  }

  /**
   * Books what the node paid as a withdrawal of `accountId`, or of the account whose withdrawal counts as failed. Gives false where another
   * process has dealt with it. Throws CannotReconcileError where it is nobody's known, or the account does not have as much any more.
   */
  async book(orphan: Orphan, accountId?: string, also?: Also): Promise<boolean> {
    const { pool, wallet } = this.#options;
    const belonging = await this.belongsTo(orphan);
    const bookedTo = accountId ?? ('accountId' in belonging ? belonging.accountId : undefined);
    if (bookedTo === undefined) throw new CannotReconcileError('the ledger knows no such withdrawal: name the account that was paid out');
    const book = async (client: PoolClient): Promise<boolean> => {
      await lockExisting(client, bookedTo);
      const locked = await lockOrphan(client, wallet.nodeId, orphan);
      if (!locked) return false;
      if (locked.pending) throw new CannotReconcileError('the node still tries to pay it: ask again when that has ended');
      const paidMsat = msat(locked.amountMsat + locked.feeMsat);
      if (!(await holdWithdrawal(client, bookedTo, paidMsat))) {
        throw new CannotReconcileError(`account ${bookedTo} does not have the ${paidMsat} msat any more that were paid out for it`);
      }
      const posting = { accountId: bookedTo, paymentHash: locked.paymentHash, heldMsat: paidMsat, paidMsat };
      const { transferId } = await postWithdrawal(client, posting);
      await this.#setPaidWithdrawal(client, locked, { accountId: bookedTo, transferId });
      await resolveOrphan(client, wallet.nodeId, locked, 'booked');
      await tellWithCommit(client, bookedTo);
      await also?.(client, bookedTo);
      return true;
    };
    return transaction(pool, book, { promised: true });
  }

  /** Notes that an orphan is none of the ledger's, or is to stay as it is. Gives false where another process has dealt with it. */
  dismiss(orphan: Orphan, also?: Also): Promise<boolean> {
    const { pool, wallet } = this.#options;
    return transaction(pool, async (client) => {
      const locked = await lockOrphan(client, wallet.nodeId, orphan);
      if (!locked) return false;
      await resolveOrphan(client, wallet.nodeId, locked, 'dismissed');
      await also?.(client, null);
      return true;
    });
  }

  /** A wallet that keeps what payers were shown of a Lightning Address has no room for a seal. Anybody can write such a text: the operator decides. */
  async #whyUnsealed({ description }: Orphan): Promise<string> {
    const handle = handleInMetadata(description ?? '');
    if (handle === undefined) return "its description has no seal of this gateway's";
    const { rows } = await this.#options.pool.query<{ account_id: string }>(`select account_id from lightning_handles where handle = $1`, [
      handle,
    ]);
    return `its description says that it is for the Lightning Address ${handle}@…, ${rows[0] ? `which is of account ${rows[0].account_id}` : 'which nobody has'}`;
  }

  /** What a genuine seal says. One that was copied into another invoice says nothing: our invoices' hashes follow from their ids. */
  #sealed({ description, paymentHash }: Orphan): ReturnType<typeof readSeal> {
    const { roots, wallet } = this.#options;
    const sealed = description === null ? null : readSeal(roots, description);
    if (!sealed || !wallet.takesPreimage) return sealed;
    try {
      invoicePreimage(roots, sealed.invoiceId, paymentHash);
      return sealed;
    } catch {
      return null;
    }
  }

  /** The account of the key row that a keyless payment makes: it may have been made by another of that payer's by now. */
  async #payerAccount(client: PoolClient, keyId: string): Promise<string> {
    const { rows } = await client.query<{ account_id: string }>(`select account_id from api_keys where id = $1`, [keyId]);
    return rows[0]?.account_id ?? insertPayerAccount(client, { keyId, dailyBudgetPicoUsd: this.#options.dailyBudgetPicoUsd });
  }

  async #addPaidInvoice(
    client: PoolClient,
    orphan: Orphan,
    row: { accountId: string; invoiceId: string; payerKeyId: string | null; transferId: bigint },
  ): Promise<void> {
    const { wallet } = this.#options;
    if (orphan.bolt11 === null) throw new CannotReconcileError('the node does not tell the text of its invoice');
    const { amountMsat, expiresAt } = readPaymentRequest(orphan.bolt11, wallet.network);
    const { rowCount } = await client.query(
      `insert into invoices (id, account_id, backend, node_id, network, payment_hash, bolt11, amount_sat, state, received_msat, transfer_id,
         expires_at, paid_at, credited_at, payer_key_id)
       values ($1, $2, $3, $4, $5, $6, $7, $8, 'paid', $9, $10, $11, coalesce($12, clock_timestamp()), clock_timestamp(), $13)
       on conflict do nothing`,
      [
        ...[row.invoiceId, row.accountId, wallet.backend, wallet.nodeId, wallet.network, orphan.paymentHash, orphan.bolt11],
        ...[divideRoundingUp(amountMsat, 1000n), orphan.amountMsat, row.transferId, expiresAt, orphan.happenedAt, row.payerKeyId],
      ],
    );
    if (rowCount !== 1)
      throw new CannotReconcileError('the ledger has an invoice of this hash, id or payer: it is credited as its node says');
  }

  async #setPaidWithdrawal(client: PoolClient, orphan: Orphan, row: { accountId: string; transferId: bigint }): Promise<void> {
    const { wallet } = this.#options;
    const { rowCount } = await client.query(
      `update withdrawals set state = 'paid', failure = null, fee_msat = $2, fee_limit_msat = greatest(fee_limit_msat, $2), transfer_id = $3,
         sent_at = coalesce(sent_at, $4, created_at), deadline_at = coalesce(deadline_at, $4, created_at)
       where payment_hash = $1 and account_id = $5 and state = 'failed'`,
      [orphan.paymentHash, orphan.feeMsat, row.transferId, orphan.happenedAt, row.accountId],
    );
    if (rowCount === 1) return;
    if (orphan.bolt11 === null) throw new CannotReconcileError('the node does not tell the invoice that it paid');
    const { expiresAt } = readPaymentRequest(orphan.bolt11, wallet.network);
    const added = await client.query(
      `insert into withdrawals (id, account_id, key_id, backend, node_id, network, payment_hash, bolt11, amount_msat, fee_limit_msat, fee_msat,
         state, transfer_id, idempotency_sha256, expires_at, sent_at, deadline_at, resolved_at)
       select $1, $2, (select id from api_keys where account_id = $2 order by role = 'owner' desc, created_at limit 1), $3, $4, $5, $6, $7, $8,
         $9, $9, 'paid', $10, $11, $12, coalesce($13, clock_timestamp()), coalesce($13, clock_timestamp()), clock_timestamp()
       on conflict do nothing`,
      [
        ...[randomUUID(), row.accountId, wallet.backend, wallet.nodeId, wallet.network, orphan.paymentHash, orphan.bolt11],
        ...[orphan.amountMsat, orphan.feeMsat, row.transferId, createHash('sha256').digest(), expiresAt, orphan.happenedAt],
      ],
    );
    if (added.rowCount !== 1)
      throw new CannotReconcileError("the ledger has a withdrawal of this payment that is another account's or under way");
  }
}

async function lockExisting(client: PoolClient, accountId: string): Promise<void> {
  const { rowCount } = await client.query(`select from accounts where id = $1`, [accountId]);
  if (rowCount !== 1) throw new CannotReconcileError(`account ${accountId} is not in this database: name the account that it is for`);
  await lockAccount(client, accountId);
}
