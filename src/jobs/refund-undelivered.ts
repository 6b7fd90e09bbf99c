import type { Pool } from '../db/postgres.ts';
import { refundedCharge } from '../ledger/refund.ts';
import type { Observe } from '../observation.ts';

/**
 * After this time without a beat a gateway is taken for dead. A charge is left alone for as long. No gateway
 * hands out an answer later than 5 seconds after the settlement began, so a gateway that was only stopped for
 * a while delivers nothing that was given back.
 */
const SILENT_SECONDS = 6;
/** By then no statement of a dead gateway is still under way in the database. */
const FORGOTTEN_SECONDS = 30;
const BATCH = 500;

/** Not while the database itself was away a moment ago: nobody could beat then. */
const SILENT = `
  select id, (extract(epoch from confirmed_at) * 1000000)::bigint as confirmed_micros from instances
  where beat_at < clock_timestamp() - make_interval(secs => $1) and pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => $1)`;

/**
 * Answers that a dead gateway charged for and perhaps never sent. A usage record is written after the answer,
 * and says if the client was told of a failure instead. Streams are not among them: they are charged for what
 * had left already.
 */
const CHARGED = `
  holds h
  left join requests r on r.id = h.request_id
  left join idempotency i on i.request_id = h.request_id
  where h.instance_id = $1 and h.state = 'posted' and not h.stream
    and h.resolved_at > timestamptz 'epoch' + $2::bigint * interval '1 microsecond'
    and h.resolved_at < clock_timestamp() - make_interval(secs => $3)
    and (r.id is null or r.outcome = 'unsettled')`;
const UNDELIVERED = `
  select h.request_id, h.account_id from ${CHARGED}
    and (i.state is distinct from 'done' or (r.outcome = 'unsettled' and not i.replayed))
  limit ${BATCH}`;
/** A stored answer is delivered by the repeat that asks for it, and its charge is given back only where none does. */
const LEAVE_TO_REPEATS = `
  update idempotency set undelivered = true where request_id in (
    select h.request_id from ${CHARGED} and i.state = 'done' and r.id is null and not i.replayed and not i.undelivered)`;
/** A minute before its time is over: after that, another request may have taken the key. */
const UNCLAIMED = `
  select i.request_id, i.account_id from idempotency i
  where i.undelivered and not i.replayed and i.expires_at < clock_timestamp() + interval '1 minute'
    and not exists (select from requests r where r.id = i.request_id and r.outcome <> 'unsettled')
  limit ${BATCH}`;

interface RefundDeps {
  pool: Pool;
  observe: Observe;
  silentSeconds?: number;
}

/** Gives back what gateways charged that died before the answer left. Safe on several gateways at once. */
export async function refundUndelivered({ pool, observe, silentSeconds = SILENT_SECONDS }: RefundDeps): Promise<void> {
  const { rows: silent } = await pool.query<{ id: string; confirmed_micros: bigint }>(SILENT, [silentSeconds]);
  for (const { id, confirmed_micros: confirmed } of silent) {
    await pool.query(LEAVE_TO_REPEATS, [id, confirmed, silentSeconds]);
    const given = await refundAll(pool, UNDELIVERED, [id, confirmed, silentSeconds]);
    if (given.refunded > 0) observe({ kind: 'dead_gateway_refunded', instanceId: id, ...given });
    await pool.query(FORGET, [id, FORGOTTEN_SECONDS]);
  }
  const given = await refundAll(pool, UNCLAIMED, []);
  if (given.refunded > 0) observe({ kind: 'stored_answers_refunded', ...given });
}

/** Gives back what `sql` finds, as long as it finds some. Resolves to how many, and how much. */
async function refundAll(pool: Pool, sql: string, values: unknown[]): Promise<{ refunded: number; refundedMsat: bigint }> {
  let refunded = 0;
  let refundedMsat = 0n;
  for (let found = BATCH; found === BATCH;) {
    const { rows } = await pool.query<{ request_id: string; account_id: string }>(sql, values);
    found = rows.length;
    for (const row of rows) {
      const given = await refundedCharge(pool, row.account_id, row.request_id);
      if (given === null) continue;
      refunded++;
      refundedMsat += given;
    }
  }
  return { refunded, refundedMsat };
}

const FORGET = `delete from instances where id = $1 and beat_at < clock_timestamp() - make_interval(secs => $2)`;
