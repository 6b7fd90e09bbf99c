/** Each provider's capacity in proportion to the largest, 0 to 1; null where nothing is known of any. */
export type Capacity = ReadonlyMap<string, number> | null;

/** Where capacities come from, as `/api/status` tells it. */
export interface CapacityState {
  readonly source: 'equal' | 'configured' | 'chain';
  readonly chainId: number | null;
  readonly pool: string | null;
  /** At which the units were read. */
  readonly block?: number;
  /** When the units were read last, ISO 8601. */
  readonly updatedAt: string | null;
  /** Whether the last attempt to read failed after an earlier one did not. */
  readonly stale: boolean;
  /** Why the weights are not those of now; null where they are. */
  readonly reason: string | null;
}

/** Something that capacities come from. */
export interface CapacitySource {
  proportions(): Capacity;
  state(): CapacityState;
}

/** The proportions of weights; null where none is above 0. */
export function proportionsOf(weights: readonly (readonly [provider: string, weight: number])[]): Capacity {
  const largest = weights.reduce((most, [, weight]) => Math.max(most, weight), 0);
  return largest > 0 ? new Map(weights.map(([provider, weight]) => [provider, weight / largest])) : null;
}
