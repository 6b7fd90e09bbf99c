import { describe, expect, it } from '@jest/globals';
import { HiddenTime } from '../../src/completions/hidden-time.ts';

/** The hidden time of a stream whose events come in these stretches, and how often it was looked into. */
function watch(stretches: readonly { untilMs: number; everyMs: number; words: boolean }[]): { seconds: number; looks: number } {
  const hidden = new HiddenTime(0);
  let now = 0;
  let looks = 0;
  for (const { untilMs, everyMs, words } of stretches) {
    for (; now + everyMs <= untilMs; now += everyMs) {
      hidden.came(now + everyMs, () => {
        looks++;
        return words;
      });
    }
  }
  return { seconds: hidden.seconds(now), looks };
}

describe('the time that a model works out of sight', () => {
  it.each([20, 100, 240, 400])('goes on while events without words come every %i ms', (everyMs) => {
    const { seconds } = watch([
      { untilMs: 5_000, everyMs: 50, words: true },
      { untilMs: 65_000, everyMs, words: false },
    ]);
    expect(seconds).toBeGreaterThan(58.5);
    expect(seconds).toBeLessThanOrEqual(60);
  });

  it('is counted also where words follow', () => {
    const { seconds } = watch([
      { untilMs: 1_000, everyMs: 20, words: true },
      { untilMs: 31_000, everyMs: 20, words: false },
      { untilMs: 40_000, everyMs: 20, words: true },
    ]);
    expect(seconds).toBeGreaterThan(28.5);
    expect(seconds).toBeLessThanOrEqual(30.1);
  });

  it('is none in a steady stream, which is looked into once a second', () => {
    const { seconds, looks } = watch([{ untilMs: 60_000, everyMs: 20, words: true }]);
    expect(seconds).toBe(0);
    expect(looks).toBeLessThanOrEqual(60);
  });
});
