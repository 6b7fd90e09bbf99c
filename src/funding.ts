import { AccountChanges, tellAccountChanged } from './accounts/account-changes.ts';
import type { ActingKey } from './accounts/acting-key.ts';
import { insertPayerAccount } from './accounts/payer-account.ts';
import type { RootSecret } from './config/secret-keys.ts';
import type { Notifications } from './db/notify.ts';
import { transaction, type Pool, type PoolClient } from './db/postgres.ts';
import { GatewayError } from './errors.ts';
import type { Msat, PicoUsd } from './amount.ts';
import { lockAccount, postDeposit } from './ledger/deposit.ts';
import type { Via } from './ledger/movement.ts';
import { OtherNetwork } from './ledger/network.ts';
import { invoiceFromRow, isHidden, LARGEST_TOPUP_SAT, offeredSats, type Invoice, type InvoiceRow } from './invoices/invoice.ts';
import type { AddressPayment } from './invoices/address-invoices.ts';
import { InvoiceCreation } from './invoices/invoice-creation.ts';
import { InvoiceLookups } from './invoices/invoice-lookups.ts';
import { InvoiceSchedule } from './invoices/invoice-schedule.ts';
import { Invoices } from './invoices/invoices.ts';
import { receivedOrphan } from './node-audit/compare-received.ts';
import { noteOrphan } from './invoices/orphans.ts';
import { isGone } from './lightning/other-nodes.ts';
import type { InvoiceState, Wallet } from './lightning/wallet.ts';
import type { Logger } from './log.ts';
import { rateOrNull, type ExchangeRate } from './pricing/exchange-rate.ts';
import type { Observe } from './observation.ts';

export interface FundingOptions {
  pool: Pool;
  wallet: Wallet;
  /** Those of before: what is open with them is followed to its end. */
  oldWallets?: readonly Pick<Wallet, 'nodeId' | 'lookupInvoice'>[];
  notifications: Notifications;
  roots: readonly RootSecret[];
  log: Logger;
  observe: Observe;
  /** How long an invoice is offered. */
  invoiceExpirySeconds: number;
  /** The amount of a refusal's invoice where the client names none. */
  topupDefaultSats: number;
  /** Of the key rows that keyless payments make. */
  dailyBudgetPicoUsd: PicoUsd;
  /** Noted with each deposit; statements tell none where it is left out. */
  exchangeRate?: Pick<ExchangeRate, 'current'> | undefined;
}

/** What a refused request lacks, and what its sender would rather pay. */
export interface Needed {
  shortfallMsat: Msat;
  topupSats?: number | undefined;
}

/** Somebody without a key who is asked to pay. */
export interface KeylessSender {
  /** The invoice that this payer was offered before. */
  earlier?: Invoice | undefined;
  /** The networks of the sender, narrowest first. */
  networks?: readonly string[];
  /** Called before an invoice is made; may throw where there is to be no other. */
  onNew?: () => void;
}

export interface TopUp {
  amountSat: number;
  idempotencyKey?: string | undefined;
  /** SHA-256 of the request's bytes, 32 bytes; with `idempotencyKey`. */
  bodySha256?: Buffer | undefined;
}

/** What is asked of one node, and when. */
interface Node {
  readonly lookups: InvoiceLookups;
  readonly schedule: InvoiceSchedule;
}

/** Every process tells the others by this channel, with the invoice's id, that an invoice has changed. */
const CHANNEL = 'invoice';

/**
 * The invoice path: a top-up is created, the node is watched, and what it received is credited.
 * An account's money changes in `credit` alone, on the node's own word, once a payment hash.
 */
export class Funding {
  readonly #options: FundingOptions;
  readonly #invoices: Invoices;
  readonly #creation: InvoiceCreation;
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #stopListening: () => void;
  readonly #otherNetwork: OtherNetwork;
  /** By node: each is asked about its own invoices only, and one that is slow keeps no other's waiting. */
  readonly #nodes: ReadonlyMap<string, Node>;

  /** For who looks on at an account: whatever is credited is told here. */
  readonly accountChanges: AccountChanges;

