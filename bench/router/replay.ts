/**
 * `npm run replay:router [seed]`: 10,000 simulated requests to providers that slow down, fail and recover, through the router and through fixed
 * choices; and how long a decision takes.
 */
import { replay } from '../../test/support/replay.ts';

const REQUESTS = 10_000;
const seed = Number(process.argv[2] ?? 1);
if (!Number.isSafeInteger(seed)) throw new Error('usage: npm run replay:router [seed]');

const startedAt = performance.now();
const rows = replay(REQUESTS, seed);
const seconds = (performance.now() - startedAt) / 1_000;
console.log(`${REQUESTS} requests, seed ${seed}`);
console.table(
  Object.fromEntries(
    rows.map(({ policy, costUsd, quality, p95Seconds, failures, explored, shares }) => [
      policy,
      {
        'cost, USD': Number(costUsd.toFixed(3)),
        quality: Number(quality.toFixed(3)),
        'p95, s': Number(p95Seconds.toFixed(2)),
        ...{ failures, explored },
        'shares, %': Object.entries(shares)
          .map(([id, share]) => `${id} ${share}`)
          .join(', '),
      },
    ]),
  ),
);
console.log(`all policies together: ${seconds.toFixed(1)} s`);
