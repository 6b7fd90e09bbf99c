import type { InferenceRequest } from '../wires/request.ts';
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

function why({ costWeight, prefer }: InferenceRequest['routing'], { tier }: Judgement, { ranked, first, explored }: Chosen): string {
  const { deployment, health, sticky } = first;
  if (!health.available) return 'is the best of those that may answer it, none of which is available now';
  if (explored) return `is tried to learn how it does, in place of ${ranked[0]?.deployment.model}`;
  if (sticky) return 'has the conversation in its prompt cache';
  if (costWeight !== null) return `has the lowest score of ${count(ranked)} at a cost weight of ${costWeight}`;
  const peers = ranked.filter((one) => one.deployment.tier === deployment.tier && one.health.available);
  const among = `${count(peers)} of the ${deployment.tier} tier`;
  const instead = deployment.tier === tier ? '' : `, as nothing of the ${tier} tier can answer it now`;
  if (peers.length === 1) return `is the one available model of the ${deployment.tier} tier${instead}`;
  if (deployment.provider.id === prefer) return `is the preferred provider's among ${among}${instead}`;
  const isLeast = (figureOf: (one: Scored) => number) => peers.every((peer) => figureOf(first) <= figureOf(peer));
  if (isLeast((one) => one.expectedCostPicoUsd)) return `is the cheapest of ${among}${instead}`;
  if (isLeast((one) => one.expectedSeconds)) return `is the fastest of ${among}${instead}`;
  if (isLeast((one) => one.expectedError)) return `is the most reliable of ${among}${instead}`;
  return `has the best balance of reliability, speed and price of ${among}${instead}`;
}

function count(some: readonly Scored[]): string {
  return `${some.length} available ${some.length === 1 ? 'model' : 'models'}`;
}
