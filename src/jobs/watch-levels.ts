import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { underAdvisoryLock } from '../db/advisory-lock.ts';
import type { Pool } from '../db/postgres.ts';
import type { Wallet } from '../lightning/wallet.ts';
import type { Logger } from '../log.ts';
import type { Levels, Observe } from '../observation.ts';

/** What a node can pay and receive, where its wallet can tell. */
interface NodeMeans {
  readonly spendableMsat: bigint | null;
  readonly receivableMsat: bigint | null;
}

export interface LevelsOptions {
  /** For what may take a while. */
  readonly pool: Pool;
  readonly wallet: Pick<Wallet, 'backend'> & { means?(): Promise<NodeMeans | null> };
  readonly config: Pick<Config, 'FREE_TIER_GLOBAL_DAILY_USD'>;
  readonly connectionString: string;
  readonly log: Logger;
  readonly observe: Observe;
  readonly intervalMs: number;
}

/** Pending rows are few and have indexes of their own; the balances are one row an account. */
const LEVELS = `
  select a.owed, a.held, coalesce(f.spent_pico_usd, 0) as free_spent, coalesce(f.reserved_pico_usd, 0) as free_reserved,
    i.open as invoices_open, i.overdue as check_overdue, w.pending as withdrawals_pending, w.oldest as withdrawal_oldest,
    h.pending as holds_pending, h.oldest as hold_oldest, (select count(*) from orphans where resolved_at is null) as orphans,
    (select count(*) from autopay where state <> 'on' and reason is distinct from 'OWNER') as autopay_paused
  from (select coalesce(sum(posted_msat), 0)::bigint as owed, coalesce(sum(held_msat), 0)::bigint as held from accounts) a
  left join (select spent_pico_usd, reserved_pico_usd from free_days where day = (clock_timestamp() at time zone 'utc')::date) f on true
  cross join (select count(*) as open, greatest(0, coalesce(extract(epoch from clock_timestamp() - min(next_check_at)), 0))::float8 as overdue
    from invoices where next_check_at is not null) i
  cross join (select count(*) as pending, coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as oldest
    from withdrawals where next_check_at is not null) w
  cross join (select count(*) as pending, coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as oldest
    from holds where state = 'pending') h`;

interface LevelsRow {
  owed: bigint;
  held: bigint;
  free_spent: bigint;
  free_reserved: bigint;
  invoices_open: bigint;
  check_overdue: number;
  withdrawals_pending: bigint;
  withdrawal_oldest: number;
  holds_pending: bigint;
  hold_oldest: number;
  orphans: bigint;
  autopay_paused: bigint;
}

/** Tells again and again what stands in the database and at the node, in one of the gateways that share a database. */
export function watchLevels(options: LevelsOptions): { stop(): Promise<void> } {
  const { connectionString, log, observe, intervalMs } = options;
  const stopped = new AbortController();
  const running = underAdvisoryLock({ connectionString, name: 'levels', log, signal: stopped.signal }, async (signal) => {
    while (!signal.aborted) {
      observe({ kind: 'levels', ...(await readLevels(options)) });
      await delay(intervalMs, undefined, { signal }).catch(() => {});
    }
  });
  return {
    stop: async () => {
      stopped.abort();
      await running;
    },
  };
}

/** The levels of now. A node that cannot be asked leaves its own unknown. */
export async function readLevels({ pool, wallet, config }: Pick<LevelsOptions, 'pool' | 'wallet' | 'config'>): Promise<Levels> {
  const [{ rows }, means] = await Promise.all([pool.query<LevelsRow>(LEVELS), wallet.means?.().catch(() => null)]);
  const [row] = rows;
  if (!row) throw new Error('no levels');
  return {
    owedMsat: row.owed,
    heldMsat: row.held,
    spendableMsat: means?.spendableMsat ?? null,
    receivableMsat: means?.receivableMsat ?? null,
    freeSpentPicoUsd: row.free_spent,
    freeReservedPicoUsd: row.free_reserved,
    freeCeilingPicoUsd: config.FREE_TIER_GLOBAL_DAILY_USD,
    invoicesOpen: Number(row.invoices_open),
    checkOverdueSeconds: row.check_overdue,
    withdrawalsPending: Number(row.withdrawals_pending),
    withdrawalOldestSeconds: row.withdrawal_oldest,
    orphans: Number(row.orphans),
    holdsPending: Number(row.holds_pending),
    holdOldestSeconds: row.hold_oldest,
    autopayPaused: Number(row.autopay_paused),
  };
}
