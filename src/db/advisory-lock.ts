import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from '../log.ts';

export interface AdvisoryLockOptions {
  connectionString: string;
  /** Names the work in the log. The lock's number is made from it, so it must be the same in every gateway. */
  name: string;
  log?: Logger;
  /** Pause before the lock is tried again, after it was taken or lost. Default 1000. */
  retryMs?: number;
  signal: AbortSignal;
}

/**
 * Runs `work` in one of all the gateways that share the database: in the one that has the advisory lock, on a connection of its own,
 * so that the lock ends with the process or the connection. `work` gets a signal that aborts when the lock is lost or `signal` aborts,
 * and runs again, here or in another gateway, whenever it ends or fails. Resolves after `signal` aborts and `work` has ended.
 */
export async function underAdvisoryLock(options: AdvisoryLockOptions, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const { name, log, retryMs = 1_000, signal } = options;
  while (!signal.aborted) {
    try {
      await onOneConnection({ ...options, retryMs }, work);
    } catch (error) {
      if (!signal.aborted) log?.warn({ err: error, work: name }, 'work under an advisory lock failed and starts again');
    }
    await pause(retryMs, signal);
  }
}

/** Waits for the lock and does the work once; the lock ends with the connection. */
async function onOneConnection(
  { connectionString, name, signal, retryMs }: Required<Pick<AdvisoryLockOptions, 'connectionString' | 'name' | 'signal' | 'retryMs'>>,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const client = new pg.Client({
    connectionString,
    application_name: `pura-gateway ${name}`,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
  });
  const lost = new AbortController();
  client.on('error', () => lost.abort());
  client.on('end', () => lost.abort());
  const ended = AbortSignal.any([signal, lost.signal]);
  try {
    await client.connect();
    while (!ended.aborted && !(await tryLock(client, name))) await pause(retryMs, ended);
    if (!ended.aborted) await work(ended);
  } finally {
    await client.end().catch(() => {});
  }
}

async function tryLock(client: pg.Client, name: string): Promise<boolean> {
  const sql = `select pg_try_advisory_lock(hashtextextended($1, 8402)) as had`;
  const { rows } = await client.query<{ had: boolean }>(sql, [`pura-gateway ${name}`]);
  return rows[0]?.had === true;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}
