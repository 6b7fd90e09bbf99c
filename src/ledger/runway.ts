import { msat, type Msat } from '../amount.ts';
import type { Pool } from '../db/postgres.ts';
import { readSpend } from './spend.ts';

/** How long a balance lasts at the pace of the last days. */
export interface Runway {
  /** The mean charge of a day, rounded up: above 0. */
  meanDailyMsat: Msat;
  /** With a fraction. */
  daysLeft: number;
}

const DAYS = 7;
const DAY_MS = 86_400_000;

/**
 * How long `availableMsat` lasts at the account's mean daily charge of the last seven days, or of as many as there are since the first charge.
 * Null before the second day, and where nothing was charged.
 */
export async function readRunway(pool: Pool, accountId: string, availableMsat: Msat): Promise<Runway | null> {
  const { series, total, asOf } = await readSpend(pool, {
    accountId,
    keyId: null,
    hours: DAYS * 24,
    series: { bucket: 'hour', by: 'provider' },
  });
  const first = series.find(({ byName }) => [...byName.values()].some(({ chargedMsat }) => chargedMsat > 0n));
  const elapsedMs = first ? asOf.getTime() - first.start.getTime() : 0;
  return elapsedMs < DAY_MS ? null : runwayOf(availableMsat, total.chargedMsat, Math.min(elapsedMs, DAYS * DAY_MS));
}

/** The runway of a balance where `chargedMsat` were charged in `elapsedMs`. */
export function runwayOf(availableMsat: Msat, chargedMsat: Msat, elapsedMs: number): Runway {
  const elapsed = BigInt(Math.round(elapsedMs));
  const meanDailyMsat = msat((chargedMsat * BigInt(DAY_MS) + elapsed - 1n) / elapsed);
  return { meanDailyMsat, daysLeft: availableMsat <= 0n ? 0 : Number(availableMsat) / Number(meanDailyMsat) };
}
