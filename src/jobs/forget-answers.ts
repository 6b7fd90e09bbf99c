import type { Pool } from '../db/postgres.ts';

/** Long past their day: a late settlement still finds its row. Not while its charge is to be given back. */
const FORGET = `delete from idempotency where expires_at < now() - interval '1 hour' and state <> 'running'
  and (replayed or not undelivered)`;

/** Deletes the stored answers whose time is over. */
export async function forgetAnswers(pool: Pool): Promise<void> {
  await pool.query(FORGET);
}
