import { TIERS, tiersFrom, type Judgement } from './complexity.ts';
import { BYTES_A_TOKEN, type Eligible } from './eligible.ts';
import { weightedDraw } from './weighted-draw.ts';
import type { InferenceRequest } from '../wires/request.ts';
import type { Deployment } from '../models/deployment.ts';
import type { Tier } from '../providers/provider.ts';
import type { DeploymentHealth, RoutingView } from './view.ts';

/** A deployment that may serve a request, and how well it suits. */
export interface Scored extends Eligible {
  /** Lower is better. */
  readonly score: number;
  /** 0 to 1: the chance that its answer is wrong, or does not come. */
  readonly expectedError: number;
  readonly expectedCostPicoUsd: number;
  /** Until the last token of a usual answer. */
  readonly expectedSeconds: number;
  /** Whether it keeps the request because it has the conversation in its cache. */
  readonly sticky: boolean;
}

/**
 * What a tier gets wrong of what the cheap one does. Of school questions that a cheap model of its time got wrong, the best one got wrong half
 * (0.53 of the MMLU subjects' and 0.36 of GSM8K's).
 */
const WRONG_SHARE: Readonly<Record<Tier, number>> = { cheap: 1, mid: 0.7, premium: 0.5 };
/** The cheap tier gets this much wrong of even the simplest. */
const LEAST_WRONG = 0.05;

/** A deployment's success counts as if it came after so many requests of the usual success: one failure is not a verdict. */
const USUAL_SUCCESS = 0.99;
const USUAL_SAMPLES = 10;

const USUAL_TTFT_MS = 1_000;
/** What is written in answer to an ordinary request. */
export const USUAL_OUTPUT_TOKENS = 400;
/** An answer that takes so long counts half of what slowness can. */
const SLOW_SECONDS = 8;

const WIDE_SPAN = Math.log(100);

/** What each thing can come to beside the expected error, which counts once. */
const SLOWNESS_WEIGHT = 0.2;
const COST_WEIGHT = 0.15;
const PREFERRED = 0.1;
/** More than slowness and cost together, and less than a success rate that has dropped by half. */
const STICKY = 0.4;
/** More than all that is within a tier. */
const TIER_STEP = 2;
/** More than all else. */
const UNAVAILABLE = 100;

/** Scores of a tier that differ by no more are taken for the same, and told as the same. */
const TIE = 0.001;

/**
 * Scores the eligible deployments, the best first. Without `cost_weight`:
 *
 *     score = expected error + 0.2 × slowness + 0.15 × cost - 0.1 if preferred - 0.4 if sticky + 2 × steps from the tier
 *
 * With a `cost_weight` of w, where tiers do not limit: (1 - w) × (expected error - 0.1 if preferred - 0.4 if sticky) + w × cost. Either way
 * 100 more for what is not available now. Slowness and cost are from 0 to 1. Among those of a tier that tie for the best, chance decides, in
 * proportion to the capacities of their providers.
 */
export function scored(request: InferenceRequest, judgement: Judgement, eligible: readonly Eligible[], view: RoutingView): Scored[] {
  const order = tiersFrom(judgement.tier);
  const { costWeight, prefer, quality } = request.routing;
  const measured = eligible.map((one) => measure(request, judgement, one, view.warm));
  const costOf = relativeCost(measured.map(({ expectedCostPicoUsd }) => expectedCostPicoUsd));
  const ranked = measured.map((one): Scored => {
    const { deployment, expectedError, expectedSeconds, expectedCostPicoUsd, health } = one;
    const steps = order.indexOf(deployment.tier);
    const sticky = deployment.id === view.warm && reaches(deployment.tier, judgement.tier) && (steps === 0 || quality !== 'low');
    const boost = (deployment.provider.id === prefer ? PREFERRED : 0) + (sticky ? STICKY : 0);
    const cost = costOf(expectedCostPicoUsd);
    const suits =
      costWeight === null
        ? expectedError + SLOWNESS_WEIGHT * slowness(expectedSeconds) + COST_WEIGHT * cost - boost + TIER_STEP * (sticky ? 0 : steps)
        : (1 - costWeight) * (expectedError - boost) + costWeight * cost;
    return { ...one, sticky, score: rounded(suits + (health.available ? 0 : UNAVAILABLE)) };
  });
  return tiesDrawn(ranked.toSorted(byScore), costWeight === null ? TIE : 0, view);
}

