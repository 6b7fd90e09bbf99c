import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  btcUsdFromExchangeRate,
  divideRoundingUp,
  exchangeRateFromBtcUsd,
  formatUsd,
  msat,
  msatFromPicoUsd,
  msatFromSats,
  picoUsd,
  picoUsdFromMsat,
  picoUsdFromUsd,
  satsFromMsat,
  usdNumber,
} from '../src/amount.ts';

describe('money', () => {
  it.each([
    [0n, 3n, 0n],
    [1n, 3n, 1n],
    [3n, 3n, 1n],
    [4n, 3n, 2n],
    [10n ** 30n + 1n, 10n ** 15n, 10n ** 15n + 1n],
  ])('rounds %d / %d up to %d', (numerator, denominator, quotient) => {
    expect(divideRoundingUp(numerator, denominator)).toBe(quotient);
  });

  it.each([
    ['0', 0n],
    ['0.1', 100_000_000_000n],
    ['0.10', 100_000_000_000n],
    ['10', 10_000_000_000_000n],
    ['0.000000000001', 1n],
    ['0.0000000000001', 1n],
    ['0.0000000000010000', 1n],
    ['0.0000000000010001', 2n],
    ['999999999.999999999999', 999_999_999_999_999_999_999n],
    [0.1, 100_000_000_000n],
    [1e-7, 100_000n],
    [1e-12, 1n],
    [2.5e-13, 1n],
    [100, 100_000_000_000_000n],
  ])('reads %p USD as %d pico-dollars, rounded up', (usd, expected) => {
    expect(picoUsdFromUsd(usd)).toBe(expected);
  });

  it.each(['', ' 1', '-1', '+1', '1e3', '.5', '1.', '1,5', '1.2.3', '0x10', '1'.repeat(10), -1, NaN, Infinity, 1e21])(
    'refuses %p as an amount in USD',
    (usd) => {
      expect(() => picoUsdFromUsd(usd)).toThrow(RangeError);
    },
  );

  it.each([
    [0n, '0'],
    [1n, '0.000000000001'],
    [-1n, '-0.000000000001'],
    [100_000_000_000n, '0.1'],
    [1_000_000_000_000n, '1'],
    [-1_500_000_000_000n, '-1.5'],
    [10_000_000_000_000n, '10'],
    [123_456_789_012_345_678n, '123456.789012345678'],
  ])('writes %d pico-dollars as %s, without an exponent', (amount, text) => {
    expect(formatUsd(picoUsd(amount))).toBe(text);
    expect(usdNumber(picoUsd(amount))).toBe(Number(text));
    expect(amount < 0n || picoUsdFromUsd(text) === amount).toBe(true);
  });

  it('gives the number nearest to the amount, whatever its size', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.bigInt({ min: 0n, max: 62n }), (large, shift) => {
        const amount = picoUsd(large >> shift);
        expect(usdNumber(amount)).toBe(Number(formatUsd(amount)));
      }),
    );
  });

  it.each([
    [100_000, 1_000_000n],
    [0.1, 1n],
    [97_123.4, 971_234n],
    [63_000.04, 630_000n],
  ])('takes a bitcoin at %d USD as %d pico-dollars a msat', (btcUsd, rate) => {
    expect(exchangeRateFromBtcUsd(btcUsd)).toBe(rate);
    expect(btcUsdFromExchangeRate(exchangeRateFromBtcUsd(btcUsd))).toBe(Math.round(btcUsd * 10) / 10);
  });

  it.each([0, -1, 0.04, NaN, Infinity, 1e16])('refuses %d as a price of bitcoin', (btcUsd) => {
    expect(() => exchangeRateFromBtcUsd(btcUsd)).toThrow(RangeError);
  });

  it('turns a cost into msat rounded up, and msat into its exact value', () => {
    const rate = exchangeRateFromBtcUsd(100_000);
    expect(msatFromPicoUsd(picoUsd(0n), rate)).toBe(0n);
    expect(msatFromPicoUsd(picoUsd(1n), rate)).toBe(1n);
    expect(msatFromPicoUsd(picoUsd(1_000_000n), rate)).toBe(1n);
    expect(msatFromPicoUsd(picoUsd(1_000_001n), rate)).toBe(2n);
    expect(picoUsdFromMsat(msat(3n), rate)).toBe(3_000_000n);
  });

  it.each([
    [0n, 0],
    [1n, 0],
    [999n, 0],
    [1_000n, 1],
    [1_001n, 1],
    [-1n, -1],
    [-1_000n, -1],
  ])('counts %d msat as %d whole sats', (amount, sats) => {
    expect(satsFromMsat(msat(amount))).toBe(sats);
  });

  it('turns sats into msat', () => {
    expect(msatFromSats(21_000_000)).toBe(21_000_000_000n);
  });
});
