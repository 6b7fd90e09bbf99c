import { z } from 'zod';

/** What a source of prices lists for each kind of token, in USD per million. */
export interface ListedRates {
  readonly input: number;
  readonly output: number;
  /** A read costs what fresh input does where none is listed, and so does a write. */
  readonly cacheRead?: number | undefined;
  readonly cacheWrite?: number | undefined;
  /** A write for an hour or more: twice an ordinary one where none is listed. */
  readonly cacheWriteLong?: number | undefined;
}

/** Prices that hold from `fromTokens` prompt tokens on, for the whole request. */
export interface ListedStep extends ListedRates {
  readonly fromTokens: number;
}

/** One price of a model, and when it holds: always, from a date on, or at some hours. */
export interface ListedPrice extends ListedRates {
  readonly steps?: readonly ListedStep[] | undefined;
  /** USD for a thousand web searches by the provider. */
  readonly webSearches?: number | undefined;
  /** ISO 8601, UTC. */
  readonly from?: string | undefined;
  /** Times of every day, UTC (`16:30:00`); over midnight where `end` is the earlier one. */
  readonly hours?: DailyHours | undefined;
  /** The name of the hours, on working days, at which this price holds. */
  readonly peak?: string | undefined;
}

export interface DailyHours {
  readonly start: string;
  readonly end: string;
}

export interface ListedModel {
  readonly contextWindow?: number | undefined;
  /** Of those that hold at a moment, the last one counts. */
  readonly prices: readonly ListedPrice[];
}

/** Models by `<provider>/<model>`. */
export type ListedModels = ReadonlyMap<string, ListedModel>;

const usd = z.number().min(0);
const rates = { input: usd, output: usd, cacheRead: usd.optional(), cacheWrite: usd.optional(), cacheWriteLong: usd.optional() };
const time = z.iso.time({ precision: 0 });

export const dailyHours = z.strictObject({ start: time, end: time });

/** A model's prices as a file of the project has them. */
export const listedPrices = z
  .array(
    z.strictObject({
      ...rates,
      steps: z.array(z.strictObject({ fromTokens: z.int().min(1), ...rates })).optional(),
      webSearches: usd.optional(),
      from: z.iso.datetime().optional(),
      hours: dailyHours.optional(),
      peak: z.string().optional(),
    }),
  )
  .min(1);
