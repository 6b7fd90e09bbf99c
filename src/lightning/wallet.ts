import type { Msat } from '../amount.ts';
import type { NodeBooks } from './node-books.ts';
import type { WalletMeans } from './wallet-means.ts';

/** The networks a deposit can come from. A database never mixes them. */
export type Network = 'mainnet' | 'testnet' | 'signet' | 'regtest' | 'simulated';

/** The node's own word on one invoice. */
export interface InvoiceState {
  paymentHash: Buffer;
  status: 'open' | 'settled' | 'canceled';
  /** What the node really received; present and above 0 exactly when settled. */
  receivedMsat?: Msat;
  settledAt?: Date;
  /** For a settled invoice: its description and its text, if the node tells them. */
  description?: string;
  bolt11?: string;
}

export interface InvoiceRequest {
  amountMsat: Msat;
  /** What the payer reads, and what the node keeps. */
  description: string;
  /**
   * What a wallet was shown of a Lightning Address (LUD-06). The invoice then has its SHA-256 in place of a description, and a node that can
   * keeps `description` for itself.
   */
  metadata?: string | undefined;
  expirySeconds: number;
  preimage: Buffer;
}

export interface NewInvoice {
  bolt11: string;
  paymentHash: Buffer;
  expiresAt: Date;
}

export interface OutgoingPayment {
  bolt11: string;
  maxFeeMsat: Msat;
  /** How long the node looks for a route. */
  tryMs: number;
  /**
   * After this moment of `performance.now()` the node must not be asked any more: others may have concluded
   * that it never was.
   */
  startBy: number;
}

/** Why a node gave a payment up for good. */
export type PaymentFailure = 'no_route' | 'no_liquidity' | 'rejected' | 'timed_out' | 'other';

/**
 * The node's own word on one payment. `feeMsat` is there exactly when paid, `failure` exactly when failed. A
 * pending payment is `known` if the node said that it has the payment; it is not enough that the node did not
 * deny that.
 */
export type PaymentState =
  { status: 'pending'; known: boolean } | { status: 'paid'; feeMsat: Msat } | { status: 'failed'; failure: PaymentFailure };

/** The node makes no invoice with the hash of a description, or makes it without the hash. */
export class DescriptionHashError extends Error {
  override name = 'DescriptionHashError';
}

/** The node was certainly not asked to pay: no byte of the call has left this process, and none will. */
export class NotAskedError extends Error {
  override name = 'NotAskedError';
}

/**
 * What a wallet that can pay offers in addition. A payment hash is paid at most once, however often `pay` is
 * called.
 */
export interface Payments {
  /**
   * Asks the node to pay an invoice. The node refuses an invoice that has expired by the node's own clock.
   * Resolves once the payment has ended, or after some seconds. Rejects with NotAskedError if the node was
   * not asked and will not be. Apart from that, neither resolving nor rejecting says anything about the
   * outcome: use `lookupPayment`.
   */
  pay(payment: OutgoingPayment): Promise<void>;
  /**
   * The node's state of a payment, or null if this node has no payment with that hash. Rejects with
   * GatewayError `lightning_unavailable` if the node cannot be asked, or if another node answers.
   */
  lookupPayment(paymentHash: Buffer): Promise<PaymentState | null>;
}

/**
 * A hint that an invoice was settled. The receiver looks the invoice up or credits it, idempotently. A
 * returned promise never rejects. It resolves to true once the settlement is credited or noted for a lookup;
 * a wallet that keeps its place in the node's settlements may then move on. It resolves to false if neither
 * could be done, and the hint must come again.
 */
export type SettlementListener = (state: InvoiceState) => Promise<boolean> | void;

/**
 * A Lightning wallet that can receive: simulated, LND, or Nostr Wallet Connect.
 * Every call has a deadline and rejects with a `GatewayError` `lightning_unavailable` when the node cannot be reached.
 */
export interface Wallet {
  readonly backend: 'simulated' | 'lnd' | 'nwc';
  /** The node's identity (public key): settlement cursors and invoices belong to one node. */
  readonly nodeId: string;
  readonly network: Network;
  /**
   * True if the caller chooses the preimage, so that the hash is known before the node is asked; false if the
   * wallet does.
   */
  readonly takesPreimage: boolean;
  /** Absent if the wallet can only receive. */
  readonly payments?: Payments;
  /** The node's own lists, as far as the gateway may read them. */
  readonly books?: NodeBooks;
  /**
   * Creates an invoice. With `preimage` given, asking again for the same preimage never makes a second invoice:
   * the first one is returned.
   * With `metadata` given, rejects with GatewayError `lightning_unavailable` and a DescriptionHashError as its cause if the node refuses that.
   */
  createInvoice(request: InvoiceRequest): Promise<NewInvoice>;
  /** The node's state of an invoice, or null if this node has none with that hash. */
  lookupInvoice(paymentHash: Buffer): Promise<InvoiceState | null>;
  /**
   * Calls `onSettled` for settlements as they happen, at least once each and in any order, until `signal`
   * aborts; resolves then. Rejects when the subscription is lost: the caller backs off and subscribes afresh.
   * `onSubscribed` is called whenever the subscription has come into effect. The caller looks up what settled
   * before that.
   */
  watchSettlements(onSettled: SettlementListener, signal: AbortSignal, onSubscribed?: () => void): Promise<void>;
  /** What the node could pay and receive now. Absent if the wallet does not tell. */
  means?(): Promise<WalletMeans>;
  /** What the operator's credential lacks to read that, e.g. a macaroon's permission. */
  readonly meansNeed?: string | undefined;
  /** Whether the node can be used now, for `/ready` and `/api/status`. Never rejects. */
  status(): Promise<{ ready: boolean; reason?: string }>;
  close(): Promise<void>;
}
