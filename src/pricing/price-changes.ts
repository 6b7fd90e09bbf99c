import type { PicoUsd } from '../amount.ts';
import type { ListedModels, ListedPrice } from './listed-price.ts';
import { nextTurn, priceAt, type Peaks } from './price-times.ts';
import { compileRates, ratesFor, type Rates } from './rates.ts';

/** How the catalogue differs from the prices that the operator knows. */
export interface PriceChange {
  readonly model: string;
  readonly kind: 'new' | 'removed' | 'changed';
  /** What differs of a price that both sides have. */
  readonly rates: readonly RateChange[];
  /** More than a tenth: until it is confirmed the dearer of both prices is charged. */
  readonly held: boolean;
}

/** One rate, in pico-dollars, at the first moment at which both sides differ. */
export interface RateChange {
  readonly rate: string;
  readonly atMs: number;
  readonly known: PicoUsd;
  readonly listed: PicoUsd;
}

/** Longer than any holiday. */
const FORTNIGHT_MS = 14 * 86_400_000;
const RATES = ['input', 'output', 'cacheRead', 'cacheWrite', 'cacheWriteLong'] as const;

/** Compares what is listed with what is known, from `atMs` on: prices that are over do not count. */
export function priceChanges(known: ListedModels, listed: ListedModels, peaks: Peaks, atMs: number): PriceChange[] {
  const changes: PriceChange[] = [];
  for (const model of [...new Set([...known.keys(), ...listed.keys()])].sort()) {
    const before = known.get(model)?.prices;
    const after = listed.get(model)?.prices;
    if (!before || !after) changes.push({ model, kind: before ? 'removed' : 'new', rates: [], held: false });
    else if (JSON.stringify(before) !== JSON.stringify(after)) {
      const rates = rateChanges(before, after, peaks, atMs);
      if (rates.length > 0) changes.push({ model, kind: 'changed', rates, held: rates.some(isLarge) });
    }
  }
  return changes;
}

/** More than a tenth of what is known. */
function isLarge({ known, listed }: RateChange): boolean {
  const difference = listed > known ? listed - known : known - listed;
  return difference * 10n > known;
}

function rateChanges(before: readonly ListedPrice[], after: readonly ListedPrice[], peaks: Peaks, atMs: number): RateChange[] {
  const found = new Map<string, RateChange>();
  for (const moment of momentsOf([...before, ...after], peaks, atMs)) {
    const old = priceAt(before, moment, peaks);
    const now = priceAt(after, moment, peaks);
    if (!old || !now) continue;
    for (const change of differences(compileRates(old), compileRates(now), moment)) {
      const earlier = found.get(change.rate);
      if (!earlier || (isLarge(change) && !isLarge(earlier))) found.set(change.rate, change);
    }
  }
  return [...found.values()];
}

/** Moments at which every price counts that ever will: now and each date to come, and a fortnight from there where hours matter. */
function momentsOf(prices: readonly ListedPrice[], peaks: Peaks, atMs: number): number[] {
  const dates = prices.flatMap(({ from }) => (from === undefined ? [] : [Date.parse(from)])).filter((from) => from > atMs);
  const moments = new Set<number>();
  for (const date of [atMs, ...dates]) {
    for (let moment = date; moment <= date + FORTNIGHT_MS; moment = nextTurn(prices, moment, peaks)) moments.add(moment);
  }
  return [...moments].sort((a, b) => a - b);
}

function differences(old: Rates, now: Rates, atMs: number): RateChange[] {
  const starts = [0, ...new Set([...old.steps, ...now.steps].map(({ fromTokens }) => fromTokens))].sort((a, b) => a - b);
  const changes = starts.flatMap((start) => {
    const [before, after] = [ratesFor(start, old), ratesFor(start, now)];
    return RATES.map((name) => ({
      rate: start === 0 ? name : `${name} from ${start} prompt tokens`,
      atMs,
      known: before[name],
      listed: after[name],
    }));
  });
  if (old.webSearch !== undefined && now.webSearch !== undefined)
    changes.push({ rate: 'webSearch', atMs, known: old.webSearch, listed: now.webSearch });
  return changes.filter(({ known, listed }) => known !== listed);
}
