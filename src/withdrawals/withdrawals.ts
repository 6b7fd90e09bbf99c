import { randomUUID } from 'node:crypto';
import { validate as isUuid } from 'uuid';
import { tellWithCommit } from '../accounts/account-changes.ts';
import { lockAccountAs, type ActingKey } from '../accounts/acting-key.ts';
import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { msat, type Msat, type PicoUsdPerMsat } from '../amount.ts';
import { lockAccount } from '../ledger/deposit.ts';
import { holdWithdrawal, postWithdrawal, releaseWithdrawal } from '../ledger/withdrawal.ts';
import { secondsBehind } from '../lightning/node-clock.ts';
import { noOrphans } from '../invoices/orphans.ts';
import { refusedRequest, type PaymentRequest } from '../lightning/payment-request.ts';
import type { Wallet } from '../lightning/wallet.ts';
import { withdrawalFromRow, WITHDRAWAL_COLUMNS, type Withdrawal, type WithdrawalRow } from './withdrawal.ts';

const MOST_PENDING = 5;
/** When to ask again while an operator has something to do. */
const RECONCILED_SECONDS = 300;
/** How long an invoice must still live. With less time, it could expire while a route is looked for. */
const LEAST_LIFE_SECONDS = 60;
/**
 * The longest life of an invoice: a day, and an hour for clocks that differ. A call that was lost on its way
 * to the node holds the money as long.
 */
const MOST_LIFE_SECONDS = 25 * 3600;
/** How long after the invoice's expiry a node's "no such payment" begins to count. */
export const SETTLED_SECONDS = 60;
const NOT_FOUND_COUNTS = 2;

export interface NewWithdrawal {
  owner: ActingKey;
  request: PaymentRequest;
  feeLimitMsat: Msat;
  idempotencyKey: string;
  bodySha256: Buffer;
  onHeld?: ((client: PoolClient, withdrawalId: string) => Promise<void>) | undefined;
}

/**
 * The rows of `withdrawals`. In state `creating`, the money is held and nothing was sent. Only the process
 * that moves the row to `sent` asks the node to pay. From then on only the node's word counts, and the ledger
 * follows in the same transaction.
 */
export class Withdrawals {
  readonly #pool: Pool;
  readonly #wallet: Pick<Wallet, 'backend' | 'nodeId' | 'network'>;

  readonly #rateNow: () => PicoUsdPerMsat | null;

  /** `rateNow`: the exchange rate that statements tell of what was paid out. */
  constructor(pool: Pool, wallet: Pick<Wallet, 'backend' | 'nodeId' | 'network'>, rateNow: () => PicoUsdPerMsat | null = () => null) {
    this.#pool = pool;
    this.#wallet = wallet;
    this.#rateNow = rateNow;
  }

  /**
   * The row for a withdrawal, with its amount and fee limit held: a new row, or that of the same idempotency
   * key (`replayed`). Throws GatewayError `idempotency_conflict` for the same key with another body,
   * `invalid_request` for an invoice that must not be paid, `insufficient_balance`, `rate_limit_exceeded`
   * while too many withdrawals of the account are pending, and what `lockAccountAs` throws.
   */
  async reserve(wanted: NewWithdrawal): Promise<{ withdrawal: Withdrawal; replayed: boolean }> {
    const { owner, idempotencyKey, bodySha256 } = wanted;
    const { accountId } = owner;
    return transaction(this.#pool, async (client) => {
      await lockAccountAs(client, owner, 'owner');
      await client.query(
        `update withdrawals set idempotency_key = null where account_id = $1 and idempotency_key = $2 and created_at < now() - interval '24 hours'`,
        [accountId, idempotencyKey],
      );
      const same = await one(client, `account_id = $1 and idempotency_key = $2`, [accountId, idempotencyKey]);
      if (same && !same.idempotency_sha256.equals(bodySha256)) throw new GatewayError('idempotency_conflict', { param: 'idempotency-key' });
      if (same) return { withdrawal: withdrawalFromRow(same), replayed: true };
      await refuse(client, wanted, this.#wallet.nodeId);
      const row = await this.#insert(client, wanted);
      const heldMsat = msat(wanted.request.amountMsat + wanted.feeLimitMsat);
      if (!(await holdWithdrawal(client, accountId, heldMsat))) {
        const message = 'The available balance does not cover the amount and the highest fee.';
        throw new GatewayError('insufficient_balance', { message, fields: { needed_msat: Number(heldMsat) } });
      }
      await wanted.onHeld?.(client, row.id);
      await tellWithCommit(client, accountId);
      return { withdrawal: withdrawalFromRow(row), replayed: false };
    });
  }

