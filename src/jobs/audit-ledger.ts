import { setTimeout as delay } from 'node:timers/promises';
import { underAdvisoryLock } from '../db/advisory-lock.ts';
import type { Pool } from '../db/postgres.ts';
import type { AuditOptions, Violation } from '../ledger/audit.ts';
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
/** Of one rule, in the log; `npm run audit` lists more. */
const EXAMPLES = 5;

/**
 * Audits what is new in the ledger again and again, and all of it once a day, in one of the gateways that share it. A broken rule is an
 * error in the log, one a run: it should never happen.
 */
export function auditJob(options: AuditJobOptions): { stop(): Promise<void> } {
  const { pool, log, observe, connectionString, intervalMs } = options;
  const stopped = new AbortController();
  const running = underAdvisoryLock({ connectionString, name: 'audit', log, signal: stopped.signal }, async (signal) => {
    while (!signal.aborted) {
      tell(observe, await auditOnward(pool, { ...options, wholeEverySeconds: WHOLE_EVERY_SECONDS }));
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

function tell(observe: Observe, violations: readonly Violation[]): void {
  const counts = new Map(
    [...Map.groupBy(violations, ({ invariant }) => invariant)].map(([invariant, broken]) => [invariant, broken.length]),
  );
  observe({ kind: 'audit', violations: counts });
  for (const [rule, broken] of Map.groupBy(violations, (violation) => violation.rule)) {
    const [{ invariant } = { invariant: 0 }] = broken;
    observe({ kind: 'invariant_broken', invariant, rule, violations: broken.length, examples: broken.slice(0, EXAMPLES) });
  }
}
