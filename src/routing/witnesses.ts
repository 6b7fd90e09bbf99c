import { Others } from './others.ts';

/** How long a success of somebody else speaks for a deployment. */
const SPEAKS_MS = 30_000;
const MOST_ACCOUNTS = 100;

/**
 * Whose attempts say what of a deployment. One account can send requests that fail every time, on purpose or not: too slow, or too much for a
 * model. While the deployment answers others, such faults count once in half a minute, so that its circuit does not open for them too.
 */
export class Witnesses {
  readonly #answered = new Others();
  /** Whose requests failed lately, and when one last counted; the one longest ago comes first. */
  readonly #faults = new Map<string, number>();

  /** Notes an outcome; whether it counts. One of nobody known always does. */
  believe(accountId: string | undefined, ok: boolean): boolean {
    if (accountId === undefined) return true;
    if (ok) {
      this.#answered.note(accountId);
      return true;
    }
    return !this.#isRepeated(accountId) || !this.#answered.within(accountId, SPEAKS_MS);
  }

  #isRepeated(accountId: string): boolean {
    const counted = this.#faults.get(accountId);
    if (counted !== undefined && Date.now() - counted < SPEAKS_MS) return true;
    this.#faults.delete(accountId);
    this.#faults.set(accountId, Date.now());
    const [oldest] = this.#faults.keys();
    if (this.#faults.size > MOST_ACCOUNTS && oldest !== undefined) this.#faults.delete(oldest);
    return false;
  }
}
