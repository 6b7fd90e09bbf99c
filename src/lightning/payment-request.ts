import bolt11 from 'bolt11';
import { GatewayError } from '../errors.ts';
import { msat, type Msat } from '../amount.ts';
import type { Network } from './wallet.ts';

/** Somebody's invoice: the parts of it that a payer must know (BOLT 11). */
export interface PaymentRequest {
  bolt11: string;
  paymentHash: Buffer;
  /** Above 0. */
  amountMsat: Msat;
  /** The public key of the node that is paid. */
  payee: string;
  /** What its maker says that it is for; empty where only a hash of that is there. */
  description: string;
  /** By its maker's clock. */
  createdAt: Date;
  expiresAt: Date;
}

/** The letters after `ln` that stand for a network. The simulated one writes itself as regtest. */
const PREFIXES: Record<Network, string> = { mainnet: 'bc', testnet: 'tb', signet: 'tbs', regtest: 'bcrt', simulated: 'bcrt' };
const PREFIX = /^ln(bcrt|bc|tbs|tb)(?:\d+[munp]?)?1/;
const ADDRESSES = { pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] };
const DEFAULT_EXPIRY_SECONDS = 3600;
const LONGEST = 4_096;

/**
 * Reads an invoice that is to be paid on `network` and checks it, signature included. Throws GatewayError
 * `invalid_request` if the text is no BOLT11 invoice, is of another network, or names no amount.
 */
export function readPaymentRequest(text: string, network: Network): PaymentRequest {
  const request = text
    .trim()
    .toLowerCase()
    .replace(/^lightning:/, '');
  const prefix = request.length <= LONGEST ? PREFIX.exec(request)?.[1] : undefined;
  if (prefix === undefined) throw refusedRequest('This is not a BOLT11 invoice.');
  if (prefix !== PREFIXES[network]) throw refusedRequest(`The invoice is not of this gateway's network, which is ${network}.`);
  const decoded = decode(request, prefix);
  const { tagsObject, payeeNodeKey: payee, timestamp } = decoded;
  const paymentHash = Buffer.from(tagsObject.payment_hash ?? '', 'hex');
  if (paymentHash.length !== 32 || !payee || timestamp === undefined) throw refusedRequest('This is not a BOLT11 invoice.');
  const amountMsat = msat(BigInt(decoded.millisatoshis ?? '0'));
  if (amountMsat <= 0n) throw refusedRequest('The invoice must name an amount.');
  const expiresAt = new Date((timestamp + (tagsObject.expire_time ?? DEFAULT_EXPIRY_SECONDS)) * 1000);
  if (Number.isNaN(expiresAt.getTime())) throw refusedRequest('This is not a BOLT11 invoice.');
  return {
    bolt11: request,
    paymentHash,
    amountMsat,
    payee,
    description: tagsObject.description ?? '',
    createdAt: new Date(timestamp * 1000),
    expiresAt,
  };
}

/** The refusal of an invoice that shall be paid. */
export function refusedRequest(message: string): GatewayError {
  return new GatewayError('invalid_request', { message, param: 'paymentRequest' });
}

function decode(request: string, prefix: string): ReturnType<typeof bolt11.decode> {
  try {
    return bolt11.decode(request, prefix === 'bc' ? undefined : { bech32: prefix, ...ADDRESSES });
  } catch {
    // The library's message is about its parser. The client gets a message of ours.
    throw refusedRequest('This is not a BOLT11 invoice.');
  }
}
