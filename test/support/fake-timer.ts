import type { Timer } from '../../src/timer.ts';

/** A timer that stands still until a test lets time pass. */
export interface FakeTimer extends Timer {
  /** Lets `ms` pass: calls back, in order, what is due by then. */
  pass(ms: number): void;
}

export function fakeTimer(): FakeTimer {
  let now = 0;
  const waiting = new Set<{ at: number; callback: () => void }>();
  return {
    now: () => now,
    after(ms, callback) {
      const wait = { at: now + ms, callback };
      waiting.add(wait);
      return () => waiting.delete(wait);
    },
    pass(ms) {
      const end = now + ms;
      for (;;) {
        const [next] = [...waiting].filter(({ at }) => at <= end).sort((one, other) => one.at - other.at);
        if (!next) break;
        waiting.delete(next);
        now = next.at;
        next.callback();
      }
      now = end;
    },
  };
}
