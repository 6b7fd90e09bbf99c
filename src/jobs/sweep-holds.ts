import type { Pool } from '../db/postgres.ts';
import { msat, picoUsd } from '../amount.ts';
import type { Holds } from '../ledger/holds.ts';
import type { Observe } from '../observation.ts';

/** Few enough to fit into the ledger's queue beside the requests of living gateways. */
const BATCH = 1000;

interface Orphan {
  request_id: string;
  account_id: string;
  checkpoint_msat: bigint | null;
  checkpoint_pico_usd: bigint | null;
  free_day: string | null;
}

/**
 * Holds whose lease has run out: their owner is dead, or has given them up. For a full lease after the
 * database's own start no lease counts as run out, because no owner could renew while the database was away.
 */
const ORPHANS = `
  select request_id, account_id, checkpoint_msat, checkpoint_pico_usd, case when funding = 'free' then budget_day end as free_day
  from holds
  where state = 'pending' and lease_until < clock_timestamp() and pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => $1)
  order by lease_until limit ${BATCH}`;

interface SweepDeps {
  pool: Pool;
  holds: Holds;
  observe: Observe;
  leaseSeconds: number;
}

/**
 * Settles orphaned holds: posted at their last checkpoint, voided where there was none. Safe on several gateways at
 * once, because a hold is resolved only once. Gives the number of holds it resolved.
 */
export async function sweepHolds(deps: SweepDeps): Promise<number> {
  let swept = 0;
  // A gateway that died with ten thousand streams is swept at once, not a thousand a round.
  for (let resolved = BATCH; resolved === BATCH; swept += resolved) resolved = await sweepBatch(deps);
  if (swept > 0) deps.observe({ kind: 'holds_swept', swept });
  return swept;
}

async function sweepBatch({ pool, holds, leaseSeconds }: SweepDeps): Promise<number> {
  const { rows } = await pool.query<Orphan>(ORPHANS, [leaseSeconds]);
  const verdicts = await Promise.all(
    rows.map((orphan) =>
      holds.settle({
        kind: 'settlement',
        requestId: orphan.request_id,
        accountId: orphan.account_id,
        void: orphan.checkpoint_msat === null,
        chargeMsat: msat(orphan.checkpoint_msat ?? 0n),
        costPicoUsd: picoUsd(orphan.checkpoint_pico_usd ?? 0n),
        freeDay: orphan.free_day,
      }),
    ),
  );
  return verdicts.filter(({ verdict }) => verdict === 'posted' || verdict === 'voided').length;
}
