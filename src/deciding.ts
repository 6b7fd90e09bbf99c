import type { Pool } from './db/postgres.ts';
import { GatewayError } from './errors.ts';
import type { Msat } from './amount.ts';
import { secondsBehind } from './lightning/node-clock.ts';
import { giveUpNode, isGone, openElsewhere, type OpenElsewhere } from './lightning/other-nodes.ts';
import type { Wallet } from './lightning/wallet.ts';
import { withdrawalFromRow, WITHDRAWAL_COLUMNS, type Withdrawal, type WithdrawalRow } from './withdrawals/withdrawal.ts';
import { SETTLED_SECONDS, Withdrawals } from './withdrawals/withdrawals.ts';
import { CannotReconcileError } from './operator/reconciling.ts';

type AskedWallet = Pick<Wallet, 'backend' | 'nodeId' | 'network' | 'payments'>;

export interface DecidingOptions {
  pool: Pool;
  /** The current wallet, and then those of before. */
  wallets: readonly [AskedWallet, ...AskedWallet[]];
  /** Whether a wallet of before is configured and could not be opened: which node it is cannot be told then. */
  lacksOne: boolean;
}

/** A withdrawal that no node's word will ever end. */
export interface Undecided extends Withdrawal {
  readonly nodeId: string;
  /** Whether its node is asked and has no record of a payment that it had; else its node is none that is configured. */
  readonly forgotten: boolean;
}

/**
 * What only the operator can end: withdrawals whose node has lost its record of the payment, or is gone for good, and a gone node's open
 * invoices. A node that can be asked decides for itself, and no withdrawal is decided while its invoice can still be paid.
 */
export class Deciding {
  readonly #options: DecidingOptions;
  readonly #wallets: ReadonlyMap<string, AskedWallet>;
  readonly #withdrawals: Withdrawals;

  constructor(options: DecidingOptions) {
    this.#options = options;
    this.#wallets = new Map(options.wallets.map((wallet) => [wallet.nodeId, wallet]));
    this.#withdrawals = new Withdrawals(options.pool, options.wallets[0]);
  }

  /** The withdrawals that wait for the operator, the oldest first. */
  async undecided(): Promise<Undecided[]> {
    const { rows } = await this.#options.pool.query<WithdrawalRow & { node_id: string }>(
      `select ${WITHDRAWAL_COLUMNS}, node_id from withdrawals
       where state in ('creating', 'sent') and (known_at is not null or node_id <> all ($1)) order by created_at`,
      [[...this.#wallets.keys()]],
    );
    const found: Undecided[] = [];
    for (const row of rows) {
      const wallet = this.#wallets.get(row.node_id);
      if (wallet && !(await isForgotten(wallet, row.payment_hash))) continue;
      found.push({ ...withdrawalFromRow(row), nodeId: row.node_id, forgotten: wallet !== undefined });
    }
    return found;
  }

  /**
   * Books a withdrawal as paid with the fee `paid`, or releases what is held for it. Gives false where it is final already. Throws
   * CannotReconcileError where its node can tell, or its invoice can still be paid.
   */
  async decide(id: string, { paid }: { paid: Msat | undefined }): Promise<boolean> {
    const found = await this.#withdrawals.find(id);
    if (!found) throw new CannotReconcileError(`the ledger knows no withdrawal ${id}`);
    const { nodeId, payableSeconds } = await this.#terms(found);
    await this.#requireNoWord(found, nodeId);
    if (found.state === 'paid' && paid !== undefined) return this.#acknowledge(id);
    if (payableSeconds > 0)
      throw new CannotReconcileError(`its invoice can still be paid: decide in ${Math.ceil(payableSeconds / 60)} minutes`);
    if (paid !== undefined && paid > found.feeLimitMsat)
      throw new CannotReconcileError(`a fee of ${paid} msat is more than the ${found.feeLimitMsat} msat that are held for it`);
    return this.#withdrawals.decided(id, { paid });
  }

  /** What is open with nodes that are neither asked nor known to be gone. */
  elsewhere(): Promise<OpenElsewhere[]> {
    return openElsewhere(this.#options.pool, [...this.#wallets.keys()]);
  }

  /** Notes that a node is gone for good. Throws CannotReconcileError for one that is asked, and where nothing is open with it. */
  async giveUp(nodeId: string): Promise<boolean> {
    const { pool, lacksOne } = this.#options;
    if (this.#wallets.has(nodeId)) throw new CannotReconcileError('the configuration names this node: it is asked, and decides for itself');
    if (lacksOne)
      throw new CannotReconcileError('the wallet of before that the configuration names cannot be reached, and may be this node');
    if (!(await this.elsewhere()).some((other) => other.nodeId === nodeId) && !(await isGone(pool, nodeId)))
      throw new CannotReconcileError('nothing is open with this node');
    return giveUpNode(pool, nodeId);
  }

  /** Where a withdrawal was made, and for how long its invoice can still be paid, by the clocks of the database and of the node. */
  async #terms({ id, accountId }: Withdrawal): Promise<{ nodeId: string; payableSeconds: number }> {
    const { pool, wallets } = this.#options;
    const { rows } = await pool.query<{ node_id: string; seconds: number }>(
      `select node_id, extract(epoch from greatest(expires_at, deadline_at) - clock_timestamp())::float8 as seconds from withdrawals where id = $1`,
      [id],
    );
    const [row] = rows;
    if (!row) throw new CannotReconcileError(`the ledger knows no withdrawal ${id}`);
    const { node_id: nodeId, seconds } = row;
    const behind = await secondsBehind(pool, { accountId, nodeId, network: wallets[0].network });
    return { nodeId, payableSeconds: seconds + SETTLED_SECONDS + behind };
  }

  /** Throws CannotReconcileError where the word of a withdrawal's node can be had, or may come. */
  async #requireNoWord(withdrawal: Withdrawal, nodeId: string): Promise<void> {
    const wallet = this.#wallets.get(nodeId);
    if (!wallet) {
      if (await isGone(this.#options.pool, nodeId)) return;
      throw new CannotReconcileError(
        `it was made with node ${nodeId}: name that as the old one (LND_OLD_SOCKET), or, where it never comes back, add --gone ${nodeId}`,
      );
    }
    if (!(await isForgotten(wallet, withdrawal.paymentHash)))
      throw new CannotReconcileError('its node has the payment on record, or cannot be asked now: it goes on by its word');
    if (!withdrawal.known && (withdrawal.state === 'creating' || withdrawal.state === 'sent'))
      throw new CannotReconcileError('its node never had the payment: it is released by itself once its invoice cannot be paid any more');
  }

  /** Ends the audit's remark on a booked withdrawal that its node has no record of any more. */
  async #acknowledge(id: string): Promise<boolean> {
    const { rowCount } = await this.#options.pool.query(
      `update withdrawals set decided_at = clock_timestamp() where id = $1 and state = 'paid' and decided_at is null`,
      [id],
    );
    return rowCount === 1;
  }
}

/** Whether a node says of itself that it has no record of a payment; a node that cannot be asked does not. */
async function isForgotten({ payments }: AskedWallet, paymentHash: Buffer): Promise<boolean> {
  try {
    return (await payments?.lookupPayment(paymentHash)) === null;
  } catch (error) {
    if (error instanceof GatewayError) return false;
    throw error;
  }
}
