import { msat, picoUsd, type Msat, type PicoUsd } from '../amount.ts';
import type { Pool } from '../db/postgres.ts';
import { readLedgerSums, type LedgerDay, type LedgerSums, type Movements } from '../ledger/ledger-days.ts';

/** What came in and went out in some days. */
export interface PeriodMoney {
  readonly name: string;
  readonly depositsMsat: Msat;
  /** Less what was given back. */
  readonly chargesMsat: Msat;
  readonly withdrawnMsat: Msat;
  readonly refundsMsat: Msat;
  /** Into the wallets less out of them. */
  readonly adjustmentsMsat: Msat;
  /** What requests paid by wallets cost at the providers' prices, and what free ones did. */
  readonly providerCostPicoUsd: PicoUsd;
  readonly freePicoUsd: PicoUsd;
  /** Charges less both. */
  readonly marginPicoUsd: PicoUsd;
}

/** The operator's first questions: what is owed, whether the ledger adds up to it, what came in and went out. */
export interface Money {
  readonly at: Date;
  readonly owedMsat: Msat;
  readonly heldMsat: Msat;
  /** Since the beginning, by kind; their sum is what is owed, or the ledger is unsound. */
  readonly total: Movements;
  readonly sumMsat: Msat;
  readonly addsUp: boolean;
  readonly periods: readonly PeriodMoney[];
  readonly days: readonly {
    readonly day: string;
    readonly depositsMsat: Msat;
    readonly chargesMsat: Msat;
    readonly marginPicoUsd: PicoUsd;
  }[];
  /** What of the free tier's day is spent and reserved. */
  readonly freeToday: { readonly spentPicoUsd: PicoUsd; readonly reservedPicoUsd: PicoUsd };
}

const PERIODS = [
  { name: 'Today', days: 1 },
  { name: '7 days', days: 7 },
  { name: '30 days', days: 30 },
] as const;
const MOST_DAYS = 30;
const DAY_MS = 86_400_000;

/** Reads it all, for the UTC days up to `now`. Costs a page, however long the history. `markupBasisPoints` is what charges have on top. */
export async function readMoney(
  pool: Pool,
  { markupBasisPoints, now = new Date() }: { markupBasisPoints: bigint; now?: Date },
): Promise<Money> {
  const [sums, free] = await Promise.all([readLedgerSums(pool, MOST_DAYS), readFreeDays(pool, MOST_DAYS)]);
  const names = Array.from({ length: MOST_DAYS }, (_, back) => dayName(new Date(now.getTime() - (MOST_DAYS - 1 - back) * DAY_MS)));
  const days = names.map((day) => dayMoney(day, sums, free, markupBasisPoints));
  const sumMsat = msat(Object.values(sums.total).reduce((sum, each) => sum + each, 0n));
  const { owedMsat, heldMsat, total } = sums;
  const today = free.get(dayName(now));
  return {
    at: now,
    owedMsat,
    heldMsat,
    total,
    sumMsat,
    addsUp: sumMsat === owedMsat,
    periods: PERIODS.map(({ name, days: count }) => added(name, days.slice(-count))),
    days: days.map(({ name, depositsMsat, chargesMsat, marginPicoUsd }) => ({ day: name, depositsMsat, chargesMsat, marginPicoUsd })),
    freeToday: { spentPicoUsd: today?.spent ?? picoUsd(0n), reservedPicoUsd: today?.reserved ?? picoUsd(0n) },
  };
}

interface FreeDay {
  spent: PicoUsd;
  reserved: PicoUsd;
}

/** What each of the last days gave away, markup included. */
async function readFreeDays(pool: Pool, lastDays: number): Promise<Map<string, FreeDay>> {
  const { rows } = await pool.query<{ day: string; spent_pico_usd: bigint; reserved_pico_usd: bigint }>(
    `select day, spent_pico_usd, reserved_pico_usd from free_days where day > (now() at time zone 'utc')::date - $1::integer`,
    [lastDays],
  );
  return new Map(rows.map((row) => [row.day, { spent: picoUsd(row.spent_pico_usd), reserved: picoUsd(row.reserved_pico_usd) }]));
}

function dayMoney(day: string, { days }: LedgerSums, free: ReadonlyMap<string, FreeDay>, markupBasisPoints: bigint): PeriodMoney {
  const found: LedgerDay | undefined = days.find((each) => each.day === day);
  const { deposit = 0n, charge = 0n, refund = 0n, withdrawal = 0n, adjustment = 0n } = found?.movements ?? {};
  const charged = found?.chargedPicoUsd ?? 0n;
  const atCost = (withMarkup: bigint) => (withMarkup * 10_000n) / (10_000n + markupBasisPoints);
  const providerCost = atCost(charged);
  const freeCost = atCost(free.get(day)?.spent ?? 0n);
  return {
    name: day,
    depositsMsat: msat(deposit),
    chargesMsat: msat(-charge - refund),
    withdrawnMsat: msat(-withdrawal),
    refundsMsat: msat(refund),
    adjustmentsMsat: msat(adjustment),
    providerCostPicoUsd: picoUsd(providerCost),
    freePicoUsd: picoUsd(freeCost),
    marginPicoUsd: picoUsd(charged - (found?.refundedPicoUsd ?? 0n) - providerCost - freeCost),
  };
}

/** The sum of some days; every figure of them adds up. */
function added(name: string, days: readonly PeriodMoney[]): PeriodMoney {
  const sum = (of: (day: PeriodMoney) => bigint) => days.reduce((total, day) => total + of(day), 0n);
  return {
    name,
    depositsMsat: msat(sum((day) => day.depositsMsat)),
    chargesMsat: msat(sum((day) => day.chargesMsat)),
    withdrawnMsat: msat(sum((day) => day.withdrawnMsat)),
    refundsMsat: msat(sum((day) => day.refundsMsat)),
    adjustmentsMsat: msat(sum((day) => day.adjustmentsMsat)),
    providerCostPicoUsd: picoUsd(sum((day) => day.providerCostPicoUsd)),
    freePicoUsd: picoUsd(sum((day) => day.freePicoUsd)),
    marginPicoUsd: picoUsd(sum((day) => day.marginPicoUsd)),
  };
}

function dayName(at: Date): string {
  return at.toISOString().slice(0, 10);
}
