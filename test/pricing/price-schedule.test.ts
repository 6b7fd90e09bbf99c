import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { compilePrices, nextPriceChange } from '../../src/pricing/catalogue.ts';
import type { ListedPrice } from '../../src/pricing/listed-price.ts';
import { PriceSchedule } from '../../src/pricing/price-schedule.ts';
import { nextTurn } from '../../src/pricing/price-times.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const config = { prices: {}, deployments: [] };
/** On this day the catalogue lowers the price of one of OpenAI's models. */
const CHANGE = Date.parse('2026-08-21T00:00:00Z');
const MODEL = 'openai/gpt-5.6-sol';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const price = ({ current }: PriceSchedule) => current.prices.get(MODEL)?.output;

async function keepUp(schedule: PriceSchedule): Promise<void> {
  await schedule.keepUp();
}

describe('the prices of now', () => {
  it('change at the moment that the catalogue says, and not before', async () => {
    let now = CHANGE - 1;
    const schedule = await PriceSchedule.open({ config, pool: database.pool, now: () => now });
    const before = schedule.current;
    expect([schedule.keepUp(), price(schedule)]).toEqual([undefined, 30_000_000n]);

    now = CHANGE;
    await schedule.keepUp();
    expect(price(schedule)).toBe(20_000_000n);
    expect(schedule.current.priceVersion).not.toBe(before.priceVersion);
    expect(schedule.keepUp()).toBeUndefined();
    // What was priced with the set of before keeps it.
    expect(before.prices.get(MODEL)?.output).toBe(30_000_000n);
  });

  it('are the same, under the same number, at every gateway, however many turn at once, and after a restart', async () => {
    let now = CHANGE - 1;
    const open = () => PriceSchedule.open({ config, pool: database.pool, now: () => now });
    const schedules = await Promise.all(Array.from({ length: 6 }, open));
    const versions = (some: PriceSchedule[]) => [...new Set(some.map(({ current }) => current.priceVersion))];
    const [before] = versions(schedules);
    now = CHANGE;
    await Promise.all(schedules.flatMap((schedule) => [keepUp(schedule), keepUp(schedule)]));
    const after = versions(schedules);
    expect([after.length, versions([await open()])]).toEqual([1, after]);
    // A clock that is set back finds the set of that time again.
    now = CHANGE - 1;
    await Promise.all(schedules.map(keepUp));
    expect(versions(schedules)).toEqual([before]);
  });

  it('rise five minutes early, so that a request that waits for its turn is not started below its cost', async () => {
    const MINUTES = 60_000;
    const december = Date.parse('2026-12-01T00:00:00Z');
    const peak = Date.parse('2026-11-27T01:00:00Z');
    const at = async (now: number, model: string) => {
      const schedule = await PriceSchedule.open({ config, pool: database.pool, now: () => now });
      return schedule.current.prices.get(model)?.input;
    };
    const argon = 'gemini/gemini-4-argon';
    expect([await at(december - 5 * MINUTES - 1, argon), await at(december - 5 * MINUTES, argon)]).toEqual([2_000_000n, 4_000_000n]);
    const flash = 'deepseek/deepseek-flash';
    expect([await at(peak - 5 * MINUTES - 1, flash), await at(peak - 5 * MINUTES, flash)]).toEqual([150_000n, 300_000n]);
    // And fall on time.
    expect([await at(peak + 180 * MINUTES - 1, flash), await at(peak + 180 * MINUTES, flash)]).toEqual([300_000n, 150_000n]);
  });

  it('turn at that moment by themselves', async () => {
    let now = Date.parse('2026-11-27T00:00:00Z');
    const schedule = await PriceSchedule.open({ config, pool: database.pool, now: () => now });
    const turns: [string, bigint | undefined][] = [];
    for (const end = now + 86_400_000; now < end; now += 60_000) {
      const turning = schedule.keepUp();
      if (!turning) continue;
      await turning;
      turns.push([new Date(now).toISOString().slice(11, 16), schedule.current.prices.get('deepseek/deepseek-flash')?.input]);
    }
    expect(turns.filter(([, input], index) => input !== (turns[index - 1]?.[1] ?? 150_000n))).toEqual([
      ['00:55', 300_000n],
      ['04:00', 150_000n],
      ['05:55', 300_000n],
      ['10:00', 150_000n],
    ]);
  });

  it('are looked up once by any number of requests', async () => {
    let now = CHANGE - 1;
    const schedule = await PriceSchedule.open({ config, pool: database.pool, now: () => now });
    now = CHANGE;
    const query = jest.spyOn(database.pool, 'query');
    await Promise.all(Array.from({ length: 50 }, () => keepUp(schedule)));
    expect(query.mock.calls.length).toBeLessThanOrEqual(3);
    query.mockRestore();
  });

  it('are nobody’s while their number cannot be had, and are had as soon as it can', async () => {
    let now = CHANGE - 1;
    const schedule = await PriceSchedule.open({ config, pool: database.pool, now: () => now });
    now = CHANGE;
    const query = jest.spyOn(database.pool, 'query').mockImplementation(() => {
      throw new Error('the database is away');
    });
    for (let time = 0; time < 2; time++) await expect(schedule.keepUp()).rejects.toMatchObject({ code: 'database_unavailable' });
    query.mockRestore();
    await schedule.keepUp();
    expect(price(schedule)).toBe(20_000_000n);
  });
});

