import type { Pool } from '../../src/db/postgres.ts';

/**
 * Runs `work` while an account's row is locked by somebody else: no admission and no settlement of the account gets
 * through. `work` is given a look at who waits for this lock: the process numbers of PostgreSQL's backends.
 */
export async function whileLocked(
  pool: Pool,
  { accountId }: { accountId: string },
  work: (waiting: () => Promise<number[]>) => Promise<void>,
): Promise<void> {
  const locker = await pool.connect();
  // The server may be killed meanwhile: that ends the lock as well.
  const ended = (): void => {};
  locker.on('error', ended);
  try {
    await locker.query('begin');
    const { rows } = await locker.query<{ pid: number }>('select pg_backend_pid() as pid from accounts where id = $1 for update', [
      accountId,
    ]);
    await work(() => blockedBy(pool, rows[0]?.pid ?? 0));
  } finally {
    await locker.query('rollback').then(
      () => {
        locker.off('error', ended);
        locker.release();
      },
      () => locker.release(true),
    );
  }
}

async function blockedBy(pool: Pool, locker: number): Promise<number[]> {
  const { rows } = await pool.query<{ pid: number }>('select pid from pg_stat_activity where $1 = any (pg_blocking_pids(pid))', [locker]);
  return rows.map(({ pid }) => pid);
}
