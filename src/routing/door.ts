import type { DeploymentLimits } from '../models/deployment.ts';
import { Circuit, type CircuitPhase } from './circuit.ts';
import type { AttemptOutcome, Pass, Shut } from './gate.ts';
import { Limits } from './limits.ts';
import { Witnesses } from './witnesses.ts';

/** A provider may not ask for a longer pause. */
const LONGEST_PAUSE_MS = 10 * 60_000;
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
  readonly #limits = new Limits();

  readonly #options: DoorOptions;

  constructor(options: DoorOptions = {}) {
    this.#circuit = new Circuit(options);
    this.#options = options;
  }

  /** Whether a new one in its place would do the same. */
  get isIdle(): boolean {
    const { circuit, pausedUntil } = this.state;
    return circuit === 'closed' && pausedUntil === null && this.#limits.isIdle;
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
    const limitMs = this.#limits.waitMs(limits);
    return limitMs > 0 ? shut('limit reached', limitMs) : null;
  }

  /** Leave for one attempt, or why there is none. `told` hears of its outcome, once. */
  enter(limits: DeploymentLimits = NO_LIMITS, told: (outcome: AttemptOutcome) => void, accountId?: string): Pass | Shut {
    const shareMs = accountId === undefined || this.#options.bars === false ? 0 : this.#limits.ask(limits, accountId);
    const barred = this.barred(limits) ?? (shareMs > 0 ? shut('limit reached', shareMs) : null);
    if (barred) return barred;
    const pass = this.#circuit.enter();
    const leave = this.#limits.enter(limits, accountId);
    let ended = false;
    return {
      end: (outcome) => {
        if (ended) return;
        ended = true;
        leave();
        if (outcome.kind === 'fault') this.#options.onFault?.(outcome.reason);
        if (outcome.kind === 'fault' && outcome.retryAfterSeconds !== null) this.pauseUntil(Date.now() + outcome.retryAfterSeconds * 1000);
        told(outcome);
        const ok = outcome.kind === 'void' ? null : outcome.kind === 'ok';
        pass.end(ok !== null && this.#witnesses.believe(accountId, ok) ? ok : null);
      },
    };
  }

  /** Never shortens a pause. @param until Unix milliseconds. */
  pauseUntil(until: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, Math.min(until, Date.now() + LONGEST_PAUSE_MS));
  }
}

function shut(reason: Shut['shut'], waitMs: number): Shut {
  return { shut: reason, retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) };
}
