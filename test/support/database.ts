import { randomBytes } from 'node:crypto';
import { createPool, type Pool } from '../../src/db/postgres.ts';

export const TEMPLATE_DATABASE = 'pura_template';
export const CLUSTER_VARIABLE = 'PURA_TEST_DATABASE_URL';

/** What a test asks for by itself may take its time on a busy machine. */
const CONNECT_LIMIT_MS = 60_000;

/** A migrated, empty database of a test file's own. */
export interface TestDatabase {
  readonly pool: Pool;
  readonly connectionString: string;
  /** Ends the pool and removes the database, cutting connections that are still open. */
  drop(): Promise<void>;
}

/** Clones the migrated template: milliseconds, so that every test file (or test) can have a database to itself. */
export async function createTestDatabase({ max = 10 } = {}): Promise<TestDatabase> {
  return clone(TEMPLATE_DATABASE, max);
}

/** A copy of a database as it is now, as from a cold backup: what is connected to it is cut off. */
export async function copyOf({ connectionString }: TestDatabase, { max = 10 } = {}): Promise<TestDatabase> {
  const name = new URL(connectionString).pathname.slice(1);
  await maintain(cluster(), `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`);
  return clone(name, max);
}

async function clone(template: string, max: number): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await maintain(cluster(), `create database ${name} template ${template}`);
  const connectionString = withDatabase(cluster(), name);
  const pool = createPool({ connectionString, max, connectLimitMs: CONNECT_LIMIT_MS });
  return {
    pool,
    connectionString,
    async drop() {
      await pool.end();
      await maintain(cluster(), `drop database ${name} with (force)`);
    },
  };
}

function cluster(): string {
  const url = process.env[CLUSTER_VARIABLE];
  if (!url) throw new Error(`${CLUSTER_VARIABLE} is not set: run the tests through jest, whose global setup starts the database`);
  return url;
}

async function maintain(connectionString: string, statement: string): Promise<void> {
  const pool = createPool({ connectionString, max: 1, connectLimitMs: CONNECT_LIMIT_MS });
  try {
    await pool.query(statement);
  } finally {
    await pool.end();
  }
}

/** The same server, another database. */
export function withDatabase(connectionString: string, database: string): string {
  const url = new URL(connectionString);
  url.pathname = `/${database}`;
  return url.href;
}
