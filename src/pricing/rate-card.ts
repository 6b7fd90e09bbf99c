import { picoUsd, type PicoUsd } from '../amount.ts';

/** What each kind of token costs, in pico-dollars a token. */
export interface TokenRates {
  readonly input: PicoUsd;
  readonly output: PicoUsd;
  readonly cacheRead: PicoUsd;
  /** A write to a cache for its usual lifetime. */
  readonly cacheWrite: PicoUsd;
  /** A write for an hour or more; never below `cacheWrite`. */
  readonly cacheWriteLong: PicoUsd;
}

/** One model's prices. Compiled once from the catalogue or the configuration. */
export interface RateCard extends TokenRates {
  /** Names the set of prices this card is of; stamped on every charge. */
  readonly priceVersion: number;
  /** The dearest input and output rates over all tiers and modalities: what a hold must cover. */
  readonly dearestInput: PicoUsd;
  readonly dearestOutput: PicoUsd;
  /** Long-context steps, ascending: from `fromTokens` prompt tokens on, these rates hold for the whole request. */
  readonly steps: readonly RateStep[];
  /** One web search by the provider. Without this price no request may ask for one. */
  readonly webSearch?: PicoUsd;
}

export interface RateStep extends TokenRates {
  readonly fromTokens: number;
}

/** A request's cost by part, with the markup; `totalPicoUsd` is rounded up once and is the figure of record. */
export interface Cost {
  inputPicoUsd: PicoUsd;
  outputPicoUsd: PicoUsd;
  cacheInputPicoUsd: PicoUsd;
  totalPicoUsd: PicoUsd;
}

export const ZERO_COST: Cost = {
  inputPicoUsd: picoUsd(0n),
  outputPicoUsd: picoUsd(0n),
  cacheInputPicoUsd: picoUsd(0n),
  totalPicoUsd: picoUsd(0n),
};
