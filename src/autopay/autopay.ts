import { setTimeout as delay } from 'node:timers/promises';
import { lockAccountAs, type ActingKey } from '../accounts/acting-key.ts';
import type { RootSecret } from '../config/secret-keys.ts';
import type { Notifications } from '../db/notify.ts';
import { transaction, type Pool } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import type { Msat } from '../amount.ts';
import type { Funding } from '../funding.ts';
import type { NwcPayerOptions } from '../lightning/nwc/nwc-payer.ts';
import type { Wallet } from '../lightning/wallet.ts';
import type { Observe } from '../observation.ts';
import { WindowLimit } from '../window-limit.ts';
import { Attempts, type Begun, type OpenAttempt } from './attempts.ts';
import { AutopaySettings, type AutopayAmounts, type AutopayState } from './autopay-settings.ts';
import { OwnersWallet, type WalletCheck } from './owners-wallet.ts';
import { WatchedAccounts } from './watched-accounts.ts';

export interface AutopayOptions {
  pool: Pool;
  /** Our own. */
  wallet: Pick<Wallet, 'nodeId' | 'network'>;
  funding: Funding;
  notifications: Notifications;
  roots: readonly RootSecret[];
  observe: Observe;
  /** Which relays owners may name, and how long their wallets are waited for. */
  payers: NwcPayerOptions;
  /** How long a refused request waits for money that is on its way. */
  helpMs?: number;
  /** The pause before a wallet that is asked too often is asked again. */
  repeatMs?: number;
}

/** What a request lacks. */
export interface Lacking {
  availableMsat: Msat;
  shortfallMsat: Msat;
}

const HELP_MS = 2_000;
/** What was found out of an account is taken for true so long, unless somebody tells of a change. */
const QUIET_MS = 5_000;
/** Wallets that are asked at once: each may take a minute and a half. */
const MOST_AT_ONCE = 256;
const BATCH = 100;
/** Each makes connections to places that a stranger chose. */
const ASKED_AN_HOUR = 30;
const HOUR_MS = 3_600_000;
const READ_EVERY_MS = 60_000;

/**
 * Top-ups by an owner's own wallet: where an account's available balance is under its threshold, an invoice is made and that wallet is asked
 * to pay it (Nostr Wallet Connect). The wallet's answer decides when it is asked again, and nothing else: whether money came is our node's word.
 */
export class Autopay {
  readonly #options: AutopayOptions;
  readonly #settings: AutopaySettings;
  readonly #attempts: Attempts;
  readonly #watched: WatchedAccounts;
  readonly #owners: OwnersWallet;
  readonly #limit = new WindowLimit({ points: ASKED_AN_HOUR, windowMs: HOUR_MS });
  /** By account. */
  readonly #beginning = new Map<string, Promise<string | null>>();
  /** By invoice: settle once the wallet has said something, and what it says has been acted on. */
  readonly #asking = new Map<string, Promise<void>>();
  readonly #closing = new AbortController();
  #readAt = -Infinity;
  #renewedAt = -Infinity;

  constructor(options: AutopayOptions) {
    this.#options = options;
    const { pool, funding, roots, wallet, payers, repeatMs } = options;
    this.#settings = new AutopaySettings(pool, roots);
    this.#attempts = new Attempts(pool, funding);
    this.#watched = new WatchedAccounts(options);
    this.#owners = new OwnersWallet({ wallet, payers, repeatMs, signal: this.#closing.signal });
  }

  // ——— What owners choose ———

  /** An account's autopay as it stands; null where there is none. */
  autopayState(accountId: string): Promise<AutopayState | null> {
    return this.#settings.state(accountId);
  }

