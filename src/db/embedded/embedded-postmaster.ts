import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  readlinkSync,
  realpathSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresBinaries } from './embedded-binaries.ts';
import type { EmbeddedDirectory } from './embedded-directory.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { bareEnvironment, runAs } from './embedded-user.ts';
import { readIfThere } from '../read-if-there.ts';

/** What a running server wrote about itself in `postmaster.pid`. */
export interface RunningServer {
  readonly pid: number;
  readonly port: number;
  readonly ready: boolean;
}

export type PostgresSettings = Readonly<Record<string, string | number>>;

const POLL_MS = 20;
const STOP_TIMEOUT_SECONDS = 60;
const LOG_LIMIT_BYTES = 10_000_000;

/** Its log names no statement and no row: those can hold what must not be logged. */
const SETTINGS: PostgresSettings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: 100,
  shared_buffers: '128MB',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_min_messages: 'warning',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
};

/**
 * The server of this cluster as `postmaster.pid` tells it (documented in PostgreSQL's pidfile.h), if it really runs.
 * After kill -9 or a reboot the file stays behind, and its process number may be anybody's by now.
 */
export function runningServer(clusterDir: string): RunningServer | undefined {
  const [pid, , , port, , , , status] = readIfThere(path.join(clusterDir, 'postmaster.pid'))?.split('\n') ?? [];
  if (!Number(pid) || !isServerOf(clusterDir, Number(pid))) return undefined;
  return { pid: Number(pid), port: Number(port), ready: status?.trim() === 'ready' };
}

function isServerOf(clusterDir: string, pid: number): boolean {
  try {
    if (process.platform === 'linux') {
      // The server makes the cluster its working directory.
      const program = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
      return program === 'postgres' && readlinkSync(`/proc/${pid}/cwd`) === realpathSync(clusterDir);
    }
    process.kill(pid, 0);
    return (
      process.platform === 'win32' || execFileSync('ps', ['-p', String(pid), '-o', 'comm='], { encoding: 'utf8' }).includes('postgres')
    );
  } catch {
    return false;
  }
}

/**
 * Starts the cluster's server on that port of 127.0.0.1 and resolves when it takes connections. It gets a session of
 * its own: Ctrl-C reaches the gateway alone, which drains before it stops the database. Only for the holder of the
 * directory's lock. Rejects with EmbeddedPostgresError that ends in what the server said.
 */
export async function startServer(
  place: EmbeddedDirectory,
  binaries: PostgresBinaries,
  port: number,
  settings: PostgresSettings,
): Promise<void> {
  disownStaleFile(place.clusterDir);
  const all = { ...SETTINGS, ...settings, port };
  const args = ['-D', place.clusterDir, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  const log = openLog(path.join(place.directory, 'postgres.log'));
  const start = fstatSync(log.descriptor).size;
  const server = spawn(binaries.postgres, args, {
    ...place.user,
    cwd: place.clusterDir,
    env: bareEnvironment(),
    detached: true,
    stdio: ['ignore', log.descriptor, log.descriptor],
    windowsHide: true,
  });
  closeSync(log.descriptor);
  const ended = new Promise<string>((resolve) => {
    server.once('error', (error) => resolve(error.message));
    server.once('exit', (code, signal) => resolve(`ended with ${signal ?? code}`));
  });
  server.unref();
  const failure = await Promise.race([ended, untilReady(place.clusterDir, server)]);
  if (failure !== undefined) throw new EmbeddedPostgresError(`PostgreSQL did not start (${failure}): ${tail(log.file, start)}`);
}

/**
 * A stale `postmaster.pid` whose number now belongs to some other process (likely in containers) would stop the start.
 * Removing the file is dangerous: it also leads the new server to shared memory that a dying one's processes still use.
 * Under the number of its own parent the server takes the file for stale and keeps that check (CreateLockFile in miscinit.c).
 */
function disownStaleFile(clusterDir: string): void {
  const file = path.join(clusterDir, 'postmaster.pid');
  if (process.platform === 'win32') return;
  const [pid, ...rest] = readIfThere(file)?.split('\n') ?? [];
  if (pid !== undefined && existsProcess(Number(pid))) writeFileSync(file, [process.pid, ...rest].join('\n'));
}

function existsProcess(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Crash recovery can take minutes, so only the server's end sets a limit to this. */
async function untilReady(clusterDir: string, server: ChildProcess): Promise<undefined> {
  for (;;) {
    const running = runningServer(clusterDir);
    if (running?.pid === server.pid && running?.ready) return undefined;
    if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) return new Promise(() => {});
    await delay(POLL_MS);
  }
}

/** Stops the cluster's server: connections are cut, everything committed is on disk. Waits for its end. */
export async function stopServer(place: EmbeddedDirectory, binaries: PostgresBinaries): Promise<void> {
  if (!runningServer(place.clusterDir)) return;
  const args = ['stop', '-D', place.clusterDir, '-m', 'fast', '-w', '-t', String(STOP_TIMEOUT_SECONDS)];
  await runAs(place.user, binaries.pgCtl, args).catch((error: unknown) => {
    // It may have been killed meanwhile: then pg_ctl misses the orderly end, and there is nothing left to stop.
    if (runningServer(place.clusterDir)) throw error;
  });
}

function openLog(file: string): { file: string; descriptor: number } {
  if (existsSync(file) && statSync(file).size > LOG_LIMIT_BYTES) renameSync(file, `${file}.old`);
  return { file, descriptor: openSync(file, 'a', 0o600) };
}

function tail(file: string, from: number): string {
  const descriptor = openSync(file, 'r');
  const buffer = Buffer.alloc(2_000);
  const length = readSync(descriptor, buffer, 0, buffer.length, from);
  closeSync(descriptor);
  return buffer.toString('utf8', 0, length).trim();
}
