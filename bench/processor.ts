import { existsSync, readdirSync, readFileSync } from 'node:fs';

const TICK_MS = 10;
/** Where a process's figures stand in its `stat`, after the name in brackets. */
const PARENT = 1;
const OWN = [11, 12];
const OF_ENDED_CHILDREN = [13, 14];

/** What a process took of the processor, in ms; 0 where the system does not tell. */
export function cpuOf(pid: number): number {
  return sumOf(statOf(pid), OWN);
}

/** The same of a process with all its children, those that have ended too: a database with its backends. */
export function cpuOfFamily(pid: number): number {
  const children = existsSync('/proc') ? readdirSync('/proc').filter((name) => /^\d+$/.test(name)) : [];
  const alive = children.map((child) => statOf(Number(child))).filter((stat) => Number(stat[PARENT]) === pid);
  return sumOf(statOf(pid), [...OWN, ...OF_ENDED_CHILDREN]) + alive.reduce((sum, stat) => sum + sumOf(stat, OWN), 0);
}

function statOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
  } catch {
    return [];
  }
}

function sumOf(stat: readonly string[], places: readonly number[]): number {
  return places.reduce((sum, place) => sum + Number(stat[place] ?? 0) * TICK_MS, 0);
}
