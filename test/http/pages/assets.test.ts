import { expect, it } from '@jest/globals';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Script } from 'node:vm';
import type { Request, Response } from 'express';
import { Assets, VIEWS_DIR } from '../../../src/http/pages/assets.ts';

const SCRIPTS = readdirSync(VIEWS_DIR).filter((name) => name.endsWith('.js'));
const KB = 1024;

function served(assets: Assets, name: string): string {
  let body = '';
  const res = { set: () => res, send: (sent: Buffer) => void (body = sent.toString()) } as unknown as Response;
  void assets.handler({ params: { name }, query: {} } as unknown as Request, res, () => {});
  return body;
}

it.each(SCRIPTS)('%s is a script of 8 KB at most, as it is served', (name) => {
  const script = served(new Assets(), name);
  expect(new Script(script)).toBeDefined();
  expect(Buffer.byteLength(script)).toBeLessThanOrEqual(8 * KB);
});

it('the sheet has 20 KB at most, as it is served', () => {
  expect(Buffer.byteLength(served(new Assets(), 'style.css'))).toBeLessThanOrEqual(20 * KB);
});

it('scripts lose remarks that have their own lines, and nothing within a line', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'assets-'));
  try {
    writeFileSync(path.join(directory, 'a.js'), "// gone\n/** gone\n * too */\n\n  /** gone */\n  const a = 'a // b /* c */'; // stays\n");
    writeFileSync(path.join(directory, 'a.css'), 'a { b: c; /* gone */\n}\n');
    const assets = new Assets(directory);
    expect(served(assets, 'a.js')).toBe("const a = 'a // b /* c */'; // stays");
    expect(served(assets, 'a.css')).toBe('a { b: c; }');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
