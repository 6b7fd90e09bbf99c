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

/**
 * Where the log is written to and nothing is observed, and what of. Everything else that an operator may want to count or to be woken for is an
 * observation, whose line stands in `telemetry/log-lines.ts`.
 */
const LOG_ALONE: Record<string, string> = {
  'accounts/api-keys.ts': 'connections of the database',
  'accounts/hash-renewal.ts': 'connections of the database',
  'accounts/last-used.ts': 'connections of the database',
  'capacity/capacity-weights.ts': 'the start',
  'capacity/pool-watch.ts': 'the capacity pool, which /api/status tells of',
  'db/advisory-lock.ts': 'work under locks',
  'db/embedded/embedded-watch.ts': 'connections of the database',
  'db/notify.ts': 'connections of the database',
  'funding.ts': 'the way of one invoice, for debugging',
  'http/mcp/mcp.ts': 'the way of one request, for debugging',
  'lightning/lnd/lnd-macaroon.ts': 'the start',
  'lightning/lnd/lnd.ts': 'the start',
  'lightning/nwc/nwc.ts': 'the start',
  'operator/operator-settings.ts': 'connections of the database',
  'pricing/exchange-rate.ts': 'the start',
  'pricing/held-prices.ts': 'the start',
  'reload.ts': 'connections of providers that are gone',
  'server.ts': 'the start and the end',
  'start-server.ts': 'connections of the database',
  'withdrawing.ts': 'the start',
};
/** They talk to whoever runs them. */
const COMMANDS = new Set(['reconcile.ts']);

it('is told by the log alone only where that is meant', () => {
  const writing = files.filter((file) => /\b#?log(?:\?\.|\.)(?:debug|info|warn|error|fatal)\(/.test(read(file)));
  const named = writing.map((file) => file.replaceAll(path.sep, '/')).filter((file) => !COMMANDS.has(file));
  expect(named.toSorted()).toEqual(Object.keys(LOG_ALONE).toSorted());
});
