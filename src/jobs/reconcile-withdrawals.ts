import { setTimeout as delay } from 'node:timers/promises';
import { underAdvisoryLock } from '../db/advisory-lock.ts';
import type { Logger } from '../log.ts';
import type { Withdrawing } from '../withdrawing.ts';

export interface WithdrawalReconcilerOptions {
  withdrawing: Pick<Withdrawing, 'checkDue' | 'tellOfLong'>;
  connectionString: string;
  log: Logger;
  /** How often those are told of that have been pending for long. */
  tellMs?: number;
}

const TICK_MS = 1_000;
const BATCH = 20;
const TELL_MS = 600_000;

/**
 * Brings withdrawals to their end, whichever gateway began them: sends those that were not sent, and asks the
 * node about the others.
 */
export function reconcileWithdrawals(options: WithdrawalReconcilerOptions): { stop(): Promise<void> } {
  const { withdrawing, connectionString, log, tellMs = TELL_MS } = options;
  const stopped = new AbortController();
  const running = underAdvisoryLock({ connectionString, name: 'withdrawals', log, signal: stopped.signal }, async (signal) => {
    for (let toldAt = -Infinity; !signal.aborted;) {
      if (performance.now() - toldAt >= tellMs) {
        await withdrawing.tellOfLong();
        toldAt = performance.now();
      }
      const checked = await withdrawing.checkDue(BATCH);
      if (checked < BATCH) await delay(TICK_MS, undefined, { signal }).catch(() => {});
    }
  });
  return {
    stop: async () => {
      stopped.abort();
      await running;
    },
  };
}
