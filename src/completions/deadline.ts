import { TIMER, type Timer } from '../timer.ts';

/** An answer in JSON comes whole, which takes a slow model a minute: the first one asked leaves no more than this part to the others. */
const LEFT_OF_JSON = 1 / 4;
/** Silence for a smaller part of the whole time says nothing of a deployment. */
const TELLING_PART = 1 / 4;

/** What one attempt has of a request's time. */
export interface Allowance {
  readonly ms: number;
  /** Whether silence for all of it is the deployment's fault. */
  readonly telling: boolean;
}

/**
 * The time in which an answer must begin, over all attempts together, from the first of them on. A stream begins with its first word, so an
 * attempt with others behind it has half of what is left; JSON begins with its end, so there it has all but a quarter of the whole, or but
 * half of what is left where that is less. The last one has all that is left.
 */
export class Deadline {
  readonly #totalMs: number;
  readonly #stream: boolean;
  readonly #timer: Pick<Timer, 'now'>;
  #endsAt: number | undefined;

  constructor({ totalMs, stream }: { totalMs: number; stream: boolean }, timer: Pick<Timer, 'now'> = TIMER) {
    this.#totalMs = totalMs;
    this.#stream = stream;
    this.#timer = timer;
  }

  /** What the next attempt has; null once nothing is left. */
  allow({ isLast }: { isLast: boolean }): Allowance | null {
    const now = this.#timer.now();
    this.#endsAt ??= now + this.#totalMs;
    const leftMs = this.#endsAt - now;
    if (leftMs <= 0) return null;
    const forOthersMs = isLast ? 0 : this.#stream ? leftMs / 2 : Math.min(leftMs / 2, this.#totalMs * LEFT_OF_JSON);
    const ms = leftMs - forOthersMs;
    return { ms, telling: ms >= this.#totalMs * TELLING_PART };
  }
}
