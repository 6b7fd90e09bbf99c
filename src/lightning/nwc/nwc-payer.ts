import { NWCClient } from '@getalby/sdk/nwc';
import { budget, networkOf, payerInfo, payment, type PayerInfo } from './nwc-answers.ts';
import { NwcRequests, reasonOf, refusalOf, type NostrClient } from './nwc-requests.ts';
import type { RelayRules } from './relay-address.ts';
import { RelayPool, type SignedEvent } from './relay-pool.ts';
import { RelayAddressError, RelaySockets, type RelaySocketsOptions } from './relay-socket.ts';
import type { Network } from '../wallet.ts';

/** A connection that cannot be used, in words for its owner. Never carries the connection. */
export class NwcConnectionError extends Error {
  override name = 'NwcConnectionError';
}

/** What a connection to a wallet says, its secret aside. */
export interface NwcConnection {
  /** The key under which the wallet answers, in hex. */
  readonly walletKey: string;
  readonly relayUrls: readonly string[];
}

/** What is known of a wallet that is to pay. */
export interface PayerWallet {
  readonly name: string | null;
  /** Its node's key; not all wallets tell. */
  readonly nodeKey: string | null;
  readonly network: Network | null;
  readonly methods: readonly string[];
}

/** What a connection may still spend; times are the wallet's. */
export interface PayerBudget {
  readonly usedMsat: number;
  readonly totalMsat: number;
  readonly renewsAt: Date | null;
}

/**
 * What became of asking for a payment, which never tells whether it was paid. `answered`: the wallet says that it was. `refused`: the
 * wallet's own code. `unknown`: no answer that could be read.
 */
export type PayAnswer = { kind: 'answered' } | { kind: 'refused'; code: string } | { kind: 'unknown' };

const MOST_RELAYS = 4;
const MOST_URL_CHARACTERS = 2_000;
const MOST_NAME_CHARACTERS = 60;
const SCHEME = /^nostr\+?walletconnect:(\/\/)?(?=[0-9a-f]{64}\?)/i;
/** A route may take a wallet a minute and a half; longer than the wallet may begin to try. */
const PAY_DEADLINE_MS = 90_000;
const PAY_EXPIRES_SECONDS = 60;
const DEADLINE_MS = 5_000;

/**
 * Reads a connection (`nostr+walletconnect://<wallet's key>?relay=…&secret=…`, NIP-47). Throws NwcConnectionError where it is malformed or
 * names relays that a stranger may not choose. Asks nobody.
 */
export function readNwcConnection(url: string, { allowLoopback }: RelayRules): NwcConnection {
  const text = url.trim();
  if (text.length > MOST_URL_CHARACTERS || !SCHEME.test(text)) throw new NwcConnectionError('must be nostr+walletconnect://… with a key');
  const { walletPubkey: walletKey, relayUrls, secret } = parse(text);
  if (!/^[0-9a-f]{64}$/i.test(secret ?? '')) throw new NwcConnectionError('has no secret');
  if (relayUrls.length > MOST_RELAYS) throw new NwcConnectionError(`names more than ${MOST_RELAYS} relays`);
  const relays = relayUrls.map((relay) => new URL(relay));
  for (const { protocol, hostname, username, password } of relays) {
    const isLocal = allowLoopback && protocol === 'ws:' && (hostname === '[::1]' || hostname.startsWith('127.'));
    if (protocol !== 'wss:' && !isLocal) throw new NwcConnectionError('names a relay that is not wss://');
    if (username !== '' || password !== '') throw new NwcConnectionError('names a relay with a password');
  }
  return { walletKey: walletKey.toLowerCase(), relayUrls: [...new Set(relays.map(({ href }) => href))] };
}

function parse(url: string): ReturnType<typeof NWCClient.parseWalletConnectUrl> {
  try {
    return NWCClient.parseWalletConnectUrl(url, true);
  } catch {
    // The library's message may carry what it could not read.
    throw new NwcConnectionError('is not a wallet connection with a relay and a secret');
  }
}

export interface NwcPayerOptions extends RelaySocketsOptions {
  /** How long a payment's answer is waited for. */
  payDeadlineMs?: number;
}

/** A wallet of an owner's that is asked to pay. Connects when first asked; to be closed after use. */
export class NwcPayer {
  readonly connection: NwcConnection;
  readonly #sockets: RelaySockets;
  readonly #requests: NwcRequests<SignedEvent>;
  readonly #payDeadlineMs: number;

  /** Throws NwcConnectionError as `readNwcConnection` does. */
  constructor(url: string, options: NwcPayerOptions) {
    const { deadlineMs = DEADLINE_MS, payDeadlineMs = PAY_DEADLINE_MS } = options;
    this.connection = readNwcConnection(url, options);
    this.#sockets = new RelaySockets({ ...options, deadlineMs });
    this.#requests = new NwcRequests(clientOf(url, this.connection, new RelayPool(this.#sockets)), deadlineMs);
    this.#payDeadlineMs = payDeadlineMs;
  }

