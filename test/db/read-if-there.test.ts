import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { runningServer } from '../../src/db/embedded/embedded-postmaster.ts';
import { readIfThere } from '../../src/db/read-if-there.ts';

const LOOKS = 3_000;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'pura-read-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

describe('a file', () => {
  it('is read where it is there, and is undefined where it is not', () => {
    const file = path.join(directory, 'there');
    expect(readIfThere(file)).toBeUndefined();
    writeFileSync(file, 'text');
    expect(readIfThere(file)).toBe('text');
  });

  it('that cannot be read is an error', () => {
    expect(() => readIfThere(directory)).toThrow('EISDIR');
  });
});

describe('the file of a server', () => {
  it('may be removed while it is looked for: then no server runs', async () => {
    const file = path.join(directory, 'postmaster.pid');
    const flicker = `
      const { rmSync, writeFileSync } = require('node:fs');
      const file = ${JSON.stringify(file)};
      writeFileSync(file, '1');
      require('node:worker_threads').parentPort.postMessage('begun');
      for (;;) { writeFileSync(file, '1'); rmSync(file); }`;
    const worker = new Worker(flicker, { eval: true });
    await new Promise((resolve) => worker.once('message', resolve));
    try {
      for (let look = 0; look < LOOKS; look++) expect(runningServer(directory)).toBeUndefined();
    } finally {
      await worker.terminate();
    }
  });
});
