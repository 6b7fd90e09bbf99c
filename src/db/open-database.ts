import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config/config.ts';
import type { Logger } from '../log.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded/embedded-postgres.ts';

/** The ledger's database, the operator's own or the embedded one. */
export interface OpenDatabase {
  readonly connectionString: string;
  /** Of the embedded one: what `EmbeddedPostgres` says of itself. */
  readonly embedded: EmbeddedPostgres | undefined;
  /** Where the gateway keeps what must outlive it. */
  readonly dataDir: string;
  /** Stops the embedded server; a server of the operator's own is left alone. */
  stop(): Promise<void>;
}

export const PROJECT_DIR = path.resolve(fileURLToPath(new URL('../../', import.meta.url)));

/**
 * Gives the database that the configuration names, starting the embedded one where it names none. With `join`, meant
 * for commands beside a running gateway, the server of that gateway is used; without, its directory is refused.
 */
export async function openDatabase(config: Config, log: Logger, { join = false } = {}): Promise<OpenDatabase> {
  const dataDir = path.resolve(config.DATA_DIR ?? path.join(PROJECT_DIR, 'data'));
  if (config.DATABASE_URL) return { connectionString: config.DATABASE_URL, embedded: undefined, dataDir, stop: () => Promise.resolve() };
  const embedded = await startEmbeddedPostgres({ dataDir, projectDir: PROJECT_DIR, log, join });
  return { connectionString: embedded.connectionString, embedded, dataDir: embedded.dataDir, stop: () => embedded.stop() };
}
