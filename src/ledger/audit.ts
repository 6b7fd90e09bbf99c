import { transaction, type Pool } from '../db/postgres.ts';
import type { AuditScope } from './invariant.ts';
import { RECORD_INVARIANTS } from './record-invariants.ts';
import { WALLET_INVARIANTS } from './wallet-invariants.ts';

/** A broken invariant: which one, and where to look. */
export interface Violation {
  invariant: number;
  rule: string;
  /** The account, hold, key day, invoice or withdrawal at fault. */
  subject: string;
  expected: string;
  found: string;
}

export interface AuditOptions {
  /** How old a pending hold may be: the longest stream and a lease. */
  oldestHoldSeconds: number;
  /** The free requests that everybody has; as `FREE_TIER_REQUESTS` by default. */
  freeRequests?: number;
  /** Told after each rule how many of them were looked at. */
  onRule?: (done: number, of: number) => void;
}

/** Where an audit begins: everything before was found sound. */
export interface SoundUntil {
  transferId: bigint;
  soundAt: Date;
}

const HOUR_MS = 3_600_000;
/** The violations of one rule that are listed: the first few show a mistake that is in a million rows. */
const MAX_VIOLATIONS = 100;
const FREE_REQUESTS = 5000;

/**
 * Checks every invariant of the ledger. The gateway may go on meanwhile. Returns the violations, at most 100
 * of each rule; none for a sound ledger. Each rule reads in a snapshot of its own, so that a long history
 * keeps no old rows alive for longer than one rule takes.
 * @param since reads only newer rows: docs/a-sat-through-pura.md says what such an audit cannot see.
 */
export async function auditLedger(pool: Pool, options: AuditOptions, since?: SoundUntil): Promise<Violation[]> {
  const scope = since ? newerThan(since, options) : wholeHistory(options);
  const skipped = since ? 'whole' : 'part';
  const violations: Violation[] = [];
  const invariants = [...WALLET_INVARIANTS, ...RECORD_INVARIANTS].filter(({ runs }) => runs !== skipped);
  for (const [index, { invariant, rule, sql }] of invariants.entries()) {
    options.onRule?.(index, invariants.length);
    for (const { subject, expected, found } of await findViolations(pool, sql(scope))) {
      violations.push({ invariant, rule, subject: String(subject), expected: String(expected), found: String(found) });
    }
  }
  return violations;
}

function findViolations(pool: Pool, sql: string): Promise<Record<'subject' | 'expected' | 'found', unknown>[]> {
  return transaction(pool, async (client) => {
    // A large ledger takes its time, and nobody waits for this.
    await client.query('set transaction read only; set local statement_timeout = 0');
    const query = { text: `select * from (${sql}) violations limit ${MAX_VIOLATIONS}`, query_timeout: HOUR_MS };
    return (await client.query<Record<'subject' | 'expected' | 'found', unknown>>(query)).rows;
  });
}

function wholeHistory({ oldestHoldSeconds, freeRequests = FREE_REQUESTS }: AuditOptions): AuditScope {
  return {
    transfers: 'transfers',
    holds: 'holds',
    paidInvoices: `(select * from invoices where state = 'paid')`,
    oldestHoldSeconds,
    freeRequests,
  };
}

/** The numbers and times come from the database: they go into the text, where the planner sees them. */
function newerThan({ transferId, soundAt }: SoundUntil, { oldestHoldSeconds, freeRequests = FREE_REQUESTS }: AuditOptions): AuditScope {
  const since = `timestamptz '${soundAt.toISOString()}'`;
  return {
    transfers: `(select * from transfers where id > ${transferId})`,
    // A hold that was resolved since then may have been placed earlier, by as long as a hold may last.
    holds: `(select * from holds where created_at >= ${since} - make_interval(secs => ${oldestHoldSeconds}))`,
    paidInvoices: `(select * from invoices where state = 'paid' and credited_at >= ${since})`,
    oldestHoldSeconds,
    freeRequests,
  };
}
