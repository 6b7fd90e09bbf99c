import { execFile } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { EmbeddedPostgresError } from './embedded-error.ts';

const execute = promisify(execFile);

/** The operating system's user that the server runs as. `undefined` everywhere means: whoever runs the gateway. */
export interface DatabaseUser {
  readonly uid: number;
  readonly gid: number;
}

const CANDIDATES = ['postgres', '_postgres', 'nobody'];

/**
 * Whom to run PostgreSQL as: it refuses to run as root, so there root's rights are dropped to the owner of an existing
 * cluster, else to `postgres`, else to `nobody`. Throws EmbeddedPostgresError where root finds none of them.
 */
export async function databaseUser(clusterDir: string): Promise<DatabaseUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  if (existsSync(clusterDir)) {
    const { uid, gid } = statSync(clusterDir);
    if (uid !== 0) return { uid, gid };
  }
  for (const name of CANDIDATES) {
    const ids = await Promise.all([idOf('-u', name), idOf('-g', name)]).catch(() => undefined);
    if (ids) return { uid: ids[0], gid: ids[1] };
  }
  throw new EmbeddedPostgresError(
    'PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as. Create one, start as an ordinary user, or set DATABASE_URL.',
  );
}

async function idOf(flag: '-u' | '-g', name: string): Promise<number> {
  const { stdout } = await execute('id', [flag, name]);
  // macOS prints nobody's -2 as an unsigned number, which Node does not take.
  return Number(stdout) | 0;
}

/**
 * Runs a program as that user and gives its standard output; rejects with what it wrote to standard error.
 * The environment is bare: the gateway's own holds secrets, and `PG…` variables would redirect PostgreSQL's programs.
 */
export async function runAs(user: DatabaseUser | undefined, file: string, args: readonly string[]): Promise<string> {
  const { stdout } = await execute(file, args, { ...user, cwd: path.parse(file).root, env: bareEnvironment(), windowsHide: true });
  return stdout;
}

/** The environment of PostgreSQL's programs; Windows needs its own variables to start anything at all. */
export function bareEnvironment(): NodeJS.ProcessEnv | undefined {
  return process.platform === 'win32' ? undefined : { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}

/** Whether that user can enter the directory. Asked of the operating system: mode bits alone miss ACLs and mount options. */
export async function canEnter(user: DatabaseUser | undefined, directory: string): Promise<boolean> {
  if (!user) return true;
  return runAs(user, '/bin/sh', ['-c', 'cd "$1"', 'sh', directory]).then(
    () => true,
    () => false,
  );
}

/** Makes a directory and its missing parents; those it makes can be entered by that user whatever the umask is. */
export function makeDirectory(user: DatabaseUser | undefined, directory: string): void {
  const first = mkdirSync(directory, { recursive: true });
  if (!first || !user) return;
  for (let made = directory; made.length >= first.length; made = path.dirname(made)) chmodSync(made, 0o755);
}

/** Hands a file or directory over to that user. */
export function giveTo(user: DatabaseUser | undefined, file: string): void {
  if (user) chownSync(file, user.uid, user.gid);
}
