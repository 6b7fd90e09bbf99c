import { z } from 'zod';
import { picoUsdFromUsd } from '../amount.ts';
import { listOf } from '../list-of.ts';
import type { RoutingOptions } from './request.ts';

/** The field `routing` of every surface: how a request wants to be routed. The gateway's own extension of each wire. */
export const routingSchema = z.strictObject({
  quality: z.enum(['high', 'low']).nullish(),
  prefer: z.string().min(1).max(128).nullish(),
  /** USD. */
  maxCost: z.number().min(0).max(1_000_000).nullish(),
  /** Milliseconds. */
  maxLatency: z.number().min(1).max(86_400_000).nullish(),
  excludeProviders: listOf(z.string().min(1).max(128), { max: 64 }).nullish(),
  models: listOf(z.string().min(1).max(256), { min: 1, max: 64 }).nullish(),
  cost_weight: z.number().min(0).max(1).nullish(),
  cascade: z.boolean().nullish(),
  cascade_threshold: z.number().min(0).max(1).nullish(),
  cascade_max_depth: z.int().min(1).max(3).nullish(),
});

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
