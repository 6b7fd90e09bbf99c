import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../log.ts';
import { connectToCluster, type ClusterConnection, type RunnableCluster } from './embedded-connection.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { runningServer, startServer } from './embedded-postmaster.ts';

const RETRY_FIRST_MS = 50;
const RETRY_LAST_MS = 5_000;
const STEADY_MS = 10_000;
const PATIENCE_MS = 60_000;

/**
 * Holds one connection, which ends whenever the server does, and then brings the server back: a crash that it recovers
 * from by itself is waited for, a dead server is started again on its port, so that pools find it where it was.
 * `stop` ends the watch, not the server.
 */
export function watchServer(cluster: RunnableCluster, port: number, log: Logger, first: ClusterConnection): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const watching = watch(cluster, port, log, first, stopping.signal);
  return {
    async stop() {
      stopping.abort();
      await watching;
    },
  };
}

async function watch(cluster: RunnableCluster, port: number, log: Logger, first: ClusterConnection, stopping: AbortSignal): Promise<void> {
  const stopped = once(stopping, 'abort');
  let connection: ClusterConnection | undefined = first;
  for (let failures = 0; ; failures++) {
    const since = performance.now();
    await Promise.race([connection?.ended ?? Promise.resolve(), stopped]);
    if (stopping.aborted) break;
    if (connection) log.warn({ port }, 'the embedded PostgreSQL went away: bringing it back');
    if (performance.now() - since > STEADY_MS) failures = 0;
    if (failures > 0) await Promise.race([delay(Math.min(RETRY_FIRST_MS * 2 ** failures, RETRY_LAST_MS)), stopped]);
    if (stopping.aborted) break;
    connection = await bringBack(cluster, port).catch((error: Error) => {
      log.warn({ err: error }, 'the embedded PostgreSQL is not back yet');
      return undefined;
    });
  }
  await connection?.client.end();
}

/** Connects to the cluster's server, starting it where it does not run; rejects while it recovers or shuts down. */
async function bringBack(cluster: RunnableCluster, port: number): Promise<ClusterConnection> {
  if (!runningServer(cluster.clusterDir)) await startServer(cluster, cluster.binaries, port, cluster.settings);
  return connectToCluster(cluster, port);
}

/** The same, for a server that may still be recovering or shutting down: it is given a minute. */
export async function bringBackPatiently(cluster: RunnableCluster, port: number): Promise<ClusterConnection> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await bringBack(cluster, port);
    } catch (error) {
      if (error instanceof EmbeddedPostgresError || performance.now() > deadline) throw error;
      await delay(RETRY_FIRST_MS);
    }
  }
}
