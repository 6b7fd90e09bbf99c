import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from '../log.ts';
import { embeddedBinaries, type PostgresBinaries } from './embedded-binaries.ts';
import { CLUSTER_USER, createCluster } from './embedded-cluster.ts';
import { chooseDirectory, clusterPassword, directoryInUse, lockDirectory, type EmbeddedDirectory } from './embedded-directory.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { runningServer, startServer, stopServer, type PostgresSettings } from './embedded-postmaster.ts';

export interface EmbeddedPostgresOptions {
  /** Where the data should lie; see `EmbeddedPostgres.dataDir` for where it does. */
  dataDir: string;
  projectDir: string;
  log: Logger;
  /** Server settings on top of the durable defaults. */
  settings?: PostgresSettings;
  /** Where a gateway is running on the directory: join its server instead of refusing. `stop` then leaves it alone. */
  join?: boolean;
}

/** A running PostgreSQL that this process looks after. */
export interface EmbeddedPostgres {
  readonly connectionString: string;
  /** The directory really used: `dataDir`, or its stand-in where the database's user cannot get there. */
  readonly dataDir: string;
  /** Whether the server was found running, left behind by a gateway that was killed. */
  readonly adopted: boolean;
  /** Stops the server and frees the directory. End your own connections first: they would be cut. */
  stop(): Promise<void>;
}

const DATABASE = 'pura';
const CONNECT_TIMEOUT_MS = 5_000;
const RETRY_FIRST_MS = 50;
const RETRY_LAST_MS = 5_000;
const STEADY_MS = 10_000;
const START_ATTEMPTS = 50;
const START_RETRY_MS = 100;
const START_TIMEOUT_MS = 60_000;

interface Cluster extends EmbeddedDirectory {
  readonly binaries: PostgresBinaries;
  readonly password: string;
  readonly settings: PostgresSettings;
}

/**
 * Starts the embedded PostgreSQL: makes the cluster at the first start, adopts a server that a killed gateway left
 * behind, and brings the server back on the same port whenever it dies. Commits are durable unless `settings` say
 * otherwise. Throws EmbeddedPostgresError where another gateway runs on the directory or PostgreSQL cannot run.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const place = await chooseDirectory(options.dataDir, options.projectDir);
  const unlock = lockDirectory(place.directory);
  if (!unlock) return joinRunning(place, options.join ?? false);
  try {
    return await startLocked(place, options, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

async function startLocked(
  place: EmbeddedDirectory,
  { settings = {}, log }: EmbeddedPostgresOptions,
  unlock: () => void,
): Promise<EmbeddedPostgres> {
  const password = clusterPassword(place);
  const binaries = await embeddedBinaries(place.user, place.copiesDir);
  await createCluster(place, binaries, password, settings['fsync'] !== 'off');
  const cluster = { ...place, binaries, password, settings };
  const found = runningServer(place.clusterDir);
  const port = found?.port ?? (await startOnFreePort(cluster));
  const guard = watchServer(cluster, port, log, await connectPatiently(cluster, port));
  try {
    await createDatabase(cluster, port);
  } catch (error) {
    await guard.stop();
    throw error;
  }
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    await guard.stop();
    await stopServer(place, binaries);
    unlock();
  };
  return {
    connectionString: connectionString(password, port, DATABASE),
    dataDir: place.directory,
    adopted: found !== undefined,
    stop: () => (stopped ??= stop()),
  };
}

async function joinRunning(place: EmbeddedDirectory, join: boolean): Promise<EmbeddedPostgres> {
  const server = runningServer(place.clusterDir);
  if (!join || !server?.ready) throw directoryInUse(place.directory);
  return {
    connectionString: connectionString(clusterPassword(place), server.port, DATABASE),
    dataDir: place.directory,
    adopted: false,
    stop: () => Promise.resolve(),
  };
}

/**
 * Starts the server on a port that was free a moment ago; should it be taken meanwhile, on another. Processes of a
 * server that was killed can hold its memory for a moment longer: they are waited for.
 */
