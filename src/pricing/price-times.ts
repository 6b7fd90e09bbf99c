import type { DailyHours, ListedPrice } from './listed-price.ts';

const DAY_MS = 86_400_000;

/** Hours of working days (UTC) at which a provider charges more. */
export interface PeakHours {
  readonly hours: readonly DailyHours[];
  /** Days (`2026-10-01`) that are no working days though no weekend. After the last one that is known, the peak price holds on every weekday. */
  readonly holidays: ReadonlySet<string>;
}

export type Peaks = ReadonlyMap<string, PeakHours>;

/** The price that holds at `atMs`; undefined where none does yet. */
export function priceAt(prices: readonly ListedPrice[], atMs: number, peaks: Peaks): ListedPrice | undefined {
  return prices.findLast((price) => holds(price, atMs, peaks));
}

function holds({ from, hours, peak }: ListedPrice, atMs: number, peaks: Peaks): boolean {
  if (from !== undefined && atMs < Date.parse(from)) return false;
  if (hours !== undefined && !within(hours, atMs)) return false;
  const working = peak === undefined ? undefined : peaks.get(peak);
  // Hours that nobody knows any more: rather too dear than too cheap.
  return working === undefined || inPeak(working, atMs);
}

function inPeak({ hours, holidays }: PeakHours, atMs: number): boolean {
  const weekday = new Date(atMs).getUTCDay();
  return weekday >= 1 && weekday <= 5 && !holidays.has(dayOf(atMs)) && hours.some((some) => within(some, atMs));
}

function within({ start, end }: DailyHours, atMs: number): boolean {
  const time = new Date(atMs).toISOString().slice(11, 23);
  return start <= end ? time >= start && time < end : time >= start || time < end;
}

/** When one of the prices next changes after `afterMs`, or may; Unix milliseconds, Infinity where none ever does. */
export function nextTurn(prices: Iterable<ListedPrice>, afterMs: number, peaks: Peaks): number {
  let next = Infinity;
  for (const { from, hours, peak } of prices) {
    if (from !== undefined && Date.parse(from) > afterMs) next = Math.min(next, Date.parse(from));
    for (const { start, end } of [...(hours ? [hours] : []), ...((peak === undefined ? undefined : peaks.get(peak)?.hours) ?? [])])
      next = Math.min(next, nextTimeOfDay(start, afterMs), nextTimeOfDay(end, afterMs));
  }
  return next;
}

/** When it is next `time` (`16:30:00`, UTC). */
function nextTimeOfDay(time: string, afterMs: number): number {
  const today = Date.parse(`${dayOf(afterMs)}T${time}Z`);
  return today > afterMs ? today : today + DAY_MS;
}

function dayOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10);
}
