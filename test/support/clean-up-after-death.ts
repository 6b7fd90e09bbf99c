import { spawn } from 'node:child_process';
import path from 'node:path';

/** What a test run leaves behind when it is killed. */
export interface Remains {
  directories: readonly string[];
  /** Of an embedded PostgreSQL. */
  clusterDir: string;
  /** Holds an empty file for each process that runs, named by its number. */
  processesDir?: string;
}

/** The processes first: a gateway would bring its database back. */
const SCRIPT = `
  cat >/dev/null
  for process in "$1"/[0-9]*; do [ ! -f "$process" ] || kill -KILL "\${process##*/}"; done
  [ ! -f "$2" ] || kill -QUIT "$(head -n 1 "$2")"
  shift 2
  # Once more later: an initdb that was under way notices its parent's end only when its directory is gone.
  for again in 1 2 3; do rm -rf "$@"; sleep 1; done`;

/**
 * Leaves a process behind that cleans up as soon as this one is gone, however it ends: what it names would survive
 * kill -9 of a test run. Returns the function that lets it go, which removes the directories too.
 */
export function cleanUpAfterDeath({ directories, clusterDir, processesDir = '' }: Remains): () => void {
  if (process.platform === 'win32') return () => {};
  const args = ['-c', SCRIPT, 'sh', processesDir, path.join(clusterDir, 'postmaster.pid'), ...directories];
  const guard = spawn('/bin/sh', args, { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref();
  return () => guard.stdin.end();
}
