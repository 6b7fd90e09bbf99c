import type { Deployment } from '../models/deployment.ts';
import type { Observe } from '../observation.ts';
import type { CircuitPhase } from './circuit.ts';
import { Door, type DoorState } from './door.ts';
import type { AttemptOutcome, Gate, Pass, Shut } from './gate.ts';
import { tallyOf, type Tally } from './tally.ts';
import { Traffic, windowsOf, type Windows } from './traffic.ts';
import { UNKNOWN_HEALTH, type DeploymentHealth } from './view.ts';

/** How a deployment, or all of a provider's together, did over the last spans of time. */
export interface HealthReport {
  /** `idle`: no traffic in 5 minutes; `degraded`: a circuit is not closed, or more than a tenth of that traffic failed. */
  readonly status: 'active' | 'idle' | 'degraded';
  readonly windows: Windows;
}

/** A minute's sum of a deployment's attempts, as gateways share it. */
export interface SharedMinute {
  readonly deploymentId: string;
  readonly providerId: string;
  /** Since 1970. */
  readonly minute: number;
  readonly tally: Tally;
  /** Unix milliseconds; null where no pause is asked for. */
  readonly pausedUntil: number | null;
}

interface Known {
  readonly providerId: string;
  readonly door: Door;
  readonly traffic: Traffic;
}

type Asked = Pick<Deployment, 'id' | 'limits'> & { readonly provider: Pick<Deployment['provider'], 'id'> };

const HEALTHY_SUCCESS_RATE = 0.9;
/** Until an operator switches it on again: who tries sooner than that is told the same. */
const SWITCHED_OFF: Shut = { shut: 'switched off', retryAfterSeconds: 60 };
const FRESH: DoorState = { circuit: 'closed', pausedUntil: null };

/**
 * The gate of all deployments, and its memory of them. Attempts under a caller's own key do not pass through: its limits and pauses are not
 * the operator's. Memory is bounded by the number of deployments; nothing of a request waits for the database.
 */
export class FleetHealth implements Gate {
  readonly #known = new Map<string, Known>();
  readonly #observe: Observe;

  readonly #bars: boolean;
  /** Of providers that an operator has switched off. */
  #off: ReadonlySet<string> = new Set();

  /** `bars: false` learns alone, and lets every attempt in. */
  constructor(observe: Observe, { bars = true }: { bars?: boolean } = {}) {
    this.#observe = observe;
    this.#bars = bars;
  }

  /** Switches these providers off, and all others on. Attempts under way come to their end. */
  switchOff(providerIds: ReadonlySet<string>): void {
    this.#off = providerIds;
  }

  isOff(providerId: string): boolean {
    return this.#off.has(providerId);
  }

  enter({ id, limits, provider }: Asked, accountId?: string): Pass | Shut {
    if (this.#off.has(provider.id)) return SWITCHED_OFF;
    const known = this.#knownOf(id, provider.id);
    const told = (outcome: AttemptOutcome): void => {
      const tally = tallyOf(outcome);
      if (tally) known.traffic.add(tally);
      // Clients may ask for any model: a name that no provider has is not remembered.
      else this.#forgetIfIdle(id, known);
    };
    return known.door.enter(limits, told, accountId);
  }

  /** Takes nothing: a half-open circuit still has its one attempt. */
  healthOf({ id, limits, provider }: Pick<Deployment, 'id' | 'limits'> & Partial<Pick<Asked, 'provider'>>): DeploymentHealth {
    const known = this.#known.get(id);
    const isOn = provider === undefined || !this.#off.has(provider.id);
    if (!known) return isOn ? UNKNOWN_HEALTH : { ...UNKNOWN_HEALTH, available: false };
    return { ...known.traffic.estimate(), available: isOn && known.door.barred(limits) === null };
  }

  /** Whether a deployment's circuit is closed, and until when its provider asked for a pause. */
  doorOf({ id }: Pick<Deployment, 'id'>): DoorState {
    return this.#known.get(id)?.door.state ?? FRESH;
  }

  /** Of all the deployments of a provider together. */
  report(providerId: string): HealthReport {
    const known = [...this.#known.values()].filter((one) => one.providerId === providerId);
    const windows = windowsOf(known.map(({ traffic }) => traffic));
    const phases = new Set<CircuitPhase>(known.map(({ door }) => door.state.circuit));
    return { status: statusOf(windows, phases), windows };
  }

  /** Own attempts that the other gateways do not know of yet; `written` is told next how their writing went. */
  take(): SharedMinute[] {
    return [...this.#known].flatMap(([deploymentId, { providerId, door, traffic }]) =>
      traffic.take().map(([minute, tally]) => ({ deploymentId, providerId, minute, tally, pausedUntil: door.state.pausedUntil })),
    );
  }

  written(ok: boolean): void {
    for (const { traffic } of this.#known.values()) traffic.written(ok);
  }

  /** Learns the sums of all gateways, own attempts that were written included. */
  merge(minutes: readonly SharedMinute[]): void {
    for (const { deploymentId, providerId, minute, tally, pausedUntil } of minutes) {
      const { door, traffic } = this.#knownOf(deploymentId, providerId);
      traffic.merge(minute, tally);
      if (pausedUntil !== null) door.pauseUntil(pausedUntil);
    }
  }

  /** Forgets traffic that no span reaches any more, and deployments without any. */
  prune(): void {
    for (const [id, known] of this.#known) {
      known.traffic.prune();
      this.#forgetIfIdle(id, known);
    }
  }

  #forgetIfIdle(id: string, { door, traffic }: Known): void {
    if (traffic.isEmpty && door.isIdle) this.#known.delete(id);
  }

  #knownOf(id: string, providerId: string): Known {
    let known = this.#known.get(id);
    if (!known) this.#known.set(id, (known = this.#newlyKnown(id, providerId)));
    return known;
  }

  #newlyKnown(deployment: string, providerId: string): Known {
    let reason = '';
    const door = new Door({
      bars: this.#bars,
      onFault: (fault) => (reason = fault),
      onOpen: () => this.#observe({ kind: 'circuit_opened', deployment, reason }),
      onClose: () => this.#observe({ kind: 'circuit_closed', deployment }),
    });
    return { providerId, door, traffic: new Traffic() };
  }
}

function statusOf(windows: Windows, phases: ReadonlySet<CircuitPhase>): HealthReport['status'] {
  const { successRate } = windows['5m'];
  if (phases.has('open') || phases.has('half-open')) return 'degraded';
  if (successRate === null) return 'idle';
  return successRate < HEALTHY_SUCCESS_RATE ? 'degraded' : 'active';
}
