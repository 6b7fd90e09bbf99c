import { createHash, createHmac } from 'node:crypto';
import type { RootSecret } from '../config/secret-keys.ts';
import { GatewayError } from '../errors.ts';
import { divideRoundingUp, msat, type Msat } from '../amount.ts';
import { ADDRESS_EXPIRY_SECONDS } from './address-invoices.ts';
import { deriveKey } from '../secrets.ts';

/**
 * The state that clients see. `paid` is final. An `expired` invoice that the node still accepts becomes
 * `paid`.
 */
export type InvoiceStatus = 'pending' | 'paid' | 'expired' | 'canceled';

/** A top-up as the gateway keeps it, once the node has made its invoice. */
export interface Invoice {
  readonly id: string;
  /** Null for a keyless invoice that nobody has paid. */
  readonly accountId: string | null;
  /** For a keyless invoice: the key row that the payment makes. */
  readonly payerKeyId: string | null;
  readonly status: InvoiceStatus;
  readonly amountSat: number;
  readonly bolt11: string;
  readonly paymentHash: Buffer;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly receivedMsat: Msat | null;
  readonly paidAt: Date | null;
  readonly creditedAt: Date | null;
}

/** The invoice object of the API, also `error.funding` of a 402. Amounts in whole sats, times ISO 8601. */
export interface InvoiceView {
  invoiceId: string;
  paymentRequest: string;
  paymentHash: string;
  amount: number;
  unit: 'sats';
  status: InvoiceStatus;
  rail: 'lightning';
  createdAt: string;
  expiresAt: string;
  invoiceUrl: string;
  statusUrl: string;
  lightningUrl: string;
}

/** The invoice for the wire. `origin` is scheme and host of the gateway as the client reaches it, without a slash at the end. */
export function invoiceView(invoice: Invoice, origin: string): InvoiceView {
  return {
    invoiceId: invoice.id,
    paymentRequest: invoice.bolt11,
    paymentHash: invoice.paymentHash.toString('hex'),
    amount: invoice.amountSat,
    unit: 'sats',
    status: invoice.status,
    rail: 'lightning',
    createdAt: invoice.createdAt.toISOString(),
    expiresAt: invoice.expiresAt.toISOString(),
    invoiceUrl: `${origin}/invoice/${invoice.id}`,
    statusUrl: `${origin}/api/wallet/status?invoiceId=${invoice.id}`,
    lightningUrl: `lightning:${invoice.bolt11}`,
  };
}

export const LARGEST_TOPUP_SAT = 1_000_000;
/** How long the wallet of an account's autopay may pay an invoice: until then, no other can be made for it. */
const AUTOPAY_EXPIRY_SECONDS = 120;

/**
 * The `X-Pura-Topup-Sats` of a request: whole sats from 1 to 1000000, or undefined if the header is missing.
 * Throws GatewayError `invalid_request` for anything else.
 */
export function parseTopupSats(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const sats = /^[1-9]\d{0,6}$/.test(header.trim()) ? Number(header) : NaN;
  if (!(sats <= LARGEST_TOPUP_SAT)) throw badTopup(`X-Pura-Topup-Sats must be a whole number from 1 to ${LARGEST_TOPUP_SAT}.`);
  return sats;
}

/**
 * The amount of a 402's invoice: what the client named (or the default), or the shortfall and a twentieth
 * more if that is larger. Throws GatewayError `invalid_request` if the amount is above the largest top-up.
 */
export function offeredSats({ shortfallMsat, wantedSat }: { shortfallMsat: Msat; wantedSat: number }): number {
  const needed = divideRoundingUp(shortfallMsat * 105n, 100_000n);
  if (needed > BigInt(LARGEST_TOPUP_SAT)) throw badTopup(`This request needs ${needed} sats, more than one invoice can be for.`);
  return Math.max(wantedSat, Number(needed));
}

function badTopup(message: string): GatewayError {
  return new GatewayError('invalid_request', { message, param: 'X-Pura-Topup-Sats' });
}

