import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { catalogueEntry, compilePrices } from '../../src/pricing/catalogue.ts';
import { loadPriceVersion } from '../../src/pricing/price-version.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startFakeProvider } from '../support/fake-provider.ts';

const AT = new Date('2026-09-01T00:00:00Z');
const compile = (prices = {}, at = AT) => compilePrices({ prices, deployments: [] }, at);

describe('compiled prices', () => {
  it('are integers of pico-dollars a token', () => {
    expect(compile().get('openai/gpt-4o-mini')).toEqual({
      input: 150_000n,
      output: 600_000n,
      cacheRead: 75_000n,
      cacheWrite: 150_000n,
      cacheWriteLong: 300_000n,
      dearestInput: 300_000n,
      dearestOutput: 600_000n,
      steps: [],
      webSearch: 10_000_000_000n,
    });
  });

  it('keep the steps of long prompts, and know the dearest rates over all of them', () => {
    const rates = compile().get('openai/gpt-5.5');
    expect(rates).toMatchObject({ input: 5_000_000n, output: 30_000_000n, dearestInput: 20_000_000n, dearestOutput: 45_000_000n });
    expect(rates?.steps).toEqual([
      {
        fromTokens: 272_000,
        input: 10_000_000n,
        output: 45_000_000n,
        cacheRead: 1_000_000n,
        cacheWrite: 10_000_000n,
        cacheWriteLong: 20_000_000n,
      },
    ]);
  });

  it('are those in force at the time', () => {
    expect(compile({}, new Date('2025-06-01T00:00:00Z')).get('openai/o3')?.input).toBe(10_000_000n);
    expect(compile({}, new Date('2025-07-01T00:00:00Z')).get('openai/o3')?.input).toBe(2_000_000n);
  });

  it.each(['openai/whisper-1', 'openai/moderation', 'openai/gpt-realtime', 'openai/gpt-99'])(
    'leave out what is not priced by input and output tokens alone: %s',
    (model) => expect(compile().has(model)).toBe(false),
  );

  it('take the operator at his word, for known models, unknown ones and deployments', async () => {
    const upstream = await startFakeProvider();
    const prices = compilePrices(
      {
        prices: { 'gpt-4o': { input: 0.0000015, output: 2 }, 'gpt-99': { input: 1, output: 2, cacheRead: 0.5, cacheWrite: 1.25 } },
        deployments: [upstream.deployment({ id: 'own', prices: { input: 0, output: 0.25 } })],
      },
      AT,
    );
    await upstream.close();
    // A price below one pico-dollar a token is rounded up to it.
    expect(prices.get('openai/gpt-4o')).toMatchObject({ input: 2n, output: 2_000_000n, cacheRead: 2n });
    expect(prices.get('openai/gpt-99')).toMatchObject({
      input: 1_000_000n,
      cacheRead: 500_000n,
      cacheWrite: 1_250_000n,
      cacheWriteLong: 2_000_000n,
      dearestInput: 2_000_000n,
    });
    expect(prices.get('pureai/own')).toMatchObject({ input: 0n, output: 250_000n });
  });

  it.each([
    ['twice the input', { input: 3, output: 4 }, 6_000_000n],
    ['the cache write where that is dearer', { input: 3, output: 4, cacheWrite: 7 }, 7_000_000n],
    ['what the operator says', { input: 3, output: 4, cacheWriteLong: 5 }, 5_000_000n],
    ['never less than a cache write', { input: 3, output: 4, cacheWrite: 4, cacheWriteLong: 1 }, 4_000_000n],
  ])('of a cache write for an hour are %s', (_what, own, price) => {
    expect(compile({ 'gpt-4o': own }).get('openai/gpt-4o')?.cacheWriteLong).toBe(price);
  });

  it('never cost less to read from the cache or write to it than the catalogue says, nor more than the dearest', () => {
    for (const [, { input, cacheRead, cacheWrite, cacheWriteLong, dearestInput, output, dearestOutput, steps }] of compile()) {
      for (const step of [{ input, output, cacheRead, cacheWrite, cacheWriteLong }, ...steps]) {
        expect([step.input, step.cacheRead, step.cacheWrite, step.cacheWriteLong].every((rate) => rate <= dearestInput)).toBe(true);
        expect(step.cacheWriteLong >= step.cacheWrite).toBe(true);
        expect(step.output <= dearestOutput).toBe(true);
      }
    }
  });

  it('know a model by its dated ids', () => {
    expect(catalogueEntry('openai', 'gpt-4o-2024-08-06')).toEqual({ id: 'gpt-4o', contextWindow: 128_000 });
    expect(catalogueEntry('openai', 'gpt-99')).toBeNull();
  });
});

describe('the version of a set of prices', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  it('stays the same for the same prices, also when gateways start at once, and changes with them', async () => {
    const { pool } = database;
    const first = await Promise.all(Array.from({ length: 8 }, () => loadPriceVersion(pool, compile())));
    expect(new Set(first).size).toBe(1);
    const dearer = await loadPriceVersion(pool, compile({ 'gpt-4o': { input: 9, output: 9 } }));
    expect(dearer).not.toBe(first[0]);
    expect(await loadPriceVersion(pool, compile())).toBe(first[0]);
    const { rows } = await pool.query<{ input: string }>(
      "select prices -> 'openai/gpt-4o' ->> 'input' as input from price_versions where version = $1",
      [dearer],
    );
    expect(rows[0]?.input).toBe('9000000');
  });
});
