import { isDeepStrictEqual } from 'node:util';
import type { CapacityConfig } from '../config/capacity-config.ts';
import { PoolWatch, type PoolWatchDeps } from './pool-watch.ts';
import { proportionsOf, type CapacitySource, type CapacityState } from './proportions.ts';

/** What `/api/status` tells of capacities. */
export interface CapacityStatus extends CapacityState {
  /** Of each configured provider, in proportion to the largest. */
  readonly weights: Readonly<Record<string, number>>;
}

export interface CapacityWeightsDeps extends PoolWatchDeps {
  /** Of the configured providers. */
  providerIds: () => readonly string[];
}

const UNKNOWN: CapacityState = {
  source: 'equal',
  chainId: null,
  pool: null,
  updatedAt: null,
  stale: false,
  reason: 'no capacities are configured',
};

/**
 * How much each provider can take in proportion to the others: the operator's numbers, or the units of a Superfluid pool's members. It
 * breaks ties and nothing else, so nothing ever waits for it: what is not known counts alike.
 */
export class CapacityWeights {
  readonly #deps: CapacityWeightsDeps;
  #config: CapacityConfig | undefined;
  #source: CapacitySource = unknown();
  #watch: PoolWatch | undefined;
  #started = false;

  constructor(config: CapacityConfig | undefined, deps: CapacityWeightsDeps) {
    this.#deps = deps;
    this.#use(config);
  }

  /** Keeps up with the pool from now on, where there is one. */
  start(): void {
    this.#started = true;
    this.#watch?.start();
  }

  /**
   * 0 to 1, where the largest has 1: 1 for all where nothing is known. A provider that the configuration does not name beside others has
   * 0, like a member without units.
   */
  capacityOf(providerId: string): number {
    const proportions = this.#source.proportions();
    return proportions ? (proportions.get(providerId) ?? 0) : 1;
  }

  status(): CapacityStatus {
    const weights = this.#deps.providerIds().map((id) => [id, this.capacityOf(id)] as const);
    return { ...this.#source.state(), weights: Object.fromEntries(weights) };
  }

  /** Takes another configuration. The pool is asked anew where anything of it is different. */
  reconfigure(config: CapacityConfig | undefined): void {
    if (!isDeepStrictEqual(config, this.#config)) this.#use(config);
  }

  /** Reads the pool now, where there is one. Never rejects. */
  async refresh(): Promise<void> {
    await this.#watch?.refresh();
  }

  async close(): Promise<void> {
    await this.#watch?.close();
  }

  #use(config: CapacityConfig | undefined): void {
    void this.#watch?.close();
    this.#config = config;
    this.#watch = config?.pool && new PoolWatch(config.pool, this.#deps);
    this.#source = this.#watch ?? (config?.weights ? configured(config.weights) : unknown());
    this.#warnOfOthers(Object.keys(config?.pool?.members ?? config?.weights ?? {}));
    if (this.#started) this.#watch?.start();
  }

  #warnOfOthers(named: readonly string[]): void {
    const known = this.#deps.providerIds();
    const others = named.filter((id) => !known.includes(id));
    if (others.length > 0) this.#deps.log.warn({ providers: others }, 'capacity names providers that are not configured');
  }
}

function configured(weights: Readonly<Record<string, number>>): CapacitySource {
  const proportions = proportionsOf(Object.entries(weights));
  return { proportions: () => proportions, state: () => ({ ...UNKNOWN, source: 'configured', reason: null }) };
}

function unknown(): CapacitySource {
  return { proportions: () => null, state: () => UNKNOWN };
}