  async #insert(client: PoolClient, { owner, request, feeLimitMsat, idempotencyKey, bodySha256 }: NewWithdrawal) {
    const { backend, nodeId, network } = this.#wallet;
    const { rows } = await client.query<WithdrawalRow>(
      `insert into withdrawals (id, account_id, key_id, backend, node_id, network, payment_hash, bolt11, amount_msat, fee_limit_msat,
         idempotency_key, idempotency_sha256, expires_at, next_check_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, clock_timestamp() + interval '15 seconds')
       on conflict (payment_hash) do nothing returning ${WITHDRAWAL_COLUMNS}`,
      [
        ...[randomUUID(), owner.accountId, owner.id, backend, nodeId, network, request.paymentHash, request.bolt11, request.amountMsat],
        ...[feeLimitMsat, idempotencyKey, bodySha256, request.expiresAt],
      ],
    );
    const [row] = rows;
    if (!row) throw refusedRequest('This invoice was given to a withdrawal before. Ask for another one.');
    return row;
  }

  /** A row by its id, of the given account where one is given. */
  async find(id: string, accountId?: string): Promise<Withdrawal | undefined> {
    if (!isUuid(id)) return undefined;
    const row = await one(this.#pool, `id = $1 and ($2::uuid is null or account_id = $2)`, [id, accountId ?? null]);
    return row && withdrawalFromRow(row);
  }

  /**
   * Moves a row from `creating` to `sent`, so that only this caller may ask the node, which has `trySeconds`
   * from now. Returns undefined and leaves the row as it is if another caller was first, if the invoice
   * expires before that, or if the node's books have something that the ledger does not know.
   */
  async claim(id: string, trySeconds: number): Promise<Withdrawal | undefined> {
    const claim = (client: PoolClient) =>
      client.query<WithdrawalRow>(
        `update withdrawals set state = 'sent', sent_at = clock_timestamp(), deadline_at = clock_timestamp() + make_interval(secs => $2),
         next_check_at = clock_timestamp() + interval '5 seconds'
       where id = $1 and state = 'creating' and node_id = $3 and expires_at > clock_timestamp() + make_interval(secs => $2)
         and ${noOrphans('$3')}
       returning ${WITHDRAWAL_COLUMNS}`,
        [id, trySeconds, this.#wallet.nodeId],
      );
    const { rows } = await transaction(this.#pool, claim, { promised: true });
    return rows[0] && withdrawalFromRow(rows[0]);
  }

  /** Whether the invoice expires before the node has to stop trying. */
  async tooLate(id: string, trySeconds: number): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      `select from withdrawals where id = $1 and expires_at <= clock_timestamp() + make_interval(secs => $2)`,
      [id, trySeconds],
    );
    return rowCount === 1;
  }

  /** Posts what a sent withdrawal paid. Does nothing if the withdrawal is final already. */
  async paid(id: string, feeMsat: Msat): Promise<boolean> {
    return this.#resolve(id, isSent, (client, row) => post(client, row, feeMsat, this.#rateNow()));
  }

  /** Releases the money of a withdrawal that was not made. Does nothing if the row has left the state `from`. */
  async failed(id: string, from: 'creating' | 'sent', failure: string): Promise<boolean> {
    return this.#release(id, ({ state }) => state === from, failure);
  }

  async #release(id: string, may: (withdrawal: Withdrawal) => boolean, failure: string): Promise<boolean> {
    return this.#resolve(id, may, (client, row) => release(client, row, failure));
  }

  /**
   * Ends a pending withdrawal by the operator's word, because its node can no longer tell: posts it with the
   * fee `paid`, or releases it. Does nothing if it is final already.
   */
  async decided(id: string, { paid }: { paid: Msat | undefined }): Promise<boolean> {
    return this.#resolve(id, isPending, async (client, row) => {
      if (paid === undefined) await release(client, row, 'given_up');
      else await post(client, row, paid, this.#rateNow());
      await client.query(`update withdrawals set decided_at = clock_timestamp() where id = $1`, [id]);
    });
  }

  async #resolve(
    id: string,
    may: (withdrawal: Withdrawal) => boolean,
    work: (client: PoolClient, row: Withdrawal) => Promise<void>,
  ): Promise<boolean> {
    const seen = await this.find(id);
    if (!seen || !may(seen)) return false;
    const resolve = async (client: PoolClient): Promise<boolean> => {
      await lockAccount(client, seen.accountId);
      const row = await one(client, `id = $1 for update`, [id]);
      const withdrawal = row && withdrawalFromRow(row);
      if (!withdrawal || !may(withdrawal)) return false;
      await work(client, withdrawal);
      await tellWithCommit(client, seen.accountId);
      return true;
    };
    return transaction(this.#pool, resolve, { promised: true });
  }

  /** The node was not asked to pay after all, and this claim will not ask it any more: the next claim may. */
  async unclaim(id: string): Promise<void> {
    await this.#pool.query(
      `update withdrawals set state = 'creating', sent_at = null, deadline_at = null, next_check_at = clock_timestamp() + interval '5 seconds'
       where id = $1 and state = 'sent'`,
      [id],
    );
  }

  /**
   * The node knows no such payment. If that is final, releases the money and returns true. A call that asks
   * for the payment may be held up on its way for any time, by the kernel or by something in between, even
   * after this end has closed the connection. But a node refuses to pay an invoice that has expired by the
   * node's own clock. So its word counts from then on, if it says so twice, and never if the node had the
   * payment before.
   */
  async notFound({ id, accountId }: Withdrawal): Promise<boolean> {
    const { nodeId, network } = this.#wallet;
    const settledSeconds = SETTLED_SECONDS + (await secondsBehind(this.#pool, { accountId, nodeId, network }));
    await this.#pool.query(
      `update withdrawals w set checks = checks + 1,
         not_found = case when not counts then 0 when next_check_at <= clock_timestamp() then not_found + 1 else not_found end,
         next_check_at = clock_timestamp() + case when counts then interval '5 seconds' else make_interval(secs => least(60, 2 ^ least(checks, 6))) end
       from (select clock_timestamp() >= greatest(expires_at, deadline_at) + make_interval(secs => $2) and known_at is null as counts
             from withdrawals where id = $1) its
       where id = $1 and state = 'sent'`,
      [id, settledSeconds],
    );
    const isUnknown = (row: Withdrawal): boolean => isSent(row) && !row.known && row.notFound >= NOT_FOUND_COUNTS;
    return this.#release(id, isUnknown, 'unknown_to_node');
  }

  /**
   * Not final yet: the node is asked again, soon at first and every minute in the end. `known`: the node said
   * that it has the payment. `found`: the node did not say that it has none.
   */
  async postpone(id: string, { found = false, known = false }: { found?: boolean; known?: boolean } = {}): Promise<void> {
    await this.#pool.query(
      `update withdrawals set checks = checks + 1, not_found = case when $2 then 0 else not_found end,
         known_at = case when $3 then coalesce(known_at, clock_timestamp()) else known_at end,
         next_check_at = clock_timestamp() + make_interval(secs => least(60, 2 ^ least(checks, 6)))
       where id = $1 and next_check_at is not null`,
      [id, found, known],
    );
  }

  /** Up to `limit` rows of this node whose time has come, the longest overdue first. */
  async due(limit: number): Promise<Withdrawal[]> {
    const { rows } = await this.#pool.query<WithdrawalRow>(
      `select ${WITHDRAWAL_COLUMNS} from withdrawals where next_check_at <= clock_timestamp() and node_id = $1 order by next_check_at limit $2`,
      [this.#wallet.nodeId, limit],
    );
    return rows.map(withdrawalFromRow);
  }
}

