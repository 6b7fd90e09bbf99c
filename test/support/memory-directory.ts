import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const SHARED_MEMORY = '/dev/shm';
/** A whole run uses a fifth of it at most. */
const ROOM_BYTES = 1024 ** 3;

/**
 * The system's directory in memory, for what a test run makes and throws away: a database is there in a third of the
 * time that it takes on a disk. Undefined where there is none, or too small, or closed to programs, as in many containers.
 */
export function memoryDirectory(): string | undefined {
  try {
    const { bavail, bsize } = statfsSync(SHARED_MEMORY);
    return bavail * bsize >= ROOM_BYTES && runsProgramsIn(SHARED_MEMORY) ? SHARED_MEMORY : undefined;
  } catch {
    return undefined;
  }
}

function runsProgramsIn(parent: string): boolean {
  const directory = mkdtempSync(path.join(parent, 'pura-probe-'));
  try {
    const program = path.join(directory, 'probe');
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
    return spawnSync(program).status === 0;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
