import { setTimeout as delay } from 'node:timers/promises';
import { NWCClient } from '@getalby/sdk/nwc';
import { ConfigError } from '../../config/config-error.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import { msat } from '../../amount.ts';
import type { Logger } from '../../log.ts';
import type { Observe } from '../../observation.ts';
import { descriptionHash, descriptionHashRefused } from '../description-hash.ts';
import { KnownNodes, type NodeIdentity } from '../known-nodes.ts';
import type { NodeBooks } from '../node-books.ts';
import {
  balance,
  listsPayments,
  madeInvoice,
  missingMethods,
  networkOf,
  NwcAnswerError,
  readInvoice,
  spendingMethods,
  stateOf,
  tellsBalance,
  transaction,
  walletInfo,
  type WalletInfo,
} from './nwc-answers.ts';
import { nwcReceived } from './nwc-books.ts';
import { isNotFound, isRefusal, NwcRequests, reasonOf, type NostrClient } from './nwc-requests.ts';
import { DescriptionHashError, type InvoiceRequest } from '../wallet.ts';
import type { WalletMeans } from '../wallet-means.ts';
import type { InvoiceState, Network, NewInvoice, SettlementListener, Wallet } from '../wallet.ts';

export interface NwcWalletOptions {
  /** `nostr+walletconnect://<wallet's key>?relay=…&secret=…` (NIP-47). A secret. */
  url: string;
  pool: Pool;
  log: Logger;
  observe: Observe;
  /** How long a request may take, its way over the relay included. */
  deadlineMs?: number;
  /** Pause between two checks that a subscription's connection still lives. */
  probeMs?: number;
  /** How long to wait for the wallet at the start. */
  startMs?: number;
  /** A clock that only goes forward, in milliseconds. */
  now?: () => number;
}

const DEADLINE_MS = 5_000;
const PROBE_MS = 30_000;
const START_MS = 10_000;
const START_RETRY_MS = 500;
/** Heard from so recently, the wallet need not be asked whether it is there. */
const HEARD_MS = 15_000;

type NostrEvent = Awaited<ReturnType<NWCClient['signEvent']>>;

/** The library's client, for which we settle how to encrypt. */
class Client extends NWCClient implements NostrClient<NostrEvent> {
  encryption: 'nip44_v2' | 'nip04' | undefined;

  override get encryptionType(): string {
    if (!this.encryption) throw new Error('how to encrypt is not settled yet');
    return this.encryption;
  }
}

/**
 * Connects to a wallet over Nostr Wallet Connect. Waits a while for one that is away; where it stays away, goes on if the database knows
 * it, so that funded keys are served without it. Throws ConfigError for a connection that is malformed, may not make and look
 * up invoices, or leads to a wallet that was never heard of.
 */
export async function createNwcWallet(options: NwcWalletOptions): Promise<Wallet> {
  const { url, pool, log, observe, deadlineMs = DEADLINE_MS, startMs = START_MS } = options;
  const requests = new NwcRequests(connect(url), deadlineMs);
  const nodes = new KnownNodes(pool);
  const credentials = Buffer.from(url);
  const known = await nodes.recall(credentials);
  const deadline = performance.now() + (known ? Math.min(startMs, deadlineMs) : startMs);
  for (;;) {
    try {
      const info = await requests.ask('get_info', {}, walletInfo);
      const missing = missingMethods(info);
      if (missing.length > 0) throw new ConfigError(`NWC_URL: the connection needs ${missing.join(' and ')} too`);
      const identity = { nodeId: nodeIdOf(url), network: networkOf(info) };
      await nodes.remember(identity, credentials);
      warnOfPowers(info, log);
      return new NwcWallet(identity, requests, { ...options, info });
    } catch (error) {
      const away = error instanceof GatewayError;
      if (away && performance.now() < deadline) {
        await delay(START_RETRY_MS);
        continue;
      }
      if (away && known) {
        observe({ kind: 'wallet_away', err: error, backend: 'nwc', nodeId: known.nodeId });
        return new NwcWallet(known, requests, options);
      }
      requests.close();
      if (away) throw new ConfigError(`NWC_URL: ${reasonOf(error)}`, { cause: error });
      throw error instanceof NwcAnswerError ? new ConfigError(`NWC_URL: ${error.message}`) : error;
    }
  }
}

class NwcWallet implements Wallet {
  readonly backend = 'nwc';
  readonly takesPreimage = false;
  readonly nodeId: string;
  readonly network: Network;
  readonly #requests: NwcRequests<NostrEvent>;
  readonly #probeMs: number;
  readonly #now: () => number;
  #heardAt = -Infinity;
  #lists = false;
  #tellsBalance = true;

  constructor(
    { nodeId, network }: NodeIdentity,
    requests: NwcRequests<NostrEvent>,
    { probeMs = PROBE_MS, now = () => performance.now(), info }: NwcWalletOptions & { info?: WalletInfo },
  ) {
    if (info) this.#learn(info);
    this.nodeId = nodeId;
    this.network = network;
    this.#requests = requests;
    this.#probeMs = probeMs;
    this.#now = now;
  }

