import { satsFromMsat, usdNumber, type Msat, type PicoUsd } from '../../amount.ts';

/** How figures are written on pages: en-US grouping, a real minus, and a dash for what is not known. Plain text, but for `time`. */

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });

/** For what is not known; a reason belongs beside it. */
export const UNKNOWN = '–';
const MINUS = '−';
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A count, `1,204`. */
export function count(value: number | bigint): string {
  return signed(whole.format(value));
}

/** Whole sats of what somebody has, rounded down: `12,480`. */
export function satsHeld(amount: Msat): string {
  return count(satsFromMsat(amount));
}

/** Whole sats of what somebody spent, rounded up: `9,205`. */
export function satsSpent(amount: Msat): string {
  return count(-satsFromMsat(-amount as Msat));
}

/** To the msat, as where rows must add up: `1.204`. */
export function satsExact(amount: Msat): string {
  const text = `${whole.format(absolute(amount) / 1000n)}.${String(absolute(amount) % 1000n).padStart(3, '0')}`;
  return amount < 0n ? MINUS + text : text;
}

/** In a list without a total: whole from 10 sats on, else exact. */
export function satsShort(amount: Msat): string {
  return absolute(amount) >= 10_000n ? satsSpent(amount) : satsExact(amount);
}

/** A movement, `+` for what came: `+1,000.000`. */
export function satsMoved(amount: Msat): string {
  return amount > 0n ? `+${satsExact(amount)}` : satsExact(amount);
}

/** USD: 2 places from a dollar on, 4 below, 6 below a cent. */
export function usd(amount: PicoUsd | number): string {
  const value = typeof amount === 'number' ? amount : usdNumber(amount);
  const size = Math.abs(value);
  const places = size >= 1 || size === 0 ? 2 : size >= 0.01 ? 4 : 6;
  const text = size.toLocaleString('en-US', {
    style: 'currency',
    currency: 'USD',
    minimumFractionDigits: places,
    maximumFractionDigits: places,
  });
  return value < 0 ? MINUS + text : text;
}

/** Tokens: `1,204`, from a million on `1.2 M`. */
export function tokens(value: number): string {
  return value < 1_000_000 ? count(value) : `${tenths.format(value / 1_000_000)} M`;
}

/** `340 ms`, `1.2 s`; null is unknown. */
export function milliseconds(value: number | null): string {
  if (value === null) return UNKNOWN;
  return value < SECOND_MS ? `${Math.round(value)} ms` : `${tenths.format(value / SECOND_MS)} s`;
}

/** A part of one, never rounded up to all of it: `99%`. */
export function percent(part: number | null): string {
  return part === null ? UNKNOWN : `${Math.floor(part * 100 + 1e-9)}%`;
}

/** How long something takes or is away, in at most two units: `3 h 12 min`, `2 days`. */
export function span(ms: number): string {
  if (ms < MINUTE_MS) return `${Math.max(0, Math.round(ms / SECOND_MS))} s`;
  if (ms < HOUR_MS) return `${Math.round(ms / MINUTE_MS)} min`;
  const minutes = Math.floor((ms % HOUR_MS) / MINUTE_MS);
  if (ms < DAY_MS) return `${Math.floor(ms / HOUR_MS)} h${minutes === 0 ? '' : ` ${minutes} min`}`;
  const days = Math.floor(ms / DAY_MS);
  return days === 1 ? '1 day' : `${count(days)} days`;
}

/** A moment as text: `2026-01-02 03:04:05 UTC`. */
export function utc(at: Date): string {
  return `${at.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** A moment as HTML: UTC, which the pages' script turns into the reader's own time. Null is unknown. */
export function time(at: Date | null): string {
  return at === null ? UNKNOWN : `<time datetime="${at.toISOString()}">${utc(at)}</time>`;
}

/** A day as text: `2026-01-02`. */
export function day(at: Date): string {
  return at.toISOString().slice(0, 10);
}

function absolute(amount: bigint): bigint {
  return amount < 0n ? -amount : amount;
}

function signed(text: string): string {
  return text.replace(/^-/, MINUS);
}
