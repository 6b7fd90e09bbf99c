const SECONDS = 60;

/**
 * What was used in the last 60 seconds, in slices of one second: the current slice and the 59 before it count, so that
 * what was taken counts for 59 to 60 seconds, whenever in its slice that was.
 * A library's limiter would not do: theirs count in fixed windows, so that twice the limit passes within a minute
 * around a window's edge, and cannot give back part of what was taken in the past.
 */
export class SlidingWindow {
  /** What is inside the window now. */
  total = 0;
  /** The slice that was last written or looked at, in whole seconds. */
  second: number;
  readonly #slices = new Float64Array(SECONDS);

  constructor(second: number) {
    this.second = second;
  }

  /** Lets slices that have left the window go. */
  advance(second: number): void {
    if (second <= this.second) return;
    const steps = Math.min(second - this.second, SECONDS);
    for (let step = 1; step <= steps; step++) {
      const slot = (this.second + step) % SECONDS;
      this.total -= this.#slices[slot] ?? 0;
      this.#slices[slot] = 0;
    }
    this.second = second;
  }

  /** Adds to the current slice. */
  add(amount: number): void {
    this.#change(this.second, amount);
  }

  /** Changes what was taken at `second`, unless that has left the window. Never below nothing. */
  correct(second: number, difference: number): void {
    if (second <= this.second - SECONDS || second > this.second) return;
    this.#change(second, Math.max(difference, -(this.#slices[second % SECONDS] ?? 0)));
  }

  /** Whole seconds from `second` until at least `amount` of what is inside has left; 60 where it never holds that much. */
  secondsUntilFreed(amount: number): number {
    let freed = 0;
    for (let age = SECONDS - 1; age >= 0; age--) {
      freed += this.#slices[(this.second - age + SECONDS) % SECONDS] ?? 0;
      if (freed >= amount) return SECONDS - age;
    }
    return SECONDS;
  }

  /** Whole seconds until the window is empty; 0 where it is. */
  secondsUntilEmpty(): number {
    for (let age = 0; age < SECONDS; age++) {
      if ((this.#slices[(this.second - age + SECONDS) % SECONDS] ?? 0) > 0) return SECONDS - age;
    }
    return 0;
  }

  #change(second: number, amount: number): void {
    const slot = second % SECONDS;
    this.#slices[slot] = (this.#slices[slot] ?? 0) + amount;
    this.total += amount;
  }
}
