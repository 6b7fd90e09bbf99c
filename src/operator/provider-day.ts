import { picoUsd, type PicoUsd } from '../amount.ts';
import type { Pool } from '../db/postgres.ts';
import { idAt } from './id-at.ts';

/** What a provider was asked for on the current UTC day, and how it failed in the last hour. */
export interface ProviderDay {
  /** The cost of record of what wallets paid for, and of free requests; markup included. */
  readonly chargedPicoUsd: PicoUsd;
  readonly freePicoUsd: PicoUsd;
  /** Attempts that did not succeed, by what became of them. */
  readonly errorsLastHour: Readonly<Record<string, number>>;
}

const HOUR_MS = 3_600_000;

/** By provider. The sums follow the charges by a few seconds. */
export async function readProviderDay(pool: Pool, now = Date.now()): Promise<ReadonlyMap<string, ProviderDay>> {
  const [spent, failed] = await Promise.all([
    pool.query<{ provider: string; charged: string; free: string }>(SPENT),
    pool.query<{ provider: string; result: string; times: number }>(FAILED, [idAt(now - HOUR_MS)]),
  ]);
  const days = new Map<string, { chargedPicoUsd: PicoUsd; freePicoUsd: PicoUsd; errorsLastHour: Record<string, number> }>();
  const dayOf = (provider: string) => {
    const known = days.get(provider) ?? { chargedPicoUsd: picoUsd(0n), freePicoUsd: picoUsd(0n), errorsLastHour: {} };
    days.set(provider, known);
    return known;
  };
  for (const { provider, charged, free } of spent.rows) {
    Object.assign(dayOf(provider), { chargedPicoUsd: picoUsd(BigInt(charged)), freePicoUsd: picoUsd(BigInt(free)) });
  }
  for (const { provider, result, times } of failed.rows) dayOf(provider).errorsLastHour[result] = times;
  return days;
}

const SPENT = `
  select provider, coalesce(sum(cost_pico_usd) filter (where funding = 'wallet'), 0)::text as charged,
    coalesce(sum(cost_pico_usd) filter (where funding = 'free'), 0)::text as free
  from usage_hours where hour >= date_trunc('day', now(), 'UTC') group by provider`;
/** By the ids of the requests, which are in the order of their time. */
const FAILED = `
  select a.tried ->> 'provider' as provider, a.tried ->> 'result' as result, count(*)::integer as times
  from requests r cross join lateral jsonb_array_elements(r.tried) a (tried)
  where r.id >= $1 and a.tried ->> 'result' <> 'ok' group by 1, 2 order by 3 desc`;