function tiesDrawn(ranked: readonly Scored[], tie: number, view: RoutingView): Scored[] {
  const [best] = ranked;
  if (!best) return [];
  const tied = ranked.filter(({ score, deployment }) => score <= best.score + tie && deployment.tier === best.deployment.tier);
  const drawn = weightedDraw(
    tied,
    ({ deployment }) => view.capacityOf(deployment.provider.id),
    () => view.random(),
  );
  return [...drawn.map((one) => ({ ...one, score: best.score })), ...ranked.filter((one) => !tied.includes(one))];
}

function byScore(a: Scored, b: Scored): number {
  return a.score - b.score || a.expectedError - b.expectedError || a.expectedSeconds - b.expectedSeconds;
}

type Measured = Omit<Scored, 'score' | 'sticky'>;

function measure(request: InferenceRequest, { difficulty }: Judgement, one: Eligible, warm: string | null): Measured {
  const { deployment, health } = one;
  const { ttftMs, tokensPerSecond } = health;
  const outputTokens = request.operation === 'embed' ? 0 : Math.min(request.outputCap ?? USUAL_OUTPUT_TOKENS, USUAL_OUTPUT_TOKENS);
  return {
    ...one,
    expectedError: expectedErrorOf(difficulty, deployment.tier, health),
    expectedCostPicoUsd: usualCost(request, deployment, outputTokens, deployment.id === warm),
    expectedSeconds: (ttftMs ?? USUAL_TTFT_MS) / 1_000 + outputTokens / (tokensPerSecond ?? deployment.tokensPerSecond),
  };
}

/** The chance that a deployment's answer to a request of a difficulty is wrong, or does not come. */
export function expectedErrorOf(difficulty: number, tier: Tier, { successRate, samples }: DeploymentHealth): number {
  const success = (successRate * samples + USUAL_SUCCESS * USUAL_SAMPLES) / (samples + USUAL_SAMPLES);
  return rounded(1 - (1 - chanceWrong(difficulty, tier)) * success);
}

/** The chance that a tier answers a request of a difficulty wrong: more with the difficulty, less with the tier. */
export function chanceWrong(difficulty: number, tier: Tier): number {
  return WRONG_SHARE[tier] * (LEAST_WRONG + (1 - LEAST_WRONG) * difficulty);
}

/** About what a usual answer costs. Of a prompt that is in its cache, a deployment reads nearly all at that price. */
function usualCost({ bodyBytes, completions }: InferenceRequest, { rateCard }: Deployment, outputTokens: number, isWarm: boolean): number {
  const promptTokens = bodyBytes / BYTES_A_TOKEN;
  const rates = rateCard.steps.findLast(({ fromTokens }) => fromTokens <= promptTokens) ?? rateCard;
  return promptTokens * Number(isWarm ? rates.cacheRead : rates.input) + completions * outputTokens * Number(rates.output);
}

/**
 * From 0 for the cheapest to 1 for the dearest: prices are told apart by their ratio, whatever the dearest one asks, and what is free by far. Where
 * no price is a hundred times another, the dearest comes to less than 1: a penny more is no reason to ask a worse model.
 */
function relativeCost(costs: readonly number[]): (cost: number) => number {
  const most = costs.reduce((a, b) => Math.max(a, b), 0);
  const least = costs.reduce((a, b) => Math.min(a, b), most);
  if (most === least) return () => 0;
  const nothing = most / 10_000;
  const times = (cost: number) => Math.log((cost + nothing) / (least + nothing));
  const span = Math.max(times(most), WIDE_SPAN);
  return (cost) => times(cost) / span;
}

function slowness(seconds: number): number {
  // Without end it is 1, not a quotient of two infinities.
  return 1 - SLOW_SECONDS / (seconds + SLOW_SECONDS);
}

function reaches(tier: Tier, wanted: Tier): boolean {
  return TIERS.indexOf(tier) >= TIERS.indexOf(wanted);
}

/** To the millionth, as figures are told; of a score, what is told is what was compared. */
export function rounded(score: number): number {
  // Not a zero with a sign.
  return Math.round(score * 1e6) / 1e6 + 0;
}