  /**
   * Asks the wallet what it is and may do. Throws NwcConnectionError where it cannot be asked: a relay has no public address, none can be
   * reached, the wallet does not answer, or speaks of a network that is not Bitcoin's.
   */
  async wallet(): Promise<PayerWallet> {
    await this.#refuseRelays();
    const abilities = await this.#requests.abilities().catch((cause: unknown) => {
      throw new NwcConnectionError('cannot be used: no relay of the wallet tells of it', { cause });
    });
    const said: PayerInfo = await this.#requests.ask('get_info', {}, payerInfo).catch((cause: unknown) => {
      // One that answers and does not say what it is can be asked to pay all the same.
      if (refusalOf(cause) === 'NOT_IMPLEMENTED' || refusalOf(cause) === 'RESTRICTED') return {};
      throw new NwcConnectionError(`cannot be used: ${codeOrReason(cause)}`, { cause });
    });
    const { alias, pubkey, network, methods } = said;
    return {
      name: nameOf(alias),
      nodeKey: pubkey?.toLowerCase() || null,
      network: network ? readNetwork(network) : null,
      methods: methods && methods.length > 0 ? methods : abilities.methods,
    };
  }

  /** What the connection may still spend; null where there is no limit or the wallet does not tell. */
  async budget(): Promise<PayerBudget | null> {
    const said = await this.#requests.ask('get_budget', {}, budget).catch(() => null);
    const { used_budget: usedMsat, total_budget: totalMsat, renews_at: renewsAt } = said ?? {};
    if (!totalMsat) return null;
    return { usedMsat: usedMsat ?? 0, totalMsat, renewsAt: renewsAt ? new Date(Math.min(renewsAt, LAST_SECOND) * 1000) : null };
  }

  /** Asks the wallet to pay an invoice, which it may begin to do for a minute. Never rejects. */
  async pay(invoice: string): Promise<PayAnswer> {
    const limits = { deadlineMs: this.#payDeadlineMs, expiresInSeconds: PAY_EXPIRES_SECONDS };
    try {
      await this.#requests.ask('pay_invoice', { invoice }, payment, limits);
      return { kind: 'answered' };
    } catch (error) {
      const code = refusalOf(error);
      return code === undefined ? { kind: 'unknown' } : { kind: 'refused', code };
    }
  }

  async close(): Promise<void> {
    this.#requests.close();
    await this.#sockets.close();
  }

  async #refuseRelays(): Promise<void> {
    try {
      await Promise.all(this.connection.relayUrls.map((url) => this.#sockets.refuseHost(new URL(url).hostname)));
    } catch (error) {
      if (error instanceof RelayAddressError) throw new NwcConnectionError(`names a relay that cannot be used: ${error.message}`);
      throw error;
    }
  }
}

/** 9999-12-31: a wallet's own clock may say anything. */
const LAST_SECOND = 253_402_300_799;

/** The library's keys and encryption, over our own connections. */
function clientOf(url: string, { walletKey, relayUrls }: NwcConnection, pool: RelayPool): NostrClient<SignedEvent> {
  const { secret } = parse(url.trim());
  const keys = new Keys({ walletPubkey: walletKey, relayUrls: [...relayUrls], secret: secret ?? '' });
  return {
    relayUrls: [...relayUrls],
    walletPubkey: walletKey,
    publicKey: keys.publicKey,
    get encryption() {
      return keys.agreed;
    },
    set encryption(agreed) {
      keys.agreed = agreed;
    },
    encrypt: (pubkey, content) => keys.encrypt(pubkey, content) as Promise<string>,
    decrypt: (pubkey, content) => keys.decrypt(pubkey, content),
    signEvent: (event) => keys.signEvent(event),
    pool,
  };
}

/** What of the library's client is used: it never connects. */
class Keys extends NWCClient {
  agreed: 'nip44_v2' | 'nip04' | undefined;

  override get encryptionType(): string {
    if (!this.agreed) throw new Error('how to encrypt is not settled yet');
    return this.agreed;
  }
}

function codeOrReason(error: unknown): string {
  const code = refusalOf(error);
  return code === undefined ? reasonOf(error) : `the wallet refused: ${code}`;
}

function readNetwork(network: string): Network {
  try {
    return networkOf({ methods: [], network });
  } catch {
    throw new NwcConnectionError("cannot be used: the wallet is on a network that is not Bitcoin's");
  }
}

/** A wallet's name for itself, as a line of text. */
function nameOf(alias: string | null | undefined): string | null {
  const name = alias
    ?.replace(/\p{C}+/gu, ' ')
    .trim()
    .slice(0, MOST_NAME_CHARACTERS);
  return name || null;
}
