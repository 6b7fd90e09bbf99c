import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const PROJECT_DIR = fileURLToPath(new URL('../../', import.meta.url));

/** A file that breaks a rule, and the rule. */
const VIOLATIONS: [file: string, rule: string, source: string][] = [
  ['src/errors.ts', 'no-restricted-imports', "import './db/postgres.ts';"],
  ['src/db/a.ts', 'no-restricted-imports', "import '../ledger/hold.ts';"],
  ['src/db/b.ts', 'no-restricted-imports', "import '../lightning/wallet.ts';"],
  ['src/db/c.ts', 'no-restricted-imports', "import '../gateway.ts';"],
  ['src/db/d.ts', 'no-restricted-imports', "import 'knex';"],
  ['src/ledger/a.ts', 'no-restricted-imports', "import '../lightning/invoice.ts';"],
  ['src/ledger/b.ts', 'no-restricted-imports', "import '../providers/provider.ts';"],
  ['src/ledger/c.ts', 'no-restricted-imports', "import '../http/keys.ts';"],
  ['src/ledger/d.ts', 'no-restricted-imports', "import 'pg';"],
  ['src/ledger/amount.ts', 'no-restricted-imports', "import '../db/postgres.ts';"],
  ['src/accounts/a.ts', 'no-restricted-imports', "import '../completions/request.ts';"],
  ['src/pricing/a.ts', 'no-restricted-imports', "import '../routing/candidates.ts';"],
  ['src/pricing/b.ts', 'no-restricted-imports', "import 'undici';"],
  ['src/providers/a.ts', 'no-restricted-imports', "import 'undici';"],
  ['src/providers/b.ts', 'no-restricted-imports', "import '../completions/relay.ts';"],
  ['src/lightning/a.ts', 'no-restricted-imports', "import '../funding.ts';"],
  ['src/lightning/b.ts', 'no-restricted-imports', "import 'lightning';"],
  ['src/lightning/c.ts', 'no-restricted-imports', "import '@getalby/sdk/nwc';"],
  ['src/admission/a.ts', 'no-restricted-imports', "import '../http/keys.ts';"],
  ['src/admission/b.ts', 'no-restricted-imports', "import type { Request } from 'express';\nexport type A = Request;"],
  ['src/completions/a.ts', 'no-restricted-imports', "import '../gateway.ts';"],
  ['src/routing/a.ts', 'no-restricted-imports', "import 'express';"],
  ['src/http/a.ts', 'no-restricted-imports', "import '../app.ts';"],
  ['src/http/b.ts', 'no-restricted-imports', "import '../jobs/every.ts';"],
  ['src/gateway.ts', 'no-restricted-imports', "import './server.ts';"],
  ['src/funding.ts', 'no-restricted-imports', "import 'express';"],
  ['src/withdrawing.ts', 'no-restricted-imports', "import './http/keys.ts';"],
  ['src/jobs/a.ts', 'no-restricted-imports', "import '../app.ts';"],
  ['src/app.ts', 'no-restricted-imports', "import './server.ts';"],
  ['src/http/circle.ts', 'no-cycle', "import './circle-two.ts';\nexport const one = 1;"],
  ['src/http/circle-two.ts', 'no-cycle', "import './circle.ts';\nexport const two = 2;"],
  ['src/http/environment.ts', 'no-process-env', 'export const port = process.env.PORT;'],
  ['src/http/loose.ts', 'no-explicit-any', 'export const loose = (value: any): void => value;'],
  ['src/http/floating.ts', 'no-floating-promises', 'export function forget(): void {\n  Promise.resolve();\n}'],
  ['test/only.test.ts', 'no-focused-tests', "import { it } from '@jest/globals';\nit.only('runs alone', () => {});"],
];

/** Files that stay within the rules, so that the rules are not merely refusing everything. */
const ALLOWED: [file: string, source: string][] = [
  ['src/config.ts', "import './ledger/amount.ts';\nexport const port = process.env.PORT;"],
  ['src/db/allowed.ts', "import 'pg';\nimport '../log.ts';\nimport '../ledger/amount.ts';"],
  ['src/db/migrate.ts', "import 'knex';\nimport 'pg';"],
  ['src/ledger/allowed.ts', "import '../db/postgres.ts';"],
  ['src/lightning/lnd.ts', "import 'lightning';\nimport '../ledger/deposit.ts';"],
  ['src/lightning/lnd-payments.ts', "import 'lightning';"],
  ['src/pricing/rate-sources.ts', "import 'undici';"],
  ['src/lightning/nwc.ts', "import '@getalby/sdk/nwc';"],
  ['src/providers/openai-wire.ts', "import 'undici';"],
  ['src/completions/relay.ts', "import 'express';\nimport '../providers/provider.ts';\nimport '../ledger/hold.ts';"],
  ['src/http/allowed.ts', "import 'express';\nimport '../gateway.ts';\nimport '../accounts/account.ts';"],
  ['src/jobs/allowed.ts', "import '../funding.ts';"],
  ['src/start-server.ts', "import './jobs/allowed.ts';\nimport './db/allowed.ts';\nimport 'node:http';"],
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
