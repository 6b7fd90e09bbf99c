import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import type { PostgresBinaries } from './embedded-binaries.ts';
import type { EmbeddedDirectory } from './embedded-directory.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { giveTo, runAs } from './embedded-user.ts';

/** The cluster's one role, a superuser known to this gateway alone. */
export const CLUSTER_USER = 'pura';

const UNFINISHED = 'postgres.new-';

/**
 * Makes the cluster where there is none: scram only, with data checksums. It is made aside and moved into place when
 * finished, so that a start that was cut off leaves nothing half-made behind. Only for the holder of the directory's lock.
 */
export async function createCluster(
  place: EmbeddedDirectory,
  binaries: PostgresBinaries,
  password: string,
  durable: boolean,
): Promise<void> {
  if (existsSync(place.clusterDir)) return refuseOtherVersion(place.clusterDir, binaries.majorVersion);
  for (const name of readdirSync(place.directory)) {
    if (name.startsWith(UNFINISHED)) rmSync(path.join(place.directory, name), { recursive: true, force: true });
  }
  const aside = mkdtempSync(path.join(place.directory, UNFINISHED));
  const passwordFile = path.join(aside, 'password');
  const cluster = path.join(aside, 'cluster');
  try {
    writeFileSync(passwordFile, password, { mode: 0o600 });
    giveTo(place.user, passwordFile);
    giveTo(place.user, aside);
    await runAs(place.user, binaries.initdb, [
      `--pgdata=${cluster}`,
      `--username=${CLUSTER_USER}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--data-checksums',
      '--encoding=UTF8',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-instructions',
      ...(durable ? [] : ['--no-sync']),
    ]);
    renameSync(cluster, place.clusterDir);
    syncDirectory(place.directory);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

function refuseOtherVersion(clusterDir: string, majorVersion: string): void {
  const version = readFileSync(path.join(clusterDir, 'PG_VERSION'), 'utf8').trim();
  if (version === majorVersion) return;
  throw new EmbeddedPostgresError(
    `${clusterDir} was written by PostgreSQL ${version}, and this version of the gateway brings ${majorVersion}: dump it with the old version and restore it.`,
  );
}

/** Makes a rename durable; Windows has no such call. */
function syncDirectory(directory: string): void {
  if (process.platform === 'win32') return;
  const descriptor = openSync(directory, 'r');
  fsyncSync(descriptor);
  closeSync(descriptor);
}
