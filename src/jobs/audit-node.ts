import { setTimeout as delay } from 'node:timers/promises';
import { underAdvisoryLock } from '../db/advisory-lock.ts';
import type { Pool } from '../db/postgres.ts';
import { compareBooks, type AuditedWallet } from '../node-audit/audit-node.ts';
import { RECEIVED_RULE } from '../node-audit/compare-received.ts';
import type { Logger } from '../log.ts';
import type { Observe } from '../observation.ts';

export interface NodeAuditJobOptions {
  pool: Pool;
  wallet: AuditedWallet;
  log: Logger;
  observe: Observe;
  connectionString: string;
  intervalMs: number;
}

/** After a comparison that failed, as it does while the node is away. */
const RETRY_MS = 60_000;

/**
 * Compares the node's books with the ledger again and again, at once after the start and each time what has come since all was final, in
 * one of the gateways that share a database. A violation is an error in the log, told anew each time until it is dealt with.
 */
export function nodeAuditJob({ pool, wallet, log, observe, connectionString, intervalMs }: NodeAuditJobOptions): { stop(): Promise<void> } {
  const stopped = new AbortController();
  // What was paid while no gateway ran is credited soon after the start: it is told if it still is not at the next look.
  let before = new Set<string>();
  const compare = async (): Promise<number> => {
    try {
      const { violations } = await compareBooks(pool, wallet, { full: false });
      const uncredited = violations.filter(({ rule }) => rule === RECEIVED_RULE).map(({ subject }) => subject);
      const fresh = uncredited.filter((subject) => !before.has(subject));
      before = new Set(uncredited);
      for (const violation of violations) {
        if (!fresh.includes(violation.subject)) observe({ kind: 'books_differ', violation });
      }
      return fresh.length > 0 ? Math.min(RETRY_MS, intervalMs) : intervalMs;
    } catch (error) {
      observe({ kind: 'books_not_compared', err: error });
      return Math.min(RETRY_MS, intervalMs);
    }
  };
  const running = underAdvisoryLock({ connectionString, name: 'node audit', log, signal: stopped.signal }, async (signal) => {
    while (!signal.aborted) await delay(await compare(), undefined, { signal }).catch(() => {});
  });
  return {
    stop: async () => {
      stopped.abort();
      await running;
    },
  };
}
