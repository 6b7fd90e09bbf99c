import type { Config } from '../config/config.ts';
import type { Pool } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { exchangeRateFromBtcUsd, type PicoUsdPerMsat } from '../amount.ts';
import type { Logger } from '../log.ts';
import type { Observe } from '../observation.ts';
import { agreedPrice, fetchBtcUsd, rateSources, type RateSource } from './rate-sources.ts';

/** Where the BTC/USD rate comes from. */
export interface ExchangeRate {
  /** `fixed`: the operator's; `simulated`: made up, for a wallet whose sats are worth nothing; `live`: of public price sources. */
  readonly source: 'fixed' | 'simulated' | 'live';
  /** The rate to use now. Throws GatewayError `exchange_rate_unavailable` where none is young enough. */
  current(): PicoUsdPerMsat;
  /** How old the last rate is, in seconds, though it may be too old to be used; null where there was none yet. */
  ageSeconds(): number | null;
  /** The names of the public price sources that gave the last rate; none where it is the operator's or made up. */
  readonly sources: readonly string[];
  /**
   * Notes which rate is in force today. A live one first asks its sources again if their last answer is a minute old, and rejects if they
   * gave none.
   */
  refresh(signal?: AbortSignal): Promise<void>;
}

/** The rate to use now; null where none is young enough. */
export function rateOrNull(exchangeRate: Pick<ExchangeRate, 'current'> | undefined): PicoUsdPerMsat | null {
  try {
    return exchangeRate?.current() ?? null;
  } catch {
    return null;
  }
}

/** What a bitcoin is worth in simulated mode, in USD. */
const SIMULATED_BTC_USD = 100_000;
/** A rate is asked for again after this; `refresh` is to be called somewhat more often. */
const FRESH_MS = 55_000;
/** How long the first requests of a gateway may wait for its first rate. */
const FIRST_RATE_MS = 5_000;

export interface ExchangeRateDeps {
  pool: Pool;
  log: Logger;
  observe: Observe;
}

/**
 * The operator's `BTC_USD`; without it the made-up rate of the simulated wallet, or for a real one that of the public price sources.
 * Resolves once there is a rate, or the sources had their chance to give one.
 */
export async function openExchangeRate(
  {
    BTC_USD,
    LIGHTNING_BACKEND,
    BTC_USD_SOURCES,
    BTC_USD_MAX_AGE_SECONDS,
  }: Pick<Config, 'BTC_USD' | 'LIGHTNING_BACKEND' | 'BTC_USD_SOURCES' | 'BTC_USD_MAX_AGE_SECONDS'>,
  { pool, log, observe }: ExchangeRateDeps,
): Promise<ExchangeRate> {
  if (BTC_USD) return constantRate('fixed', BTC_USD, pool);
  if (LIGHTNING_BACKEND === 'simulated') return constantRate('simulated', exchangeRateFromBtcUsd(SIMULATED_BTC_USD), pool);
  const live = new LiveExchangeRate({ pool, observe, sources: rateSources(BTC_USD_SOURCES), maxAgeMs: BTC_USD_MAX_AGE_SECONDS * 1000 });
  await live.refresh(AbortSignal.timeout(FIRST_RATE_MS)).catch((error: unknown) => log.warn({ err: error }, 'no BTC/USD rate yet'));
  return live;
}

async function constantRate(source: 'fixed' | 'simulated', picoUsdPerMsat: PicoUsdPerMsat, pool: Pool): Promise<ExchangeRate> {
  const refresh = () => noteRate(pool, picoUsdPerMsat);
  await refresh();
  return { source, sources: [], current: () => picoUsdPerMsat, ageSeconds: () => 0, refresh };
}

