import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { loadConfig } from '../src/config/config.ts';
import { ConfigError } from '../src/config/config-error.ts';

/** Blanks that people and templates leave in lists. */
const blanks = fc.constantFrom('', ' ', '  ', '\t', '\n');

describe('a markup', () => {
  it('is what was written, to the hundredth of a per cent', () => {
    for (let basisPoints = 0; basisPoints <= 10_000; basisPoints += 7) {
      const text = `${Math.floor(basisPoints / 100)}.${String(basisPoints % 100).padStart(2, '0')}`;
      expect([text, loadMarkup(text)]).toEqual([text, BigInt(basisPoints)]);
    }
  });

  it.each([
    ['0', 0n],
    ['1000', 100_000n],
    ['999.99', 99_999n],
    ['0.005', 1n],
    ['0.0049', 0n],
    ['2.675', 268n],
  ])('of %s per cent is %s basis points, rounded to the nearest', (text, basisPoints) => {
    expect(loadMarkup(text)).toBe(basisPoints);
  });

  it.each(['-1', '1000.01', '1e2', 'ten', '5%', ' ', '.5', '1.'])('is refused where it is none: %j', (text) => {
    expect(() => loadMarkup(text)).toThrow(ConfigError);
    expect(() => loadMarkup(text)).toThrow('MARKUP_PERCENT');
  });
});

describe('a list', () => {
  const LISTS = {
    TRUSTED_PROXIES: ['10.0.0.0/8', 'loopback', '::1'],
    CORS_ORIGINS: ['https://a.example', 'https://b.example'],
    BTC_USD_SOURCES: ['kraken', 'coinbase', 'bitstamp'],
  } as const;

  it.each(Object.entries(LISTS))('is the same whatever stands around its commas: %s', (name, items) => {
    fc.assert(
      fc.property(fc.array(blanks, { minLength: 8, maxLength: 8 }), fc.boolean(), (spaces, trailing) => {
        const text = items.map((item, index) => `${spaces[index * 2]}${item}${spaces[index * 2 + 1]}`).join(',') + (trailing ? ', ,' : '');
        expect(loadConfig({ [name]: text })[name as keyof typeof LISTS]).toEqual([...items]);
      }),
    );
  });

  it.each(Object.keys(LISTS))('of nothing but blanks is empty: %s', (name) => {
    expect(loadConfig({ [name]: ' , ,' })[name as keyof typeof LISTS]).toEqual([]);
  });
});

describe('an amount in USD', () => {
  it('is kept to the pico-dollar, as it was written', () => {
    const digits = (length: number) => fc.stringMatching(new RegExp(`^[0-9]{${length}}$`));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 999_999 }), fc.integer({ min: 1, max: 12 }).chain(digits), (dollars, decimals) => {
        const picoUsd = BigInt(`${dollars}${decimals.padEnd(12, '0')}`);
        for (const name of ['FREE_TIER_MAX_COST_USD', 'FREE_TIER_GLOBAL_DAILY_USD', 'DAILY_BUDGET_USD'] as const) {
          expect(loadConfig({ [name]: `${dollars}.${decimals}` })[name]).toBe(picoUsd);
        }
      }),
    );
  });
});

describe('a number', () => {
  const read = (name: string, value: string) => Number((loadConfig({ [name]: value }) as unknown as Record<string, unknown>)[name]);

  it.each([
    ['PORT', '0', '65535'],
    ['TOPUP_DEFAULT_SATS', '1', '1000000'],
    ['INVOICE_EXPIRY_SECONDS', '60', '604800'],
    ['DEFAULT_MAX_TOKENS', '1', '9007199254740991'],
    ['BODY_LIMIT_MB', '0.001', '256'],
    ['UPSTREAM_TIMEOUT_SECONDS', '0.1', '86400'],
    ['WITHDRAW_MAX_FEE_PERCENT', '0', '100'],
  ])('of %s may be at either edge', (name, least, most) => {
    expect([read(name, least), read(name, most)]).toEqual([Number(least), Number(most)]);
  });

  it.each([
    ['PORT', '-1', '65536'],
    ['TOPUP_DEFAULT_SATS', '0', '1000001'],
    ['INVOICE_EXPIRY_SECONDS', '59', '604801'],
    ['DEFAULT_MAX_TOKENS', '0', '9007199254740993'],
    ['BODY_LIMIT_MB', '0.0009', '1024.1'],
    ['UPSTREAM_TIMEOUT_SECONDS', '0.09', '86401'],
    ['WITHDRAW_MAX_FEE_PERCENT', '-0.1', '100.1'],
  ])('of %s may not be beyond', (name, below, above) => {
    expect(() => read(name, below)).toThrow(name);
    expect(() => read(name, above)).toThrow(name);
  });
});

function loadMarkup(text: string): bigint {
  return loadConfig({ MARKUP_PERCENT: text }).markupBasisPoints;
}
