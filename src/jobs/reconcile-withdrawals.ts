import { setTimeout as delay } from 'node:timers/promises';
import { underAdvisoryLock } from '../db/advisory-lock.ts';
import type { Logger } from '../log.ts';
import type { Withdrawing } from '../withdrawing.ts';

export interface WithdrawalReconcilerOptions {
  withdrawing: Pick<Withdrawing, 'checkDue'>;
  connectionString: string;
  log: Logger;
}

const TICK_MS = 1_000;
const BATCH = 20;

/** Brings withdrawals to their end, whoever began them: sends what was held for and not sent, and asks the node about what was. */
export function reconcileWithdrawals({ withdrawing, connectionString, log }: WithdrawalReconcilerOptions): { stop(): Promise<void> } {
  const stopped = new AbortController();
  const running = underAdvisoryLock({ connectionString, name: 'withdrawals', log, signal: stopped.signal }, async (signal) => {
    while (!signal.aborted) {
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
