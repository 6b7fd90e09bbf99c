import type { Pool } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { compilePrices, nextPriceChange, type PricedConfig, type Prices } from './catalogue.ts';
import { loadPriceVersion } from './price-version.ts';
import { dearerRates } from './rates.ts';

/** A set of prices, and the number under which the database knows it. */
export interface PriceSet {
  readonly prices: Prices;
  readonly priceVersion: number;
}

/** Where the prices in force come from. */
export interface PriceSource {
  /** The set of the last look at the clock. */
  readonly current: PriceSet;
  /** Undefined where that set is still in force; else resolves once the next one is. */
  keepUp(): Promise<void> | undefined;
}

export interface PriceScheduleOptions {
  config: PricedConfig;
  pool: Pool;
  /** Unix milliseconds. */
  now?: (() => number) | undefined;
}

/**
 * The prices of now: those of the catalogue change on a date or by the hour, and rise some minutes before their time. Each set is stored before it is used, under the same number
 * on every gateway; a set that comes back, as off-peak prices do each day, has the number of before. What was priced earlier keeps its set.
 */
export class PriceSchedule implements PriceSource {
  #options: PriceScheduleOptions;
  readonly #now: () => number;
  #current: PriceSet;
  /** When `#current` came into force, or a moment since, and when it ends. */
  #sinceMs: number;
  #untilMs: number;
  #turning: Promise<void> | undefined;

  private constructor(options: PriceScheduleOptions, now: () => number, turn: Turn) {
    this.#options = options;
    this.#now = now;
    this.#current = turn.set;
    this.#sinceMs = turn.atMs;
    this.#untilMs = turn.untilMs;
  }

  static async open(options: PriceScheduleOptions): Promise<PriceSchedule> {
    const now = options.now ?? Date.now;
    return new PriceSchedule(options, now, await turnAt(now(), options));
  }

  get current(): PriceSet {
    return this.#current;
  }

  /** Rejects with `database_unavailable` where the new set cannot be stored: nothing is served at prices that are over. */
  keepUp(): Promise<void> | undefined {
    const now = this.#now();
    if (now >= this.#sinceMs && now < this.#untilMs) return undefined;
    return (this.#turning ??= this.#turn(now).finally(() => (this.#turning = undefined)));
  }

  /**
   * Compiles and stores the prices of now under another configuration, and changes nothing yet: what it gives puts them in force. Rejects
   * with ConfigError for a price of the operator's that is nobody's.
   */
  async prepare(config: PricedConfig): Promise<{ set: PriceSet; enforce: () => void }> {
    const options = { ...this.#options, config };
    const turn = await turnAt(this.#now(), options);
    return {
      set: turn.set,
      enforce: () => {
        this.#options = options;
        this.#take(turn);
      },
    };
  }

  async #turn(nowMs: number): Promise<void> {
    const options = this.#options;
    try {
      const turn = await turnAt(nowMs, options);
      // Meanwhile another configuration's prices may have come into force.
      if (this.#options === options) this.#take(turn);
    } catch (cause) {
      throw new GatewayError('database_unavailable', { retryAfter: 1, cause });
    }
  }

  #take({ set, atMs, untilMs }: Turn): void {
    this.#current = set;
    this.#sinceMs = atMs;
    this.#untilMs = untilMs;
  }
}

/** A request may start this long after it was priced: its candidates before the last one can take as long to fail. */
const START_WITHIN_MS = 5 * 60_000;

interface Turn {
  set: PriceSet;
  atMs: number;
  untilMs: number;
}

/** A price that rises soon is charged from now on, so that no request starts at a price that its hold does not cover. */
function dearerPrices(now: Prices, soon: Prices): Prices {
  return new Map([...now].map(([name, rates]) => [name, dearerRates(rates, soon.get(name) ?? rates)]));
}

async function turnAt(atMs: number, { config, pool }: PriceScheduleOptions): Promise<Turn> {
  const soonMs = atMs + START_WITHIN_MS;
  const prices = dearerPrices(compilePrices(config, new Date(atMs)), compilePrices(config, new Date(soonMs)));
  const untilMs = Math.min(nextPriceChange(atMs), nextPriceChange(soonMs) - START_WITHIN_MS);
  return { set: { prices, priceVersion: await loadPriceVersion(pool, prices) }, atMs, untilMs };
}
