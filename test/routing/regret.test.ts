import { describe, expect, it } from '@jest/globals';
import type { Deployment } from '../../src/models/deployment.ts';
import { chooseCandidates } from '../../src/routing/choose.ts';
import { catalogueOf } from '../support/catalogue-of.ts';
import { readChat } from '../support/chat-request.ts';
import { deployment as deploymentOf, rateCard } from '../support/deployment.ts';
import { randomFrom } from '../support/random.ts';
import { AttemptMemory, drawnTtftMs, type Truth } from '../support/simulated-deployments.ts';

const STEPS = 4_000;
const request = readChat('{"messages":[{"role":"user","content":"hi"}]}');

/** Four deployments of one tier, alike in price: what they differ in has to be learnt. */
const arms = ['one', 'two', 'three', 'four'].map((id) =>
  deploymentOf({ model: id, tier: 'cheap', provider: { ...deploymentOf().provider, id }, rateCard: rateCard() }),
);
const models = catalogueOf(arms);

type World = (arm: number, second: number) => Truth;
const truth = (successRate: number, ttftMs: number): Truth => ({ successRate, ttftMs, tokensPerSecond: 50 });

const STEADY = [truth(0.9, 900), truth(0.97, 3_000), truth(0.995, 1_200), truth(0.8, 600)];
const steady: World = (arm) => STEADY[arm] ?? truth(0, 0);
/** The best becomes the worst, a slow one recovers, one comes and goes like the day. */
const drifting: World = (arm, second) => {
  const late = second > STEPS / 2;
  const wave = Math.sin((second / STEPS) * 2 * Math.PI);
  return (
    [truth(0.93, 1_000), truth(late ? 0.995 : 0.9, late ? 800 : 5_000), truth(late ? 0.7 : 0.995, 1_200), truth(0.9 + 0.09 * wave, 1_500)][
      arm
    ] ?? truth(0, 0)
  );
};

/** What a request to an arm loses, by its truth: the chance of no answer, and slowness as the score weighs it. */
function lossOf({ successRate, ttftMs, tokensPerSecond }: Truth): number {
  const seconds = ttftMs / 1_000 + 400 / tokensPerSecond;
  return 1 - successRate + 0.2 * (seconds / (seconds + 8));
}

type Policy = (second: number) => Deployment;

/** What a policy loses more than the arm that was the best over the whole time: at the half, and in the end. */
function regretOf(world: World, makePolicy: (memory: AttemptMemory, random: () => number) => Policy, seed: number) {
  const random = randomFrom(seed);
  const memory = new AttemptMemory();
  const policy = makePolicy(memory, random);
  let lost = 0;
  const fixed = arms.map(() => 0);
  const regrets: number[] = [];
  for (let second = 0; second < STEPS; second++) {
    const chosen = policy(second);
    const real = world(arms.indexOf(chosen), second);
    memory.observe(chosen, { ok: random() < real.successRate, ttftMs: drawnTtftMs(real, random) }, real, second);
    lost += lossOf(real);
    for (const arm of arms.keys()) fixed[arm] = (fixed[arm] ?? 0) + lossOf(world(arm, second));
    regrets.push(lost - Math.min(...fixed));
  }
  return { half: regrets[STEPS / 2 - 1] ?? NaN, end: regrets[STEPS - 1] ?? NaN };
}

const router = (memory: AttemptMemory, random: () => number): Policy => {
  return (second) => {
    const view = { healthOf: (one: Deployment) => memory.healthOf(one, second), capacityOf: () => 1, warm: null, random, explores: true };
    const [first] = chooseCandidates(request, models, { allowedModels: null }, view).candidates;
    if (!first) throw new Error('nobody was chosen');
    return first.deployment;
  };
};
const atRandom =
  (_memory: AttemptMemory, random: () => number): Policy =>
  () =>
    atRandomArm(random);

function atRandomArm(random: () => number): Deployment {
  const arm = arms[Math.floor(random() * arms.length)];
  if (!arm) throw new Error('no arm');
  return arm;
}

describe('the regret of choosing among equals', () => {
  it.each<[string, World]>([
    ['that stay as they are', steady],
    ['that change', drifting],
  ])('is small against the best fixed choice in hindsight, and against chance: deployments %s', (_what, world) => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const ours = regretOf(world, router, seed);
    const random = regretOf(world, atRandom, seed);
    const figures = { seed, ours, random };
    // Less than one request in a hundred lost to learning, and less than a fifth of what chance loses.
    expect({ ...figures, isSmall: ours.end < 0.01 * STEPS, isLessThanChance: ours.end < 0.2 * random.end }).toEqual({
      ...figures,
      isSmall: true,
      isLessThanChance: true,
    });
  });
});
