import { setTimeout as delay } from 'node:timers/promises';
import type { ActingKey } from './accounts/acting-key.ts';
import type { Msat } from './amount.ts';
import type { Pool, PoolClient } from './db/postgres.ts';
import { GatewayError } from './errors.ts';
import { OtherNetwork } from './ledger/network.ts';
import { readAvailable } from './ledger/balance.ts';
import { feeLimit, mostWithdrawable } from './ledger/withdrawal.ts';
import { auditedPlaces } from './lightning/audited-places.ts';
import { comparePaid } from './node-audit/compare-paid.ts';
import { compareReceived } from './node-audit/compare-received.ts';
import { tellOfLongWithdrawals } from './withdrawals/long-withdrawals.ts';
import { NodeQueue } from './lightning/node-queue.ts';
import { readPaymentRequest, refusedRequest } from './lightning/payment-request.ts';
import { NotAskedError, type Payments, type Wallet } from './lightning/wallet.ts';
import type { Withdrawal } from './withdrawals/withdrawal.ts';
import { recordAsSent, Withdrawals } from './withdrawals/withdrawals.ts';
import type { Logger } from './log.ts';
import { rateOrNull, type ExchangeRate } from './pricing/exchange-rate.ts';
import type { Observe } from './observation.ts';

export interface WithdrawingOptions {
  pool: Pool;
  wallet: Pick<Wallet, 'backend' | 'nodeId' | 'network' | 'payments' | 'books' | 'status'>;
  /** Those of before: what they were asked to pay is followed to its end. */
  oldWallets?: readonly Pick<Wallet, 'backend' | 'nodeId' | 'network' | 'payments'>[];
  log: Logger;
  observe: Observe;
  /** Whether the operator allows withdrawals. Those made before go on to their end all the same. */
  allowed: boolean;
  /** The most that routing may cost, in per cent of the amount. */
  maxFeePercent: number;
  /** Noted with what is paid out; statements tell none where it is left out. */
  exchangeRate?: Pick<ExchangeRate, 'current'> | undefined;
  /** How long an answer waits for the outcome before it tells of a pending withdrawal. */
  answerMs?: number;
}

/** Where a withdrawal is, and who tells of it. */
interface Node {
  readonly withdrawals: Withdrawals;
  readonly payments: Payments | undefined;
}

/** What an owner asks for. */
export interface WithdrawalRequest {
  owner: ActingKey;
  paymentRequest: string;
  /** Lowers the operator's limit. */
  maxFeeSats?: number | undefined;
  idempotencyKey: string;
  /** SHA-256 of the request's bytes. */
  bodySha256: Buffer;
  /** Called once the money is held, in the same transaction: what it rejects with undoes the hold. */
  onHeld?: (client: PoolClient, withdrawalId: string) => Promise<void>;
}

/** How long the node looks for a route. */
const TRY_SECONDS = 30;
/** From the row's change to `sent` until the node must have been asked. */
const START_MS = 5_000;
const ANSWER_MS = 3_000;

/**
 * The way out: an account's own balance, paid to an invoice of its owner's choice. Held first, sent once, and posted or released on the
 * node's own word alone: as long as that is not known, the money stays held.
 */