async function startOnFreePort(cluster: Cluster): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      await startServer(cluster, cluster.binaries, port, cluster.settings);
      return port;
    } catch (error) {
      if (attempt === START_ATTEMPTS || !/address already in use|is still in use/i.test((error as Error).message)) throw error;
      await delay(START_RETRY_MS);
    }
  }
}

/**
 * A free port below those that systems give to outgoing connections: while the server is away, one of its clients'
 * own attempts to reconnect could otherwise be given the server's port and keep it.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const probe = createServer();
    const free = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    probe.close();
    await once(probe, 'close');
    return port;
  }
}

/**
 * Holds one connection, which ends whenever the server does, and then brings the server back: a crash that it recovers
 * from by itself is waited for, a dead server is started again on its port, so that pools find it where it was.
 */
function watchServer(cluster: Cluster, port: number, log: Logger, first: pg.Client): { stop(): Promise<void> } {
  const stopping = new AbortController();
  let client: pg.Client | undefined = first;
  const watching = (async () => {
    let failures = 0;
    for (;;) {
      const since = performance.now();
      if (client) await lost(client);
      if (stopping.signal.aborted) return;
      if (performance.now() - since > STEADY_MS) failures = 0;
      log.warn({ port }, 'the embedded PostgreSQL went away: bringing it back');
      await delay(failures === 0 ? 0 : Math.min(RETRY_FIRST_MS * 2 ** failures, RETRY_LAST_MS), undefined, {
        signal: stopping.signal,
      }).catch(() => {});
      if (stopping.signal.aborted) return;
      failures++;
      client = await bringBack(cluster, port).catch((error: Error) => {
        log.warn({ err: error }, 'the embedded PostgreSQL is not back yet');
        return undefined;
      });
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await client?.end();
      await watching;
      await client?.end();
    },
  };
}

async function bringBack(cluster: Cluster, port: number): Promise<pg.Client> {
  if (!runningServer(cluster.clusterDir)) await startServer(cluster, cluster.binaries, port, cluster.settings);
  return connect(cluster, port);
}

async function lost(client: pg.Client): Promise<void> {
  await new Promise<void>((resolve) => client.once('end', resolve));
}

/** Connects to a server that may still be recovering from a crash, or shutting down. */
async function connectPatiently(cluster: Cluster, port: number): Promise<pg.Client> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return await bringBack(cluster, port);
    } catch (error) {
      if (error instanceof EmbeddedPostgresError || performance.now() > deadline) throw error;
      await delay(RETRY_FIRST_MS);
    }
  }
}

/**
 * Connects to the cluster's server. Scram proves to each side that the other knows the password, and the server is
 * asked for its directory: a stranger on that port is never taken for ours.
 */
async function connect(cluster: Cluster, port: number): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: connectionString(cluster.password, port, 'postgres'),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
  });
  // Its loss is seen by its end.
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ data_directory: string }>('show data_directory');
    if (rows[0]?.data_directory !== realpathSync(cluster.clusterDir)) throw foreignServer(cluster, port);
    return client;
  } catch (error) {
    await client.end().catch(() => {});
    throw (error as { code?: string }).code === '28P01' ? foreignServer(cluster, port) : error;
  }
}

function foreignServer({ clusterDir }: Cluster, port: number): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `the server on port ${port} is not the one of ${clusterDir}, or has another password. Stop it and start again.`,
  );
}

async function createDatabase(cluster: Cluster, port: number): Promise<void> {
  const client = await connect(cluster, port);
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE]);
    if (!rowCount) await client.query(`create database ${DATABASE}`);
  } finally {
    await client.end();
  }
}

/** `sslmode` because the environment may ask for TLS, which a server on the loopback address does not have. */
function connectionString(password: string, port: number, database: string): string {
  return `postgres://${CLUSTER_USER}:${password}@127.0.0.1:${port}/${database}?sslmode=disable`;
}
