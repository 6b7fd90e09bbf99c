import type { ProviderHealth } from '../routing/health.ts';
import type { Ending, Grant, Leg } from './call.ts';
import { observe } from './reach.ts';

/** Waits until an answer that has begun has reached its client, or will not. JSON goes out once it is settled. Never rejects. */
export async function deliver(health: ProviderHealth, leg: Leg, { cancellation }: Grant): Promise<Ending> {
  if (leg.kind !== 'stream') return leg;
  const end = await leg.stream.ended;
  cancellation.onAbort = undefined;
  const brokenOff = end.reason === 'broke_off' || end.reason === 'provider_error';
  observe(health, cancellation, leg, { ok: !brokenOff, at: end.deliveredAt });
  return { ...leg, end };
}
