/**
 * Money, in the two units the ledger keeps. Both are integers: millisatoshi (msat) for what wallets hold, and
 * pico-dollars (1e-12 USD) for what usage costs, so that one token of the cheapest model is still a whole number.
 * A leaf: imports nothing, and every room may import it.
 */
declare const unit: unique symbol;

/** Millisatoshi, 1e-11 BTC. */
export type Msat = bigint & { readonly [unit]: 'msat' };
/** Pico-dollar, 1e-12 USD. */
export type PicoUsd = bigint & { readonly [unit]: 'picoUsd' };
/** The exchange rate as the ledger keeps it: pico-dollars for one millisatoshi (BTC/USD × 10). Always above 0. */
export type PicoUsdPerMsat = bigint & { readonly [unit]: 'picoUsdPerMsat' };

export const msat = (value: bigint): Msat => value as Msat;
export const picoUsd = (value: bigint): PicoUsd => value as PicoUsd;

const PICO_PER_USD = 1_000_000_000_000n;
const PICO_NUMBER = Number(PICO_PER_USD);

/** A million US dollars: no request, budget or limit is for more, so that sums of them stay far within the database's integers. */
export const LARGEST_COST = picoUsd(1_000_000n * PICO_PER_USD);

/** Integer division that rounds up, for values of 0 and above: the one place where money is rounded. */
export function divideRoundingUp(numerator: bigint, denominator: bigint): bigint {
  return (numerator + denominator - 1n) / denominator;
}

/** What a cost in USD is in msat at `rate`, rounded up. */
export function msatFromPicoUsd(cost: PicoUsd, picoUsdPerMsat: PicoUsdPerMsat): Msat {
  return msat(divideRoundingUp(cost, picoUsdPerMsat));
}

/** The USD value of `amount` at `rate`, exact. */
export function picoUsdFromMsat(amount: Msat, picoUsdPerMsat: PicoUsdPerMsat): PicoUsd {
  return picoUsd(amount * picoUsdPerMsat);
}

/** The rate for a price of one bitcoin in USD. Throws RangeError unless the price is finite and above 0.1. */
export function exchangeRateFromBtcUsd(btcUsd: number): PicoUsdPerMsat {
  const picoUsdPerMsat = Math.round(btcUsd * 10);
  if (!Number.isSafeInteger(picoUsdPerMsat) || picoUsdPerMsat < 1) throw new RangeError(`not a BTC/USD price: ${btcUsd}`);
  return BigInt(picoUsdPerMsat) as PicoUsdPerMsat;
}

/** The rate as USD for one bitcoin. */
export function btcUsdFromExchangeRate(picoUsdPerMsat: PicoUsdPerMsat): number {
  return Number(picoUsdPerMsat) / 10;
}

/**
 * A USD amount written as a decimal (`0.10`, `1e-7` when it is a number) in pico-dollars, rounded up.
 * Throws RangeError for anything else than a finite decimal of 0 or more.
 */
export function picoUsdFromUsd(usd: number | string): PicoUsd {
  const text = typeof usd === 'number' ? plainDecimal(usd) : usd;
  const match = /^(\d{1,9})(?:\.(\d+))?$/.exec(text);
  if (!match) throw new RangeError(`not a USD amount: ${text.slice(0, 40)}`);
  const fraction = match[2] ?? '';
  const whole = BigInt(match[1] ?? '0') * PICO_PER_USD + BigInt(fraction.slice(0, 12).padEnd(12, '0'));
  return picoUsd(/[1-9]/.test(fraction.slice(12)) ? whole + 1n : whole);
}

/** `amount` as a plain decimal of USD: at most 12 places, no exponent, no trailing zeros. */
export function formatUsd(amount: PicoUsd): string {
  const sign = amount < 0n ? '-' : '';
  const digits = (amount < 0n ? -amount : amount).toString().padStart(13, '0');
  let end = digits.length;
  while (end > digits.length - 12 && digits.charCodeAt(end - 1) === ZERO) end--;
  const whole = digits.slice(0, -12);
  return end === digits.length - 12 ? sign + whole : `${sign}${whole}.${digits.slice(-12, end)}`;
}

const ZERO = '0'.charCodeAt(0);

/** `amount` as a JSON number of USD: the one nearest to it. */
export function usdNumber(amount: PicoUsd): number {
  const number = Number(amount);
  // Both are exact then, and division rounds to the nearest.
  return Number.isSafeInteger(number) ? number / PICO_NUMBER : Number(formatUsd(amount));
}

/** Whole satoshis in `amount`, rounded down. */
export function satsFromMsat(amount: Msat): number {
  return Number(amount / 1000n - (amount < 0n && amount % 1000n !== 0n ? 1n : 0n));
}

export function msatFromSats(sats: number): Msat {
  return msat(BigInt(sats) * 1000n);
}

function plainDecimal(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const text = String(value);
  return text.includes('e') ? value.toFixed(20).replace(/\.?0+$/, '') : text;
}
