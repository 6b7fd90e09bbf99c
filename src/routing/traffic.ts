import { addTally, emptyTally, ratesOf, type Rates, type Tally } from './tally.ts';

/** The spans over which traffic is summed up. */
export const HEALTH_WINDOWS = { '1m': 60_000, '5m': 300_000, '1h': 3_600_000, '24h': 86_400_000 } as const;
export type HealthWindow = keyof typeof HEALTH_WINDOWS;
export type Windows<T = Rates> = Readonly<Record<HealthWindow, T>>;

/** Somewhat more than the longest span. */
export const KEPT_MINUTES = 25 * 60;
export const MINUTE_MS = 60_000;

const WINDOWS = Object.keys(HEALTH_WINDOWS) as HealthWindow[];
const HALF_LIFE_MS = 5 * 60_000;
/** As if so many requests had gone well before: one failure does not condemn a deployment. */
const PRIOR_SAMPLES = 5;

/** How a deployment has done lately, newer traffic counting for more. */
export interface Estimate {
  readonly successRate: number;
  readonly ttftMs: number | null;
  readonly tokensPerSecond: number | null;
  readonly samples: number;
}

type Minutes = Map<number, Tally>;

/**
 * The attempts at one deployment: those of this gateway, and those that others told of. Sums are kept by minute for the spans; the estimate
 * is a sum of its own that halves every five minutes, so that it costs next to nothing to ask. Own attempts are pending until they are
 * written to where all gateways share them; then they are among the shared ones.
 */
export class Traffic {
  readonly #shared: Minutes = new Map();
  readonly #pending: Minutes = new Map();
  readonly #writing: Minutes = new Map();
  readonly #decayed = emptyTally();
  #decayedAt = 0;

  get isEmpty(): boolean {
    return this.#minutes().every((minutes) => minutes.size === 0);
  }

  /** Adds an own attempt that ended now. */
  add(tally: Tally): void {
    const now = Date.now();
    addTo(this.#pending, Math.floor(now / MINUTE_MS), tally);
    this.#estimateWith(tally, now);
  }

  /** Own attempts that are not written yet, by minute; `written` is told next how their writing went. */
  take(): readonly (readonly [minute: number, tally: Tally])[] {
    moveAll(this.#pending, this.#writing);
    return [...this.#writing];
  }

  written(ok: boolean): void {
    moveAll(this.#writing, ok ? this.#shared : this.#pending);
  }

  /** Learns a minute's sum over all gateways, own attempts that were written included. */
  merge(minute: number, total: Tally): void {
    const others = { ...total };
    const known = this.#shared.get(minute);
    if (known) addTally(others, known, -1);
    this.#shared.set(minute, total);
    if (others.ok + others.faults > 0) this.#estimateWith(others, Math.min((minute + 0.5) * MINUTE_MS, Date.now()));
  }

  /** Adds this traffic to sums by span. Of the minute that a span begins in, the part counts that is within. */
  addTo(sums: Windows<Tally>): void {
    const now = Date.now();
    for (const minutes of this.#minutes()) {
      for (const [minute, tally] of minutes) {
        for (const window of WINDOWS) {
          const within = (minute + 1) * MINUTE_MS - (now - HEALTH_WINDOWS[window]);
          if (within > 0) addTally(sums[window], tally, Math.min(1, within / MINUTE_MS));
        }
      }
    }
  }

  estimate(): Estimate {
    const kept = decay(Date.now() - this.#decayedAt);
    const { ok, faults } = this.#decayed;
    const samples = (ok + faults) * kept;
    const { ttftMs, tokensPerSecond } = ratesOf(this.#decayed);
    return { successRate: (ok * kept + PRIOR_SAMPLES) / (samples + PRIOR_SAMPLES), ttftMs, tokensPerSecond, samples };
  }

  /** Forgets what no span reaches any more. */
  prune(): void {
    const oldest = Math.floor(Date.now() / MINUTE_MS) - KEPT_MINUTES;
    for (const minutes of [this.#shared, this.#pending]) {
      for (const minute of minutes.keys()) if (minute < oldest) minutes.delete(minute);
    }
  }

  #minutes(): Minutes[] {
    return [this.#shared, this.#pending, this.#writing];
  }

  #estimateWith(tally: Tally, at: number): void {
    const now = Date.now();
    const kept = decay(now - this.#decayedAt);
    addTally(this.#decayed, this.#decayed, kept - 1);
    addTally(this.#decayed, tally, decay(now - at));
    this.#decayedAt = now;
  }
}

/** The sums of several deployments' traffic, as rates by span. */
export function windowsOf(traffics: Iterable<Traffic>): Windows {
  const sums = byWindow(emptyTally);
  for (const traffic of traffics) traffic.addTo(sums);
  return byWindow((window) => ratesOf(sums[window]));
}

export function byWindow<T>(value: (window: HealthWindow) => T): Windows<T> {
  return Object.fromEntries(WINDOWS.map((window) => [window, value(window)])) as Windows<T>;
}

/** What is left after some time; a clock that was set back takes nothing away. */
function decay(ms: number): number {
  return 2 ** (-Math.max(0, ms) / HALF_LIFE_MS);
}

function addTo(minutes: Minutes, minute: number, tally: Tally): void {
  const known = minutes.get(minute);
  if (known) addTally(known, tally);
  else minutes.set(minute, { ...tally });
}

function moveAll(from: Minutes, to: Minutes): void {
  for (const [minute, tally] of from) addTo(to, minute, tally);
  from.clear();
}