  constructor(options: FundingOptions) {
    const { pool, wallet, oldWallets = [], roots, invoiceExpirySeconds, notifications } = options;
    this.#options = options;
    this.#otherNetwork = new OtherNetwork(options.observe);
    this.#invoices = new Invoices({ pool, wallet, roots, expirySeconds: invoiceExpirySeconds });
    this.#creation = new InvoiceCreation(this.#invoices, wallet, invoiceExpirySeconds);
    const nodes = [wallet, ...oldWallets].map(
      (each) => [each.nodeId, new InvoiceLookups(each), new InvoiceSchedule(pool, each.nodeId)] as const,
    );
    this.accountChanges = new AccountChanges(notifications);
    this.#nodes = new Map(nodes.map(([nodeId, lookups, schedule]) => [nodeId, { lookups, schedule }]));
    this.#stopListening = notifications.listen(
      CHANNEL,
      (id) => this.#listeners.get(id)?.forEach((changed) => changed()),
      () => this.#listeners.forEach((listeners) => listeners.forEach((changed) => changed())),
    );
  }

  // ——— Create ———

  /**
   * The invoice of a top-up that a client asked for; with an idempotency key, the one of the first time (`replayed`).
   * Throws GatewayError `idempotency_conflict`, `too_many_invoices`, `overloaded` or `lightning_unavailable`, and as `Invoices` does for
   * a key that may not act any more.
   */
  async fund(key: ActingKey, topUp: TopUp): Promise<{ invoice: Invoice; replayed: boolean }> {
    const { row, replayed } = await this.#otherNetwork.refuse(() => this.#invoices.reserve(key, topUp));
    return { invoice: await this.#creation.complete(row), replayed };
  }

  /**
   * The invoice that a refusal for lack of money offers: the open one of the key's account where it fits, else a new one. `topupSats` is what the
   * client named. Throws GatewayError as `fund` does, and `invalid_request` where the shortfall is more than one invoice can be for.
   */
  async offer(key: ActingKey, needed: Needed): Promise<Invoice> {
    const amounts = this.#amounts(needed);
    return this.#creation.complete(await this.#otherNetwork.refuse(() => this.#invoices.reserveOffer(key, amounts)));
  }

  /**
   * The same for a refusal of somebody without a key: an invoice that belongs to nobody until it is paid, or the sender's earlier one while
   * that fits. Throws as `offer` does, and `overloaded` while too many wait for the node.
   */
  async offerKeyless(needed: Needed, { earlier, networks = [], onNew }: KeylessSender = {}): Promise<Invoice> {
    const amounts = this.#amounts(needed);
    const open = earlier && (await this.#invoices.findKeyless(earlier.id, amounts));
    if (open) return invoiceFromRow(open);
    onNew?.();
    return this.#creation.complete(await this.#otherNetwork.refuse(() => this.#invoices.reserveKeyless(amounts.amountSat, networks)));
  }

  /**
   * The invoice that a payer's wallet asks for at a Lightning Address. `networks`: those of the sender, narrowest first. Throws GatewayError
   * `not_found` where the address is not the account's any more, `too_many_invoices`, `last_owner_key`, `overloaded` and
   * `lightning_unavailable`.
   */
  async forAddress(payment: AddressPayment, networks: readonly string[]): Promise<Invoice> {
    return this.#creation.complete(await this.#otherNetwork.refuse(() => this.#invoices.reserveAddress(payment, networks)));
  }

  /**
   * The row of an invoice that an account's own wallet is asked to pay, in the caller's transaction, which holds the account's lock. Throws
   * GatewayError `last_owner_key` as `fund` does.
   */
  async reserveAutopay(client: PoolClient, accountId: string, amountSat: number): Promise<InvoiceRow> {
    return this.#otherNetwork.refuse(() => this.#invoices.reserveAutopay(client, accountId, amountSat));
  }

  /** The invoice of a reserved row. Throws GatewayError `lightning_unavailable` or `overloaded`. */
  async complete(row: InvoiceRow): Promise<Invoice> {
    return this.#creation.complete(row);
  }

  #amounts({ shortfallMsat, topupSats }: Needed): { amountSat: number; mostSat: number } {
    const { topupDefaultSats } = this.#options;
    const amountSat = offeredSats({ shortfallMsat, wantedSat: topupSats ?? topupDefaultSats });
    // An agent pays the default without asking its owner, and not more, unless it named more or the request needs it.
    const mostSat = topupSats === undefined && amountSat <= topupDefaultSats ? topupDefaultSats : LARGEST_TOPUP_SAT;
    return { amountSat, mostSat };
  }

  // ——— Watch ———

  /**
   * An invoice of an account as it is now, by the node's word where that is not final yet and can be had; else as last known.
   * Throws GatewayError `invoice_not_found`, for another account's too.
   */
  async status(accountId: string, invoiceId: string): Promise<Invoice> {
    return this.#current(await this.#invoices.find(invoiceId, accountId));
  }

  /** The same for whoever knows the invoice's id, which is all that its page asks for. */
  async statusOfPage(invoiceId: string): Promise<Invoice> {
    return this.#current(await this.#invoices.find(invoiceId));
  }

  /** The account's open top-ups, as last known: those that count towards the most that it may have. */
  async openOf(accountId: string): Promise<Invoice[]> {
    return (await this.#invoices.openOf(accountId)).map(invoiceFromRow);
  }

  /** An invoice as last known, without asking the node. Undefined where there is none. */
  async peek(invoiceId: string): Promise<Invoice | undefined> {
    const row = await this.#invoices.find(invoiceId);
    return row && row.bolt11 !== null && !isHidden(row) ? invoiceFromRow(row) : undefined;
  }

  /** Whether an invoice has been paid, as last known, without asking the node. */
  async isPaid(invoiceId: string): Promise<boolean> {
    return (await this.#invoices.find(invoiceId))?.state === 'paid';
  }

  /**
   * What has become of an invoice, by its node's own word, which is credited by. `unpaid` is final: nobody has the invoice, or its node takes
   * no payment for it any more. Rejects where the node is away.
   */
  async outcome(invoiceId: string): Promise<'paid' | 'unpaid' | 'open'> {
    const row = await this.#invoices.find(invoiceId);
    if (!row || row.state === 'failed') return 'unpaid';
    if (row.state === 'paid') return 'paid';
    // Its creation is asked about on schedule.
    if (row.bolt11 === null || !row.payment_hash) return 'open';
    if (!this.#nodes.has(row.node_id) && (await isGone(this.#options.pool, row.node_id))) return 'unpaid';
    const state = await this.#node(row.node_id).lookups.forWatcher(row.payment_hash);
    if (state?.status === 'settled') await this.credit(state, row.node_id);
    if (state?.status === 'settled') return 'paid';
    return state?.status === 'canceled' || row.long_past ? 'unpaid' : 'open';
  }

  /** The invoice that a payment hash is of, whosever, as last known. Undefined where there is none. */
  async ofPayment(paymentHash: Buffer): Promise<Invoice | undefined> {
    const row = await this.#invoices.findPayment(paymentHash);
    return row && row.bolt11 !== null ? invoiceFromRow(row) : undefined;
  }

  /**
   * An invoice by its node's own word, which is asked for now and credited by where nobody has heard it yet. Throws GatewayError
   * `lightning_unavailable` or `overloaded` where it cannot be had: then nobody may say that it is unpaid.
   */
  async confirm(invoice: Invoice): Promise<Invoice> {
    if (invoice.status === 'paid') return invoice;
    const { id, paymentHash } = invoice;
    const { node_id: nodeId } = (await this.#invoices.find(id)) ?? { node_id: this.#nodeId };
    // Nobody will ever hear of it from there: its payer is asked for another one.
    if (!this.#nodes.has(nodeId) && (await isGone(this.#options.pool, nodeId))) return invoice;
    const ask = async (): Promise<InvoiceState | null> => this.#node(nodeId).lookups.forClient(id, paymentHash);
    const state = await ask().catch((error: unknown) => {
      if (!(error instanceof GatewayError)) throw error;
      const message = 'Whether this was paid cannot be told right now. If it was, it stays good.';
      throw new GatewayError(error.code, { message, retryAfter: 1, cause: error });
    });
    if (state) await this.credit(state, nodeId);
    return (await this.ofPayment(paymentHash)) ?? invoice;
  }

  /**
   * The invoice of a Lightning Address with this payment hash, by its node's word as `status` gives it, and its preimage once it is paid: null
   * before, and where the wallet chose it. Undefined for all other invoices: the preimage of one that a 402 offered is half a credential.
   */
  async addressPayment(paymentHash: Buffer): Promise<{ invoice: Invoice; preimage: Buffer | null } | undefined> {
    const row = await this.#invoices.findPayment(paymentHash);
    if (!row || row.handle === null || row.bolt11 === null) return undefined;
    const invoice = await this.#current(row);
    return { invoice, preimage: invoice.status === 'paid' ? this.#invoices.knownPreimage(row) : null };
  }

  async #current(row: InvoiceRow | undefined): Promise<Invoice> {
    if (!row || row.bolt11 === null || !row.payment_hash || isHidden(row)) throw new GatewayError('invoice_not_found');
    if (row.state === 'paid') return invoiceFromRow(row);
    try {
      const state = await this.#node(row.node_id).lookups.forClient(row.id, row.payment_hash);
      if (state) await this.credit(state, row.node_id);
    } catch (error) {
      this.#options.log.debug({ err: error, invoiceId: row.id }, 'the node was not asked about an invoice');
    }
    return invoiceFromRow((await this.#invoices.find(row.id)) ?? row);
  }

  /** Looks an invoice up at its node, acts on its word and sets the time of the next check. Rejects where the node is away. */
  async check(row: InvoiceRow): Promise<void> {
    const { lookups, schedule } = this.#node(row.node_id);
    const state = row.payment_hash && (await lookups.forWatcher(row.payment_hash));
    if (state?.status === 'settled') await this.credit(state, row.node_id);
    else if (state?.status === 'open' && row.state === 'creating' && row.node_id === this.#nodeId) await this.#creation.complete(row);
    else await schedule.checked(row.id, state?.status ?? 'unknown');
  }

  /** What is asked of a node. Throws GatewayError `lightning_unavailable` for one that this gateway cannot ask. */
  #node(nodeId: string): Node {
    const node = this.#nodes.get(nodeId);
    if (!node)
      throw new GatewayError('lightning_unavailable', { retryAfter: 60, cause: new Error(`node ${nodeId} is not configured any more`) });
    return node;
  }

  get #nodeId(): string {
    return this.#options.wallet.nodeId;
  }

  /**
   * A hint that a payment has settled: its invoice is looked up now, or as soon as the node answers. Rejects where the ledger does not
   * know the invoice and whether that is an orphan could not be noted: the hint must come again then.
   */
  async settled(paymentHash: Buffer): Promise<void> {
    const row = await this.#invoices.findByHash(paymentHash, this.#nodeId);
    if (!row) await this.#noteOrphan(paymentHash);
    if (!row || row.state === 'paid') return;
    const { lookups, schedule } = this.#node(this.#nodeId);
    try {
      const state = await lookups.forWatcher(paymentHash);
      if (state) await this.credit(state);
    } catch (error) {
      this.#options.observe({ kind: 'credit_late', err: error, invoiceId: row.id });
      await schedule.makeDue(paymentHash);
    }
  }

  /** Keeps what the node received under our name for an invoice that the ledger does not know. Others' invoices on the node are theirs. */
  async #noteOrphan(paymentHash: Buffer): Promise<void> {
    const { pool, wallet, observe } = this.#options;
    const state = await this.#node(wallet.nodeId).lookups.forWatcher(paymentHash);
    const orphan = state && receivedOrphan(state);
    if (!orphan || !(await noteOrphan(pool, wallet.nodeId, orphan))) return;
    observe({
      kind: 'orphan_received',
      nodeId: wallet.nodeId,
      paymentHash: paymentHash.toString('hex'),
      receivedMsat: orphan.amountMsat,
    });
  }

  /** Checks up to `limit` invoices of a node whose time has come; calls `onProgress` after each. Gives how many there were. */
  async checkDue(limit: number, onProgress: () => void = () => {}, nodeId = this.#nodeId): Promise<number> {
    const { schedule } = this.#node(nodeId);
    const rows = await schedule.due(limit);
    await Promise.all(
      rows.map(async (row) => {
        try {
          await this.check(row);
        } catch (error) {
          this.#options.observe({ kind: 'check_failed', err: error, invoiceId: row.id });
          await schedule.postpone(row.id);
        }
        onProgress();
      }),
    );
    return rows.length;
  }

  /** Makes every invoice of a node due that it has not had its last word on: settlements may have gone unseen. */
  async missedSettlements(nodeId = this.#nodeId): Promise<void> {
    await this.#node(nodeId).schedule.makeDue();
  }

  // ——— Credit ———

  /**
   * Credits what the node received for an invoice of ours, once, from any state but paid: the deposit, the balance and the invoice change
   * in one transaction, under the account's lock. Any number of callers in any number of processes may report the same payment.
   * Does nothing for a state that is not settled or a hash that is not ours. Throws GatewayError `lightning_unavailable` where the balances
   * are of another network. `nodeId`: whose word it is.
   */
  async credit(state: InvoiceState, nodeId = this.#nodeId): Promise<void> {
    const { receivedMsat, paymentHash, settledAt = null } = state;
    if (state.status !== 'settled') return;
    if (!receivedMsat || receivedMsat <= 0n) throw new Error('the node reports a settled invoice that received nothing');
    const known = await this.#invoices.findByHash(paymentHash, nodeId);
    if (!known || known.state === 'paid') return;
    const startedAt = performance.now();
    // Paid although its creation's answer was lost: the invoice's text is fetched first, for a paid row has one.
    if (known.bolt11 === null) await this.#fetchText(known, state);

    const deposit = async (client: PoolClient): Promise<string | null> => {
      // The account comes before its invoices in the lock order; a keyless invoice has none that anybody could have locked.
      if (known.account_id !== null) await lockAccount(client, known.account_id);
      const row = await this.#invoices.lock(client, known.id);
      if (!row || row.state === 'paid') return null;
      const accountId = row.account_id ?? (await this.#makePayer(client, row));
      const received = { accountId, invoiceId: row.id, paymentHash, receivedMsat };
      const { transferId } = await postDeposit(client, {
        ...received,
        picoUsdPerMsat: rateOrNull(this.#options.exchangeRate),
        via: viaOf(row),
        note: row.payer_comment,
      });
      await this.#invoices.markPaid(client, row.id, { receivedMsat, transferId, settledAt });
      return accountId;
    };
    const credited = await this.#otherNetwork.refuse(() => transaction(this.#options.pool, deposit, { promised: true }));
    if (credited === null) return;
    this.#options.observe({
      kind: 'deposit',
      invoiceId: known.id,
      receivedMsat,
      via: viaOf(known),
      settledAt,
      startedAt,
      endedAt: performance.now(),
    });
    // Pages that miss this look again by themselves.
    await this.#options.notifications.notify(CHANNEL, known.id).catch(() => {});
    await tellAccountChanged(this.#options.notifications, credited);
  }

  async #fetchText(row: InvoiceRow, { bolt11, paymentHash }: InvoiceState): Promise<void> {
    if (row.node_id === this.#nodeId || bolt11 === undefined) await this.#creation.complete(row);
    else await this.#invoices.opened(row.id, { bolt11, paymentHash, expiresAt: row.expires_at });
  }

  /** The account of whoever paid a keyless invoice, and the key row that its token names: made with the deposit, or not at all. */
  async #makePayer(client: PoolClient, { id, payer_key_id: keyId }: InvoiceRow): Promise<string> {
    if (keyId === null) throw new Error(`invoice ${id} belongs to nobody and to no key`);
    const { dailyBudgetPicoUsd } = this.#options;
    const accountId = await insertPayerAccount(client, { keyId, dailyBudgetPicoUsd });
    await this.#invoices.assign(client, id, accountId);
    return accountId;
  }

  /** Calls `changed` when the invoice may have changed, in whatever process; it looks for itself. Returns the function that ends it. */
  subscribe(invoiceId: string, changed: () => void): () => void {
    const listeners = this.#listeners.get(invoiceId) ?? new Set();
    this.#listeners.set(invoiceId, listeners.add(changed));
    return () => {
      listeners.delete(changed);
      if (listeners.size === 0 && this.#listeners.get(invoiceId) === listeners) this.#listeners.delete(invoiceId);
    };
  }

  close(): void {
    this.#stopListening();
    this.accountChanges.close();
  }
}

function viaOf({ autopay, handle, payer_key_id: payerKeyId }: InvoiceRow): Via {
  if (autopay) return 'autopay';
  if (handle !== null) return 'address';
  return payerKeyId === null ? 'invoice' : 'l402';
}