/** Keeps each day's lowest and highest rate, by which the audit judges those of holds. */
async function noteRate(pool: Pool, picoUsdPerMsat: PicoUsdPerMsat): Promise<void> {
  await pool.query(
    `insert into exchange_rate_days as d (day, least_pico_usd_per_msat, most_pico_usd_per_msat)
     values ((clock_timestamp() at time zone 'utc')::date, $1, $1)
     on conflict (day) do update set least_pico_usd_per_msat = least(d.least_pico_usd_per_msat, $1),
       most_pico_usd_per_msat = greatest(d.most_pico_usd_per_msat, $1)
     where $1 not between d.least_pico_usd_per_msat and d.most_pico_usd_per_msat`,
    [picoUsdPerMsat],
  );
}

interface LiveExchangeRateOptions {
  pool: Pool;
  observe: Observe;
  sources: readonly RateSource[];
  /** A rate that is older prices nothing. */
  maxAgeMs: number;
}

interface StoredRate {
  pico_usd_per_msat: bigint;
  age_ms: number;
  sources: string[];
}

/**
 * The median of several public price sources. The last one is kept in the database, where the gateways that share it find each
 * other's: one of them asks a minute, and a restart need not wait for the sources.
 */
class LiveExchangeRate implements ExchangeRate {
  readonly source = 'live';
  readonly #options: LiveExchangeRateOptions;
  /** `since` is monotonic: no change of the clock makes a rate young again. */
  #latest: { picoUsdPerMsat: PicoUsdPerMsat; since: number; sources: readonly string[] } | undefined;

  constructor(options: LiveExchangeRateOptions) {
    this.#options = options;
  }

  current(): PicoUsdPerMsat {
    const { maxAgeMs } = this.#options;
    if (!this.#latest || performance.now() - this.#latest.since > maxAgeMs)
      throw new GatewayError('exchange_rate_unavailable', { retryAfter: 60 });
    return this.#latest.picoUsdPerMsat;
  }

  ageSeconds(): number | null {
    return this.#latest ? (performance.now() - this.#latest.since) / 1000 : null;
  }

  get sources(): readonly string[] {
    return this.#latest?.sources ?? [];
  }

  async refresh(signal?: AbortSignal): Promise<void> {
    const { pool, observe, sources } = this.#options;
    await this.#recall();
    if (this.#latest && performance.now() - this.#latest.since < FRESH_MS) return;

    const asked = performance.now();
    const answers = await Promise.allSettled(sources.map((source) => fetchBtcUsd(source, signal)));
    const prices = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    const given = sources.filter((_source, index) => answers[index]?.status === 'fulfilled').map(({ name }) => name);
    for (const [index, { name: source }] of sources.entries()) {
      const answer = answers[index];
      if (answer?.status === 'rejected') observe({ kind: 'price_asked', source, result: 'failed', err: answer.reason as unknown });
      else observe({ kind: 'price_asked', source, result: 'ok' });
    }
    const agreed = agreedPrice(prices);
    if (agreed === undefined) throw new Error(`the price sources gave no BTC/USD rate: ${prices.length} of ${sources.length} answered`);

    const picoUsdPerMsat = exchangeRateFromBtcUsd(agreed);
    await noteRate(pool, picoUsdPerMsat);
    this.#latest = { picoUsdPerMsat, since: asked, sources: given };
    await pool.query(
      `insert into exchange_rates (pair, pico_usd_per_msat, sources) values ('BTC/USD', $1, $2)
       on conflict (pair) do update set pico_usd_per_msat = excluded.pico_usd_per_msat, sources = excluded.sources, fetched_at = excluded.fetched_at`,
      [picoUsdPerMsat, given],
    );
  }

  /** Takes the database's rate where it is younger than ours. */
  async #recall(): Promise<void> {
    const { rows } = await this.#options.pool.query<StoredRate>(
      `select pico_usd_per_msat, sources, greatest(0, extract(epoch from clock_timestamp() - fetched_at) * 1000)::float8 as age_ms
       from exchange_rates where pair = 'BTC/USD'`,
    );
    const [stored] = rows;
    if (!stored) return;
    const since = performance.now() - stored.age_ms;
    if (this.#latest && since <= this.#latest.since) return;
    this.#latest = { picoUsdPerMsat: stored.pico_usd_per_msat as PicoUsdPerMsat, since, sources: stored.sources };
  }
}
