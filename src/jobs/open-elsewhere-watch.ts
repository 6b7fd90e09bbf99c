import type { Pool } from '../db/postgres.ts';
import { openElsewhere, type OpenElsewhere } from '../lightning/other-nodes.ts';
import type { Observe } from '../observation.ts';
import { every, type Job } from './every.ts';

export interface OpenElsewhereOptions {
  pool: Pool;
  /** Those that this gateway asks. */
  nodeIds: readonly string[];
  observe: Observe;
}

/**
 * Reports, again and again, invoices and withdrawals that no gateway follows. What customers pay to such an
 * invoice is not credited.
 */
export class OpenElsewhereWatch {
  readonly #options: OpenElsewhereOptions;
  #open: readonly OpenElsewhere[] = [];

  constructor(options: OpenElsewhereOptions) {
    this.#options = options;
  }

  /** For `/ready`; undefined where all is followed. */
  get reason(): string | undefined {
    if (this.#open.length === 0) return undefined;
    const count = (what: 'invoices' | 'withdrawals'): number => this.#open.reduce((sum, node) => sum + node[what], 0);
    return `${count('invoices')} invoices and ${count('withdrawals')} withdrawals of another node are open, and it is not asked`;
  }

  start(intervalMs: number): Job {
    return every(intervalMs, 'open elsewhere', () => this.look(), this.#options.observe);
  }

  async look(): Promise<void> {
    const { pool, nodeIds, observe } = this.#options;
    this.#open = await openElsewhere(pool, nodeIds);
    for (const open of this.#open) {
      observe({ kind: 'open_elsewhere', ...open });
    }
  }
}
