import { setTimeout as delay } from 'node:timers/promises';
import { underAdvisoryLock } from '../db/advisory-lock.ts';
import type { Pool } from '../db/postgres.ts';
import type { Funding } from '../funding.ts';
import { openElsewhere, type OpenElsewhere } from '../lightning/other-nodes.ts';
import type { Logger } from '../log.ts';
import type { Withdrawing } from '../withdrawing.ts';
import { every, type Job } from './every.ts';

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
 * Brings what is open with a node of before to its end, by lookups alone: its invoices are credited by its word, its withdrawals posted or
 * released. In one of the gateways that share a database, and beside the current node's, which does not wait for it.
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

/** Tells of what nobody follows, again and again: money that customers pay to it is credited by no one. */
export class OpenElsewhereWatch {
  readonly #options: { pool: Pool; nodeIds: readonly string[]; log: Logger };
  #open: readonly OpenElsewhere[] = [];

  constructor(options: { pool: Pool; nodeIds: readonly string[]; log: Logger }) {
    this.#options = options;
  }

  /** For `/ready`; undefined where all is followed. */
  get reason(): string | undefined {
    if (this.#open.length === 0) return undefined;
    const count = (what: 'invoices' | 'withdrawals'): number => this.#open.reduce((sum, node) => sum + node[what], 0);
    return `${count('invoices')} invoices and ${count('withdrawals')} withdrawals of another node are open, and it is not asked`;
  }

  start(intervalMs: number): Job {
    return every(intervalMs, 'open elsewhere', () => this.look(), this.#options.log);
  }

  async look(): Promise<void> {
    const { pool, nodeIds, log } = this.#options;
    this.#open = await openElsewhere(pool, nodeIds);
    for (const open of this.#open) {
      log.warn(open, "another node's invoices or withdrawals are open and nobody follows them: set LND_OLD_SOCKET or NWC_OLD_URL");
    }
  }
}
