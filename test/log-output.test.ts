import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LogOutput } from '../src/log-output.ts';
import { until } from './support/until.ts';

let directory: string;
let pipe: number;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'pura-log-'));
  const fifo = path.join(directory, 'log');
  execFileSync('mkfifo', [fifo]);
  // Both ends at once, and neither waits: what does not fit is refused.
  pipe = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
});

afterEach(() => {
  closeSync(pipe);
  rmSync(directory, { recursive: true });
});

interface Line {
  n?: number;
  dropped?: number;
}

/** What is in the pipe now. */
function read(): string {
  const parts: Buffer[] = [];
  const part = Buffer.alloc(65_536);
  try {
    for (;;) parts.push(Buffer.from(part.subarray(0, readSync(pipe, part))));
  } catch {
    return Buffer.concat(parts).toString();
  }
}

it('waits for a reader that is slow, and for nobody else: whole lines in order, and how many are missing', async () => {
  const output = new LogOutput(pipe);
  const written = 4_000;
  for (let n = 0; n < written; n++) output.write(`${JSON.stringify({ n, text: 'é'.repeat(300) })}\n`);

  let text = '';
  const lines = await until(() => {
    text += read();
    return text.includes('"dropped"') && text.endsWith('\n') && text.split('\n').slice(0, -1);
  });
  const parsed = lines.map((line) => JSON.parse(line) as Line);
  const { dropped } = parsed.pop() as Line;
  expect(parsed.map(({ n }) => n)).toEqual(Array.from(parsed, (_, n) => n));
  expect(parsed.length + Number(dropped)).toBe(written);
  expect(dropped).toBeGreaterThan(0);

  output.write('{"n":-1}\n');
  expect(read()).toBe('{"n":-1}\n');
});

it('loses nothing to a reader that is only a little late', async () => {
  const output = new LogOutput(pipe);
  const written = 500;
  for (let n = 0; n < written; n++) output.write(`${JSON.stringify({ n, text: 'x'.repeat(1_000) })}\n`);
  let text = '';
  await until(() => {
    text += read();
    return text.split('\n').length > written;
  });
  expect(
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as Line).n),
  ).toEqual(Array.from({ length: written }, (_, n) => n));
});

it('does not stop its process where nobody reads', async () => {
  const writes = `
    import { LogOutput } from ${JSON.stringify(new URL('../src/log-output.ts', import.meta.url).href)};
    const output = new LogOutput();
    for (let n = 0; n < 3_000; n++) output.write('x'.repeat(1_000) + '\\n');
    process.stderr.write('alive');`;
  // A real pipe, from a shell: those of Node are sockets.
  const command = `"$0" --input-type=module -e "$1" | { read line; sleep 60; }`;
  const child = spawn('/bin/sh', ['-c', command, process.execPath, writes], { detached: true });
  try {
    expect(String(await once(child.stderr, 'data'))).toBe('alive');
  } finally {
    process.kill(-Number(child.pid), 'SIGKILL');
  }
});
