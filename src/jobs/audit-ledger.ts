import { setTimeout as delay } from 'node:timers/promises';
import { underAdvisoryLock } from '../db/advisory-lock.ts';
import type { Pool } from '../db/postgres.ts';
import { auditLedger } from '../ledger/audit.ts';
import type { Logger } from '../log.ts';

export interface AuditJobOptions {
  pool: Pool;
  log: Logger;
  connectionString: string;
  intervalMs: number;
  oldestHoldSeconds: number;
}

/** Audits the ledger again and again, in one of the gateways that share it. A violation is an error in the log: it should never happen. */
export function auditJob({ pool, log, connectionString, intervalMs, oldestHoldSeconds }: AuditJobOptions): { stop(): Promise<void> } {
  const stopped = new AbortController();
  const running = underAdvisoryLock({ connectionString, name: 'audit', log, signal: stopped.signal }, async (signal) => {
    while (!signal.aborted) {
      const violations = await auditLedger(pool, { oldestHoldSeconds });
      for (const violation of violations) log.error({ violation }, 'the ledger breaks an invariant');
      await delay(intervalMs, undefined, { signal }).catch(() => {});
    }
  });
  return {
    stop: async () => {
      stopped.abort();
      await running;
    },
  };
}
