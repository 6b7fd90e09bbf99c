import { transaction, type Pool } from '../db/postgres.ts';
import { recordAudit } from './audit-history.ts';
import { auditLedger, type AuditOptions, type SoundUntil, type Violation } from './audit.ts';

export interface OnwardOptions extends AuditOptions {
  /** How often the whole history is read. */
  wholeEverySeconds: number;
  /**
   * Younger transfers are left to the next audit, because transfers with lower ids may still be on their way
   * into the ledger. A minute by default.
   */
  settledSeconds?: number;
  /** For the record: the job by default, or the name of an operator. */
  ranBy?: string;
}

const SETTLED_SECONDS = 60;

/**
 * Audits what has come since the ledger was last found sound. Audits the whole ledger if that was never done,
 * or was done more than `wholeEverySeconds` ago. An audit that finds nothing notes how far it came; after a
 * violation the next audit looks at the same rows again. How it went is recorded.
 */
export async function auditOnward(pool: Pool, options: OnwardOptions): Promise<Violation[]> {
  const since = await soundUntil(pool, options.wholeEverySeconds);
  const reached = await reachable(pool, options.settledSeconds ?? SETTLED_SECONDS);
  const startedAt = performance.now();
  const violations = await auditLedger(pool, options, since);
  if (violations.length === 0) await keep(pool, reached, since);
  const tookMs = performance.now() - startedAt;
  await recordAudit(pool, { tookMs, whole: since === undefined, ranBy: options.ranBy ?? 'job', violations });
  return violations;
}

/**
 * How far the ledger was found sound. Undefined if it never was, or if the last audit of the whole ledger is
 * older than `wholeEverySeconds`.
 */
export async function soundUntil(pool: Pool, wholeEverySeconds = Infinity): Promise<SoundUntil | undefined> {
  const { rows } = await pool.query<{ transfer_id: bigint; sound_at: Date }>(
    `select transfer_id, sound_at from sound_audits where extract(epoch from clock_timestamp() - whole_at) < $1::double precision`,
    [wholeEverySeconds],
  );
  return rows[0] && { transferId: rows[0].transfer_id, soundAt: rows[0].sound_at };
}

/**
 * The newest transfer that an audit may count on: older transfers are visible, or will never come. A commit
 * waits for its standby as long as that is away, and nobody sees the commit until then.
 */
export async function reachable(pool: Pool, settledSeconds: number): Promise<SoundUntil> {
  const { rows } = await pool.query<{ transfer_id: bigint; sound_at: Date }>(
    `select t.at as sound_at, coalesce((select id from transfers where created_at < t.at order by id desc limit 1), 0) as transfer_id
     from (select least(clock_timestamp() - make_interval(secs => $1), min(xact_start)) as at from pg_stat_activity
       where datname = current_database() and usename = current_user and pid <> pg_backend_pid()) t`,
    [settledSeconds],
  );
  const [row] = rows;
  if (!row) throw new Error('no clock');
  return { transferId: row.transfer_id, soundAt: row.sound_at };
}

function keep(pool: Pool, { transferId, soundAt }: SoundUntil, since: SoundUntil | undefined): Promise<void> {
  return transaction(pool, async (client) => {
    await client.query('set local statement_timeout = 0');
    await client.query(
      `insert into sound_audits as s (transfer_id, transfers, amount_msat, sound_at, whole_at)
       select $1, count(*), coalesce(sum(amount_msat), 0), $2, $2 from transfers where id > $3 and id <= $1
       on conflict (only_row) do update set transfer_id = excluded.transfer_id, sound_at = excluded.sound_at,
         transfers = excluded.transfers + case when $4 then 0 else s.transfers end,
         amount_msat = excluded.amount_msat + case when $4 then 0 else s.amount_msat end,
         whole_at = case when $4 then excluded.whole_at else s.whole_at end
       where $4 or (s.transfer_id = $3 and s.transfer_id <= excluded.transfer_id)`,
      [transferId, soundAt, since?.transferId ?? 0n, since === undefined],
    );
  });
}
