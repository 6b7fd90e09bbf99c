import {
  circuitBreaker,
  CircuitState,
  ConsecutiveBreaker,
  ExponentialBackoff,
  handleAll,
  noJitterGenerator,
  SamplingBreaker,
} from 'cockatiel';
import type { CircuitBreakerPolicy, IBreaker } from 'cockatiel';

export type CircuitPhase = 'closed' | 'open' | 'half-open';

/** One attempt's leave: its verdict counts once. */
export interface CircuitPass {
  /** `null`: the attempt said nothing of the deployment. */
  end(ok: boolean | null): void;
}

/** Faults in a row that open a circuit. */
const FAULTS_IN_A_ROW = 5;
/** Also opens where more than half of at least ten attempts within half a minute were faults. */
const SAMPLED = { threshold: 0.5, duration: 30_000, minimumRps: 10 / 30 };
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;
/** A probe that takes longer has others beside it: a slow request is no reason to keep all others out. */
const ALONE_MS = 5_000;

/**
 * A deployment's circuit breaker. Once open, attempts wait a second, then one may try (half-open): its success closes the circuit, its fault
 * doubles the wait, up to a minute. The breaker is told of an attempt when it is over, so that a probe whose client left is no verdict: the
 * next attempt probes in its place. Tells the time by `Date.now`, as cockatiel does, and keeps no timer.
 */
export class Circuit {
  readonly #policy: CircuitBreakerPolicy;
  /** When the last probe that is under way entered; null where none is. */
  #probingSince: number | null = null;
  #probeAt = 0;

  constructor({ onOpen = () => {}, onClose = () => {} }: { onOpen?: () => void; onClose?: () => void } = {}) {
    this.#policy = circuitBreaker(handleAll, {
      breaker: new EitherBreaker([new ConsecutiveBreaker(FAULTS_IN_A_ROW), new SamplingBreaker(SAMPLED)]),
      halfOpenAfter: new ExponentialBackoff<number>({
        initialDelay: FIRST_WAIT_MS,
        maxDelay: LONGEST_WAIT_MS,
        // Asked once each time that the circuit opens.
        generator: (opened, options) => {
          const [waitMs, next] = noJitterGenerator(opened, options);
          this.#probeAt = Date.now() + waitMs;
          return [waitMs, next];
        },
      }),
    });
    // Told once for each outage: a probe that failed is the same one.
    let isOut = false;
    this.#policy.onBreak(() => {
      if (!isOut) onOpen();
      isOut = true;
    });
    this.#policy.onReset(() => {
      isOut = false;
      onClose();
    });
  }

  get phase(): CircuitPhase {
    if (this.#policy.state === CircuitState.Closed) return 'closed';
    return this.#probingSince !== null || Date.now() >= this.#probeAt ? 'half-open' : 'open';
  }

  /** Until an attempt may enter: 0 where one may now. Takes nothing. */
  get waitMs(): number {
    if (this.#policy.state === CircuitState.Closed) return 0;
    const now = Date.now();
    // How long a probe takes nobody knows.
    if (this.#probingSince !== null) return Math.min(FIRST_WAIT_MS, Math.max(0, this.#probingSince + ALONE_MS - now));
    return Math.max(0, this.#probeAt - now);
  }

  /** Leave for one attempt, where `waitMs` is 0. */
  enter(): CircuitPass {
    const isProbe = this.#policy.state !== CircuitState.Closed;
    if (isProbe) this.#probingSince = Date.now();
    let ended = false;
    return {
      end: (ok) => {
        if (ended) return;
        ended = true;
        if (ok === null) {
          if (isProbe) this.#probingSince = null;
          return;
        }
        // An attempt of before the circuit opened says nothing of now.
        if (isProbe || this.#policy.state === CircuitState.Closed) void this.#tell(ok, isProbe);
      },
    };
  }

  /** The next probe is let in only once the breaker has made up its mind about this one. */
  async #tell(ok: boolean, isProbe: boolean): Promise<void> {
    try {
      await this.#policy.execute(() => {
        if (!ok) throw new Error('fault');
      });
    } catch {
      // The fault that it was told of.
    } finally {
      if (isProbe) this.#probingSince = null;
    }
  }
}

/** Opens as soon as one of several breakers would. */
class EitherBreaker implements IBreaker {
  readonly #breakers: readonly IBreaker[];

  constructor(breakers: readonly IBreaker[]) {
    this.#breakers = breakers;
  }

  get state(): unknown {
    return this.#breakers.map(({ state }) => state);
  }

  success(state: CircuitState): void {
    for (const breaker of this.#breakers) breaker.success(state);
  }

  failure(state: CircuitState): boolean {
    return this.#breakers.map((breaker) => breaker.failure(state)).includes(true);
  }
}
