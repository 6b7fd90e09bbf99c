import { existsSync } from 'node:fs';
import path from 'node:path';
import { connectionString } from './embedded-connection.ts';
import { clusterPassword, sharedDirectory } from './embedded-directory.ts';
import { runningServer } from './embedded-postmaster.ts';
import { DATABASE } from './embedded-postgres.ts';

/** The embedded database of a gateway, as it was found. */
export interface FoundEmbedded {
  /** Null where there is no data yet. */
  readonly dataDir: string | null;
  /** Null where its server does not run. */
  readonly connectionString: string | null;
}

/** Looks for the embedded database and makes, starts and locks nothing. */
export function findEmbedded({ dataDir, projectDir }: { dataDir: string; projectDir: string }): FoundEmbedded {
  const wanted = path.resolve(dataDir);
  const project = path.resolve(projectDir);
  const places = [wanted, sharedDirectory(wanted === path.join(project, 'data') ? project : wanted)];
  const directory = places.find((place) => existsSync(path.join(place, 'postgres')));
  if (directory === undefined) return { dataDir: null, connectionString: null };
  const clusterDir = path.join(directory, 'postgres');
  const server = runningServer(clusterDir);
  if (!server?.ready) return { dataDir: directory, connectionString: null };
  const password = clusterPassword({ directory, clusterDir });
  return { dataDir: directory, connectionString: connectionString(password, server.port, DATABASE) };
}
