import { realpathSync } from 'node:fs';
import pg from 'pg';
import type { PostgresBinaries } from './embedded-binaries.ts';
import { CLUSTER_USER } from './embedded-cluster.ts';
import type { EmbeddedDirectory } from './embedded-directory.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import type { PostgresSettings } from './embedded-postmaster.ts';

/** Everything it takes to run a cluster's server and to talk to it. */
export interface RunnableCluster extends EmbeddedDirectory {
  readonly binaries: PostgresBinaries;
  readonly password: string;
  readonly settings: PostgresSettings;
}

/** A connection that tells of its end, however long ago that was. */
export interface ClusterConnection {
  readonly client: pg.Client;
  readonly ended: Promise<void>;
}

const CONNECT_TIMEOUT_MS = 5_000;

/**
 * Connects to the cluster's server. Scram proves to each side that the other knows the password, and the server is
 * asked for its directory: a stranger on that port is never taken for ours (EmbeddedPostgresError).
 */
export async function connectToCluster(cluster: RunnableCluster, port: number): Promise<ClusterConnection> {
  const client = new pg.Client({
    connectionString: connectionString(cluster.password, port, 'postgres'),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
  });
  // Its loss is seen by its end.
  client.on('error', () => {});
  const ended = new Promise<void>((resolve) => client.once('end', resolve));
  try {
    await client.connect();
    const { rows } = await client.query<{ data_directory: string }>('show data_directory');
    if (rows[0]?.data_directory !== realpathSync(cluster.clusterDir)) throw foreignServer(cluster, port);
    return { client, ended };
  } catch (error) {
    await client.end().catch(() => {});
    throw (error as { code?: string }).code === '28P01' ? foreignServer(cluster, port) : error;
  }
}

function foreignServer({ clusterDir }: RunnableCluster, port: number): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `the server on port ${port} is not the one of ${clusterDir}, or has another password. Stop it and start again.`,
  );
}

/** `sslmode` because the environment may ask for TLS, which a server on the loopback address does not have. */
export function connectionString(password: string, port: number, database: string): string {
  return `postgres://${CLUSTER_USER}:${password}@127.0.0.1:${port}/${database}?sslmode=disable`;
}
