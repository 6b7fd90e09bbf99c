import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import bolt11 from 'bolt11';
import { authenticatedLndGrpc, createInvoice, getChannelBalance, getInvoice, getWalletInfo, subscribeToInvoices } from 'lightning';
import type { AuthenticatedLnd, GetInvoiceResult, GetWalletInfoResult, SubscribeToInvoicesInvoiceUpdatedEvent } from 'lightning';
import { ConfigError } from '../../config/config-error.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import { msat } from '../../amount.ts';
import type { Logger } from '../../log.ts';
import type { Observe } from '../../observation.ts';
import { descriptionHash, requireDescriptionHash } from '../description-hash.ts';
import { KnownNodes, type NodeIdentity } from '../known-nodes.ts';
import { CHANNEL_BALANCE, INVOICE_LIST, lndBooks, PAYMENT_LIST } from './lnd-books.ts';
import { LndConnection } from './lnd-connection.ts';
import { anotherNode, lightningUnavailable, lndFailure, reasonOf } from './lnd-failure.ts';
import { LndPayments, PAYING_CALLS } from './lnd-payments.ts';
import { permits, warnOfPowers } from './lnd-macaroon.ts';
import { networkOf } from './lnd-network.ts';
import type { NodeBooks } from '../node-books.ts';
import { SettlementCursor } from '../settlement-cursor.ts';
import type { InvoiceRequest, InvoiceState, Network, NewInvoice, SettlementListener, Wallet } from '../wallet.ts';
import type { WalletMeans } from '../wallet-means.ts';

export interface LndWalletOptions {
  /** `host:port` of LND's gRPC. */
  socket: string;
  /** Serialized. */
  macaroon: Buffer;
  /** LND's own TLS certificate, PEM; without it, one of a public authority is expected. */
  cert?: Buffer | undefined;
  pool: Pool;
  log: Logger;
  observe: Observe;
  /** Whether invoices tell payers of private channels. */
  privateHints?: boolean;
  /** Whether it shall pay, too: the macaroon is expected to permit that then, and warned about where it does otherwise. */
  pays?: boolean;
  /** Whether it is only asked about what is open with it: its macaroon is not looked at. */
  follows?: boolean;
  /** How long a call may take. */
  deadlineMs?: number;
  /** A clock that only goes forward, in milliseconds, by which a connection is found dead. */
  now?: (() => number) | undefined;
  /** Pause between two checks that a subscription's connection still lives. */
  probeMs?: number;
  /** How long to wait at the start for an LND that was never met. */
  startMs?: number;
}

const SIGNET = { bech32: 'tbs', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] };
/** What is told where the macaroon permits none of it. */
const LISTS: ReadonlyMap<string, string> = new Map([
  [INVOICE_LIST, "the node's invoices: a payment that the database has lost, as after a restore, is found only while it comes"],
  [PAYMENT_LIST, "the node's payments: after a restore nothing keeps withdrawals that were made since the backup from being made again"],
]);
const START_RETRY_MS = 500;
const DEADLINE_MS = 5_000;

/**
 * Connects to LND. Where it is away, goes on with the identity of the node that this macaroon was good for before, so that funded keys
 * are served without it; where there was none, waits for it a while and rejects then. Rejects where its network is none of Bitcoin's.
 */
export async function createLndWallet(options: LndWalletOptions): Promise<Wallet> {
  const { log, observe, pool, startMs = 10_000, deadlineMs = DEADLINE_MS, now } = options;
  if (!options.follows) warnOfPowers(options.macaroon, log, options.pays ? PAYING_CALLS : undefined);
  for (const [call, what] of options.follows ? [] : [...LISTS].slice(0, options.pays ? 2 : 1)) {
    if (!permits(options.macaroon, call)) log.warn({ call }, `LND_MACAROON does not permit to read ${what}`);
  }
  const connection = new LndConnection({ connect: () => connect(options), deadlineMs, observe, now });
  const nodes = new KnownNodes(pool);
  const known = await nodes.recall(options.macaroon);
  const deadline = performance.now() + (known ? 0 : startMs);
  for (;;) {
    try {
      const identity = identityOf(await connection.call((lnd) => getWalletInfo({ lnd })));
      await nodes.remember(identity, options.macaroon);
      return new LndWallet(identity, connection, nodes, options);
    } catch (error) {
      const away = error instanceof GatewayError;
      if (away && performance.now() < deadline) await delay(START_RETRY_MS);
      else if (away && known) {
        observe({ kind: 'wallet_away', err: error, backend: 'lnd', nodeId: known.nodeId });
        return new LndWallet(known, connection, nodes, options);
      } else {
        connection.close();
        throw error;
      }
    }
  }
}

