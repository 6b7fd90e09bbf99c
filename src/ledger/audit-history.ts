import type { Pool } from '../db/postgres.ts';
import type { Violation } from './audit.ts';

/** How an audit of the ledger went. */
export interface AuditRun {
  readonly id: bigint;
  readonly at: Date;
  readonly tookMs: number;
  /** Whether it read the whole history. */
  readonly whole: boolean;
  /** `job`, `command`, or the name of an operator. */
  readonly ranBy: string;
  readonly violations: number;
  /** The first ones of each rule. */
  readonly examples: readonly Violation[];
}

/** What everybody may know of the last audit. */
export interface LastAudit {
  readonly at: Date;
  readonly sound: boolean;
}

interface AuditRow {
  id: bigint;
  at: Date;
  took_ms: number;
  whole: boolean;
  ran_by: string;
  violations: number;
  examples: Violation[];
}

/** Of one rule, kept. */
const EXAMPLES = 20;
const KEPT = 2_000;

/** Notes how an audit went, and forgets the oldest. */
export async function recordAudit(
  pool: Pool,
  { tookMs, whole, ranBy, violations }: { tookMs: number; whole: boolean; ranBy: string; violations: readonly Violation[] },
): Promise<void> {
  const examples = [...Map.groupBy(violations, ({ rule }) => rule).values()].flatMap((broken) => broken.slice(0, EXAMPLES));
  await pool.query(
    `with old as (delete from audits where id <= (select max(id) from audits) - $6)
     insert into audits (took_ms, whole, ran_by, violations, examples) values ($1, $2, $3, $4, $5)`,
    [Math.round(tookMs), whole, ranBy, violations.length, JSON.stringify(examples), KEPT],
  );
}

/** The result of the newest audit; null where none was ever run. */
export async function lastAudit(pool: Pool): Promise<LastAudit | null> {
  const { rows } = await pool.query<Pick<AuditRow, 'at' | 'violations'>>('select at, violations from audits order by id desc limit 1');
  const [row] = rows;
  return row ? { at: row.at, sound: row.violations === 0 } : null;
}

/** A page of audits, newest first. */
export async function readAudits(pool: Pool, { before = null, limit }: { before?: bigint | null; limit: number }): Promise<AuditRun[]> {
  const { rows } = await pool.query<AuditRow>('select * from audits where ($1::bigint is null or id < $1) order by id desc limit $2', [
    before,
    limit,
  ]);
  return rows.map(({ took_ms: tookMs, ran_by: ranBy, ...row }) => ({ ...row, tookMs, ranBy }));
}
