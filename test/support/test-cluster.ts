import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chooseDirectory } from '../../src/db/embedded/embedded-directory.ts';
import { migrate } from '../../src/db/migrate.ts';
import { startEmbeddedPostgres } from '../../src/db/embedded/embedded-postgres.ts';
import { createPool, type Pool } from '../../src/db/postgres.ts';
import { createLog } from '../../src/log.ts';
import { cleanUpAfterDeath } from './clean-up-after-death.ts';
import { TEMPLATE_DATABASE, withDatabase } from './database.ts';

const PROJECT_DIR = fileURLToPath(new URL('../../', import.meta.url));

/** Nothing here must outlive the run, so nothing waits for the disk. */
const SETTINGS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: 500 };

/** The one PostgreSQL of a test run, with a migrated template to clone test databases from. */
export interface TestCluster {
  /** Of its maintenance database. */
  readonly connectionString: string;
  /** A directory of the run's own, gone with the server. */
  readonly directory: string;
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
  const release = cleanUpAfterDeath({ directories: [directory, place.directory], clusterDir: place.clusterDir });
  const postgres = await startEmbeddedPostgres({ dataDir, projectDir: PROJECT_DIR, log: createLog('warn'), settings: SETTINGS });
  const stop = async () => {
    await postgres.stop();
    for (const made of [directory, postgres.dataDir]) rmSync(made, { recursive: true, force: true, maxRetries: 3 });
    release();
  };
  try {
    await createTemplate(postgres.connectionString);
  } catch (error) {
    await stop();
    throw error;
  }
  return { connectionString: postgres.connectionString, directory, stop };
}

async function createTemplate(connectionString: string): Promise<void> {
  const pool = createPool({ connectionString, max: 1 });
  await askForNoPassword(pool);
  await pool.query(`create database ${TEMPLATE_DATABASE}`);
  await migrate(withDatabase(connectionString, TEMPLATE_DATABASE));
  await pool.end();
}

/** Checking it is a third of a connection's cost, and a run makes many thousands. Gateways in processes of their own keep theirs. */
async function askForNoPassword(pool: Pool): Promise<void> {
  const { rows } = await pool.query<{ hba_file: string }>('show hba_file');
  for (const { hba_file: file } of rows) writeFileSync(file, 'host all all 127.0.0.1/32 trust\n');
  await pool.query('select pg_reload_conf()');
}
