import { setTimeout as delay } from 'node:timers/promises';
import type { ActingKey } from './accounts/acting-key.ts';
import type { Pool } from './db/postgres.ts';
import { GatewayError } from './errors.ts';
import { OtherNetwork } from './ledger/network.ts';
import { feeLimit } from './ledger/withdrawal.ts';
import { comparePaid } from './lightning/compare-paid.ts';
import { tellOfLongWithdrawals } from './lightning/long-withdrawals.ts';
import { NodeQueue } from './lightning/node-queue.ts';
import { readPaymentRequest, refusedRequest } from './lightning/payment-request.ts';
import { NotAskedError, type Payments, type Wallet } from './lightning/wallet.ts';
import type { Withdrawal } from './lightning/withdrawal.ts';
import { recordAsSent, Withdrawals } from './lightning/withdrawals.ts';
import type { Logger } from './log.ts';

export interface WithdrawingOptions {
  pool: Pool;
  wallet: Pick<Wallet, 'backend' | 'nodeId' | 'network' | 'payments' | 'books' | 'status'>;
  log: Logger;
  /** Whether the operator allows withdrawals. Those made before go on to their end all the same. */
  allowed: boolean;
  /** The most that routing may cost, in per cent of the amount. */
  maxFeePercent: number;
  /** How long an answer waits for the outcome before it tells of a pending withdrawal. */
  answerMs?: number;
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
  readonly #queue = new NodeQueue({ atOnce: 4, mostWaiting: 64 });
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: WithdrawingOptions) {
    this.#options = options;
    this.#otherNetwork = new OtherNetwork(options.log);
    this.#withdrawals = new Withdrawals(options.pool, options.wallet);
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
    this.#options.log.info({ withdrawalId: withdrawal.id, amountMsat: String(withdrawal.amountMsat) }, 'a withdrawal begins');
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
      .catch((error: unknown) => this.#options.log.warn({ err: error, withdrawalId: id }, 'a withdrawal could not be sent yet'));
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
      await this.#giveUp(withdrawal);
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
      this.#options.log.warn(
        { err: error, withdrawalId: id },
        'the answer to a payment was lost or an error: the node is asked what it did',
      );
    }
    await this.#check(claimed);
  }

  /**
   * Finds what the node paid and the ledger does not know, as after the restore of a backup: what is paid out now may have been paid out
   * before. Looked for before each claim, for a standby may have taken over a moment ago.
   */
  async #compareBooks(): Promise<void> {
    const { pool, wallet } = this.#options;
    if (wallet.books?.payments) await comparePaid(pool, wallet, wallet.books.payments, { full: false });
  }

  /** Ends a withdrawal that was never sent by this ledger's word, once its node says so too. Rejects where that cannot be had. */
  async #giveUp(withdrawal: Withdrawal): Promise<void> {
    const { pool, wallet } = this.#options;
    const found = await wallet.payments?.lookupPayment(withdrawal.paymentHash);
    if (!found) return this.#failed(withdrawal.id, 'creating', 'not_sent');
    await recordAsSent(pool, withdrawal.id);
    return this.#check(withdrawal);
  }

  // ——— Post or release ———

  /** Deals with up to `limit` withdrawals whose time has come; gives how many there were. */
  async checkDue(limit: number): Promise<number> {
    const due = await this.#withdrawals.due(limit);
    await Promise.all(due.map((withdrawal) => this.#checkOne(withdrawal)));
    return due.length;
  }

  async #checkOne(withdrawal: Withdrawal): Promise<void> {
    const { id, state } = withdrawal;
    const { allowed, wallet, log } = this.#options;
    try {
      if (state === 'sent') await this.#queue.run(() => this.#check(withdrawal));
      else if (allowed && wallet.payments) await this.#queue.run(() => this.#send(id));
      else await this.#giveUp(withdrawal);
    } catch (error) {
      log.warn({ err: error, withdrawalId: id }, 'a withdrawal stays held: its node could not be asked');
      await this.#withdrawals.postpone(id);
    }
  }

  /** Warns of the withdrawals that have been pending for long. */
  async tellOfLong(): Promise<void> {
    const { pool, wallet, log } = this.#options;
    await tellOfLongWithdrawals(pool, wallet, log);
  }

  /** Asks the node what became of a sent withdrawal, and acts on its word. Rejects where it cannot be had. */
  async #check(withdrawal: Withdrawal): Promise<void> {
    const { id, paymentHash, feeLimitMsat } = withdrawal;
    const { wallet, log } = this.#options;
    if (!wallet.payments) throw new GatewayError('lightning_unavailable', { message: 'The wallet cannot tell of payments.' });
    const found = await wallet.payments.lookupPayment(paymentHash);
    if (found?.status === 'paid') {
      if (!(await this.#withdrawals.paid(id, found.feeMsat))) return;
      log.info({ withdrawalId: id, feeMsat: String(found.feeMsat) }, 'a withdrawal was paid');
      if (found.feeMsat > feeLimitMsat)
        log.warn({ withdrawalId: id, feeMsat: String(found.feeMsat) }, 'a withdrawal cost more than its limit');
    } else if (found?.status === 'failed') await this.#failed(id, 'sent', found.failure);
    else if (found) await this.#withdrawals.postpone(id, { found: true, known: found.known });
    else if (await this.#withdrawals.notFound(withdrawal)) this.#tellOfFailure(id, 'unknown_to_node');
    else if (withdrawal.known)
      log.warn({ withdrawalId: id }, 'a withdrawal stays held: the node had its payment, and has no record of that');
  }

  async #failed(id: string, from: 'creating' | 'sent', failure: string): Promise<void> {
    if (await this.#withdrawals.failed(id, from, failure)) this.#tellOfFailure(id, failure);
  }

  #tellOfFailure(id: string, failure: string): void {
    this.#options.log.info({ withdrawalId: id, failure }, 'a withdrawal failed, and what was held is free again');
  }

  /** Resolves once the withdrawals that this process is sending have been sent. */
  async drained(): Promise<void> {
    await Promise.all(this.#underWay);
  }
}
