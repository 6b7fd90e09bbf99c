import { picoUsd, type PicoUsd } from '../amount.ts';
import type { Share } from '../window-limit.ts';

export interface FreeSharesOptions {
  /** What all free requests of a day may cost. */
  dayPicoUsd: PicoUsd;
  /** What one of them may cost: so much a network may always have. */
  requestPicoUsd: PicoUsd;
  /** Networks remembered at most; past that the one is forgotten that spent last longest ago. */
  maxTracked?: number;
  /** Milliseconds since the epoch: the days are those of UTC. */
  now?: () => number;
}

const DAY_MS = 86_400_000;
/** What a request has taken of the free day. */
export interface FreeTicket {
  /** What it may cost at most to be free; 0 where nothing is left. */
  readonly maxPicoUsd: PicoUsd;
  /** Whether that is less than others may cost, because its sender's networks have had their share. */
  readonly isShort: boolean;
  /** Replaces what was taken by what it came to. */
  correct(costPicoUsd: PicoUsd): void;
}

/** Of the day: a sender's own part, in per cent, and what it is multiplied by for the widest network around it. */
const SENDER_PERCENT = 5n;
const MOST_TIMES = 4;

/**
 * How much of the day's free spending each network has had, in this process's memory: what is reserved, and then what it came to. Without it
 * the accounts of one network could have all that is free, or reserve all of it, and nobody else any.
 */
export class FreeShares {
  readonly #options: Required<FreeSharesOptions>;
  readonly #spent = new Map<string, PicoUsd>();
  #day: number;

  constructor(options: FreeSharesOptions) {
    this.#options = { maxTracked: 100_000, now: Date.now, ...options };
    this.#day = this.#today();
  }

  /** Networks remembered now. */
  get tracked(): number {
    return this.#spent.size;
  }

  /**
   * Takes what a request may cost from the shares of all its sender's networks, as far as they go. The ticket says how much it may cost and
   * still be free; it is to be corrected once that is known. A sender without networks has no share to keep to.
   */
  reserve(shares: readonly Share[], mostPicoUsd: PicoUsd): FreeTicket {
    this.#beginDay();
    const { requestPicoUsd } = this.#options;
    const left = this.#leftFor(shares);
    const day = this.#day;
    const maxPicoUsd = lesser(left, requestPicoUsd);
    let taken = lesser(mostPicoUsd, maxPicoUsd);
    const addToAll = (more: bigint) => shares.forEach(({ name }) => this.#add(name, more));
    addToAll(taken);
    this.#forgetOldest();
    return {
      maxPicoUsd,
      isShort: left < requestPicoUsd,
      correct: (costPicoUsd) => {
        this.#beginDay();
        if (day !== this.#day) return;
        addToAll(costPicoUsd - taken);
        taken = costPicoUsd;
      },
    };
  }

  /** What is left of the share of whichever network has least. */
  #leftFor(shares: readonly Share[]): PicoUsd {
    const { dayPicoUsd, requestPicoUsd } = this.#options;
    const left = shares.map(({ name, times }) => {
      const share = (dayPicoUsd * SENDER_PERCENT * BigInt(Math.min(times, MOST_TIMES))) / 100n;
      return (share > requestPicoUsd ? share : requestPicoUsd) - (this.#spent.get(name) ?? 0n);
    });
    const least = left.reduce((lowest, each) => (each < lowest ? each : lowest), dayPicoUsd > requestPicoUsd ? dayPicoUsd : requestPicoUsd);
    return picoUsd(least > 0n ? least : 0n);
  }

  #forgetOldest(): void {
    for (const oldest of this.#spent.keys()) {
      if (this.#spent.size <= this.#options.maxTracked) break;
      this.#spent.delete(oldest);
    }
  }

  #add(network: string, picoUsdMore: bigint): void {
    const spent = (this.#spent.get(network) ?? 0n) + picoUsdMore;
    this.#spent.delete(network);
    if (spent > 0n) this.#spent.set(network, picoUsd(spent));
  }

  #beginDay(): void {
    const today = this.#today();
    if (today === this.#day) return;
    this.#day = today;
    this.#spent.clear();
  }

  #today(): number {
    return Math.floor(this.#options.now() / DAY_MS);
  }
}

function lesser(a: PicoUsd, b: PicoUsd): PicoUsd {
  return a < b ? a : b;
}
