import { seeded } from './outcomes.ts';

/** How much the strong model gains on a prompt, and how the router ranks it: the dearest first. */
export interface Ranked {
  readonly weak: number;
  readonly strong: number;
  readonly score: number;
}

/**
 * The average performance gap recovered (RouteLLM, arXiv 2406.18665): the mean, over all shares of the prompts that go to the strong model, of
 * the part of the gap between the two models that is won. 0.5 for a router that guesses. Prompts of one score come in any order: this is the
 * expectation over all of them. NaN where the models are equally good.
 */
export function apgr(prompts: readonly Ranked[]): number {
  const order = prompts.toSorted((a, b) => b.score - a.score);
  let won = 0;
  let area = 0;
  for (let start = 0; start < order.length;) {
    const score = order[start]?.score;
    let end = start;
    let gain = 0;
    for (; end < order.length && order[end]?.score === score; end++) gain += (order[end]?.strong ?? 0) - (order[end]?.weak ?? 0);
    area += (end - start) * (won + gain / 2);
    won += gain;
    start = end;
  }
  return area / order.length / won;
}

/** The share of the prompts whose score another one has too. */
export function tiesOf(prompts: readonly Ranked[]): number {
  const counts = new Map<number, number>();
  for (const { score } of prompts) counts.set(score, (counts.get(score) ?? 0) + 1);
  const tied = [...counts.values()].filter((count) => count > 1).reduce((sum, count) => sum + count, 0);
  return prompts.length === 0 ? 0 : tied / prompts.length;
}

/** The 95 % confidence interval of the APGR by a bootstrap over the prompts. */
export function interval(prompts: readonly Ranked[], { draws, seed }: { draws: number; seed: number }): [low: number, high: number] {
  const random = seeded(seed);
  const values = Array.from({ length: draws }, () =>
    apgr(prompts.map(() => prompts[Math.floor(random() * prompts.length)] as Ranked)),
  ).toSorted((a, b) => a - b);
  const at = (share: number) => values[Math.min(draws - 1, Math.floor(share * draws))] ?? Number.NaN;
  return [at(0.025), at(0.975)];
}
