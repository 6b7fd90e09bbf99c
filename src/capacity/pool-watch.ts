import type { CapacityPoolConfig } from '../config/capacity-config.ts';
import type { Logger } from '../log.ts';
import { NodeError } from './json-rpc.ts';
import { proportionsOf, type Capacity, type CapacitySource, type CapacityState } from './proportions.ts';
import { readSuperfluidPool, type PoolUnits } from './superfluid-pool.ts';

export interface PoolWatchDeps {
  log: Logger;
  /** A clock that no change of the time moves, in milliseconds. */
  now?: (() => number) | undefined;
  /** 0 up to 1. */
  random?: (() => number) | undefined;
}

/** For one batch, and for all that one node is asked. */
const TIMEOUT_MS = 5_000;
const NODE_LIMIT_MS = 60_000;
/** The public nodes of Base have room for about one more call every two seconds. */
const ROOM_MS = 5_000;
/** Units that were last read so many pauses ago tell nothing any more. */
const GOOD_FOR_PAUSES = 10;
const FIRST_RETRY_MS = 5_000;
const LONGEST_RETRY_MS = 300_000;
/** Gateways that were started together do not ask together for ever: pauses are up to a tenth shorter or longer. */
const JITTER = 0.1;

/** The units that were read last. */
interface Reading {
  readonly block: number;
  readonly at: Date;
  /** On the monotonic clock. */
  readonly sinceMs: number;
  /** Null where no provider has any unit. */
  readonly proportions: ReadonlyMap<string, number> | null;
  readonly reason: string | null;
}

/**
 * Keeps the units of a pool's members up to date in the background. A bad answer changes nothing: the units of before are in force until
 * they are too old, and from then on all providers count alike.
 */
export class PoolWatch implements CapacitySource {
  readonly #config: CapacityPoolConfig;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #closed = new AbortController();
  #underWay: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #latest: Reading | undefined;
  #failure: string | undefined;
  #failuresInARow = 0;
  #told: string | undefined;

  constructor(config: CapacityPoolConfig, { log, now, random }: PoolWatchDeps) {
    this.#config = config;
    this.#log = log;
    this.#now = now ?? (() => performance.now());
    this.#random = random ?? Math.random;
  }

  /** Reads now, and again and again. */
  start(): void {
    void this.#run();
  }

  proportions(): Capacity {
    return this.#isGood() ? (this.#latest?.proportions ?? null) : null;
  }

  /** Asks the nodes now. Calls while one is under way share it. Never rejects; does nothing once closed. */
  async refresh(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    await (this.#underWay ??= this.#refresh().finally(() => (this.#underWay = undefined)));
  }

  state(): CapacityState {
    const { chainId, address } = this.#config;
    const latest = this.#latest;
    return {
      source: this.proportions() ? 'chain' : 'equal',
      chainId,
      pool: address,
      ...(latest && { block: latest.block }),
      updatedAt: latest?.at.toISOString() ?? null,
      stale: latest !== undefined && (this.#failure !== undefined || !this.#isGood()),
      reason: this.#reason(),
    };
  }

  /** Stops asking; resolves once nothing is under way. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#closed.abort();
    await this.#underWay;
  }

  async #run(): Promise<void> {
    await this.refresh();
    if (this.#closed.signal.aborted) return;
    const pauseMs = pauseAfter(this.#failuresInARow, this.#config.refreshSeconds * 1000, this.#random());
    this.#timer = setTimeout(() => void this.#run(), pauseMs).unref();
  }

  async #refresh(): Promise<void> {
    const failures: string[] = [];
    for (const url of this.#config.rpcUrls) {
      try {
        this.#take(await this.#ask(url));
        return this.#tell();
      } catch (error) {
        if (this.#closed.signal.aborted) return;
        if (!(error instanceof NodeError)) this.#log.error({ err: error }, 'the units of the capacity pool could not be read');
        failures.push(error instanceof NodeError ? error.message : 'it was not understood');
      }
    }
    this.#failuresInARow++;
    // The addresses may hold keys.
    this.#failure = failures.map((failure, index) => `node ${index + 1}: ${failure}`).join('; ');
    this.#tell();
  }

  async #ask(url: string): Promise<PoolUnits> {
    const { chainId, address, members } = this.#config;
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(NODE_LIMIT_MS)]);
    const pool = { chainId, address, members: Object.values(members) };
    const units = await readSuperfluidPool(pool, { url, signal, timeoutMs: TIMEOUT_MS, pauseMs: ROOM_MS });
    if (this.#latest && this.#isGood() && units.block < this.#latest.block) throw new NodeError('it is behind what was read before');
    return units;
  }

  #take({ block, total, unitsOf }: PoolUnits): void {
    const named = Object.entries(this.#config.members).map(([provider, member]) => [provider, Number(unitsOf.get(member) ?? 0n)] as const);
    const proportions = proportionsOf(named);
    const reason = proportions ? null : total === 0n ? 'the pool has no units' : 'no provider has units in the pool';
    this.#latest = { block, at: new Date(), sinceMs: this.#now(), proportions, reason };
    this.#failure = undefined;
    this.#failuresInARow = 0;
  }

  #ageMs(): number {
    return this.#latest ? this.#now() - this.#latest.sinceMs : Infinity;
  }

  #isGood(): boolean {
    return this.#ageMs() <= this.#config.refreshSeconds * 1000 * GOOD_FOR_PAUSES;
  }

  #reason(): string | null {
    const why = this.#failure === undefined ? '' : `: ${this.#failure}`;
    if (!this.#latest) return `not read yet${why}`;
    if (why !== '' || !this.#isGood()) return `last read ${Math.round(this.#ageMs() / 1000)} s ago${why}`;
    return this.#latest.reason;
  }

  /** Logs how things are where that has changed. */
  #tell(): void {
    const { source, stale, reason, block } = this.state();
    const told = `${source} ${stale}`;
    if (told === this.#told) return;
    this.#told = told;
    if (reason === null) this.#log.info({ block }, 'capacity weights are the units of the pool');
    else this.#log.warn({ source, reason }, source === 'chain' ? 'capacity weights are of before' : 'capacity weights are equal');
  }
}

/** How long to wait after so many failures in a row; `chance` is 0 up to 1. */
export function pauseAfter(failuresInARow: number, refreshMs: number, chance: number): number {
  const pauseMs = failuresInARow === 0 ? refreshMs : Math.min(FIRST_RETRY_MS * 2 ** (failuresInARow - 1), LONGEST_RETRY_MS);
  return pauseMs * (1 - JITTER + 2 * JITTER * chance);
}