export class Withdrawing {
  readonly #options: WithdrawingOptions;
  readonly #withdrawals: Withdrawals;
  readonly #otherNetwork: OtherNetwork;
  /** By node: only its own word on a withdrawal counts. */
  readonly #nodes: ReadonlyMap<string, Node>;
  readonly #queue = new NodeQueue({ atOnce: 4, mostWaiting: 64 });
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: WithdrawingOptions) {
    this.#options = options;
    this.#otherNetwork = new OtherNetwork(options.observe);
    const { pool, wallet, oldWallets = [] } = options;
    const withdrawalsOf = (each: Pick<Wallet, 'backend' | 'nodeId' | 'network'>) =>
      new Withdrawals(pool, each, () => rateOrNull(options.exchangeRate));
    this.#withdrawals = withdrawalsOf(wallet);
    const old = oldWallets.map((each) => [each.nodeId, { withdrawals: withdrawalsOf(each), payments: each.payments }] as const);
    this.#nodes = new Map<string, Node>([...old, [wallet.nodeId, { withdrawals: this.#withdrawals, payments: wallet.payments }]]);
    if (options.allowed && !options.wallet.payments)
      options.log.warn('WITHDRAWALS is set, but this wallet can only receive: there are none');
  }

  // ——— Hold ———

  /**
   * Holds the amount and the highest fee and has the invoice paid; for a repeat with the same idempotency key, the withdrawal of the
   * first time as it is now (`replayed`). Throws GatewayError `not_permitted` where withdrawals are off, and as `Withdrawals.reserve` does.
   */
  async withdraw(wanted: WithdrawalRequest): Promise<{ withdrawal: Withdrawal; replayed: boolean }> {
    const { wallet, maxFeePercent, answerMs = ANSWER_MS } = this.#options;
    this.#requirePayments();
    const request = readPaymentRequest(wanted.paymentRequest, wallet.network);
    if (request.payee === wallet.nodeId) throw refusedRequest("The invoice is this gateway's own.");
    const feeLimitMsat = feeLimit(request.amountMsat, maxFeePercent, wanted.maxFeeSats);
    const { withdrawal, replayed } = await this.#otherNetwork.refuse(() => this.#withdrawals.reserve({ ...wanted, request, feeLimitMsat }));
    if (replayed) return { withdrawal, replayed };
    this.#options.observe({ kind: 'withdrawal_began', withdrawalId: withdrawal.id, amountMsat: withdrawal.amountMsat });
    const enough = new AbortController();
    await Promise.race([this.#sending(withdrawal.id), delay(answerMs, undefined, { signal: enough.signal }).catch(() => {})]);
    enough.abort();
    // Unreadable now, it is under way all the same: a repeat finds it.
    return { withdrawal: (await this.#withdrawals.find(withdrawal.id).catch(() => undefined)) ?? withdrawal, replayed };
  }

  /** A withdrawal of an account as last known. Throws GatewayError `not_found`, for another account's too. */
  async status(accountId: string, withdrawalId: string): Promise<Withdrawal> {
    const withdrawal = await this.#withdrawals.find(withdrawalId, accountId);
    if (!withdrawal) throw new GatewayError('not_found', { message: 'The withdrawal does not exist.' });
    return withdrawal;
  }

  /** The most that an account could withdraw now, in whole sats. Throws GatewayError `not_permitted` where withdrawals are off. */
  async most(accountId: string): Promise<Msat> {
    this.#requirePayments();
    return mostWithdrawable(await readAvailable(this.#options.pool, accountId), this.#options.maxFeePercent);
  }

  #requirePayments(): Payments {
    const { allowed, wallet } = this.#options;
    if (!allowed) throw new GatewayError('not_permitted', { message: 'Withdrawals are off: the operator does not offer them.' });
    if (!wallet.payments)
      throw new GatewayError('not_permitted', { message: "Withdrawals are off: the operator's wallet can only receive." });
    return wallet.payments;
  }

  // ——— Send ———

  /** Sends in the background; never rejects. What it could not do is left to `checkDue`. */
  #sending(id: string): Promise<void> {
    const sending = this.#queue
      .run(() => this.#send(id))
      .catch((error: unknown) => this.#options.observe({ kind: 'withdrawal_not_sent', err: error, withdrawalId: id }));
    this.#underWay.add(sending);
    return sending.finally(() => this.#underWay.delete(sending));
  }

  /**
   * Asks the node to pay a withdrawal that nobody has sent, and then what became of it. Rejects while the node is away or has paid what
   * the ledger does not know, with the row as it was: once it counts as sent, it could be released only long after.
   */
  async #send(id: string): Promise<void> {
    const payments = this.#requirePayments();
    const { ready, reason = 'the ledger lacks what the node has in its books' } = await this.#options.wallet.status();
    if (ready) await this.#compareBooks();
    const startBy = performance.now() + START_MS;
    const claimed = ready ? await this.#otherNetwork.refuse(() => this.#withdrawals.claim(id, TRY_SECONDS)) : undefined;
    if (!claimed) {
      const withdrawal = await this.#withdrawals.find(id);
      if (withdrawal?.state !== 'creating') return;
      if (!(await this.#withdrawals.tooLate(id, TRY_SECONDS)))
        throw new GatewayError('lightning_unavailable', { cause: new Error(reason) });
      await this.#giveUp(withdrawal, this.#options.wallet.nodeId);
      return;
    }
    const { bolt11, feeLimitMsat } = claimed;
    try {
      await payments.pay({ bolt11, maxFeeMsat: feeLimitMsat, tryMs: TRY_SECONDS * 1000, startBy });
    } catch (error) {
      // As before the claim, and told as then.
      if (error instanceof NotAskedError) {
        await this.#withdrawals.unclaim(id);
        throw error;
      }
      this.#options.observe({ kind: 'withdrawal_unanswered', err: error, withdrawalId: id });
    }
    await this.#check(claimed, this.#options.wallet.nodeId);
  }

  /**
   * Finds what the node paid and the ledger does not know, as after the restore of a backup: what is paid out now may have been paid out
   * before. Looked for before each claim, for a standby may have taken over a moment ago.
   */
  async #compareBooks(): Promise<void> {
    const { pool, wallet } = this.#options;
    const { invoices, payments } = wallet.books ?? {};
    if (!payments) return;
    // They tell since when the node is ours, where the backup is from before.
    if (invoices && (await auditedPlaces(pool, wallet.nodeId)).invoiceIndex === 0n)
      await compareReceived(pool, wallet, invoices, { full: false });
    await comparePaid(pool, wallet, payments, { full: false });
  }

  /** Ends a withdrawal that was never sent by this ledger's word, once its node says so too. Rejects where that cannot be had. */
  async #giveUp(withdrawal: Withdrawal, nodeId: string): Promise<void> {
    const found = await this.#node(nodeId).payments?.lookupPayment(withdrawal.paymentHash);
    if (!found) return this.#failed(withdrawal.id, 'creating', 'not_sent');
    await recordAsSent(this.#options.pool, withdrawal.id);
    return this.#check(withdrawal, nodeId);
  }

  // ——— Post or release ———

  /** Deals with up to `limit` withdrawals of a node whose time has come; gives how many there were. */
  async checkDue(limit: number, nodeId = this.#options.wallet.nodeId): Promise<number> {
    const due = await this.#node(nodeId).withdrawals.due(limit);
    await Promise.all(due.map((withdrawal) => this.#checkOne(withdrawal, nodeId)));
    return due.length;
  }

  async #checkOne(withdrawal: Withdrawal, nodeId: string): Promise<void> {
    const { id, state } = withdrawal;
    const { allowed, wallet, observe } = this.#options;
    const sends = allowed && wallet.payments && nodeId === wallet.nodeId;
    try {
      if (state === 'sent') await this.#queue.run(() => this.#check(withdrawal, nodeId));
      else if (sends) await this.#queue.run(() => this.#send(id));
      else await this.#giveUp(withdrawal, nodeId);
    } catch (error) {
      observe({ kind: 'withdrawal_not_checked', err: error, withdrawalId: id });
      await this.#withdrawals.postpone(id);
    }
  }

  /** Warns of the withdrawals that have been pending for long. */
  async tellOfLong(): Promise<void> {
    const { pool, wallet, observe } = this.#options;
    await tellOfLongWithdrawals(pool, wallet, observe);
  }

  /** Asks the node what became of a sent withdrawal, and acts on its word. Rejects where it cannot be had. */
  async #check(withdrawal: Withdrawal, nodeId: string): Promise<void> {
    const { id, paymentHash, amountMsat, feeLimitMsat } = withdrawal;
    const { observe } = this.#options;
    const { payments, withdrawals } = this.#node(nodeId);
    if (!payments) throw new GatewayError('lightning_unavailable', { message: 'The wallet cannot tell of payments.' });
    const found = await payments.lookupPayment(paymentHash);
    if (found?.status === 'paid') {
      if (!(await withdrawals.paid(id, found.feeMsat))) return;
      observe({ kind: 'withdrawal_paid', withdrawalId: id, amountMsat, feeMsat: found.feeMsat });
      if (found.feeMsat > feeLimitMsat) observe({ kind: 'withdrawal_above_limit', withdrawalId: id, feeMsat: found.feeMsat, feeLimitMsat });
    } else if (found?.status === 'failed') await this.#failed(id, 'sent', found.failure);
    else if (found) await withdrawals.postpone(id, { found: true, known: found.known });
    else if (await withdrawals.notFound(withdrawal)) this.#tellOfFailure(id, 'unknown_to_node');
    else if (withdrawal.known) observe({ kind: 'withdrawal_denied', withdrawalId: id });
  }

  #node(nodeId: string): Node {
    const node = this.#nodes.get(nodeId);
    if (!node) throw new GatewayError('lightning_unavailable', { cause: new Error(`node ${nodeId} is not configured any more`) });
    return node;
  }

  async #failed(id: string, from: 'creating' | 'sent', failure: string): Promise<void> {
    if (await this.#withdrawals.failed(id, from, failure)) this.#tellOfFailure(id, failure);
  }

  #tellOfFailure(id: string, failure: string): void {
    this.#options.observe({ kind: 'withdrawal_failed', withdrawalId: id, failure });
  }

  /** Resolves once the withdrawals that this process is sending have been sent. */
  async drained(): Promise<void> {
    await Promise.all(this.#underWay);
  }
}
