import type { Msat } from '../amount.ts';
import type { NodeBooks } from './node-books.ts';

/** The networks a deposit can come from. A database never mixes them. */
export type Network = 'mainnet' | 'testnet' | 'signet' | 'regtest' | 'simulated';

/** The node's own word on one invoice. */
export interface InvoiceState {
  paymentHash: Buffer;
  status: 'open' | 'settled' | 'canceled';
  /** What the node really received; present and above 0 exactly when settled. */
  receivedMsat?: Msat;
  settledAt?: Date;
  /** Of a settled one: what its maker wrote into it, and its text, where the node tells. */
  description?: string;
  bolt11?: string;
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
  /** Past this moment of `performance.now()` the node is not asked any more: somebody may have concluded that it never was. */
  startBy: number;
}

/** Why a node gave a payment up for good. */
export type PaymentFailure = 'no_route' | 'no_liquidity' | 'rejected' | 'timed_out' | 'other';

/**
 * The node's own word on one payment. `feeMsat` is there exactly when paid, `failure` when failed. A pending one is `known` where the node
 * said that it has the payment, and not where it was only not heard to deny that.
 */
export type PaymentState =
  { status: 'pending'; known: boolean } | { status: 'paid'; feeMsat: Msat } | { status: 'failed'; failure: PaymentFailure };

/** The node was not asked to pay, for certain: no byte of that has left this process, and none will. */
export class NotAskedError extends Error {
  override name = 'NotAskedError';
}

/** What a wallet that can pay offers besides. A payment hash is paid once at most, however often it is asked for. */
export interface Payments {
  /**
   * Asks the node to pay an invoice, which refuses one that has expired by its own clock; resolves once that has ended or has taken some
   * seconds. Rejects with NotAskedError where the node was not asked and will not be. Otherwise, whether it resolves or rejects tells nothing
   * of the outcome, which may have been lost on its way: `lookupPayment` does.
   */
  pay(payment: OutgoingPayment): Promise<void>;
  /**
   * The node's state of a payment, or null where this node knows none by that hash. Rejects with GatewayError `lightning_unavailable`
   * where it cannot be had, and where another node answers.
   */
  lookupPayment(paymentHash: Buffer): Promise<PaymentState | null>;
}

/**
 * A hint that something settled: the receiver looks it up or credits it, idempotently. A promise never rejects; it resolves to true
 * once the settlement is credited or on record to be looked up, so that a wallet which keeps its place in the node's settlements
 * may move on, and to false where neither could be done and it is to be delivered again.
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
  /** True where the caller chooses the preimage (so the hash is known before the node is asked), false where the wallet does. */
  readonly takesPreimage: boolean;
  /** Absent where it can only receive. */
  readonly payments?: Payments;
  /** The node's own lists, as far as it lets the gateway read them. */
  readonly books?: NodeBooks;
  /**
   * Creates an invoice. With `preimage` given, asking again for the same preimage never makes a second invoice:
   * the first one is returned.
   */
  createInvoice(request: { amountMsat: Msat; description: string; expirySeconds: number; preimage: Buffer }): Promise<NewInvoice>;
  /** The node's state of an invoice, or null where this node knows none by that hash. */
  lookupInvoice(paymentHash: Buffer): Promise<InvoiceState | null>;
  /**
   * Calls `onSettled` for settlements as they happen, at least once each and in any order, until `signal` aborts;
   * resolves then. Rejects when the subscription is lost: the caller backs off and subscribes afresh.
   * `onSubscribed` is called whenever the subscription has come into effect: what settled before is the caller's to look up.
   */
  watchSettlements(onSettled: SettlementListener, signal: AbortSignal, onSubscribed?: () => void): Promise<void>;
  /** Whether the node can be used now, for `/ready` and `/api/status`. Never rejects. */
  status(): Promise<{ ready: boolean; reason?: string }>;
  close(): Promise<void>;
}
