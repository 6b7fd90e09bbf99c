/** What is measured, by the name that the table tells. */
export type Measured = readonly [what: string, work: () => Promise<unknown>];

/** How often each of them is done, and above what 95th percentile it counts as too slow. */
export interface Rounds {
  times: number;
  limitMs: number;
  /** Processor time so far, in ms: where other work disturbs the times, it tells more. */
  cpuMs: () => number;
}

/** Does each in turn and prints a table. Gives the names of those that are too slow. */
export async function timed(head: string, works: readonly Measured[], { times, limitMs, cpuMs }: Rounds): Promise<string[]> {
  console.log(`\n| ${head} | median ms | 95 % ms | CPU ms |\n| --- | --- | --- | --- |`);
  const slow: string[] = [];
  for (const [what, work] of works) {
    // The first one may find an empty cache, or a program that has not been compiled yet.
    await work();
    const taken: number[] = [];
    const before = cpuMs();
    for (let n = 0; n < times; n++) {
      const begun = performance.now();
      await work();
      taken.push(performance.now() - begun);
    }
    const cpu = (cpuMs() - before) / times;
    const sorted = taken.toSorted((a, b) => a - b);
    const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    console.log(`| ${what} | ${at(0.5).toFixed(1)} | ${at(0.95).toFixed(1)} | ${cpu.toFixed(1)} |`);
    if (at(0.95) > limitMs) slow.push(what);
  }
  return slow;
}

/** Says how long something took. */
export async function took(what: string, work: () => Promise<unknown>): Promise<void> {
  const begun = performance.now();
  await work();
  console.log(`${what}: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
}
