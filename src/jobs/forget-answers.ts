import type { Pool } from '../db/postgres.ts';

/** Long past their day: a late settlement still finds its row. */
const FORGET = `delete from idempotency where expires_at < now() - interval '1 hour' and state <> 'running'`;

/** Deletes the stored answers whose time is over. */
export async function forgetAnswers(pool: Pool): Promise<void> {
  await pool.query(FORGET);
}