/**
 * If a node pays a withdrawal, it was asked to, whatever the row says. The row goes on by the node's word: it
 * is neither sent again nor released.
 */
export async function recordAsSent(pool: Pool, id: string): Promise<void> {
  await pool.query(
    `update withdrawals set state = 'sent', sent_at = clock_timestamp(), deadline_at = clock_timestamp(), next_check_at = clock_timestamp()
     where id = $1 and state = 'creating'`,
    [id],
  );
}

const isSent = ({ state }: Withdrawal): boolean => state === 'sent';
const isPending = ({ state }: Withdrawal): boolean => state === 'sent' || state === 'creating';

async function post(client: PoolClient, row: Withdrawal, feeMsat: Msat, picoUsdPerMsat: PicoUsdPerMsat | null): Promise<void> {
  // A node keeps to the fee limit. If one does not, the house pays the rest, because the money must not stay
  // held.
  const fee = feeMsat < 0n ? 0n : feeMsat < row.feeLimitMsat ? feeMsat : row.feeLimitMsat;
  const paidMsat = msat(row.amountMsat + fee);
  const { transferId } = await postWithdrawal(client, {
    ...row,
    heldMsat: heldFor(row),
    paidMsat,
    picoUsdPerMsat,
    via: row.byCode ? 'lnurl' : null,
  });
  await client.query(
    `update withdrawals set state = 'paid', fee_msat = $2, transfer_id = $3, resolved_at = clock_timestamp(), next_check_at = null,
       sent_at = coalesce(sent_at, created_at), deadline_at = coalesce(deadline_at, created_at)
     where id = $1`,
    [row.id, fee, transferId],
  );
}

