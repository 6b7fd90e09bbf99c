import type { Scored } from './score.ts';

/** Every candidate makes the hold as dear as the dearest of them: a few are enough. */
const MAX_CANDIDATES = 3;

/**
 * The best one, and fallbacks of its tier and the cheaper ones; a dearer one only where none of these is available. The first fallback is at
 * another provider where there is one that is available, so that the outage of a provider is survived.
 */
export function withFallbacks(ranked: readonly Scored[]): Scored[] {
  const [best, ...others] = ranked;
  if (!best) return [];
  const noDearer = others.filter(
    ({ deployment: { rateCard, tier } }) => tier === best.deployment.tier || rateCard.output <= best.deployment.rateCard.output,
  );
  // Who is not available cannot stand in: then a dearer one must, and comes first, as the ranking has those who are not available last.
  const canStandIn = noDearer.some(({ health }) => health.available);
  const dearer = canStandIn ? [] : others.filter((one) => !noDearer.includes(one)).slice(0, 1);
  const pool = [...dearer, ...noDearer];
  const elsewhere = pool.findIndex(({ deployment, health }) => health.available && deployment.provider.id !== best.deployment.provider.id);
  if (elsewhere > 0) pool.unshift(...pool.splice(elsewhere, 1));
  return [best, ...pool.slice(0, MAX_CANDIDATES - 1)];
}
