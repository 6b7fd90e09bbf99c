import { readFileSync } from 'node:fs';
import type { RequestHandler } from 'express';
import type { CapacityWeights } from '../../capacity/capacity-weights.ts';
import { migrationNames } from '../../db/migration-names.ts';
import { isPassing, type Pool } from '../../db/postgres.ts';
import { lastAudit, type LastAudit } from '../../ledger/audit-history.ts';
import type { Wallet } from '../../lightning/wallet.ts';
import type { Observe } from '../../observation.ts';
import type { ExchangeRate } from '../../pricing/exchange-rate.ts';
import { PUBLIC_PROVIDERS } from '../../config/public-providers.ts';
import type { Models } from '../../models/models.ts';
import type { FleetHealth } from '../../routing/fleet-health.ts';
import { providerRows, rateRow, type AuditRow, type StatusReport } from '../../status-report.ts';

export interface StatusRoutesDeps {
  pool: Pool;
  wallet: Pick<Wallet, 'backend' | 'network' | 'status'>;
  models: Pick<Models, 'providers' | 'list'>;
  health: Pick<FleetHealth, 'report' | 'doorOf'>;
  exchangeRate: ExchangeRate;
  capacity: Pick<CapacityWeights, 'status'>;
  /** What the wallet's word cannot tell of: why payments to other nodes are not followed. */
  openElsewhere?: { readonly reason: string | undefined };
  observe: Observe;
  /** Providers that the gateway can talk to once they are configured. */
  knownProviders?: readonly string[];
  /** How long the node may take to answer. */
  nodeDeadlineMs?: number;
}

/** `ok`, or the reason why not. */
interface Parts {
  database: string;
  migrations: string;
  lightning: string;
}

/** A probe's answer is good for this long: these paths need no key, and must not be a way to load the parts. */
const FRESH_MS = 1_000;
/** How long the database may take to tell of the last audit, before what was known of it is told again. */
const AUDIT_DEADLINE_MS = 300;
/** Shorter than who asks, as a balancer does, waits. */
const DEADLINE_MS = 2_000;
const NAMES: Record<Wallet['backend'], string> = { lnd: 'LND', nwc: 'the NWC wallet', simulated: 'the simulated node' };

/** The gateway's version, as in package.json. */
export const VERSION = (JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }).version;

export interface StatusHandlers extends Record<'health' | 'ready' | 'status', RequestHandler> {
  /** What `/api/status` tells, for the page that shows it. */
  report(): Promise<StatusReport>;
}

/** The handlers that tell how the gateway is: alive, ready, and how its providers and its wallet do. */
export function statusHandlers(deps: StatusRoutesDeps): StatusHandlers {
  const { wallet, models, health, exchangeRate, capacity, knownProviders = PUBLIC_PROVIDERS, nodeDeadlineMs = DEADLINE_MS } = deps;
  const asked = shared(() => wallet.status());
  // A node that hangs must not make the gateway look as if it did.
  const lightning = () => within(nodeDeadlineMs, asked(), { ready: false, reason: `${NAMES[wallet.backend]} does not answer` });
  const parts = shared(async (): Promise<Parts> => {
    const [database, node] = await Promise.all([databaseParts(deps), lightning()]);
    return { ...database, lightning: node.ready ? (deps.openElsewhere?.reason ?? 'ok') : (node.reason ?? 'not ready') };
  });

  const audit = remembered(shared(async () => auditRow(await lastAudit(deps.pool))));
  const providers = shared(() => Promise.resolve(providerRows(models, knownProviders, health)));
  const report = async (): Promise<StatusReport> => {
    const [{ ready, reason }, lastKnownAudit] = await Promise.all([lightning(), audit()]);
    return {
      version: VERSION,
      providers: await providers(),
      lightning: { backend: wallet.backend, network: wallet.network, ready, ...(reason !== undefined && { reason }) },
      exchangeRate: rateRow(exchangeRate),
      audit: lastKnownAudit,
      capacity: capacity.status(),
    };
  };

  return {
    /** The process answers; nothing else is asked. */
    health(_req, res) {
      res.json({ status: 'ok' });
    },

    /**
     * 503 while the database or its schema is not usable: a database that cannot write (a full disk, a standby) serves nothing. A node
     * that is away is no reason, for funded keys go on without it.
     */
    async ready(_req, res) {
      const state = await parts();
      const ready = state.database === 'ok' && state.migrations === 'ok';
      res
        .status(ready ? 200 : 503)
        .set('Cache-Control', 'no-store')
        .json({ ready, parts: state });
    },

    report,

    async status(_req, res) {
      res.set('Cache-Control', 'no-store').json(await report());
    },
  };
}

