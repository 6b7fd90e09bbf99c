import { setTimeout as delay } from 'node:timers/promises';
import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';
import type { Logger } from '../log.ts';
import type { FleetHealth, SharedMinute } from '../routing/fleet-health.ts';
import { KEPT_MINUTES, MINUTE_MS } from '../routing/traffic.ts';
import { every, type Job } from './every.ts';

export interface ShareHealthDeps {
  pool: Pool;
  health: Pick<FleetHealth, 'take' | 'written' | 'merge' | 'prune'>;
  log: Logger;
  intervalMs?: number;
}

const INTERVAL_MS = 5_000;
const TIDY_MS = 10 * MINUTE_MS;
/** A transaction that was under way when the last one read is younger than this. */
const OVERLAP_SECONDS = 60;
/** Stopping waits no longer than this for a database that is away. */
const LAST_WRITE_MS = 2_000;

/** In the order of the key, so that two gateways never wait for each other. */
const ADD = `insert into deployment_minutes as m
  (deployment, provider, minute, ok, faults, latency_ms, streams, ttft_ms, output_tokens, output_seconds, paused_until, written_at)
  select d, p, minute, ok, faults, latency, streams, ttft, tokens, seconds, to_timestamp(paused / 1000), clock_timestamp()
  from unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::int[], $6::float8[], $7::int[], $8::float8[], $9::float8[], $10::float8[],
    $11::float8[]) t (d, p, minute, ok, faults, latency, streams, ttft, tokens, seconds, paused)
  order by minute, d
  on conflict (minute, deployment) do update set
    ok = m.ok + excluded.ok, faults = m.faults + excluded.faults, latency_ms = m.latency_ms + excluded.latency_ms,
    streams = m.streams + excluded.streams, ttft_ms = m.ttft_ms + excluded.ttft_ms,
    output_tokens = m.output_tokens + excluded.output_tokens, output_seconds = m.output_seconds + excluded.output_seconds,
    paused_until = greatest(m.paused_until, excluded.paused_until), written_at = excluded.written_at`;

const READ = `select deployment, provider, minute, ok, faults, latency_ms, streams, ttft_ms, output_tokens, output_seconds,
    (extract(epoch from paused_until) * 1000)::float8 as paused_until
  from deployment_minutes where minute >= $1 and written_at > clock_timestamp() - make_interval(secs => $2) order by minute`;

interface Row {
  deployment: string;
  provider: string;
  minute: number;
  ok: number;
  faults: number;
  latency_ms: number;
  streams: number;
  ttft_ms: number;
  output_tokens: number;
  output_seconds: number;
  paused_until: number | null;
}

/**
 * Tells the other gateways, and the one after a restart, how attempts went, and learns from them. A database that is away delays that and
 * nothing else. The last attempts are written as the job stops.
 */
export function shareHealth(deps: ShareHealthDeps): Job {
  const beat = sharingBeat(deps);
  const job = every(deps.intervalMs ?? INTERVAL_MS, 'share health', beat, deps.log);
  return {
    wake: () => job.wake(),
    async stop() {
      const last = job.stop().then(beat);
      await Promise.race([last, delay(LAST_WRITE_MS, undefined, { ref: false })]);
    },
  };
}

/** One exchange with the table; one is over before the next begins. Never rejects for a database that is away, and says so once. */
export function sharingBeat({ pool, health, log }: ShareHealthDeps): () => Promise<void> {
  let readAt: number | null = null;
  let tidiedAt = -Infinity;
  let isAway = false;
  return async () => {
    const now = performance.now();
    const oldest = Math.floor(Date.now() / MINUTE_MS) - KEPT_MINUTES;
    // What is older than all that is kept cannot be asked for.
    const sinceSeconds = readAt === null ? (KEPT_MINUTES * MINUTE_MS) / 1000 : (now - readAt) / 1000 + OVERLAP_SECONDS;
    const own = health.take();
    let all: readonly SharedMinute[];
    try {
      all = await transaction(pool, (client) => exchange(client, own, oldest, sinceSeconds));
    } catch (error) {
      health.written(false);
      if (!isAway) log.warn({ err: error }, 'the health of deployments cannot be shared now; this gateway goes by what it sees itself');
      isAway = true;
      return;
    }
    health.written(true);
    health.merge(all);
    readAt = now;
    isAway = false;
    if (now - tidiedAt < TIDY_MS) return;
    tidiedAt = now;
    health.prune();
    await pool.query('delete from deployment_minutes where minute < $1', [oldest]);
  };
}

async function exchange(client: PoolClient, own: readonly SharedMinute[], oldest: number, sinceSeconds: number): Promise<SharedMinute[]> {
  if (own.length > 0) {
    const column = <T>(value: (one: SharedMinute) => T): T[] => own.map(value);
    await client.query(ADD, [
      column(({ deploymentId }) => deploymentId),
      column(({ providerId }) => providerId),
      column(({ minute }) => minute),
      column(({ tally }) => tally.ok),
      column(({ tally }) => tally.faults),
      column(({ tally }) => tally.latencyMs),
      column(({ tally }) => tally.streams),
      column(({ tally }) => tally.ttftMs),
      column(({ tally }) => tally.outputTokens),
      column(({ tally }) => tally.outputSeconds),
      column(({ pausedUntil }) => pausedUntil),
    ]);
  }
  const { rows } = await client.query<Row>(READ, [oldest, sinceSeconds]);
  return rows.map(minuteOf);
}

function minuteOf(row: Row): SharedMinute {
  const { deployment: deploymentId, provider: providerId, minute, ok, faults, streams, paused_until: pausedUntil } = row;
  const { latency_ms: latencyMs, ttft_ms: ttftMs, output_tokens: outputTokens, output_seconds: outputSeconds } = row;
  return { deploymentId, providerId, minute, tally: { ok, faults, latencyMs, streams, ttftMs, outputTokens, outputSeconds }, pausedUntil };
}
