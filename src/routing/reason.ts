import type { InferenceRequest } from '../wires/request.ts';
import type { Tier } from '../providers/provider.ts';
import type { Judgement } from './complexity.ts';
import type { Scored } from './score.ts';

interface Chosen {
  /** The best first. */
  readonly ranked: readonly Scored[];
  readonly first: Scored;
  readonly explored: boolean;
}

/** One sentence: what the request was taken for, and why this model answers it. */
export function reasonFor({ routing }: InferenceRequest, judgement: Judgement, chosen: Chosen): string {
  return `${judgement.reasoning.replace(/\.$/, '')}; ${chosen.first.deployment.model} ${why(routing, judgement, chosen)}.`;
}

function why(
  { costWeight, prefer, cascade }: InferenceRequest['routing'],
  { tier }: Judgement,
  { ranked, first, explored }: Chosen,
): string {
  const { deployment, health, sticky } = first;
  if (!health.available) return 'is the best of those that may answer it, none of which is available now';
  if (explored) return `is tried to learn how it does, in place of ${ranked[0]?.deployment.model}`;
  if (sticky) return 'has the conversation in its prompt cache';
  const available = ranked.filter((one) => one.health.available);
  if (costWeight !== null) return `has the lowest score of ${count(available)} at a cost weight of ${costWeight}`;
  const peers = available.filter((one) => one.deployment.tier === deployment.tier);
  const among = `${count(peers)} of the ${deployment.tier} tier`;
  const instead = cascade ? ', with which its cascade begins' : insteadOf(tier, deployment.tier, ranked);
  if (peers.length === 1) return `is the one available model of the ${deployment.tier} tier${instead}`;
  if (deployment.provider.id === prefer) return `is the preferred provider's among ${among}${instead}`;
  const isLeast = (figureOf: (one: Scored) => number) => peers.every((peer) => figureOf(first) <= figureOf(peer));
  if (isLeast((one) => one.expectedCostPicoUsd)) return `is the cheapest of ${among}${instead}`;
  if (isLeast((one) => one.expectedSeconds)) return `is the fastest of ${among}${instead}`;
  if (isLeast((one) => one.expectedError)) return `is the most reliable of ${among}${instead}`;
  return `has the best balance of reliability, speed and price of ${among}${instead}`;
}

/** Why a tier answers in place of the one that the request is for: that has nobody, or nobody who can answer now. */
function insteadOf(wanted: Tier, tier: Tier, ranked: readonly Scored[]): string {
  if (tier === wanted) return '';
  const hasSome = ranked.some(({ deployment }) => deployment.tier === wanted);
  return hasSome ? `, as no model of the ${wanted} tier is available now` : `, as there is no model of the ${wanted} tier to choose from`;
}

function count(some: readonly Scored[]): string {
  return `${some.length} available ${some.length === 1 ? 'model' : 'models'}`;
}