async function databaseParts({ pool, observe }: StatusRoutesDeps): Promise<Pick<Parts, 'database' | 'migrations'>> {
  try {
    const migrations = await within(DEADLINE_MS, databaseState(pool), null);
    if (migrations === null) throw new Error('the database did not answer in time');
    return { database: 'ok', migrations };
  } catch (error) {
    observe({ kind: 'database_not_ready', err: error });
    return isPassing(error) ? { database: 'cannot write', migrations: 'ok' } : { database: 'unreachable', migrations: 'unknown' };
  }
}

/** The state of the schema. Rejects where the database cannot be read or, with a schema to write to, cannot be written. */
async function databaseState(pool: Pool): Promise<string> {
  const migrations = await migrationState(pool);
  // An older schema has nothing to write to, and is not ready anyway.
  if (migrations === 'ok') await writeSomething(pool);
  return migrations;
}

/** Several pages, of room that was not there before: a standby refuses it, and so does a disk without any. */
const WRITE = `insert into write_probes select repeat('x', 8000) from generate_series(1, 8)`;
/** One transaction. Gateways that probe at the same moment come one after the other. */
const WRITE_ANEW = `set local lock_timeout = '200ms'; truncate write_probes; ${WRITE}`;

/** A backup, which reads every table for as long as it runs, lets nobody empty one: what is written meanwhile takes new room by itself. */
async function writeSomething(pool: Pool): Promise<void> {
  try {
    await pool.query(WRITE_ANEW);
  } catch (error) {
    if ((error as { code?: string }).code !== LOCK_NOT_AVAILABLE) throw error;
    await pool.query(WRITE);
  }
}

const UNDEFINED_TABLE = '42P01';
const LOCK_NOT_AVAILABLE = '55P03';

/** Compares the migrations that the database has with those that this version needs. */
async function migrationState(pool: Pool): Promise<string> {
  const needed = await migrationNames();
  try {
    const { rows } = await pool.query<{ name: string }>('select name from schema_migrations');
    const applied = new Set(rows.map(({ name }) => name));
    const missing = needed.filter((name) => !applied.has(name)).length;
    return missing === 0 ? 'ok' : `${missing} missing`;
  } catch (error) {
    if ((error as { code?: string }).code === UNDEFINED_TABLE) return `${needed.length} missing`;
    throw error;
  }
}

/** What `work` comes to, or `late` where that takes longer than `limitMs`. */
async function within<T, L>(limitMs: number, work: Promise<T>, late: L): Promise<T | L> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<L>((resolve) => (timer = setTimeout(resolve, limitMs, late)));
  return Promise.race([work, deadline]).finally(() => clearTimeout(timer));
}

function auditRow(audit: LastAudit | null): AuditRow | null {
  return audit && { at: audit.at.toISOString(), sound: audit.sound };
}

/** What `probe` last told, where it fails or takes too long: null before it ever told anything. */
function remembered<T>(probe: () => Promise<T>): () => Promise<T | null> {
  let known: T | null = null;
  return async () => {
    const asked = probe().then(
      (told) => (known = told),
      () => known,
    );
    await within(AUDIT_DEADLINE_MS, asked, null);
    return known;
  };
}

/** One call of `probe` serves all who ask while it is under way, and for a moment after. */
function shared<T>(probe: () => Promise<T>): () => Promise<T> {
  let latest: { result: Promise<T>; until: number } | undefined;
  return () => {
    if (!latest || performance.now() > latest.until) {
      const call = { result: probe(), until: Infinity };
      const done = (): void => void (call.until = performance.now() + FRESH_MS);
      call.result.then(done, done);
      latest = call;
    }
    return latest.result;
  };
}
