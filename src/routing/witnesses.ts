/** How long a success of somebody else speaks for a deployment. */
const SPEAKS_MS = 30_000;
const MOST_ACCOUNTS = 100;

interface Served {
  readonly accountId: string;
  readonly at: number;
}

/**
 * Whose attempts say what of a deployment. One account can send requests that fail every time, on purpose or not: too slow, or too much for a
 * model. While the deployment answers others, such a run of faults counts as one, so that its circuit does not open for them too.
 */
export class Witnesses {
  /** Who was answered last, and the last other one: of the two, one is not the account that asks. */
  #last: Served | undefined;
  #otherLast: Served | undefined;
  /** Whose requests failed lately, and when last; the one longest ago comes first. */
  readonly #faults = new Map<string, number>();

  /** Notes an outcome; whether it counts. One of nobody known always does. */
  believe(accountId: string | undefined, ok: boolean): boolean {
    if (accountId === undefined) return true;
    if (ok) {
      if (this.#last?.accountId !== accountId) this.#otherLast = this.#last;
      this.#last = { accountId, at: Date.now() };
      return true;
    }
    return !this.#isRepeated(accountId) || !this.#servesOthers(accountId);
  }

  #isRepeated(accountId: string): boolean {
    const before = this.#faults.get(accountId);
    this.#faults.delete(accountId);
    this.#faults.set(accountId, Date.now());
    const [oldest] = this.#faults.keys();
    if (this.#faults.size > MOST_ACCOUNTS && oldest !== undefined) this.#faults.delete(oldest);
    return before !== undefined && Date.now() - before < SPEAKS_MS;
  }

  #servesOthers(accountId: string): boolean {
    const other = this.#last?.accountId === accountId ? this.#otherLast : this.#last;
    return other !== undefined && Date.now() - other.at < SPEAKS_MS;
  }
}
