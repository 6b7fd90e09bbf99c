import { setTimeout as delay } from 'node:timers/promises';
import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';
import type { Observe } from '../observation.ts';
import type { FleetHealth, SharedMinute } from '../routing/fleet-health.ts';
import { KEPT_MINUTES, MINUTE_MS } from '../routing/traffic.ts';
import { every, type Job } from './every.ts';

export interface ShareHealthDeps {
  pool: Pool;
  health: Pick<FleetHealth, 'take' | 'written' | 'merge' | 'prune'>;
  observe: Observe;
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
    paused_until = greatest(m.paused_until, excluded.paused_until), written_at = excluded.written_at
  returning pg_current_xact_id()::text as transaction`;

/** What became of a transaction whose answer was lost: null where that is too long ago to be known. */
const WENT_HOW = 'select pg_xact_status($1::xid8) as status';
/** The error of a transaction that is yet to come. */
const OF_THE_FUTURE = '22023';

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
  const job = every(deps.intervalMs ?? INTERVAL_MS, 'share health', beat, deps.observe);
  return {
    wake: () => job.wake(),
    async stop() {
      const last = job.stop().then(beat);
      await Promise.race([last, delay(LAST_WRITE_MS, undefined, { ref: false })]);
    },
  };
}

/**
 * One exchange with the table; one is over before the next begins. Never rejects for a database that is away, and says so once. Where the
 * answer to a commit is lost, the database is asked first what became of it, so that nothing is added twice.
 */
export function sharingBeat({ pool, health, observe }: ShareHealthDeps): () => Promise<void> {
  let readAt: number | null = null;
  let tidiedAt = -Infinity;
  let isAway = false;
  /** The transaction that wrote own attempts, while it is not known whether it went through. */
  let unsure: string | null = null;
  const settle = async (): Promise<boolean> => {
    if (unsure === null) return true;
    const status = await statusOf(pool, unsure);
    if (status === 'in progress') return false;
    // What cannot be known any more is better lost than counted twice.
    health.written(status !== 'aborted');
    unsure = null;
    return true;
  };
  const share = async (oldest: number, sinceSeconds: number): Promise<boolean> => {
    if (!(await settle())) return false;
    const own = health.take();
    let all: readonly SharedMinute[];
    try {
      all = await transaction(pool, (client) => exchange(client, { own, oldest, sinceSeconds, onWrite: (written) => (unsure = written) }));
    } catch (error) {
      if (unsure === null) health.written(false);
      throw error;
    }
    unsure = null;
    health.written(true);
    health.merge(all);
    return true;
  };
  return async () => {
    const now = performance.now();
    const oldest = Math.floor(Date.now() / MINUTE_MS) - KEPT_MINUTES;
    // What is older than all that is kept cannot be asked for.
    const sinceSeconds = readAt === null ? (KEPT_MINUTES * MINUTE_MS) / 1000 : (now - readAt) / 1000 + OVERLAP_SECONDS;
    try {
      if (!(await share(oldest, sinceSeconds))) return;
    } catch (error) {
      if (!isAway) observe({ kind: 'health_not_shared', err: error });
      isAway = true;
      return;
    }
    readAt = now;
    isAway = false;
    if (now - tidiedAt < TIDY_MS) return;
    tidiedAt = now;
    health.prune();
    await pool.query('delete from deployment_minutes where minute < $1', [oldest]);
  };
}

/** `committed`, `aborted` or `in progress`; null where the database knows no such transaction, as one that was restored does not. */
async function statusOf(pool: Pool, written: string): Promise<string | null> {
  try {
    const { rows } = await pool.query<{ status: string | null }>(WENT_HOW, [written]);
    return rows[0]?.status ?? null;
  } catch (error) {
    if ((error as { code?: string }).code === OF_THE_FUTURE) return null;
    throw error;
  }
}

interface Exchange {
  readonly own: readonly SharedMinute[];
  readonly oldest: number;
  readonly sinceSeconds: number;
  /** Told which transaction has written, before it is committed. */
  readonly onWrite: (transaction: string) => void;
}

async function exchange(client: PoolClient, { own, oldest, sinceSeconds, onWrite }: Exchange): Promise<SharedMinute[]> {
  if (own.length > 0) {
    const column = <T>(value: (one: SharedMinute) => T): T[] => own.map(value);
    const { rows: written } = await client.query<{ transaction: string }>(ADD, [
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
    if (written[0]) onWrite(written[0].transaction);
  }
  const { rows } = await client.query<Row>(READ, [oldest, sinceSeconds]);
  return rows.map(minuteOf);
}

function minuteOf(row: Row): SharedMinute {
  const { deployment: deploymentId, provider: providerId, minute, ok, faults, streams, paused_until: pausedUntil } = row;
  const { latency_ms: latencyMs, ttft_ms: ttftMs, output_tokens: outputTokens, output_seconds: outputSeconds } = row;
  return { deploymentId, providerId, minute, tally: { ok, faults, latencyMs, streams, ttftMs, outputTokens, outputSeconds }, pausedUntil };
}
