import bolt11 from 'bolt11';
import { z } from 'zod';
import { listOf } from '../../list-of.ts';
import { msat, type Msat } from '../../amount.ts';
import { requireDescriptionHash } from '../description-hash.ts';
import type { InvoiceState, Network, NewInvoice } from '../wallet.ts';

/** A wallet's answer that cannot be what was asked for. Says nothing that may not be logged. */
export class NwcAnswerError extends Error {
  override name = 'NwcAnswerError';
}

const hash = z
  .string()
  .regex(/^[0-9a-f]{64}$/i)
  .transform((hex) => Buffer.from(hex, 'hex'));

/** `get_info` (https://github.com/nostr-protocol/nips/blob/master/47.md), as far as it matters. */
export const walletInfo = z.object({
  methods: listOf(z.string()),
  network: z.string().nullish(),
});
export type WalletInfo = z.infer<typeof walletInfo>;

/** `get_info` of a wallet that is asked to pay. Whatever it leaves out is not known. */
export const payerInfo = z.object({
  alias: z.string().nullish().catch(undefined),
  pubkey: z.string().nullish().catch(undefined),
  network: z.string().nullish().catch(undefined),
  methods: listOf(z.string(), { max: 200 }).nullish().catch(undefined),
});

export type PayerInfo = z.infer<typeof payerInfo>;

/** `get_budget`, an extension of Alby's: msat, and Unix seconds. Empty where there is none. */
export const budget = z.object({
  used_budget: z.number().min(0).nullish().catch(undefined),
  total_budget: z.number().min(0).nullish().catch(undefined),
  renews_at: z.number().min(0).nullish().catch(undefined),
});

/** The answer to `pay_invoice`, of which nothing counts: whether it was paid is our own node's word. */
export const payment = z.unknown();

/** The answer to `make_invoice`. The invoice's own text is what counts. */
export const madeInvoice = z.object({ invoice: z.string().min(1), amount: z.number().nullish() });

/** The answer to `lookup_invoice`; also what a notification carries. Amounts are msat, times Unix seconds. */
export const transaction = z.object({
  type: z.string().nullish(),
  state: z.string().nullish(),
  payment_hash: hash,
  amount: z.int().min(0),
  settled_at: z.number().nullish(),
  created_at: z.number().nullish().catch(undefined),
  // For the operator alone: what they are does not matter to a credit.
  description: z.string().nullish().catch(undefined),
  invoice: z.string().nullish().catch(undefined),
});

/** The answer to `get_balance`, in msat. */
export const balance = z.object({ balance: z.int().min(0) });

/** A notification, as far as it matters: which invoice it is about. */
export const paymentReceived = z.object({
  notification_type: z.literal('payment_received'),
  notification: z.object({ payment_hash: hash }),
});

/** Without these a wallet cannot take payments for the gateway. */
const NEEDED = ['make_invoice', 'lookup_invoice'];
/** What spends, or makes connections that do. */
const POWERS = /^(multi_)?pay_|^create_connection$/;

/** Whether the wallet offers to list what it received. */
export function listsPayments({ methods }: WalletInfo): boolean {
  return methods.includes('list_transactions');
}

/** Whether the connection may read the wallet's balance. */
export function tellsBalance({ methods }: WalletInfo): boolean {
  return methods.includes('get_balance');
}

/** The methods that a connection lacks. */
export function missingMethods({ methods }: WalletInfo): string[] {
  return NEEDED.filter((method) => !methods.includes(method));
}

/** The methods by which whoever steals the connection could empty the wallet. */
export function spendingMethods({ methods }: WalletInfo): string[] {
  return methods.filter((method) => POWERS.test(method));
}

const NETWORKS: Readonly<Record<string, Network>> = {
  bitcoin: 'mainnet',
  mainnet: 'mainnet',
  testnet: 'testnet',
  testnet3: 'testnet',
  testnet4: 'testnet',
  signet: 'signet',
  mutinynet: 'signet',
  regtest: 'regtest',
};

/** The wallet's network. One that does not say is taken to be on mainnet, which each of its invoices then has to show. */
export function networkOf({ network }: WalletInfo): Network {
  const known = NETWORKS[network?.trim().toLowerCase() || 'mainnet'];
  if (!known) throw new NwcAnswerError(`the wallet is on a network that is not Bitcoin's: ${network?.slice(0, 40)}`);
  return known;
}

/** By the prefix of an invoice (BOLT 11). */
const PREFIXES: Readonly<Record<string, Network>> = { bc: 'mainnet', tb: 'testnet', tbs: 'signet', bcrt: 'regtest' };
const SIGNET = { bech32: 'tbs', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] };

/** The invoice that a wallet made, read from its own text. Throws NwcAnswerError where it is not the one that was asked for. */
export function readInvoice(
  { invoice, amount }: z.infer<typeof madeInvoice>,
  asked: { amountMsat: Msat; network: Network; metadata?: string | undefined },
): NewInvoice {
  const text = invoice.trim().toLowerCase();
  const network = PREFIXES[/^ln(bcrt|bc|tbs|tb)\d/.exec(text)?.[1] ?? ''];
  if (network !== asked.network)
    throw new NwcAnswerError(`the wallet made an invoice for ${network ?? 'no known network'}, not ${asked.network}`);
  const { millisatoshis, timeExpireDate, tagsObject } = decode(text, network);
  if (millisatoshis !== asked.amountMsat.toString()) throw new NwcAnswerError('the wallet made an invoice for another amount');
  // It will tell by the same count what it received.
  if (amount && BigInt(Math.round(amount)) !== asked.amountMsat) throw new NwcAnswerError('the wallet does not count in msat');
  requireDescriptionHash(asked.metadata, tagsObject.purpose_commit_hash);
  if (!tagsObject.payment_hash || !timeExpireDate) throw new NwcAnswerError('the wallet made an invoice without hash or expiry');
  return { bolt11: text, paymentHash: Buffer.from(tagsObject.payment_hash, 'hex'), expiresAt: new Date(timeExpireDate * 1000) };
}

function decode(text: string, network: Network): bolt11.PaymentRequestObject & { tagsObject: bolt11.TagsObject } {
  try {
    return bolt11.decode(text, network === 'signet' ? SIGNET : undefined);
  } catch {
    // The library's message may carry the text.
    throw new NwcAnswerError('the wallet made something that is not an invoice');
  }
}

/**
 * The wallet's word on the invoice of a payment hash: settled where the state says so or there is a time of settlement, for wallets
 * leave either out. Null for an outgoing payment of that hash, which says nothing about the invoice. Throws NwcAnswerError for another
 * invoice's, and for a settled one of nothing.
 */
export function stateOf(
  { type, state, payment_hash, amount, settled_at, description, invoice }: z.infer<typeof transaction>,
  paymentHash: Buffer,
): InvoiceState | null {
  if (!payment_hash.equals(paymentHash)) throw new NwcAnswerError('the wallet told of another invoice');
  if (type === 'outgoing') return null;
  if (state === 'settled' || (settled_at ?? 0) > 0) {
    if (amount === 0) throw new NwcAnswerError('the wallet told of a settled invoice that received nothing');
    return {
      paymentHash,
      status: 'settled',
      receivedMsat: msat(BigInt(amount)),
      ...(settled_at && { settledAt: new Date(settled_at * 1000) }),
      ...(description && { description }),
      ...(invoice && { bolt11: invoice }),
    };
  }
  return { paymentHash, status: state === 'failed' ? 'canceled' : 'open' };
}
