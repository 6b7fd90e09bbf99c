import type { Level, NamedFinding } from './finding.ts';

const MARKS: Readonly<Record<Level, string>> = { ok: 'ok', note: 'note', warning: 'WARNING', problem: 'PROBLEM', unknown: '?' };
const MARK_WIDTH = 9;
const SHORTEST_SECRET = 6;

export interface Report {
  /** Whether nothing is wrong. Warnings are not wrong. */
  readonly sound: boolean;
  readonly version: string;
  readonly findings: readonly NamedFinding[];
}

/** All that was found, without any of `secrets` in it, whatever a check or another's answer said. */
export function reportOf(version: string, findings: readonly NamedFinding[], secrets: readonly string[]): Report {
  const hidden = secrets.filter(({ length }) => length >= SHORTEST_SECRET).toSorted((a, b) => b.length - a.length);
  const clean = (text: string): string => hidden.reduce((told, secret) => told.replaceAll(secret, '…'), text);
  const told = findings.map(({ check, level, found, advice }) => ({
    ...{ check, level, found: clean(found) },
    ...(advice !== undefined && { advice: clean(advice) }),
  }));
  return { sound: !told.some(({ level }) => level === 'problem'), version, findings: told };
}

/** The report for people: what was found, and under it what to do. */
export function textOf({ findings, version }: Report): string {
  const width = Math.max(...findings.map(({ check }) => check.length)) + 2;
  const lines = findings.flatMap(({ check, level, found, advice }) => [
    `${MARKS[level].padEnd(MARK_WIDTH)}${check.padEnd(width)}${found}`,
    ...(advice === undefined ? [] : [`${' '.repeat(MARK_WIDTH + width)}-> ${advice}`]),
  ]);
  const count = (level: Level): number => findings.filter((finding) => finding.level === level).length;
  const many = (level: 'problem' | 'warning'): string => `${count(level)} ${level}${count(level) === 1 ? '' : 's'}`;
  const summary = `Pura ${version}: ${many('problem')}, ${many('warning')}, ${count('unknown')} not looked at.`;
  return [...lines, '', summary].join('\n');
}