  get books(): NodeBooks {
    if (!this.#lists) return {};
    return { invoices: (after) => nwcReceived((...request) => this.#requests.ask(...request), after), mayLack: true };
  }

  /** The wallet chooses the preimage: asked twice, it makes two invoices. */
  async createInvoice({ amountMsat, description, metadata, expirySeconds }: Omit<InvoiceRequest, 'preimage'>): Promise<NewInvoice> {
    // Some nodes behind a wallet want the text beside its hash.
    const text =
      metadata === undefined ? { description } : { description: metadata, description_hash: descriptionHash(metadata).toString('hex') };
    const asked = { amount: Number(amountMsat), ...text, expiry: expirySeconds };
    const made = await this.#requests.ask('make_invoice', asked, madeInvoice).catch((error: unknown) => {
      throw metadata !== undefined && isRefusal(error)
        ? descriptionHashRefused(new DescriptionHashError('refused', { cause: error }))
        : error;
    });
    this.#heardAt = this.#now();
    return believed(() => readInvoice(made, { amountMsat, network: this.network, metadata }));
  }

  async lookupInvoice(paymentHash: Buffer): Promise<InvoiceState | null> {
    try {
      const found = await this.#requests.ask('lookup_invoice', { payment_hash: paymentHash.toString('hex') }, transaction);
      this.#heardAt = this.#now();
      return believed(() => stateOf(found, paymentHash));
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }

  /** What a notification claims is not passed on, only which invoice to look up. */
  async watchSettlements(onSettled: SettlementListener, signal: AbortSignal, onSubscribed: () => void = () => {}): Promise<void> {
    await this.#info();
    if (signal.aborted) return;
    const encryption = await this.#requests.agree();
    const over = new AbortController();
    let stop = (): void => {};
    try {
      await new Promise<void>((resolve, reject) => {
        signal.addEventListener('abort', () => resolve(), { once: true, signal: over.signal });
        stop = this.#requests.notifications(encryption, {
          onPaid: (paymentHash) => void onSettled({ paymentHash, status: 'open' }),
          onConnected: onSubscribed,
          onLost: reject,
        });
        this.#keepProbing(over.signal).catch(reject);
      });
    } finally {
      over.abort();
      stop();
    }
  }

  /** Nothing else tells of a relay or a wallet that delivers nothing any more. */
  async #keepProbing(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(this.#probeMs, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await this.#info();
    }
  }

  get meansNeed(): string | undefined {
    return this.#tellsBalance ? undefined : 'get_balance';
  }

  /** The protocol has no word for what the wallet could receive. */
  async means(): Promise<WalletMeans> {
    const found = await this.#requests.ask('get_balance', {}, balance);
    return { spendableMsat: msat(BigInt(found.balance)), receivableMsat: null, pendingMsat: null };
  }

  async status(): Promise<{ ready: boolean; reason?: string }> {
    if (this.#now() - this.#heardAt < HEARD_MS) return { ready: true };
    try {
      const missing = missingMethods(await this.#info());
      return missing.length === 0 ? { ready: true } : { ready: false, reason: `the wallet no longer allows ${missing.join(' and ')}` };
    } catch (error) {
      return { ready: false, reason: reasonOf(error) };
    }
  }

  async close(): Promise<void> {
    this.#requests.close();
  }

  /** What may be asked of the wallet can change while it is connected. */
  #learn(info: WalletInfo): void {
    this.#lists = listsPayments(info);
    this.#tellsBalance = tellsBalance(info);
  }

  async #info(): Promise<WalletInfo> {
    const info = await this.#requests.ask('get_info', {}, walletInfo);
    if (missingMethods(info).length === 0) this.#heardAt = this.#now();
    this.#learn(info);
    return info;
  }
}

/** Throws ConfigError for a connection that is malformed. */
export function connect(url: string): Client {
  try {
    return new Client({ nostrWalletConnectUrl: url, requireSecret: true });
  } catch (error) {
    // Without the error itself, which may carry the secret.
    throw new ConfigError(`NWC_URL: ${(error as Error).message.replace(/^Invalid NWC URL: /, '')}`);
  }
}

/** The key under which the wallet answers on this connection: what one connection knows of invoices, another may not. */
function nodeIdOf(url: string): string {
  return NWCClient.parseWalletConnectUrl(url).walletPubkey;
}

function warnOfPowers(info: WalletInfo, log: Logger): void {
  const spending = spendingMethods(info);
  if (spending.length > 0) log.warn({ methods: spending }, 'NWC_URL can spend from the wallet: a connection that only receives is enough');
}

/** A wallet that talks nonsense is as good as away. */
function believed<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof GatewayError ? error : new GatewayError('lightning_unavailable', { cause: error });
  }
}
