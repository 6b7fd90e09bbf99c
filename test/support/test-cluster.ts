import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chooseDirectory } from '../../src/db/embedded-directory.ts';
import { migrate } from '../../src/db/migrate.ts';
import { startEmbeddedPostgres } from '../../src/db/embedded-postgres.ts';
import { createPool } from '../../src/db/postgres.ts';
import { createLog } from '../../src/log.ts';
import { TEMPLATE_DATABASE, withDatabase } from './database.ts';

const PROJECT_DIR = fileURLToPath(new URL('../../', import.meta.url));

/** Nothing here must outlive the run, so nothing waits for the disk. */
const SETTINGS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: 500 };

/** The one PostgreSQL of a test run, with a migrated template to clone test databases from. */
export interface TestCluster {
  /** Of its maintenance database. */
  readonly connectionString: string;
  /** Stops the server and removes every file. */
  stop(): Promise<void>;
}

/** Starts a PostgreSQL in a directory of its own and migrates the template database. */
export async function startTestCluster(): Promise<TestCluster> {
  const directory = mkdtempSync(path.join(tmpdir(), 'pura-test-'));
  // Also for the user that the server runs as where root runs the tests.
  chmodSync(directory, 0o755);
  const dataDir = path.join(directory, 'data');
  const place = await chooseDirectory(dataDir, PROJECT_DIR);
  const release = cleanUpAfterDeath([directory, place.directory], path.join(place.clusterDir, 'postmaster.pid'));
  const postgres = await startEmbeddedPostgres({ dataDir, projectDir: PROJECT_DIR, log: createLog('warn'), settings: SETTINGS });
  const stop = async () => {
    await postgres.stop();
    for (const made of [directory, postgres.dataDir]) rmSync(made, { recursive: true, force: true });
    release();
  };
  try {
    await createTemplate(postgres.connectionString);
  } catch (error) {
    await stop();
    throw error;
  }
  return { connectionString: postgres.connectionString, stop };
}

async function createTemplate(connectionString: string): Promise<void> {
  const pool = createPool({ connectionString, max: 1 });
  await pool.query(`create database ${TEMPLATE_DATABASE}`);
  await migrate(withDatabase(connectionString, TEMPLATE_DATABASE));
  await pool.end();
}

/**
 * Leaves a process behind that cleans up as soon as this one is gone, however it ends: the server has a session of its
 * own and would survive Ctrl-C and kill -9 of a test run. Returns the function that lets it go.
 */
function cleanUpAfterDeath(directories: string[], postmasterFile: string): () => void {
  if (process.platform === 'win32') return () => {};
  // Once more later: an initdb that was under way notices its parent's end only when its directory is gone.
  const script =
    'cat >/dev/null; [ ! -f "$1" ] || kill -QUIT "$(head -n 1 "$1")"; shift; for again in 1 2 3; do rm -rf "$@"; sleep 1; done';
  const guard = spawn('/bin/sh', ['-c', script, 'sh', postmasterFile, ...directories], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref();
  return () => guard.stdin.end();
}
