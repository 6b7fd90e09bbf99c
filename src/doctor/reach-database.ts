import path from 'node:path';
import type { Config } from '../config/config.ts';
import { findEmbedded } from '../db/embedded/running-embedded.ts';
import { PROJECT_DIR } from '../db/open-database.ts';
import { createPool, type Pool } from '../db/postgres.ts';
import { messageOf } from './run-checks.ts';

/** The ledger's database as it was found: a pool where it answers, else why not. */
export interface ReachedDatabase {
  readonly pool: Pool | null;
  /** Why it does not answer; null where it does. */
  readonly reason: string | null;
  /** What to do about that. */
  readonly advice: string;
  readonly embedded: boolean;
  /** Of the embedded one; null where there is no data yet. */
  readonly dataDir: string | null;
  close(): Promise<void>;
}

/** What PostgreSQL and the system say, and what to do then. */
const ADVICE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Start PostgreSQL, or correct host and port in DATABASE_URL; listen_addresses must name the address.',
  ENOTFOUND: 'Correct the host name in DATABASE_URL.',
  ETIMEDOUT: 'Look at the firewall between this machine and PostgreSQL.',
  '28P01': 'Correct the password in DATABASE_URL, or set it: alter role … password.',
  '28000': "Add a line for this role and address to PostgreSQL's pg_hba.conf, or require TLS with ?sslmode=require.",
  '3D000': 'Make the database: create database … owner ….',
  '53300': 'Raise max_connections: a gateway takes up to 29 connections.',
  '57P03': 'PostgreSQL is starting or stopping: wait, then run this again.',
};

/** Connects to the database that the configuration names, and starts none. Never rejects. */
export async function reachDatabase(config: Pick<Config, 'DATABASE_URL' | 'DATA_DIR'>): Promise<ReachedDatabase> {
  const nobody = { pool: null, close: () => Promise.resolve() };
  let connectionString = config.DATABASE_URL ?? null;
  let dataDir: string | null = null;
  const embedded = connectionString === null;
  if (embedded) {
    const found = findEmbedded({ dataDir: config.DATA_DIR ?? path.join(PROJECT_DIR, 'data'), projectDir: PROJECT_DIR });
    ({ dataDir, connectionString } = found);
    if (connectionString === null) {
      const reason =
        dataDir === null ? 'there is no data yet: the first start makes the embedded database' : 'the embedded database does not run';
      return { ...nobody, reason, embedded, dataDir, advice: 'Start the gateway, and run this again beside it.' };
    }
  }
  const pool = createPool({ connectionString: connectionString ?? '', max: 3 });
  try {
    await pool.query('select 1');
    return { pool, reason: null, advice: '', embedded, dataDir, close: () => pool.end() };
  } catch (error) {
    await pool.end();
    const code = String((error as { code?: unknown }).code);
    return {
      ...nobody,
      reason: messageOf(error),
      embedded,
      dataDir,
      advice: ADVICE[code] ?? 'See that PostgreSQL runs and that DATABASE_URL leads to it.',
    };
  }
}
