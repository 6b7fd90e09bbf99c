import type { Config } from '../config.ts';
import { exchangeRateFromBtcUsd, type PicoUsdPerMsat } from '../ledger/amount.ts';

/** Where the BTC/USD rate comes from. */
export interface ExchangeRate {
  /** `fixed`: the operator's; `simulated`: made up, for a wallet whose sats are worth nothing. */
  readonly source: 'fixed' | 'simulated';
  /** The rate to use now. Throws GatewayError `exchange_rate_unavailable` where none is young enough. */
  current(): PicoUsdPerMsat;
}

/** What a bitcoin is worth in simulated mode, in USD. */
const SIMULATED_BTC_USD = 100_000;

/** The operator's `BTC_USD`; without it the made-up rate of simulated mode. */
export function createExchangeRate({ BTC_USD }: Pick<Config, 'BTC_USD'>): ExchangeRate {
  const rate = BTC_USD ?? exchangeRateFromBtcUsd(SIMULATED_BTC_USD);
  return { source: BTC_USD ? 'fixed' : 'simulated', current: () => rate };
}
