import { z } from 'zod';
import { GatewayError } from '../../errors.ts';
import { listOf } from '../../list-of.ts';
import { UnlistedError, type BookedInvoice, type BookPage } from '../node-books.ts';
import { stateOf, transaction } from './nwc-answers.ts';

/** Few at a time: an answer with more may not fit into an event of Nostr's. */
const PAGE = 20;
/** The newest 10,000 payments: a walk must end. */
const MOST_PAGES = 500;
/** An invoice is listed by when it was made, and paid later: longer than the longest of ours lives. */
const READ_AGAIN_SECONDS = 8 * 86_400;

/** Others' entries may be of any kind: each is read by itself. */
const list = z.object({ transactions: listOf(z.unknown(), { max: 1_000, of: 'transactions' }) });

type Ask = <T>(method: string, params: object, answer: z.ZodType<T>) => Promise<T>;

/**
 * The payments that a wallet received, by its `list_transactions`: counted by the second in which their invoices were made. Some
 * wallets list the last few only. Rejects with UnlistedError where it does not list after all.
 */
export async function nwcReceived(ask: Ask, after: bigint): Promise<BookPage<BookedInvoice>> {
  const from = Math.max(0, Number(after) - READ_AGAIN_SECONDS);
  const found = new Map<string, BookedInvoice & { index: bigint }>();
  const seen = new Set<string>();
  for (let page = 0, offset = 0; page < MOST_PAGES; page++) {
    const request = { from, limit: PAGE, offset, type: 'incoming', unpaid: false };
    const { transactions } = await ask('list_transactions', request, list).catch((cause: unknown) => {
      throw cause instanceof GatewayError ? new UnlistedError('the wallet does not list its payments', { cause }) : cause;
    });
    const known = seen.size;
    for (const each of transactions) seen.add(JSON.stringify(each));
    const entries = transactions.map(entryOf).filter((entry) => entry !== undefined);
    for (const entry of entries) found.set(entry.paymentHash.toString('hex'), entry);
    // Some know neither an offset nor a beginning: these list the newest first.
    if (seen.size === known || (entries.length > 0 && entries.every(({ index }) => index < BigInt(from)))) break;
    offset += transactions.length;
  }
  return { entries: [...found.values()].sort((a, b) => Number(a.index - b.index)), more: false };
}

function entryOf(listed: unknown): (BookedInvoice & { index: bigint }) | undefined {
  const { data } = transaction.safeParse(listed);
  if (!data || data.amount === 0) return undefined;
  const state = stateOf(data, data.payment_hash);
  if (state?.status !== 'settled') return undefined;
  // A clock that is wrong must not move the place past what is yet to come.
  const seconds = Math.min(Math.max(Math.floor(data.created_at ?? data.settled_at ?? 0), 0), Math.floor(Date.now() / 1000));
  return { ...state, createdAt: new Date(seconds * 1000), index: BigInt(seconds) };
}
