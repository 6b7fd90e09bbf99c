import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const PROJECT_DIR = fileURLToPath(new URL('../../', import.meta.url));

/** A file that breaks a rule, and the rule. */
const VIOLATIONS: [file: string, rule: string, source: string][] = [
  ['src/http/circle.ts', 'no-cycle', "import './circle-two.ts';\nexport const one = 1;"],
  ['src/http/circle-two.ts', 'no-cycle', "import './circle.ts';\nexport const two = 2;"],
  ['src/http/environment.ts', 'no-process-env', 'export const port = process.env.PORT;'],
  ['src/http/loose.ts', 'no-explicit-any', 'export const loose = (value: any): void => value;'],
  ['src/http/floating.ts', 'no-floating-promises', 'export function forget(): void {\n  Promise.resolve();\n}'],
  ['test/only.test.ts', 'no-focused-tests', "import { it } from '@jest/globals';\nit.only('runs alone', () => {});"],
];

/** Files that stay within the rules, so that the rules are not merely refusing everything. */
const ALLOWED: [file: string, source: string][] = [
  ['src/config/config.ts', "import '../amount.ts';\nexport const port = process.env.PORT;"],
  ['src/http/allowed.ts', "import 'express';\nimport '../gateway.ts';"],
];

interface Diagnostic {
  readonly code: string;
  readonly filename: string;
}

describe('the lint rules', () => {
  let directory: string;
  let found: Set<string>;

  beforeAll(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'pura-lint-'));
    for (const file of ['.oxlintrc.json', 'tsconfig.json', 'package.json'])
      copyFileSync(path.join(PROJECT_DIR, file), path.join(directory, file));
    symlinkSync(path.join(PROJECT_DIR, 'node_modules'), path.join(directory, 'node_modules'));
    for (const [file, source] of [...VIOLATIONS.map(([broken, , content]) => [broken, content] as const), ...ALLOWED]) {
      mkdirSync(path.join(directory, path.dirname(file)), { recursive: true });
      writeFileSync(path.join(directory, file), `${source}\n`);
    }
    const oxlint = path.join(PROJECT_DIR, 'node_modules', 'oxlint', 'bin', 'oxlint');
    const { stdout } = spawnSync(process.execPath, [oxlint, '--type-aware', '--format=json'], { cwd: directory, encoding: 'utf8' });
    const { diagnostics } = JSON.parse(stdout) as { diagnostics: Diagnostic[] };
    found = new Set(diagnostics.map(({ filename, code }) => `${filename}: ${/\(([^)]+)\)$/.exec(code)?.[1] ?? code}`));
  });

  afterAll(() => rmSync(directory, { recursive: true }));

  it.each(VIOLATIONS)('refuse %s by %s', (file, rule) => {
    expect([...found]).toContain(`${file}: ${rule}`);
  });

  it.each(ALLOWED)('let %s be', (file) => {
    expect([...found].filter((finding) => finding.startsWith(`${file}:`))).toEqual([]);
  });
});
