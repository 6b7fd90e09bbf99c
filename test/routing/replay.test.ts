import { expect, it } from '@jest/globals';
import { replay } from '../support/replay.ts';

it('answers nearly all, nearly as well as the best at a fraction of its cost, while providers slow down, fail and recover', () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const [router, cheapest, best, chance] = replay(10_000, seed);
  if (!router || !cheapest || !best || !chance) throw new Error('a policy is missing');
  const told = { seed, router, best, cheapest, chance };
  expect({
    ...told,
    failsSeldom: router.failures < 20 && router.failures < Math.min(cheapest.failures, best.failures, chance.failures) / 10,
    isCheap: router.costUsd < best.costUsd / 10,
    isGood: router.quality > best.quality - 0.1 && router.quality > cheapest.quality && router.quality > chance.quality,
    isFast: router.p95Seconds < chance.p95Seconds,
    isExploring: router.explored > 0 && router.explored < 500,
  }).toEqual({ ...told, failsSeldom: true, isCheap: true, isGood: true, isFast: true, isExploring: true });
});