/**
 * The preimage of an invoice: an HMAC of its id. If the answer to a creation was lost, asking the node again
 * cannot make a second invoice. With several root secrets, the stored hash tells which one made the preimage;
 * a new invoice takes the first.
 */
export function invoicePreimage(roots: readonly RootSecret[], id: string, paymentHash?: Buffer | null): Buffer {
  for (const root of roots) {
    const preimage = createHmac('sha256', deriveKey(root, 'preimage')).update(id).digest();
    if (!paymentHash || paymentHashOf(preimage).equals(paymentHash)) return preimage;
  }
  throw new Error(`no root secret made the preimage of invoice ${id}: was one removed from SECRET_KEY?`);
}

export function paymentHashOf(preimage: Buffer): Buffer {
  return createHash('sha256').update(preimage).digest();
}

/** A row of `invoices`. */
export interface InvoiceRow {
  id: string;
  account_id: string | null;
  payer_key_id: string | null;
  node_id: string;
  payment_hash: Buffer | null;
  bolt11: string | null;
  amount_sat: number;
  state: 'creating' | 'open' | 'paid' | 'expired' | 'canceled' | 'failed';
  received_msat: bigint | null;
  idempotency_sha256: Buffer | null;
  created_at: Date;
  expires_at: Date;
  paid_at: Date | null;
  credited_at: Date | null;
  checks: number;
  /** Of an invoice that was asked for at a Lightning Address: for which handle, what the wallet was shown, and what the payer wrote. */
  handle: string | null;
  address_metadata: string | null;
  payer_comment: string | null;
  /** For the wallet of an account's autopay alone: shown to nobody, and offered nowhere. */
  autopay: boolean;
  /** True once the expiry has passed on the database's clock. */
  past: boolean;
  /** True ten minutes after that: no node takes a payment for it any more, however wrong its clock. */
  long_past: boolean;
  /** True if this very call added the row, so that nobody has asked the node yet. */
  fresh?: true;
}

/** The columns of an `InvoiceRow`. */
export const INVOICE_COLUMNS = `id, account_id, payer_key_id, node_id, payment_hash, bolt11, amount_sat, state, received_msat, idempotency_sha256, created_at, expires_at,
  paid_at, credited_at, checks, handle, address_metadata, payer_comment, autopay, expires_at <= clock_timestamp() as past,
  expires_at + interval '10 minutes' <= clock_timestamp() as long_past`;

/** How long an invoice is offered: `seconds`, unless it is of a kind that has its own time. */
export function expirySecondsOf({ handle, autopay }: Pick<InvoiceRow, 'handle' | 'autopay'>, seconds: number): number {
  if (autopay) return AUTOPAY_EXPIRY_SECONDS;
  return handle === null ? seconds : ADDRESS_EXPIRY_SECONDS;
}

/** Whether an invoice is for nobody's eyes: a second payer could lose the money. Once paid, it is a deposit like any other. */
export function isHidden({ autopay, state }: Pick<InvoiceRow, 'autopay' | 'state'>): boolean {
  return autopay && state !== 'paid';
}

/** The invoice in a row that has one. Throws for a row whose invoice the node never made. */
export function invoiceFromRow(row: InvoiceRow): Invoice {
  if (row.bolt11 === null || row.payment_hash === null) throw new GatewayError('lightning_unavailable');
  return {
    id: row.id,
    accountId: row.account_id,
    payerKeyId: row.payer_key_id,
    status: statusOf(row),
    amountSat: row.amount_sat,
    bolt11: row.bolt11,
    paymentHash: row.payment_hash,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    receivedMsat: row.received_msat === null ? null : msat(row.received_msat),
    paidAt: row.paid_at,
    creditedAt: row.credited_at,
  };
}

function statusOf({ state, past }: InvoiceRow): InvoiceStatus {
  if (state === 'paid' || state === 'canceled') return state;
  return past || state === 'expired' ? 'expired' : 'pending';
}
