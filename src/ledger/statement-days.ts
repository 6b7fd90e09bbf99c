import type { Pool } from '../db/postgres.ts';
import { msat, type Msat } from '../amount.ts';

/** What a wallet had before a period and after it, and what made the difference. */
export interface StatementSums {
  openingMsat: Msat;
  closingMsat: Msat;
  depositsMsat: Msat;
  /** Above 0. */
  chargesMsat: Msat;
  refundsMsat: Msat;
  /** Above 0. */
  withdrawalsMsat: Msat;
  /** Into the wallet less out of it. */
  adjustmentsMsat: Msat;
}

/** The sums of a UTC day, or of the part of one that a period has. */
export interface StatementDay extends StatementSums {
  /** `YYYY-MM-DD`. */
  day: string;
}

interface Row {
  day: string;
  opening: bigint;
  closing: bigint;
  deposits: bigint;
  refunds: bigint;
  withdrawals: bigint;
  adjustments: bigint;
}

const LONGEST_DAYS = 100;
const DAY_MS = 86_400_000;

/**
 * An account's sums for each UTC day from `from` until before `to`, newest first; days without a movement are left out, so that the closing
 * balance of one is the opening balance of the next. All are of one moment. Throws RangeError for more than a hundred days.
 */
export async function readStatementDays(pool: Pool, accountId: string, from: Date, to: Date): Promise<StatementDay[]> {
  return (await readDays(pool, accountId, from, to)).filter(
    ({ openingMsat, closingMsat, chargesMsat, ...rest }) =>
      openingMsat !== closingMsat || chargesMsat !== 0n || rest.depositsMsat !== 0n || rest.adjustmentsMsat !== 0n,
  );
}

/** An account's sums from `from` until before `to`: `openingMsat` and all the others make `closingMsat`. Throws as `readStatementDays` does. */
export async function readStatementSums(pool: Pool, accountId: string, from: Date, to: Date): Promise<StatementSums> {
  const days = await readDays(pool, accountId, from, to);
  const sum = (value: (day: StatementDay) => bigint): Msat => msat(days.reduce((total, day) => total + value(day), 0n));
  return {
    openingMsat: days.at(-1)?.openingMsat ?? msat(0n),
    closingMsat: days[0]?.closingMsat ?? msat(0n),
    depositsMsat: sum(({ depositsMsat }) => depositsMsat),
    chargesMsat: sum(({ chargesMsat }) => chargesMsat),
    refundsMsat: sum(({ refundsMsat }) => refundsMsat),
    withdrawalsMsat: sum(({ withdrawalsMsat }) => withdrawalsMsat),
    adjustmentsMsat: sum(({ adjustmentsMsat }) => adjustmentsMsat),
  };
}

async function readDays(pool: Pool, accountId: string, from: Date, to: Date): Promise<StatementDay[]> {
  if (to.getTime() - from.getTime() > LONGEST_DAYS * DAY_MS) throw new RangeError(`a statement of more than ${LONGEST_DAYS} days`);
  const { rows } = await pool.query<Row>(DAYS, [accountId, from, to]);
  return rows.map((row) => ({
    day: row.day,
    openingMsat: msat(row.opening),
    closingMsat: msat(row.closing),
    depositsMsat: msat(row.deposits),
    // What is left of the difference: the charges, without a walk through them.
    chargesMsat: msat(row.opening + row.deposits + row.refunds - row.withdrawals + row.adjustments - row.closing),
    refundsMsat: msat(row.refunds),
    withdrawalsMsat: msat(row.withdrawals),
    adjustmentsMsat: msat(row.adjustments),
  }));
}

const balanceBefore = (place: string) => `coalesce(
    (select balance_after_msat from transfers where account_id = $1 and id < ${place} order by id desc limit 1), 0)`;

/** Balances are those of the transfers that stand next to a day's borders. */
const DAYS = `
  with days as materialized (
    select row_number() over (order by d) as place, d::date as day, greatest(d at time zone 'utc', $2) as begins,
      least((d + interval '1 day') at time zone 'utc', $3) as ends
    from generate_series(date_trunc('day', $2::timestamptz at time zone 'utc'), $3::timestamptz at time zone 'utc', interval '1 day') d
    where d at time zone 'utc' < $3
  ), borders as materialized (
    select transfer_places($1, (select array_agg(begins order by place) from days) || $3::timestamptz) as places
  )
  select p.day::text, ${balanceBefore('places[p.place]')} as opening, ${balanceBefore('places[p.place + 1]')} as closing, m.*
  from days p cross join borders cross join lateral (
    select coalesce(sum(amount_msat) filter (where kind = 'deposit'), 0)::bigint as deposits,
      coalesce(sum(amount_msat) filter (where kind = 'refund'), 0)::bigint as refunds,
      coalesce(sum(amount_msat) filter (where kind = 'withdrawal'), 0)::bigint as withdrawals,
      coalesce(sum(case when credit = 'wallet' then amount_msat else -amount_msat end) filter (where kind = 'adjustment'), 0)::bigint as adjustments
    from transfers where account_id = $1 and kind <> 'charge' and created_at >= p.begins and created_at < p.ends
  ) m order by p.day desc`;
