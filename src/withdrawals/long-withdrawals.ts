import type { Pool } from '../db/postgres.ts';
import type { Observe } from '../observation.ts';
import type { Wallet } from '../lightning/wallet.ts';

/** A withdrawal is mostly final within seconds; a payee may keep one waiting for longer. */
const LONG_SECONDS = 600;
const MOST_TOLD = 50;

interface LongWithdrawalRow {
  id: string;
  state: 'creating' | 'sent';
  age_seconds: number;
  held_msat: bigint;
  ours: boolean;
  known: boolean;
  expired: boolean;
  expires_at: Date;
}

/**
 * Warns of each withdrawal that has been pending for long, with its age and what it waits for: of all nodes,
 * the oldest first.
 */
export async function tellOfLongWithdrawals(pool: Pool, { nodeId }: Pick<Wallet, 'nodeId'>, observe: Observe): Promise<void> {
  const { rows } = await pool.query<LongWithdrawalRow>(
    `select id, state, floor(extract(epoch from clock_timestamp() - created_at))::float8 as age_seconds,
       amount_msat + fee_limit_msat as held_msat, node_id = $1 as ours, known_at is not null as known,
       expires_at <= clock_timestamp() as expired, expires_at
     from withdrawals where state in ('creating', 'sent') and created_at < clock_timestamp() - make_interval(secs => $2)
     order by created_at limit $3`,
    [nodeId, LONG_SECONDS, MOST_TOLD],
  );
  for (const row of rows) {
    observe({
      kind: 'withdrawal_long',
      withdrawalId: row.id,
      ageSeconds: row.age_seconds,
      heldMsat: row.held_msat,
      waitsFor: waitsFor(row),
    });
  }
}

function waitsFor({ state, ours, known, expired, expires_at }: LongWithdrawalRow): string {
  if (!ours) return 'a gateway on the node that it was made with, which is not the one of this gateway: see `npm run reconcile`';
  if (state === 'creating') return 'the node, which was not there to be asked to pay';
  if (known) return 'the end of the payment, which the node has had under way';
  if (expired) return 'an answer of the node, now that the invoice has expired';
  return `the expiry of its invoice at ${expires_at.toISOString()}: the node knows of no payment, or has not been heard, and may get to know of one until then`;
}
