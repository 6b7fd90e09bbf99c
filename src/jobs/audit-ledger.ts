import { setTimeout as delay } from 'node:timers/promises';
import { underAdvisoryLock } from '../db/advisory-lock.ts';
import type { Pool } from '../db/postgres.ts';
import type { AuditOptions } from '../ledger/audit.ts';
import { observeAudit } from '../ledger/observe-audit.ts';
import { auditOnward } from '../ledger/sound-audit.ts';
import type { Logger } from '../log.ts';
import type { Observe } from '../observation.ts';

export interface AuditJobOptions extends AuditOptions {
  pool: Pool;
  log: Logger;
  observe: Observe;
  connectionString: string;
  intervalMs: number;
}

const WHOLE_EVERY_SECONDS = 24 * 3600;

/**
 * Audits what is new in the ledger again and again, and all of it once a day, in one of the gateways that share it. A broken rule is an
 * error in the log, one a run: it should never happen.
 */
export function auditJob(options: AuditJobOptions): { stop(): Promise<void> } {
  const { pool, log, observe, connectionString, intervalMs } = options;
  const stopped = new AbortController();
  const running = underAdvisoryLock({ connectionString, name: 'audit', log, signal: stopped.signal }, async (signal) => {
    while (!signal.aborted) {
      observeAudit(observe, await auditOnward(pool, { ...options, wholeEverySeconds: WHOLE_EVERY_SECONDS }));
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
