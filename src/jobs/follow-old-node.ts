import { setTimeout as delay } from 'node:timers/promises';
import { underAdvisoryLock } from '../db/advisory-lock.ts';
import type { Funding } from '../funding.ts';
import type { Logger } from '../log.ts';
import type { Withdrawing } from '../withdrawing.ts';

export interface OldNodesOptions {
  funding: Pick<Funding, 'checkDue' | 'missedSettlements'>;
  withdrawing: Pick<Withdrawing, 'checkDue'>;
  nodeId: string;
  connectionString: string;
  log: Logger;
}

const TICK_MS = 1_000;
const BATCH = 50;

/**
 * Brings what is open with an earlier node to its end, by lookups alone: invoices are credited by that node's
 * word, withdrawals posted or released. This runs in one of the gateways that share a database, beside the
 * work for the current node, which does not wait for it.
 */
export function followOldNode({ funding, withdrawing, nodeId, connectionString, log }: OldNodesOptions): { stop(): Promise<void> } {
  const stopped = new AbortController();
  const lock = { connectionString, name: `old node ${nodeId}`, log, signal: stopped.signal };
  const running = underAdvisoryLock(lock, async (signal) => {
    // While nobody followed it, payments may have come.
    await funding.missedSettlements(nodeId);
    while (!signal.aborted) {
      const [invoices, withdrawals] = await Promise.all([funding.checkDue(BATCH, undefined, nodeId), withdrawing.checkDue(BATCH, nodeId)]);
      if (invoices < BATCH && withdrawals < BATCH) await delay(TICK_MS, undefined, { signal }).catch(() => {});
    }
  });
  return {
    stop: async () => {
      stopped.abort();
      await running;
    },
  };
}
