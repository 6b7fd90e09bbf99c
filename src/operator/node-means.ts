import { setTimeout as delay } from 'node:timers/promises';
import type { Wallet } from '../lightning/wallet.ts';
import type { WalletMeans } from '../lightning/wallet-means.ts';

/** What the node could pay, as last heard. */
export interface NodeMeansReport {
  /** Null where it was never told. */
  readonly means: WalletMeans | null;
  /** When it was told. */
  readonly at: Date | null;
  /** Why it is not of now; null where it is. */
  readonly problem: string | null;
}

const FRESH_MS = 5_000;
const DEADLINE_MS = 3_000;
const SILENT = 'The node does not answer.';

/** Asks the node what it could pay, at most every few seconds, and remembers its last word for while it is away. */
export class NodeMeans {
  readonly #wallet: Pick<Wallet, 'means' | 'meansNeed'>;
  readonly #now: () => number;
  #last: { means: WalletMeans; at: Date } | undefined;
  #asking: Promise<void> | undefined;
  #askedAt = -Infinity;
  #problem: string | null = null;

  constructor(wallet: Pick<Wallet, 'means' | 'meansNeed'>, now: () => number = Date.now) {
    this.#wallet = wallet;
    this.#now = now;
  }

  /** Never rejects, and never waits for long. */
  async read(): Promise<NodeMeansReport> {
    const { means, meansNeed } = this.#wallet;
    if (meansNeed !== undefined) return this.#report(`The node's balance may not be read: its credential lacks ${meansNeed}.`);
    if (!means) return this.#report('This wallet does not tell its balance.');
    if (this.#now() - this.#askedAt >= FRESH_MS) this.#asking ??= this.#ask();
    const asking = this.#asking;
    const waited = new AbortController();
    const inTime =
      asking &&
      Promise.race([asking.then(() => true), delay(DEADLINE_MS, false, { signal: waited.signal, ref: false }).catch(() => false)]);
    const answered = (await inTime) ?? true;
    waited.abort();
    return this.#report(answered ? this.#problem : SILENT);
  }

  async #ask(): Promise<void> {
    try {
      const means = await this.#wallet.means?.();
      if (means) this.#last = { means, at: new Date(this.#now()) };
      this.#problem = null;
    } catch {
      this.#problem = SILENT;
    } finally {
      this.#askedAt = this.#now();
      this.#asking = undefined;
    }
  }

  #report(problem: string | null): NodeMeansReport {
    return { means: this.#last?.means ?? null, at: this.#last?.at ?? null, problem };
  }
}
