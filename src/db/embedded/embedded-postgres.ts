import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../log.ts';
import { embeddedBinaries } from './embedded-binaries.ts';
import { createCluster } from './embedded-cluster.ts';
import { connectToCluster, connectionString, type RunnableCluster } from './embedded-connection.ts';
import { chooseDirectory, clusterPassword, directoryInUse, lockDirectory, type EmbeddedDirectory } from './embedded-directory.ts';
import { runningServer, startServer, stopServer, type PostgresSettings } from './embedded-postmaster.ts';
import { bringBackPatiently, watchServer } from './embedded-watch.ts';

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

export const DATABASE = 'pura';
const START_ATTEMPTS = 50;
const START_RETRY_MS = 100;

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
  const guard = watchServer(cluster, port, log, await bringBackPatiently(cluster, port));
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
async function startOnFreePort(cluster: RunnableCluster): Promise<number> {
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

async function createDatabase(cluster: RunnableCluster, port: number): Promise<void> {
  const { client } = await connectToCluster(cluster, port);
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE]);
    if (!rowCount) await client.query(`create database ${DATABASE}`);
  } finally {
    await client.end();
  }
}
