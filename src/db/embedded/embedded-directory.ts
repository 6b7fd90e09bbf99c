import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { canEnter, databaseUser, makeDirectory, type DatabaseUser } from './embedded-user.ts';
import { readIfThere } from '../read-if-there.ts';

/** Where the embedded database lives, and as whom it runs. */
export interface EmbeddedDirectory {
  /** Holds everything that must outlive the process: the cluster, its password, the gateway's own secret. */
  readonly directory: string;
  /** PostgreSQL's data directory. */
  readonly clusterDir: string;
  /** Where a copy of the binaries goes, should one be needed. */
  readonly copiesDir: string;
  readonly user: DatabaseUser | undefined;
}

const SHARED_ROOT = '/var/lib/pura-gateway';

/**
 * Chooses and makes the directory: `dataDir`, or, where the database's user cannot get there (root started the gateway
 * in a directory of its own), one under /var/lib/pura-gateway that is named after the project (or after a `dataDir`
 * outside of the project's default place, so that two of them stay two databases).
 */
export async function chooseDirectory(dataDir: string, projectDir: string): Promise<EmbeddedDirectory> {
  const wanted = path.resolve(dataDir);
  const project = path.resolve(projectDir);
  const user = await databaseUser(path.join(wanted, 'postgres'));
  const reachable = await canEnter(user, nearestExisting(wanted));
  const directory = reachable ? wanted : sharedDirectory(wanted === path.join(project, 'data') ? project : wanted);
  makeDirectory(user, directory);
  const clusterDir = path.join(directory, 'postgres');
  return {
    directory,
    clusterDir,
    copiesDir: user ? sharedDirectory(project) : directory,
    user: reachable ? user : await databaseUser(clusterDir),
  };
}

/** Where the data of a project, or of a `dataDir` of its own, lie where the database's user cannot get there. */
export function sharedDirectory(named: string): string {
  return path.join(SHARED_ROOT, createHash('sha256').update(named).digest('hex').slice(0, 16));
}

function nearestExisting(directory: string): string {
  return existsSync(directory) ? directory : nearestExisting(path.dirname(directory));
}

/**
 * Takes the directory for this process, or gives `undefined` where another gateway has it. The lock is the operating
 * system's (SQLite's lock on a file of its own): it dies with its holder, also by kill -9, so that what it guards is
 * never held by nobody, and a server left behind is told from one in use. Returns the function that releases it.
 */
export function lockDirectory(directory: string): (() => void) | undefined {
  const lock = new DatabaseSync(path.join(directory, 'gateway.lock'), { timeout: 0 });
  try {
    lock.exec('begin exclusive');
  } catch (error) {
    lock.close();
    if (/locked|busy/.test((error as Error).message)) return undefined;
    throw error;
  }
  writeFileSync(holderFile(directory), String(process.pid));
  return () => {
    rmSync(holderFile(directory), { force: true });
    lock.close();
  };
}

/** Why the directory could not be had, for the operator. */
export function directoryInUse(directory: string): EmbeddedPostgresError {
  const processId = readIfThere(holderFile(directory));
  const holder = processId === undefined ? '' : ` (process ${processId})`;
  return new EmbeddedPostgresError(
    `another gateway${holder} is running on ${directory}. Stop it, set DATA_DIR to another directory, or let several gateways share a server by DATABASE_URL.`,
  );
}

function holderFile(directory: string): string {
  return path.join(directory, 'gateway.pid');
}

/** The password of the cluster's one user, made at the first start. Only for the holder of the directory's lock. */
export function clusterPassword({ directory, clusterDir }: Pick<EmbeddedDirectory, 'directory' | 'clusterDir'>): string {
  const file = path.join(directory, 'postgres-password');
  if (!existsSync(file)) {
    if (existsSync(clusterDir))
      throw new EmbeddedPostgresError(`${file} is missing: without it the database in ${clusterDir} cannot be opened. Restore it.`);
    writeFileSync(`${file}.new`, randomBytes(32).toString('base64url'), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
  return readFileSync(file, 'utf8');
}
