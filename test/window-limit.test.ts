import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { WindowLimit } from '../src/window-limit.ts';

const alone = (name: string) => [{ name, times: 1 }];

function open({ points = 2, maxTracked = 1_000 } = {}) {
  const clock = { ms: 0 };
  return { clock, limit: new WindowLimit({ points, windowMs: 60_000, maxTracked, now: () => clock.ms }) };
}

describe('a limit in a window of time', () => {
  it('lets so many pass, and says when the next may', () => {
    const { clock, limit } = open();
    expect([limit.take(alone('a')), limit.take(alone('a'))]).toEqual([0, 0]);
    clock.ms = 20_500;
    expect(limit.take(alone('a'))).toBe(40);
    expect(limit.take(alone('b'))).toBe(0);
    clock.ms = 60_000;
    expect(limit.take(alone('a'))).toBe(0);
  });

  it('takes from every share or from none', () => {
    const { limit } = open();
    const inNetwork = (name: string) => [...alone(name), { name: 'network', times: 2 }];
    for (const name of ['a', 'b', 'c', 'd']) expect(limit.take(inNetwork(name))).toBe(0);
    expect(limit.take(inNetwork('e'))).toBe(60);
    expect(limit.take(alone('e'))).toBe(0);
    expect(limit.take(alone('e'))).toBe(0);
    expect(limit.take(alone('e'))).toBe(60);
  });

  it('takes nothing where it is only asked, and gives back what was not used', () => {
    const { limit } = open({ points: 1 });
    expect([limit.secondsUntilFree(alone('a')), limit.secondsUntilFree(alone('a'))]).toEqual([0, 0]);
    limit.take(alone('a'));
    limit.giveBack(alone('a'));
    limit.giveBack(alone('a'));
    expect(limit.take(alone('a'))).toBe(0);
    expect(limit.secondsUntilFree(alone('a'))).toBe(60);
  });

  it('of nothing lets nothing pass', () => {
    expect(open({ points: 0 }).limit.take(alone('a'))).toBe(60);
  });

  it('remembers a bounded number of holders, whoever they are, and none whose window has ended', () => {
    const { clock, limit } = open({ maxTracked: 100 });
    for (let each = 0; each < 100_000; each++) limit.take([...alone(`${each}`), { name: `network ${each}`, times: 4 }]);
    expect(limit.tracked).toBe(100);
    clock.ms = 60_000;
    limit.take(alone('a'));
    expect(limit.tracked).toBe(1);
  });

  it('never lets more pass in a window than it may, in whatever order', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.nat(30_000)), { maxLength: 200 }), (uses) => {
        const { clock, limit } = open();
        const passed: { name: string; at: number }[] = [];
        for (const [name, waitMs] of uses) {
          clock.ms += waitMs;
          if (limit.take(alone(name)) === 0) passed.push({ name, at: clock.ms });
        }
        // Two windows touch within one length of a window, and no more.
        for (const { name, at } of passed) {
          expect(passed.filter((each) => each.name === name && each.at >= at && each.at < at + 60_000).length).toBeLessThanOrEqual(4);
        }
      }),
    );
  });
});
