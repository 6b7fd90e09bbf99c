import { msat, picoUsd, type Msat, type PicoUsd } from '../amount.ts';
import { transaction, type Pool } from '../db/postgres.ts';
import { reachable } from './sound-audit.ts';
import type { TransferKind } from './statement.ts';

/** What the transfers of some time came to: into the wallets less out of them, by kind. */
export type Movements = Readonly<Record<TransferKind, Msat>>;

/** The movements of one UTC day. */
export interface LedgerDay {
  /** `YYYY-MM-DD`. */
  readonly day: string;
  readonly movements: Movements;
  /** The cost of record, markup included, of what wallets were charged for, and of what they were given back. */
  readonly chargedPicoUsd: PicoUsd;
  readonly refundedPicoUsd: PicoUsd;
}

/** The ledger's sums, all read in one moment. */
export interface LedgerSums {
  /** All balances together, and what of them is reserved. */
  readonly owedMsat: Msat;
  readonly heldMsat: Msat;
  /** Since the beginning. */
  readonly total: Movements;
  /** The last days, the oldest first; days without a transfer are left out. */
  readonly days: readonly LedgerDay[];
}

const KINDS: readonly TransferKind[] = ['deposit', 'charge', 'refund', 'withdrawal', 'adjustment'];
/** Transfers that are added at once: a transaction of a second or two. */
const STEP = 200_000n;
/** Younger transfers are left to the next run: those with lower ids may still be on their way into the ledger. */
const SETTLED_SECONDS = 60;

/**
 * Adds the transfers that have come since the last time to the sums of their days, whichever gateway does it. Gives how far it came.
 * @param settledSeconds how old a transfer must be.
 */
export async function rollLedgerDays(pool: Pool, settledSeconds = SETTLED_SECONDS): Promise<bigint> {
  const { transferId: reached } = await reachable(pool, settledSeconds);
  for (;;) {
    const rolled = await rollStep(pool, reached);
    if (rolled >= reached) return rolled;
  }
}

/** The row of `ledger_days_to` is locked first: two gateways add one after the other, and never the same transfers. */
function rollStep(pool: Pool, reached: bigint): Promise<bigint> {
  return transaction(pool, async (client) => {
    const { rows } = await client.query<{ transfer_id: bigint }>('select transfer_id from ledger_days_to for update');
    const from = rows[0]?.transfer_id ?? 0n;
    if (from >= reached) return from;
    const to = from + STEP < reached ? from + STEP : reached;
    await client.query(
      `insert into ledger_days as d (day, kind, msat, transfers, cost_pico_usd) ${SUMS} where t.id > $1 and t.id <= $2 group by 1, 2
       on conflict (day, kind) do update set msat = d.msat + excluded.msat, transfers = d.transfers + excluded.transfers,
         cost_pico_usd = d.cost_pico_usd + excluded.cost_pico_usd`,
      [from, to],
    );
    await client.query('update ledger_days_to set transfer_id = $1', [to]);
    return to;
  });
}

/** In SQL, without its condition and grouping. */
const SUMS = `select (t.created_at at time zone 'utc')::date as day, t.kind,
    sum(case when t.credit = 'wallet' then t.amount_msat else -t.amount_msat end)::bigint as msat, count(*) as transfers,
    coalesce(sum(h.posted_pico_usd), 0) as cost_pico_usd
  from transfers t left join holds h on h.request_id = t.request_id and h.funding = 'wallet'`;

/**
 * The sums of the whole ledger and of its last days: those that were added up, and the rest from the transfers. All of it is read by one
 * statement, so that the balances and what they came from are of the same moment.
 */
export async function readLedgerSums(pool: Pool, lastDays: number): Promise<LedgerSums> {
  const { rows } = await pool.query<SumRow>(READ, [lastDays]);
  const total = nothing();
  const days = new Map<string, { movements: Record<TransferKind, Msat>; costs: Partial<Record<TransferKind, bigint>> }>();
  for (const { day, kind, sum, cost } of rows) {
    if (kind === null || sum === null) continue;
    total[kind] = msat(total[kind] + sum);
    if (day === null) continue;
    const of = days.get(day) ?? { movements: nothing(), costs: {} };
    days.set(day, of);
    of.movements[kind] = sum as Msat;
    of.costs[kind] = BigInt(cost ?? 0);
  }
  return {
    owedMsat: msat(rows[0]?.owed ?? 0n),
    heldMsat: msat(rows[0]?.held ?? 0n),
    total,
    days: [...days].map(([day, { movements, costs }]) => ({
      day,
      movements,
      chargedPicoUsd: picoUsd(costs.charge ?? 0n),
      refundedPicoUsd: picoUsd(costs.refund ?? 0n),
    })),
  };
}

interface SumRow {
  owed: bigint;
  held: bigint;
  /** Null for what came before the last days. */
  day: string | null;
  kind: TransferKind | null;
  sum: bigint | null;
  /** A numeric. */
  cost: string | null;
}

const READ = `
  with cells as (
    select day, kind, msat, cost_pico_usd from ledger_days
    union all
    select s.day, s.kind, s.msat, s.cost_pico_usd from (${SUMS} where t.id > (select transfer_id from ledger_days_to) group by 1, 2) s
  )
  select a.owed, a.held, c.day, c.kind, c.sum, c.cost
  from (select coalesce(sum(posted_msat), 0)::bigint as owed, coalesce(sum(held_msat), 0)::bigint as held from accounts) a
  left join (
    select case when day > (now() at time zone 'utc')::date - $1::integer then day end as day, kind, sum(msat)::bigint as sum,
      sum(cost_pico_usd)::text as cost
    from cells group by 1, 2
  ) c on true
  order by c.day`;

function nothing(): Record<TransferKind, Msat> {
  return Object.fromEntries(KINDS.map((kind) => [kind, msat(0n)])) as Record<TransferKind, Msat>;
}
