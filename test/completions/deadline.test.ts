import { describe, expect, it } from '@jest/globals';
import { Deadline } from '../../src/completions/deadline.ts';

const TOTAL_MS = 120_000;

/** What each of `count` attempts has, where the ones before it took `usedMs` of their own time, or all of it. */
function allowances(stream: boolean, count: number, usedMs = Infinity): (number | null)[] {
  let now = 5_000;
  const deadline = new Deadline({ totalMs: TOTAL_MS, stream }, { now: () => now });
  return Array.from({ length: count }, (_, index) => {
    const allowance = deadline.allow({ isLast: index === count - 1 });
    now += Math.min(allowance?.ms ?? 0, usedMs);
    return allowance && allowance.ms;
  });
}

describe('the time to the first byte', () => {
  it.each<[what: string, stream: boolean, count: number, usedMs: number, expected: number[]]>([
    ['one stream', true, 1, Infinity, [120_000]],
    ['two streams', true, 2, Infinity, [60_000, 60_000]],
    ['three streams', true, 3, Infinity, [60_000, 30_000, 30_000]],
    ['streams that fail at once', true, 3, 0, [120_000 / 2, 120_000 / 2, 120_000]],
    ['one answer in JSON', false, 1, Infinity, [120_000]],
    ['two answers in JSON', false, 2, Infinity, [90_000, 30_000]],
    ['three answers in JSON', false, 3, Infinity, [90_000, 15_000, 15_000]],
    ['answers in JSON that fail at once', false, 3, 0, [90_000, 90_000, 120_000]],
    ['answers in JSON that fail after a while', false, 3, 40_000, [90_000, 50_000, 40_000]],
  ])('is shared by %s', (_what, stream, count, usedMs, expected) => {
    expect(allowances(stream, count, usedMs)).toEqual(expected);
  });

  it.each([true, false])('is never exceeded by all attempts together, however many (stream: %s)', (stream) => {
    for (const count of [1, 2, 5, 20]) {
      const sum = allowances(stream, count).reduce<number>((total, ms) => total + (ms ?? 0), 0);
      expect(sum).toBeCloseTo(TOTAL_MS, 6);
    }
  });

  it('is over once it has run out', () => {
    let now = 0;
    const deadline = new Deadline({ totalMs: 10, stream: true }, { now: () => now });
    expect(deadline.allow({ isLast: false })).toEqual({ ms: 5, telling: true });
    now = 10;
    expect(deadline.allow({ isLast: true })).toBeNull();
  });

  it('tells something of a deployment that had a quarter of it, and nothing of one that had less', () => {
    let now = 0;
    const deadline = new Deadline({ totalMs: 100, stream: false }, { now: () => now });
    expect(deadline.allow({ isLast: false })?.telling).toBe(true);
    now = 75;
    expect(deadline.allow({ isLast: true })).toEqual({ ms: 25, telling: true });
    now = 76;
    expect(deadline.allow({ isLast: true })).toEqual({ ms: 24, telling: false });
  });
});
