import type { Pool } from '../db/postgres.ts';
import { readPaymentRequest } from '../lightning/payment-request.ts';
import type { Network } from '../lightning/wallet.ts';
import { CONNECTIONS_A_GATEWAY, notLookedAt } from './database-checks.ts';
import { note, ok, problem, warning, type Check, type Finding } from './finding.ts';
import type { ReachedDatabase } from './reach-database.ts';
import type { World } from './world.ts';

const SAMPLES = 3;
/** More than networks and scheduling explain, and what breaks expiries and days. */
const NOTICED_MS = 2_000;
const BAD_MS = 30_000;
const NTP = 'Let the machine keep its time by NTP: timedatectl set-ntp true, or chrony.';

/** The clocks: this machine's against the database's, the node's by what it made, and those of the gateways that run. */
export function clockChecks(database: ReachedDatabase, world: World): Check[] {
  const { pool } = database;
  return [
    { name: 'clock', look: () => (pool ? lookAtDatabase(pool, world) : [notLookedAt]) },
    { name: 'clock of the node', look: () => (pool ? lookAtNode(pool) : [notLookedAt]) },
    { name: 'gateways', look: () => (pool ? lookAtGateways(pool) : [notLookedAt]) },
  ];
}

async function lookAtDatabase(pool: Pool, world: World): Promise<Finding[]> {
  let best = { tookMs: Infinity, aheadMs: 0 };
  for (let sample = 0; sample < SAMPLES; sample++) {
    const before = world.now();
    const { rows } = await pool.query<{ ms: number }>('select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms');
    const after = world.now();
    const tookMs = after - before;
    if (tookMs <= best.tookMs) best = { tookMs, aheadMs: (before + after) / 2 - (rows[0]?.ms ?? 0) };
  }
  // Half of the way there and back cannot be told from a difference.
  return [judged('this machine', best.aheadMs, best.tookMs / 2)];
}

function judged(whose: string, aheadMs: number, uncertainMs = 0): Finding {
  const differs = Math.max(0, Math.abs(aheadMs) - uncertainMs);
  const told = `the clock of ${whose} is ${seconds(aheadMs)} ${aheadMs < 0 ? 'behind' : 'ahead of'} the database's`;
  if (differs > BAD_MS) return problem(told, NTP);
  if (differs > NOTICED_MS) return warning(told, NTP);
  return ok(`the clock of ${whose} agrees with the database's within ${seconds(Math.max(Math.abs(aheadMs), 100))}`);
}

function seconds(ms: number): string {
  return `${(Math.abs(ms) / 1000).toFixed(1)} s`;
}

/** An invoice carries the node's time, and its row was made just before. */
const MADE = `
  select i.bolt11, i.created_at, n.network from invoices i join lightning_nodes n using (node_id)
  where i.bolt11 is not null and i.created_at > now() - interval '1 day' order by i.created_at desc limit 5`;

async function lookAtNode(pool: Pool): Promise<Finding[]> {
  const { rows } = await pool.query<{ bolt11: string; created_at: Date; network: Network }>(MADE);
  if (rows.length === 0) return [note('no invoice of the last day tells', 'Make one, and run this again.')];
  // Whole seconds, rounded down, and later than the row by what the node took: the least of them is the nearest.
  const ahead = rows.map(
    ({ bolt11, created_at, network }) => readPaymentRequest(bolt11, network).createdAt.getTime() - created_at.getTime(),
  );
  return [judged('the node', ahead.toSorted((a, b) => Math.abs(a) - Math.abs(b))[0] ?? 0, 1_000)];
}

/** A request's id has its gateway's time in its first 48 bits, its hold the database's. Newest first, by the index of the ids. */
const BY_GATEWAY = `
  with newest as (
    select instance_id, created_at, ('x' || left(replace(request_id::text, '-', ''), 12))::bit(48)::bigint as id_ms from holds
    where request_id > (lpad(to_hex((extract(epoch from now() - interval '1 hour') * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
    order by request_id desc limit 5000
  )
  select i.id, (select count(*)::integer from newest n where n.instance_id = i.id) as requests,
    (select max(n.id_ms - extract(epoch from n.created_at) * 1000)::float8 from newest n where n.instance_id = i.id) as ahead_ms
  from instances i where i.beat_at > clock_timestamp() - interval '15 seconds' order by i.id`;
/** A request's body may take its time: so many cannot all have been slow. */
const ENOUGH_REQUESTS = 20;

async function lookAtGateways(pool: Pool): Promise<Finding[]> {
  const { rows } = await pool.query<{ id: string; requests: number; ahead_ms: number | null }>(BY_GATEWAY);
  if (rows.length === 0) return [note('no gateway runs on this database')];
  const found = rows.flatMap(({ id, requests, ahead_ms: aheadMs }) => {
    if (aheadMs === null || Math.abs(aheadMs) <= NOTICED_MS || (aheadMs < 0 && requests < ENOUGH_REQUESTS)) return [];
    return [judged(`gateway ${id.slice(0, 8)}`, aheadMs)];
  });
  const most = await pool.query<{ most: number }>(`select current_setting('max_connections')::integer as most`);
  const needed = rows.length * CONNECTIONS_A_GATEWAY;
  if (needed > (most.rows[0]?.most ?? 0)) {
    found.push(
      warning(
        `${rows.length} gateways may take ${needed} connections, and the server has ${most.rows[0]?.most}`,
        'Raise max_connections, or put PgBouncer in session mode between.',
      ),
    );
  }
  return [ok(rows.length === 1 ? 'one runs' : `${rows.length} run`), ...found];
}
