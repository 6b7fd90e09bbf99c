import { transaction, type Pool } from '../db/postgres.ts';
import { msat, type Msat } from '../amount.ts';

/** Balances cannot be booked away now, because requests or withdrawals are under way. */
export class UnderWayError extends Error {
  override name = 'UnderWayError';
}

/** The balances are of another network than the one whose balances were to be booked away. */
export class WrongNetworkError extends Error {
  override name = 'WrongNetworkError';
}

/** What a write-off did: how many accounts had a balance, and what they had together. */
export interface WriteOff {
  accounts: number;
  writtenOffMsat: Msat;
}

const BOOK_AWAY = `
  with locked as (
    select id, posted_msat from accounts where posted_msat > 0 order by id for no key update
  ), booked as (
    insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat)
    select 'write-off:' || $1 || ':' || id, id, 'adjustment', 'wallet', 'write_off', posted_msat, 0 from locked
    returning account_id, amount_msat
  ), emptied as (
    update accounts a set posted_msat = a.posted_msat - b.amount_msat from booked b where a.id = b.account_id
  )
  select count(*)::integer as accounts, coalesce(sum(amount_msat), 0)::bigint as written_off from booked`;

/** The network that the balances came from: that of the first deposit since the last write-off; null where there was none. */
export async function depositNetwork(pool: Pool): Promise<string | null> {
  const { rows } = await pool.query<{ network: string }>('select network from ledger_network');
  return rows[0]?.network ?? null;
}

/**
 * Books every balance away, in one transaction, so that deposits can come from another network. The transfers
 * stay in the statements, as adjustments. Throws UnderWayError if something is held: the gateways have to be
 * stopped first. Throws WrongNetworkError if the balances are of another network by now.
 */
export function writeOff(pool: Pool, network: string): Promise<WriteOff> {
  return transaction(pool, async (client) => {
    // Between the look and the booking, no account can be charged or credited, and no hold can be placed.
    await client.query('lock table accounts in share row exclusive mode');
    const { rows: held } = await client.query(
      `select from accounts where held_msat > 0 union all select from holds where state = 'pending' limit 1`,
    );
    if (held.length > 0) throw new UnderWayError('requests or withdrawals are under way: stop every gateway and wait for a minute');
    const { rows: others } = await client.query<{ network: string }>('delete from ledger_network returning network');
    if (others[0] && others[0].network !== network) throw new WrongNetworkError(`the balances are of ${others[0].network} by now`);
    const { rows: added } = await client.query<{ id: bigint }>(
      'insert into write_offs (network, written_off_msat) values ($1, (select coalesce(sum(posted_msat), 0) from accounts)) returning id',
      [network],
    );
    const { rows } = await client.query<{ accounts: number; written_off: bigint }>(BOOK_AWAY, [added[0]?.id]);
    return { accounts: rows[0]?.accounts ?? 0, writtenOffMsat: msat(rows[0]?.written_off ?? 0n) };
  });
}
