import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';

/** Who acts: the name of the token, and the network that the operator came from (a /24 or /48). */
export interface Operator {
  readonly name: string;
  readonly network: string;
}

export type ActKind =
  | 'freeze'
  | 'unfreeze'
  | 'adjust'
  | 'revoke_keys'
  | 'credit_orphan'
  | 'book_orphan'
  | 'dismiss_orphan'
  | 'ask_node'
  | 'run_audit'
  | 'provider_off'
  | 'provider_on'
  | 'log_level';

export type SubjectKind = 'account' | 'invoice' | 'orphan' | 'ledger' | 'provider' | 'gateway';

/** What an operator is about to do. */
export interface NewAct {
  /** Made with the form: one that is sent twice acts once. */
  readonly id: string;
  readonly by: Operator;
  readonly act: ActKind;
  readonly subject: { readonly kind: SubjectKind; readonly id: string };
  readonly reason: string;
  /** What else was asked for: stands among the details, and the same form sent with anything else has not done it. */
  readonly asked?: Readonly<Record<string, string>>;
}

/** An act as it was recorded. */
export interface Act extends NewAct {
  /** Counts up; a page of acts ends at one. */
  readonly seq: bigint;
  readonly at: Date;
  readonly details: Readonly<Record<string, unknown>>;
}

interface ActRow {
  id: string;
  seq: bigint;
  at: Date;
  admin: string;
  network: string;
  act: ActKind;
  subject_kind: SubjectKind;
  subject: string;
  reason: string;
  details: Record<string, unknown>;
}

const UNIQUE_VIOLATION = '23505';
const LEAST_REASON = 3;
const MOST_REASON = 500;

/**
 * Does what an operator asks for and records it, in one transaction: both or neither, and once, however often and by whichever gateways the
 * same act is asked for. `work` gives the details for the record, `after` writes what names the record. Gives the record, and whether it is of an earlier time (`replayed`).
 * Throws GatewayError `invalid_request` for a reason that says nothing, and what `work` throws.
 */
export async function performAct(
  pool: Pool,
  act: NewAct,
  work: (client: PoolClient) => Promise<Record<string, unknown>>,
  after?: (client: PoolClient) => Promise<void>,
): Promise<{ act: Act; replayed: boolean }> {
  const reason = act.reason.trim();
  requireReason(reason);
  const perform = async (client: PoolClient): Promise<Act> => {
    await client.query("set local lock_timeout = '2s'");
    const done = await insertAct(client, { ...act, reason }, { ...act.asked, ...(await work(client)) });
    await after?.(client);
    return done;
  };
  const before = await readAct(pool, act.id);
  if (before) return { act: sameAct(before, act), replayed: true };
  try {
    return { act: await transaction(pool, perform, { promised: true }), replayed: false };
  } catch (error) {
    // The same form came twice at once: the second was taken back whole, or was refused because of what the first had changed.
    const mayBeSecond = error instanceof GatewayError || (error as { code?: unknown } | null)?.code === UNIQUE_VIOLATION;
    const first = mayBeSecond ? await readAct(pool, act.id) : undefined;
    if (!first) throw error;
    return { act: sameAct(first, act), replayed: true };
  }
}

/** Records an act in the caller's transaction. */
export async function insertAct(client: Pool | PoolClient, act: NewAct, details: Record<string, unknown>): Promise<Act> {
  const { rows } = await client.query<ActRow>(
    `insert into admin_acts (id, admin, network, act, subject_kind, subject, reason, details) values ($1, $2, $3, $4, $5, $6, $7, $8) returning *`,
    [act.id, act.by.name, act.by.network, act.act, act.subject.kind, act.subject.id, act.reason, JSON.stringify(details)],
  );
  const [row] = rows;
  if (!row) throw new Error('an insert gave no row');
  return actFromRow(row);
}

/** One act, undefined where there is none of that id. */
export async function readAct(pool: Pool, id: string): Promise<Act | undefined> {
  const { rows } = await pool.query<ActRow>('select * from admin_acts where id = $1', [id]);
  return rows[0] && actFromRow(rows[0]);
}

/** A page of acts, newest first: on one subject, or all. */
export async function readActs(
  pool: Pool,
  { subject, before = null, limit }: { subject?: NewAct['subject']; before?: bigint | null; limit: number },
): Promise<Act[]> {
  const { rows } = await pool.query<ActRow>(
    `select * from admin_acts where ($1::bigint is null or seq < $1) ${subject ? 'and subject_kind = $3 and subject = $4' : ''}
     order by seq desc limit $2`,
    [before, limit, ...(subject ? [subject.kind, subject.id] : [])],
  );
  return rows.map(actFromRow);
}

/** Throws GatewayError `invalid_request` for a reason that says nothing, or too much. */
export function requireReason(reason: string): void {
  if (reason.length >= LEAST_REASON && reason.length <= MOST_REASON) return;
  const message = `Say why, in ${LEAST_REASON} to ${MOST_REASON} characters: it stays on record.`;
  throw new GatewayError('invalid_request', { message, param: 'reason' });
}

/** The id of one form stands for one act alone. */
function sameAct(found: Act, wanted: NewAct): Act {
  const isSame = found.act === wanted.act && found.subject.kind === wanted.subject.kind && found.subject.id === wanted.subject.id;
  if (isSame && Object.entries(wanted.asked ?? {}).every(([name, value]) => found.details[name] === value)) return found;
  throw new GatewayError('idempotency_conflict', { message: 'This form has done something else already. Open it again.' });
}

function actFromRow(row: ActRow): Act {
  return {
    id: row.id,
    seq: row.seq,
    at: row.at,
    by: { name: row.admin, network: row.network },
    act: row.act,
    subject: { kind: row.subject_kind, id: row.subject },
    reason: row.reason,
    details: row.details,
  };
}
