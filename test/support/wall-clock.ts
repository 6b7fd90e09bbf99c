import { jest } from '@jest/globals';

/** A wall clock that stands still until it is moved. Timers go on as usual. */
export interface WallClock {
  ms: number;
  restore(): void;
}

/** Puts a clock in the place of `Date.now`. */
export function fakeWallClock(at = Date.UTC(2026, 0, 1)): WallClock {
  const spy = jest.spyOn(Date, 'now');
  const clock = { ms: at, restore: () => spy.mockRestore() };
  spy.mockImplementation(() => clock.ms);
  return clock;
}
