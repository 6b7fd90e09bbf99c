/** Somebody who takes part in a limit, and how many times the limit this one may take. */
export interface Share {
  readonly name: string;
  readonly times: number;
}

export interface WindowLimitOptions {
  /** What a holder of one share may take in one window. */
  points: number;
  windowMs: number;
  /** Holders remembered at most; past that the one is forgotten whose window began first. */
  maxTracked?: number;
  /** A monotonic clock in milliseconds. */
  now?: () => number;
}

interface Window {
  taken: number;
  endsAt: number;
}

/**
 * How often something may be done in a window of time, by each of any number of holders, in this process's memory. A window begins with its
 * holder's first use. Bounded, for strangers choose who they are. Synchronous: nothing can come between the check and the taking.
 */
export class WindowLimit {
  readonly #options: Required<WindowLimitOptions>;
  /** In the order of their beginning, which is that of their end. */
  readonly #windows = new Map<string, Window>();

  constructor(options: WindowLimitOptions) {
    this.#options = { maxTracked: 100_000, now: () => performance.now(), ...options };
  }

  get points(): number {
    return this.#options.points;
  }

  /** Holders remembered now. */
  get tracked(): number {
    return this.#windows.size;
  }

  /** Takes one from every share, or from none where one of them is used up: gives the whole seconds until it is not, else 0. */
  take(shares: readonly Share[]): number {
    const seconds = this.secondsUntilFree(shares);
    if (seconds > 0) return seconds;
    const { windowMs, now } = this.#options;
    for (const { name } of shares) {
      const window = this.#windows.get(name);
      if (window) window.taken++;
      else this.#windows.set(name, { taken: 1, endsAt: now() + windowMs });
    }
    this.#forgetOldest();
    return 0;
  }

  /** The whole seconds until all of the shares have something left; 0 where they do. Takes nothing. */
  secondsUntilFree(shares: readonly Share[]): number {
    const { points, windowMs, now } = this.#options;
    this.#forgetEnded();
    let untilMs = 0;
    for (const { name, times } of shares) {
      const window = this.#windows.get(name);
      if ((window?.taken ?? 0) >= points * times) untilMs = Math.max(untilMs, window ? window.endsAt - now() : windowMs);
    }
    return Math.ceil(untilMs / 1000);
  }

  /** Gives back what was taken for something that was not done after all. */
  giveBack(shares: readonly Share[]): void {
    for (const { name } of shares) {
      const window = this.#windows.get(name);
      if (window && window.taken > 0) window.taken--;
    }
  }

  #forgetEnded(): void {
    const now = this.#options.now();
    for (const [name, { endsAt }] of this.#windows) {
      if (endsAt > now) return;
      this.#windows.delete(name);
    }
  }

  #forgetOldest(): void {
    for (const oldest of this.#windows.keys()) {
      if (this.#windows.size <= this.#options.maxTracked) return;
      this.#windows.delete(oldest);
    }
  }
}
