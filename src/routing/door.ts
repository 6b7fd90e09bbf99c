import type { DeploymentLimits } from '../models/deployment.ts';
import { Circuit, type CircuitPhase } from './circuit.ts';
import type { AttemptOutcome, Pass, Shut } from './gate.ts';
import { Witnesses } from './witnesses.ts';

/** A provider may not ask for a longer pause. */
const LONGEST_PAUSE_MS = 10 * 60_000;
const LIMIT_WINDOW_MS = 60_000;
const NO_LIMITS: DeploymentLimits = { concurrentRequests: null, requestsPerMinute: null };

/** How a deployment is barred, for those who run the gateway. */
export interface DoorState {
  readonly circuit: CircuitPhase;
  /** Unix milliseconds; null where no pause is asked for. */
  readonly pausedUntil: number | null;
}

export interface DoorOptions {
  /** False where every attempt is let in all the same. */
  readonly bars?: boolean;
  /** Told before a circuit opens by that fault. */
  readonly onFault?: (reason: string) => void;
  readonly onOpen?: () => void;
  readonly onClose?: () => void;
}

/**
 * What bars a deployment: its circuit, the pause that its provider asked for, and the operator's limits, which are this gateway's own. A pause
 * stays until its end: a success meanwhile is one of an attempt that was under way already.
 */
export class Door {
  readonly #circuit: Circuit;
  readonly #witnesses = new Witnesses();
  #pausedUntil = 0;
  #underWay = 0;
  /** When the attempts of the last minute entered, oldest first; kept only where their number is limited. */
  #entered: number[] = [];

  readonly #options: DoorOptions;

  constructor(options: DoorOptions = {}) {
    this.#circuit = new Circuit(options);
    this.#options = options;
  }

  /** Whether a new one in its place would do the same. */
  get isIdle(): boolean {
    this.#forgetEntered();
    const { circuit, pausedUntil } = this.state;
    return circuit === 'closed' && pausedUntil === null && this.#underWay === 0 && this.#entered.length === 0;
  }

  get state(): DoorState {
    return { circuit: this.#circuit.phase, pausedUntil: this.#pausedUntil > Date.now() ? this.#pausedUntil : null };
  }

  /** What bars an attempt now; null where nothing does. Takes nothing. */
  barred(limits: DeploymentLimits = NO_LIMITS): Shut | null {
    if (this.#options.bars === false) return null;
    const now = Date.now();
    const circuitMs = this.#circuit.waitMs;
    const pauseMs = this.#pausedUntil - now;
    if (pauseMs > 0 && pauseMs >= circuitMs) return shut('pause asked for', pauseMs);
    if (circuitMs > 0) return shut('circuit open', circuitMs);
    const { concurrentRequests, requestsPerMinute } = limits;
    if (concurrentRequests !== null && this.#underWay >= concurrentRequests) return shut('limit reached', 1_000);
    if (requestsPerMinute === null) return null;
    this.#forgetEntered();
    const [oldest] = this.#entered;
    if (this.#entered.length < requestsPerMinute) return null;
    return shut('limit reached', oldest === undefined ? LIMIT_WINDOW_MS : oldest + LIMIT_WINDOW_MS - now);
  }

  /** Leave for one attempt, or why there is none. `told` hears of its outcome, once. */
  enter(limits: DeploymentLimits | undefined, told: (outcome: AttemptOutcome) => void, accountId?: string): Pass | Shut {
    const barred = this.barred(limits);
    if (barred) return barred;
    const pass = this.#circuit.enter();
    this.#underWay += 1;
    if (limits && limits.requestsPerMinute !== null) this.#entered.push(Date.now());
    let ended = false;
    return {
      end: (outcome) => {
        if (ended) return;
        ended = true;
        this.#underWay -= 1;
        if (outcome.kind === 'fault') this.#options.onFault?.(outcome.reason);
        if (outcome.kind === 'fault' && outcome.retryAfterSeconds !== null) this.pauseUntil(Date.now() + outcome.retryAfterSeconds * 1000);
        told(outcome);
        const ok = outcome.kind === 'void' ? null : outcome.kind === 'ok';
        pass.end(ok !== null && this.#witnesses.believe(accountId, ok) ? ok : null);
      },
    };
  }

  #forgetEntered(): void {
    const now = Date.now();
    while ((this.#entered[0] ?? Infinity) <= now - LIMIT_WINDOW_MS) this.#entered.shift();
  }

  /** Never shortens a pause. @param until Unix milliseconds. */
  pauseUntil(until: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, Math.min(until, Date.now() + LONGEST_PAUSE_MS));
  }
}

function shut(reason: Shut['shut'], waitMs: number): Shut {
  return { shut: reason, retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) };
}
