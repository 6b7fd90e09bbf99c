/** A shorter silence is the pace of a stream, not a thought. */
const LEAST_THOUGHT_MS = 2_000;
/** Events that come faster than this are taken for the model's words; after a longer pause they are looked into. */
const STEADY_MS = 250;
/** And so are they this often in a steady stream: some servers send an empty event for every token of a thought. */
const LOOK_EVERY_MS = 1_000;

/**
 * How long a model has been at work on a stream without showing anything: reasoning out of sight, before the first word or between two. Who
 * leaves pays for it as for what was delivered, so that leaving later never costs less.
 */
export class HiddenTime {
  #hiddenMs = 0;
  #lastWordAt: number;
  #lookedAt: number;
  #pausedAt: number | null = null;
  #pausedMs = 0;

  /** @param since when the model was asked, on the monotonic clock. */
  constructor(since: number) {
    this.#lastWordAt = since;
    this.#lookedAt = since;
  }

  /** Notes that events came; `isWord` looks into them, which most of a steady stream is spared. */
  came(now: number, isWord: () => boolean): void {
    const silence = now - this.#lastWordAt;
    if (silence > STEADY_MS || now - this.#lookedAt > LOOK_EVERY_MS) {
      if (!isWord()) return;
      this.#lookedAt = now;
    }
    this.#hiddenMs += thought(silence);
    this.#lastWordAt = now;
  }

  /** The provider is kept waiting: what it does meanwhile is unknown, and not its silence. */
  paused(now: number): void {
    this.#pausedAt ??= now;
  }

  resumed(now: number): void {
    const pausedMs = this.#pausedAt === null ? 0 : now - this.#pausedAt;
    this.#lastWordAt += pausedMs;
    this.#pausedMs += pausedMs;
    this.#pausedAt = null;
  }

  /** How long the provider was kept waiting, up to `now`. */
  pausedMs(now: number): number {
    return this.#pausedMs + (this.#pausedAt === null ? 0 : now - this.#pausedAt);
  }

  /** All of it up to `now`; null: up to the last word. */
  seconds(now: number | null): number {
    const silence = now === null ? 0 : (this.#pausedAt ?? now) - this.#lastWordAt;
    return (this.#hiddenMs + thought(silence)) / 1000;
  }
}

function thought(silenceMs: number): number {
  return silenceMs > LEAST_THOUGHT_MS ? silenceMs : 0;
}
