import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import knex, { type Knex } from 'knex';
import pg from 'pg';
import { loadConfig } from '../config/config.ts';
import { createLog } from '../log.ts';
import { MIGRATIONS_DIR, migrationNames } from './migration-names.ts';
import { openDatabase } from './open-database.ts';

/** The schema cannot be brought up to date; the message tells the operator why. */
export class MigrationError extends Error {
  override name = 'MigrationError';
}

const HISTORY = 'schema_migrations';
/** An arbitrary number that only migrators of this project lock. */
const MIGRATION_LOCK = 8_402_001;

/**
 * Applies the migrations that the database does not have yet, in order and in one transaction: all of them or none. Any
 * number of migrators may run at once. Throws MigrationError when the database has migrations that this version does not know.
 */
export async function migrate(connectionString: string, directory = MIGRATIONS_DIR): Promise<{ applied: string[] }> {
  const lock = new pg.Client({ connectionString });
  // Without a listener its loss would end the process; what runs meanwhile fails by itself or is finished by then.
  lock.on('error', () => {});
  await lock.connect();
  const db = knex({ client: 'pg', connection: { connectionString }, pool: { min: 0, max: 2 }, log: { warn() {}, error() {} } });
  try {
    // Dies with its connection; knex's own lock is a row that a killed migrator leaves behind, so it is freed under this one.
    await lock.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    // Its own check of the history would say that the directory is corrupt.
    const config: Knex.MigratorConfig = {
      tableName: HISTORY,
      migrationSource: sqlMigrations(directory),
      disableMigrationsListValidation: true,
    };
    await refuseNewerDatabase(db, config, directory);
    await db.migrate.forceFreeMigrationsLock(config);
    const [, applied] = (await db.migrate.latest(config)) as [number, string[]];
    return { applied };
  } finally {
    await db.destroy();
    await lock.end();
  }
}

async function refuseNewerDatabase(db: Knex, config: Knex.MigratorConfig, directory: string): Promise<void> {
  const [completed] = (await db.migrate.list(config)) as [{ name: string }[], string[]];
  const known = new Set(await migrationNames(directory));
  const unknown = completed.map(({ name }) => name).filter((name) => !known.has(name));
  if (unknown.length === 0) return;
  throw new MigrationError(
    `the database is newer than this version of the gateway: it has ${unknown.join(', ')}. Start the version that made them, or restore a backup.`,
  );
}

function sqlMigrations(directory: string): Knex.MigrationSource<string> {
  return {
    getMigrations: () => migrationNames(directory),
    getMigrationName: (name) => name,
    async getMigration(name) {
      const sql = await readFile(path.join(directory, name), 'utf8');
      return {
        up: (db) => execute(db, sql),
        down: () => Promise.reject(new MigrationError('migrations go forward only')),
      };
    },
  };
}

/** On the transaction's own connection: `knex.raw` would take every question mark in the SQL for a value to bind. */
async function execute(db: Knex, sql: string): Promise<void> {
  const client = db.client as { acquireConnection(): Promise<pg.ClientBase> };
  const connection = await client.acquireConnection();
  await connection.query(sql);
}

async function main(): Promise<void> {
  const config = loadConfig();
  const database = await openDatabase(config, createLog(config.LOG_LEVEL), { join: true });
  try {
    const { applied } = await migrate(database.connectionString);
    process.stdout.write(applied.length > 0 ? `applied ${applied.join(', ')}\n` : 'the database is up to date\n');
  } finally {
    await database.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main().catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
}