  /**
   * Stores amounts and, where one is given, a connection, once its wallet has been asked what it may do; nothing is paid. It goes on at once.
   * Throws GatewayError `invalid_request` that names the field, `rate_limit_exceeded`, and as `lockAccountAs` does for an owner.
   */
  async store(key: ActingKey, { nwcUrl, ...amounts }: AutopayAmounts & { nwcUrl?: string | undefined }): Promise<void> {
    if (nwcUrl !== undefined) await this.#refuseTooMany(key);
    const given = nwcUrl === undefined ? null : { url: nwcUrl, wallet: await this.#owners.suitable(nwcUrl) };
    await this.#settings.store(key, amounts, given);
    await this.#watched.changed(key.accountId);
  }

  /** Asks the wallet what it may do and still spend; nothing is paid. Throws GatewayError as `store` does. */
  async check(key: ActingKey): Promise<WalletCheck> {
    await this.#refuseTooMany(key);
    const url = await this.#settings.connection(key.accountId);
    if (url === null) throw new GatewayError('invalid_request', { message: 'nwcUrl: no wallet is connected', param: 'nwcUrl' });
    const found = await this.#owners.check(url);
    if (found.wallet) await this.#settings.keepWallet(key.accountId, found.wallet);
    return found;
  }

  /** An attempt that is under way goes on to its end. */
  async pause(key: ActingKey): Promise<void> {
    await this.#settings.pause(key);
    await this.#watched.changed(key.accountId);
  }

  async resume(key: ActingKey): Promise<void> {
    await this.#settings.resume(key);
    await this.#watched.changed(key.accountId);
  }

  async remove(key: ActingKey): Promise<void> {
    await this.#settings.remove(key);
    await this.#watched.changed(key.accountId);
  }

  /** Before strangers are connected to, the key is asked for; it is asked again where something is written. */
  async #refuseTooMany(key: ActingKey): Promise<void> {
    await transaction(this.#options.pool, (client) => lockAccountAs(client, key, 'owner'));
    const retryAfter = this.#limit.take([{ name: key.accountId, times: 1 }]);
    if (retryAfter === 0) return;
    throw new GatewayError('rate_limit_exceeded', { message: `Rate limit exceeded: ${ASKED_AN_HOUR} wallet checks an hour`, retryAfter });
  }

  // ——— When the balance is low ———

  /** To be told what an account has available once something was taken from it. Costs nothing where its autopay is off. */
  spent(accountId: string, availableMsat: Msat): void {
    const watched = this.#watched.get(accountId);
    if (!watched || availableMsat >= watched.thresholdMsat || performance.now() < watched.quietUntil) return;
    void this.#begin(accountId);
  }

  /**
   * Whether money has come for a request that is about to be refused, so that it may be asked for again. Waits two seconds at most, and not
   * at all where the account's wallet cannot help. Never rejects.
   */
  async help(accountId: string, { availableMsat, shortfallMsat }: Lacking): Promise<boolean> {
    const watched = this.#watched.get(accountId);
    if (!watched || availableMsat >= watched.thresholdMsat || performance.now() < watched.quietUntil) return false;
    const since = performance.now();
    const invoiceId = await this.#begin(accountId);
    if (invoiceId === null || shortfallMsat > watched.topupMsat) return false;
    const { helpMs = HELP_MS } = this.#options;
    return this.#paidWithin(invoiceId, helpMs - (performance.now() - since)).catch(() => false);
  }

  async #paidWithin(invoiceId: string, limitMs: number): Promise<boolean> {
    const enough = new AbortController();
    const { signal } = enough;
    const { funding } = this.#options;
    const paid = new Promise<void>((resolve) => {
      const look = (): void => {
        funding.isPaid(invoiceId).then(
          (isPaid) => isPaid && resolve(),
          () => {},
        );
      };
      signal.addEventListener('abort', funding.subscribe(invoiceId, look), { once: true });
      look();
    });
    const limit = delay(Math.max(limitMs, 0), undefined, { signal }).catch(() => {});
    // A wallet that refuses is not waited for. Of one that another gateway asks, only the money is heard.
    await Promise.race([paid, limit, this.#asking.get(invoiceId) ?? limit]);
    enough.abort();
    return funding.isPaid(invoiceId);
  }

  /**
   * To be called every few seconds: ends attempts whose invoices are final, and begins those that are due. Any number of gateways may do so
   * beside each other.
   */
  async run(): Promise<void> {
    const now = performance.now();
    if (now - this.#readAt > READ_EVERY_MS) {
      await this.#watched.read();
      this.#readAt = now;
    }
    if (now - this.#renewedAt > HOUR_MS) {
      const lost = await this.#settings.renew(BATCH);
      if (lost > 0) this.#options.observe({ kind: 'autopay_unreadable', lost });
      else this.#renewedAt = now;
    }
    await Promise.all((await this.#attempts.overdue(BATCH)).map((attempt) => this.#conclude(attempt)));
    await Promise.all((await this.#attempts.due(BATCH)).map((accountId) => this.#begin(accountId)));
  }

  // ——— An attempt ———

  /** Begins an attempt where the database lets it. The id of the invoice that may bring money now, by whomever; null for none. Never rejects. */
  #begin(accountId: string): Promise<string | null> {
    const running = this.#beginning.get(accountId);
    if (running) return running;
    const beginning = this.#beginOne(accountId)
      .catch((error: unknown) => {
        this.#options.observe({ kind: 'autopay_not_begun', err: error });
        return null;
      })
      .finally(() => this.#beginning.delete(accountId));
    this.#beginning.set(accountId, beginning);
    return beginning;
  }

  async #beginOne(accountId: string): Promise<string | null> {
    if (this.#closing.signal.aborted || this.#asking.size >= MOST_AT_ONCE) return null;
    const found = await this.#attempts.begin(accountId);
    if ('begun' in found) {
      const { id } = found.begun;
      const asking = this.#ask(accountId, found)
        .catch((error: unknown) => this.#options.observe({ kind: 'autopay_broken_off', err: error, invoiceId: id }))
        .finally(() => this.#asking.delete(id));
      this.#asking.set(id, asking);
      return id;
    }
    if (found.not === 'under_way' && !found.isAnswered) return found.invoiceId;
    const watched = this.#watched.get(accountId);
    if (watched && found.not !== 'enough') watched.quietUntil = performance.now() + QUIET_MS;
    return null;
  }

  /** Has the invoice made, and the wallet asked to pay it. What is broken off here ends once the invoice is final. */
  async #ask(accountId: string, { begun, connection, walletNode }: Begun): Promise<void> {
    const { funding, observe } = this.#options;
    const invoice = await funding.complete(begun);
    const url = this.#settings.open(accountId, connection);
    if (!(await this.#attempts.asked(begun.id))) return;
    observe({ kind: 'autopay_asked', invoiceId: begun.id, amountSat: begun.amount_sat });
    const said = await this.#owners.pay(url, walletNode, invoice);
    // Nobody waits for it here any more: it is as if the answer had been lost.
    if (!said) return;
    await this.#attempts.answered(begun.id, said.word, said.retryAt);
    if (said.word === 'PAID') await this.#conclude({ invoiceId: begun.id, accountId });
    else observe({ kind: 'autopay_refused', invoiceId: begun.id, word: said.word });
  }

  /** Ends an attempt where our node's word on its invoice is final. Never rejects. */
  async #conclude(attempt: OpenAttempt): Promise<void> {
    const { invoiceId, accountId } = attempt;
    const { funding, observe } = this.#options;
    const startedAt = performance.now();
    try {
      const outcome = await funding.outcome(invoiceId);
      if (outcome === 'open') return;
      const ended = await this.#attempts.end(attempt, outcome === 'paid');
      if (!ended) return;
      observe({ kind: 'autopay', invoiceId, result: ended, startedAt, endedAt: performance.now() });
      await this.#watched.changed(accountId);
    } catch (error) {
      observe({ kind: 'autopay_not_checked', err: error, invoiceId });
    }
  }

  /** Asks no wallet any more. What was asked for is credited all the same. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#watched.close();
    await Promise.all([...this.#beginning.values(), ...this.#asking.values()]);
  }
}