class LndWallet implements Wallet {
  readonly backend = 'lnd';
  readonly takesPreimage = true;
  readonly nodeId: string;
  readonly network: Network;
  readonly payments: LndPayments;
  readonly books: NodeBooks;
  readonly meansNeed: string | undefined;
  readonly #connection: LndConnection<AuthenticatedLnd>;
  readonly #nodes: KnownNodes;
  readonly #privateHints: boolean;
  readonly #probeMs: number;

  constructor(
    identity: NodeIdentity,
    connection: LndConnection<AuthenticatedLnd>,
    nodes: KnownNodes,
    { macaroon, privateHints = false, probeMs = 5_000 }: LndWalletOptions,
  ) {
    this.nodeId = identity.nodeId;
    this.network = identity.network;
    this.#connection = connection;
    this.#nodes = nodes;
    this.#privateHints = privateHints;
    this.#probeMs = probeMs;
    const confirmNode = (): Promise<unknown> => this.#info();
    this.payments = new LndPayments({ connection, confirmNode });
    this.meansNeed = permits(macaroon, CHANNEL_BALANCE) ? undefined : CHANNEL_BALANCE;
    this.books = lndBooks({ connection, confirmNode, permits: (call) => permits(macaroon, call) });
  }

  async createInvoice(request: InvoiceRequest): Promise<NewInvoice> {
    const { amountMsat, description, metadata, expirySeconds, preimage } = request;
    const paymentHash = createHash('sha256').update(preimage).digest();
    const made = await this.#connection.call(async (lnd) => {
      try {
        const { request: text, created_at } = await createInvoice({
          lnd,
          mtokens: amountMsat.toString(),
          // LND keeps the description as its memo also where the invoice has a hash in place of one.
          description,
          ...(metadata !== undefined && { description_hash: descriptionHash(metadata).toString('hex') }),
          secret: preimage.toString('hex'),
          expires_at: new Date(Date.now() + expirySeconds * 1000).toISOString(),
          is_including_private_channels: this.#privateHints,
        });
        return { bolt11: text, expiresAt: new Date(Date.parse(created_at) + expirySeconds * 1000) };
      } catch (error) {
        if (lndFailure(error).kind !== 'exists') throw error;
        // Made before, and the answer was lost: one preimage is one invoice.
        const { request: text, expires_at } = await getInvoice({ lnd, id: paymentHash.toString('hex') });
        if (text === undefined) throw error;
        return { bolt11: text, expiresAt: new Date(expires_at) };
      }
    });
    const { payeeNodeKey: payee, tagsObject } = bolt11.decode(made.bolt11, this.network === 'signet' ? SIGNET : undefined);
    requireDescriptionHash(metadata, tagsObject.purpose_commit_hash);
    if (payee !== this.nodeId) throw anotherNode(this.nodeId, payee);
    return { ...made, paymentHash };
  }

  async lookupInvoice(paymentHash: Buffer): Promise<InvoiceState | null> {
    return this.#connection.call(async (lnd) => {
      try {
        return stateOf(await getInvoice({ lnd, id: paymentHash.toString('hex') }));
      } catch (error) {
        if (lndFailure(error).kind === 'not-found') return null;
        throw error;
      }
    });
  }

  /**
   * Every settlement after the last one that was dealt with, and then each as it happens. The library's own resumption is not used:
   * it forgets its place when an invoice is added, so each call here is one subscription, which ends at the first sign of trouble.
   */
  async watchSettlements(onSettled: SettlementListener, signal: AbortSignal, onSubscribed: () => void = () => {}): Promise<void> {
    await this.#info();
    const after = await this.#nodes.settleIndex(this.nodeId);
    if (signal.aborted) return;
    const cursor = new SettlementCursor(this.#nodes, this.nodeId);
    const subscription = subscribeToInvoices({ lnd: this.#connection.lnd, ...(after > 0 && { confirmed_after: after }) });
    const over = new AbortController();
    try {
      await new Promise<void>((resolve, reject) => {
        signal.addEventListener('abort', () => resolve(), { once: true, signal: over.signal });
        subscription.on('invoice_updated', (invoice: SubscribeToInvoicesInvoiceUpdatedEvent) => {
          if (!invoice.is_confirmed || invoice.confirmed_index === undefined) return;
          cursor.follow(invoice.confirmed_index, onSettled(stateOf(invoice))).catch(reject);
        });
        // At once, or the library starts the subscription again by itself half a minute later.
        const lost = (error: unknown): void => {
          subscription.removeAllListeners();
          reject(lightningUnavailable(error));
        };
        subscription.on('error', lost);
        subscription.on('end', () => lost(new Error('LND ended the subscription')));
        this.#keepProbing(onSubscribed, over.signal).catch(reject);
      });
    } finally {
      over.abort();
      subscription.removeAllListeners();
    }
  }

  /**
   * Asks LND something again and again while a subscription lasts, for nothing else tells of a connection that delivers nothing any more.
   * Its first answer tells that the subscription, sent before on the same connection, is in effect.
   */
  async #keepProbing(onFirstAnswer: () => void, signal: AbortSignal): Promise<void> {
    for (let answers = 0; !signal.aborted; answers++) {
      await this.#info();
      if (answers === 0 && !signal.aborted) onFirstAnswer();
      await delay(this.#probeMs, undefined, { signal }).catch(() => {});
    }
  }

  async means(): Promise<WalletMeans> {
    const found = await this.#connection.call((lnd) => getChannelBalance({ lnd }));
    return {
      spendableMsat: msat(BigInt(found.channel_balance_mtokens ?? found.channel_balance * 1000)),
      receivableMsat: found.inbound_mtokens === undefined ? null : msat(BigInt(found.inbound_mtokens)),
      pendingMsat: msat(BigInt(found.unsettled_balance_mtokens ?? 0) + BigInt(found.pending_balance) * 1000n),
    };
  }

  async status(): Promise<{ ready: boolean; reason?: string }> {
    try {
      const { is_synced_to_chain } = await this.#info();
      return is_synced_to_chain ? { ready: true } : { ready: false, reason: 'LND is still syncing to the chain' };
    } catch (error) {
      return { ready: false, reason: reasonOf(error) };
    }
  }

  async close(): Promise<void> {
    this.#connection.close();
  }

  /** The node's own word on itself. Rejects where it is another node than the one that the gateway started with. */
  async #info(): Promise<GetWalletInfoResult> {
    const info = await this.#connection.call((lnd) => getWalletInfo({ lnd }));
    if (info.public_key !== this.nodeId) throw anotherNode(this.nodeId, info.public_key);
    return info;
  }
}

function connect({ socket, macaroon, cert }: LndWalletOptions): AuthenticatedLnd {
  return authenticatedLndGrpc({ socket, macaroon: macaroon.toString('hex'), ...(cert && { cert: cert.toString('base64') }) }).lnd;
}

function identityOf({ public_key, chains }: GetWalletInfoResult): NodeIdentity {
  const network = networkOf(chains);
  if (!network) throw new ConfigError(`LND_SOCKET: LND is on a chain that is not Bitcoin's: ${chains.join(', ')}`);
  return { nodeId: public_key, network };
}

function stateOf(invoice: GetInvoiceResult | SubscribeToInvoicesInvoiceUpdatedEvent): InvoiceState {
  const { id, description, request } = invoice;
  const paymentHash = Buffer.from(id, 'hex');
  if (invoice.is_confirmed) {
    const settledAt = invoice.confirmed_at === undefined ? undefined : new Date(invoice.confirmed_at);
    const text = { description, ...(request !== undefined && { bolt11: request }) };
    return {
      paymentHash,
      status: 'settled',
      receivedMsat: msat(BigInt(invoice.received_mtokens)),
      ...(settledAt && { settledAt }),
      ...text,
    };
  }
  return { paymentHash, status: 'is_canceled' in invoice && invoice.is_canceled ? 'canceled' : 'open' };
}
