import type { Pool, PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';

/** What a payer's wallet asked for at a Lightning Address. */
export interface AddressPayment {
  readonly accountId: string;
  readonly handle: string;
  readonly amountSat: number;
  /** What the wallet was shown: the invoice has its SHA-256. */
  readonly metadata: string;
  /** What the payer wrote, 140 characters at most; null for nothing. */
  readonly comment: string | null;
}

/** How long such an invoice can be paid: a wallet asks for it when its user has decided. */
export const ADDRESS_EXPIRY_SECONDS = 600;

/** Said to payers of an account that is frozen, or that nobody could get at. */
export const TAKES_NOTHING = 'This address takes no payments at the moment.';
const MOST_OPEN_A_HANDLE = 20;
/** Of all addresses together, and how many of those one sender and the wider networks around the sender may have asked for. */
const MOST_OPEN = 4_000;
const MOST_OPEN_A_NETWORK = [MOST_OPEN / 50, MOST_OPEN / 40, MOST_OPEN / 20];
/** The lock for adding an invoice of an address: an arbitrary number. */
const ADDRESSES_LOCK = 8_402_006;

const OPEN = `handle is not null and state in ('creating', 'open') and expires_at > clock_timestamp()`;
const COUNT_OF_HANDLE = `
  select exists (select from lightning_handles where handle = $1 and account_id = $2 and retired_at is null) as current,
    exists (select from accounts where id = $2 and frozen_at is not null) as frozen,
    (select count(*)::integer from invoices where handle = $1 and ${OPEN}) as open`;
const COUNT_OF_ALL = `
  select count(*)::integer as total,
    array[count(*) filter (where sender_hashes[1] = ($1::text[])[1]), count(*) filter (where sender_hashes[2] = ($1::text[])[2]),
      count(*) filter (where sender_hashes[3] = ($1::text[])[3])]::integer[] as networks
  from invoices where ${OPEN}`;

/**
 * Throws GatewayError `not_found` where the account does not go by the handle any more, `not_permitted` where it is frozen, and `too_many_invoices` where as many of its invoices
 * are open as may be. Decides under the account's lock; without it, turns floods away before they take the lock.
 */
export async function refuseAddress(database: Pool | PoolClient, { handle, accountId }: AddressPayment): Promise<void> {
  const { rows } = await database.query<{ current: boolean; frozen: boolean; open: number }>(COUNT_OF_HANDLE, [handle, accountId]);
  const [found] = rows;
  if (!found?.current) throw new GatewayError('not_found', { message: 'No such address.' });
  if (found.frozen) throw new GatewayError('not_permitted', { message: TAKES_NOTHING });
  if (found.open >= MOST_OPEN_A_HANDLE) throw tooMany();
}

/** Throws `too_many_invoices` where too many invoices of addresses are open: of all senders, or of one of the sender's networks. */
export async function refuseManyAddresses(client: PoolClient, senderHashes: readonly string[]): Promise<void> {
  await client.query(`select pg_advisory_xact_lock($1)`, [ADDRESSES_LOCK]);
  const { rows } = await client.query<{ total: number; networks: number[] }>(COUNT_OF_ALL, [senderHashes]);
  const [open] = rows;
  const isSpent = senderHashes.some((_, width) => (open?.networks[width] ?? 0) >= (MOST_OPEN_A_NETWORK[width] ?? 0));
  if (isSpent || (open?.total ?? 0) >= MOST_OPEN) throw tooMany();
}

function tooMany(): GatewayError {
  return new GatewayError('too_many_invoices', {
    message: 'Too many payments to this address are open. Try again in ten minutes.',
    retryAfter: 60,
  });
}
