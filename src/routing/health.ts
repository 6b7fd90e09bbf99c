/** How one dispatch to a provider went. */
export interface Observation {
  ok: boolean;
  /** To the answer's headers. */
  latencyMs: number;
  /** When it ended, on the clock of `createProviderHealth`; now where left out. */
  at?: number;
}

/** The spans over which a provider's traffic is summed up. */
export const HEALTH_WINDOWS = { '1m': 60_000, '5m': 300_000, '1h': 3_600_000, '24h': 86_400_000 } as const;
export type HealthWindow = keyof typeof HEALTH_WINDOWS;

/** A span's traffic; the rates are null where there was none. */
export interface WindowStats {
  requests: number;
  /** 0 to 1. */
  successRate: number | null;
  /** Mean of the successful ones. */
  latencyMs: number | null;
}

export interface HealthSnapshot {
  /** `idle`: no traffic in 5 minutes; `degraded`: more than a tenth of it failed. */
  status: 'active' | 'idle' | 'degraded';
  windows: Record<HealthWindow, WindowStats>;
}

/** The recent success and speed of every provider, as this process saw them. */
export interface ProviderHealth {
  observe(providerId: string, observation: Observation): void;
  snapshot(providerId: string): HealthSnapshot;
}

const BUCKETS = 60;
const HEALTHY_SUCCESS_RATE = 0.9;
const WINDOWS = Object.keys(HEALTH_WINDOWS) as HealthWindow[];

interface Bucket {
  /** Which slice of time the sums are of; a bucket is used again when its slice has left the window. */
  slice: number;
  requests: number;
  ok: number;
  okLatencyMs: number;
}

/**
 * Keeps the statistics in rings of 60 buckets a window, so that memory depends on the number of providers alone.
 * @param now a monotonic clock in milliseconds.
 */
export function createProviderHealth(now: () => number = () => performance.now()): ProviderHealth {
  const providers = new Map<string, Record<HealthWindow, Bucket[]>>();

  return {
    observe(providerId, { ok, latencyMs, at = now() }) {
      let rings = providers.get(providerId);
      if (!rings) providers.set(providerId, (rings = emptyRings()));
      for (const window of WINDOWS) record(rings[window], sliceOf(window, at), ok, latencyMs);
    },
    snapshot(providerId) {
      const at = now();
      const rings = providers.get(providerId) ?? emptyRings();
      const windows = Object.fromEntries(WINDOWS.map((window) => [window, sum(rings[window], sliceOf(window, at))]));
      return describe(windows as Record<HealthWindow, WindowStats>);
    },
  };
}

function sliceOf(window: HealthWindow, at: number): number {
  return Math.floor(at / (HEALTH_WINDOWS[window] / BUCKETS));
}

function emptyRings(): Record<HealthWindow, Bucket[]> {
  const ring = (): Bucket[] => Array.from({ length: BUCKETS }, () => ({ slice: -1, requests: 0, ok: 0, okLatencyMs: 0 }));
  return { '1m': ring(), '5m': ring(), '1h': ring(), '24h': ring() };
}

function record(ring: Bucket[], slice: number, ok: boolean, latencyMs: number): void {
  const bucket = ring[((slice % BUCKETS) + BUCKETS) % BUCKETS];
  if (!bucket || bucket.slice > slice) return;
  if (bucket.slice < slice) Object.assign(bucket, { slice, requests: 0, ok: 0, okLatencyMs: 0 });
  bucket.requests += 1;
  if (ok) {
    bucket.ok += 1;
    bucket.okLatencyMs += latencyMs;
  }
}

function sum(ring: Bucket[], current: number): WindowStats {
  let requests = 0;
  let ok = 0;
  let okLatencyMs = 0;
  for (const bucket of ring) {
    if (bucket.slice <= current - BUCKETS || bucket.slice > current) continue;
    requests += bucket.requests;
    ok += bucket.ok;
    okLatencyMs += bucket.okLatencyMs;
  }
  return {
    requests,
    successRate: requests > 0 ? ok / requests : null,
    latencyMs: ok > 0 ? Math.round((okLatencyMs / ok) * 10) / 10 : null,
  };
}

function describe(windows: Record<HealthWindow, WindowStats>): HealthSnapshot {
  const { successRate } = windows['5m'];
  if (successRate === null) return { status: 'idle', windows };
  return { status: successRate < HEALTHY_SUCCESS_RATE ? 'degraded' : 'active', windows };
}
