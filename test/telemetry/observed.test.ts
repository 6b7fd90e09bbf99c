import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';

const SOURCE = fileURLToPath(new URL('../../src/', import.meta.url));
const read = (file: string) => readFileSync(path.join(SOURCE, file), 'utf8');
const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.ts') && file !== 'observation.ts' && !file.startsWith(`telemetry${path.sep}`),
);

/** The members of the union. */
const KINDS = [...(/export interface Observed \{\n([\s\S]*?)\n\}/.exec(read('observation.ts'))?.[1] ?? '').matchAll(/^ {2}(\w+):/gm)].map(
  ([, kind = '']) => kind,
);

/** What is written where it is told, and what is told by its name: a variable, or an object of a class of the same file. */
const WRITTEN = /\bobserve(?:\?\.)?\(\s*\{\s*kind:\s*'(\w+)'/g;
const NAMED = /\bobserve(?:\?\.)?\(\s*(\w+)\s*\)/g;
const OF_CLASS = /\breadonly kind = '(\w+)'/g;
const kindsOf = (pattern: RegExp, text: string) => [...text.matchAll(pattern)].map(([, kind = '']) => kind);

function observedIn(text: string): string[] {
  const named = kindsOf(NAMED, text).flatMap((name) => kindsOf(new RegExp(`\\bconst ${name} = \\{\\s*kind:\\s*'(\\w+)'`, 'g'), text));
  const tellsObjects = kindsOf(NAMED, text).length > named.length;
  return [...kindsOf(WRITTEN, text), ...named, ...(tellsObjects ? kindsOf(OF_CLASS, text) : [])];
}

const told = new Set(files.flatMap((file) => observedIn(read(file))));

describe('the union of all that can be observed', () => {
  it('is read whole', () => {
    expect(KINDS.length).toBeGreaterThan(50);
    expect([...told].filter((kind) => !KINDS.includes(kind))).toEqual([]);
  });

  it.each(KINDS)('has nothing that nobody tells: %s', (kind) => {
    expect(told).toContain(kind);
  });
});
