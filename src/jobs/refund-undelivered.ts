import type { Pool } from '../db/postgres.ts';
import { refundCharge } from '../ledger/refund.ts';
import type { Logger } from '../log.ts';

/**
 * A gateway that was not heard of for so long is taken for dead, and a charge is left alone for so long: no gateway hands an answer out
 * later than 5 seconds after it began to settle it, so that one which was only stopped delivers nothing that was given back.
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
 * What a dead gateway charged for and perhaps never sent. A usage record is written behind an answer, and a stored answer is delivered by
 * the repeat that asks for it; unless the record says that the client was told of a failure. Streams are charged for what had left already.
 */
const UNDELIVERED = `
  select h.request_id, h.account_id from holds h
  left join requests r on r.id = h.request_id
  left join idempotency i on i.request_id = h.request_id
  where h.instance_id = $1 and h.state = 'posted' and not h.stream
    and h.resolved_at > timestamptz 'epoch' + $2::bigint * interval '1 microsecond'
    and h.resolved_at < clock_timestamp() - make_interval(secs => $3)
    and (r.id is null or r.outcome = 'unsettled')
    and (i.state is distinct from 'done' or (r.outcome = 'unsettled' and not i.replayed))
  limit ${BATCH}`;

interface RefundDeps {
  pool: Pool;
  log: Logger;
  silentSeconds?: number;
}

/** Gives back what gateways charged that died before the answer left. Safe on several gateways at once. */
export async function refundUndelivered({ pool, log, silentSeconds = SILENT_SECONDS }: RefundDeps): Promise<void> {
  const { rows: silent } = await pool.query<{ id: string; confirmed_micros: bigint }>(SILENT, [silentSeconds]);
  for (const { id, confirmed_micros: confirmed } of silent) {
    let refunded = 0;
    for (let found = BATCH; found === BATCH;) {
      const { rows } = await pool.query<{ request_id: string; account_id: string }>(UNDELIVERED, [id, confirmed, silentSeconds]);
      found = rows.length;
      for (const row of rows) if (await refundCharge(pool, row.account_id, row.request_id)) refunded++;
    }
    if (refunded > 0) log.warn({ instanceId: id, refunded }, 'gave back the charges of answers that died with their gateway');
    await pool.query(FORGET, [id, FORGOTTEN_SECONDS]);
  }
}

const FORGET = `delete from instances where id = $1 and beat_at < clock_timestamp() - make_interval(secs => $2)`;