async function release(client: PoolClient, row: Withdrawal, failure: string): Promise<void> {
  await releaseWithdrawal(client, row.accountId, heldFor(row));
  await client.query(
    `update withdrawals set state = 'failed', failure = $2, resolved_at = clock_timestamp(), next_check_at = null where id = $1`,
    [row.id, failure],
  );
}

function heldFor({ amountMsat, feeLimitMsat }: Withdrawal): Msat {
  return msat(amountMsat + feeLimitMsat);
}

/**
 * The refusals that are decided under the account's lock: one withdrawal too many, an invoice that must not
 * be paid.
 */
async function refuse(client: PoolClient, { owner, request }: NewWithdrawal, nodeId: string): Promise<void> {
  const { rows } = await client.query<{ pending: bigint; ours: boolean; lasts: boolean; too_long: boolean; agreed: boolean }>(
    `select
       (select count(*) from withdrawals where account_id = $1 and state in ('creating', 'sent')) as pending,
       exists (select from invoices where payment_hash = $2) as ours,
       $3::timestamptz >= clock_timestamp() + make_interval(secs => $4) as lasts,
       $3::timestamptz > clock_timestamp() + make_interval(secs => $5) as too_long,
       ${noOrphans('$6')} as agreed`,
    [owner.accountId, request.paymentHash, request.expiresAt, LEAST_LIFE_SECONDS, MOST_LIFE_SECONDS, nodeId],
  );
  const [found] = rows;
  if (!found) throw new Error('no verdict on a withdrawal');
  if (!found.agreed) {
    const message = "Withdrawals wait until the operator has reconciled the ledger with the node's books. Nothing was held.";
    throw new GatewayError('lightning_unavailable', { message, retryAfter: RECONCILED_SECONDS });
  }
  if (found.ours) throw refusedRequest("The invoice is this gateway's own.");
  if (!found.lasts) throw refusedRequest('The invoice has expired or is about to. Ask for another one.');
  if (found.too_long) throw refusedRequest('The invoice can be paid for more than a day. Ask for one that expires within 24 hours.');
  if (found.pending >= MOST_PENDING) {
    throw new GatewayError('rate_limit_exceeded', {
      message: `${MOST_PENDING} withdrawals of the account are still under way.`,
      retryAfter: 10,
    });
  }
}

async function one(client: Pool | PoolClient, condition: string, values: unknown[]): Promise<WithdrawalRow | undefined> {
  const { rows } = await client.query<WithdrawalRow>(`select ${WITHDRAWAL_COLUMNS} from withdrawals where ${condition}`, values);
  return rows[0];
}
