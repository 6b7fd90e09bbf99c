import { z } from 'zod';
import { picoUsdFromUsd } from '../amount.ts';
import { listOf } from '../list-of.ts';
import type { RoutingOptions } from './request.ts';

/** The field `routing` of every surface: how a request wants to be routed. The gateway's own extension of each wire. */
export const routingSchema = z
  .strictObject({
    quality: z.enum(['high', 'low']).nullish().meta({ description: 'Moves the tier that is chosen by one.' }),
    prefer: z.string().min(1).max(128).nullish().meta({ description: 'A provider that is favoured, not demanded.' }),
    maxCost: z.number().min(0).max(1_000_000).nullish().meta({ description: 'The most that the request may cost, in USD.' }),
    maxLatency: z.number().min(1).max(86_400_000).nullish().meta({ description: 'Milliseconds to the first token.' }),
    excludeProviders: listOf(z.string().min(1).max(128), { max: 64 }).nullish(),
    models: listOf(z.string().min(1).max(256), { min: 1, max: 64 }).nullish().meta({ description: 'To choose from.' }),
    cost_weight: z.number().min(0).max(1).nullish().meta({ description: '0 ignores what it costs, 1 how good it is.' }),
    cascade: z.boolean().nullish().meta({ description: 'The cheapest tier first, dearer ones while the confidence is too low.' }),
    cascade_threshold: z.number().min(0).max(1).nullish().meta({ description: 'The confidence that is enough.' }),
    cascade_max_depth: z.int().min(1).max(3).nullish(),
  })
  .meta({ id: 'RoutingOptions', description: 'How the request wants to be routed.' });

const CASCADE_THRESHOLD = 0.7;
const CASCADE_MAX_DEPTH = 3;

/** @param value as `routingSchema` has checked it; undefined where the client did not say. */
export function readRouting(value: unknown): RoutingOptions {
  const routing = value as z.infer<typeof routingSchema> | null | undefined;
  return {
    quality: routing?.quality ?? null,
    prefer: routing?.prefer ?? null,
    maxCostPicoUsd: typeof routing?.maxCost === 'number' ? picoUsdFromUsd(routing.maxCost) : null,
    maxLatencyMs: routing?.maxLatency ?? null,
    excludeProviders: routing?.excludeProviders ?? [],
    models: routing?.models ?? null,
    costWeight: routing?.cost_weight ?? null,
    cascade: routing?.cascade
      ? { threshold: routing.cascade_threshold ?? CASCADE_THRESHOLD, maxDepth: routing.cascade_max_depth ?? CASCADE_MAX_DEPTH }
      : null,
  };
}