describe('the next change', () => {
  const model = (...times: object[]): ListedPrice[] => [{}, ...times].map((time) => ({ input: 1, output: 1, ...time }));
  const from = (day: string) => ({ from: `${day}T00:00:00Z` });
  const daily = (start: string, end: string) => ({ hours: { start, end } });
  const deepseek = { hours: [{ start: '01:00:00', end: '04:00:00' }], holidays: new Set(['2026-10-01']) };
  const peaks = model(from('2026-08-17'), daily('01:00:00', '04:00:00'), daily('06:00:00', '10:00:00'));

  it.each<[string, ListedPrice[][], string, string | null]>([
    ['nothing ever changes', [model()], '2026-01-01T00:00:00Z', null],
    ['a date has passed', [model(from('2026-08-17'))], '2026-08-17T00:00:00Z', null],
    ['a date is to come', [model(from('2026-12-01'))], '2026-11-30T23:59:59.999Z', '2026-12-01T00:00:00Z'],
    ['several are', [model(from('2027-01-01')), model(from('2026-12-01'))], '2026-11-01T00:00:00Z', '2026-12-01T00:00:00Z'],
    ['a peak is to come', [peaks], '2026-09-01T00:59:59.999Z', '2026-09-01T01:00:00Z'],
    ['it begins', [peaks], '2026-09-01T01:00:00Z', '2026-09-01T04:00:00Z'],
    ['it ends', [peaks], '2026-09-01T04:00:00Z', '2026-09-01T06:00:00Z'],
    ['the day’s last has ended', [peaks], '2026-09-01T10:00:00Z', '2026-09-02T01:00:00Z'],
    ['a date comes before an hour', [peaks], '2026-08-16T23:00:00Z', '2026-08-17T00:00:00Z'],
    ['hours go over midnight', [model(daily('22:00:00', '03:00:00'))], '2026-12-31T23:00:00Z', '2027-01-01T03:00:00Z'],
    ['a peak of working days is to come', [model({ peak: 'deepseek' })], '2026-09-01T00:00:00Z', '2026-09-01T01:00:00Z'],
    ['it ends', [model({ peak: 'deepseek' })], '2026-09-01T01:00:00Z', '2026-09-01T04:00:00Z'],
  ])('is known where %s', (_when, models, after, next) => {
    expect(nextTurn(models.flat(), Date.parse(after), new Map([['deepseek', deepseek]]))).toBe(next === null ? Infinity : Date.parse(next));
  });

  it('leaves none of the catalogue’s out: between two of them every price stands still', () => {
    const start = Date.parse('2025-06-01T00:00:00Z');
    const end = Date.parse('2026-12-31T00:00:00Z');
    let [changes, set] = [0, compilePrices(config, new Date(start))];
    for (let until = nextPriceChange(start), day = start; day < end; day += 5 * 86_400_000) {
      const now = compilePrices(config, new Date(day));
      if (day >= until) [changes, set, until] = [changes + 1, now, nextPriceChange(day)];
      expect(now).toEqual(set);
    }
    expect(changes).toBeGreaterThanOrEqual(3);
  });
});
