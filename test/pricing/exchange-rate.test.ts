import { describe, expect, it } from '@jest/globals';
import { btcUsdFromExchangeRate, exchangeRateFromBtcUsd } from '../../src/ledger/amount.ts';
import { createExchangeRate } from '../../src/pricing/exchange-rate.ts';

describe('the exchange rate', () => {
  it("is the operator's where set", () => {
    const rate = createExchangeRate({ BTC_USD: exchangeRateFromBtcUsd(64_000.5) });
    expect([rate.source, btcUsdFromExchangeRate(rate.current())]).toEqual(['fixed', 64_000.5]);
  });

  it('is made up, and says so, in simulated mode', () => {
    const rate = createExchangeRate({ BTC_USD: undefined });
    expect([rate.source, btcUsdFromExchangeRate(rate.current())]).toEqual(['simulated', 100_000]);
  });
});
