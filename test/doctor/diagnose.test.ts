import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { msat } from '../../src/amount.ts';
import { diagnose } from '../../src/doctor/diagnose.ts';
import type { Report } from '../../src/doctor/report.ts';
import { textOf } from '../../src/doctor/report.ts';
import type { World } from '../../src/doctor/world.ts';
import { lightningUnavailable } from '../../src/lightning/lnd/lnd-failure.ts';
import type { LndProbe } from '../../src/lightning/lnd/lnd-probe.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addOwner } from '../support/funded.ts';
import { lndMacaroon } from '../support/lnd-macaroon.ts';
import { TEST_TLS } from '../support/tls.ts';

const DAY_MS = 86_400_000;
const NOW = Date.parse('2026-11-28T12:00:00Z');
const CALLS = ['AddInvoice', 'LookupInvoice', 'SubscribeInvoices', 'GetInfo', 'ListInvoices', 'ChannelBalance'].map(
  (call) => `/lnrpc.Lightning/${call}`,
);
const SECRET = randomBytes(32).toString('hex');
const home = mkdtempSync(path.join(tmpdir(), 'pura-doctor-'));
afterAll(() => rmSync(home, { recursive: true }));

const NODE: LndProbe = {
  nodeId: '02'.padEnd(66, 'a'),
  network: 'mainnet',
  version: '0.21.0-beta commit=v0.21.0-beta',
  syncedToChain: true,
  activeChannels: 4,
  receivableMsat: msat(5_000_000_000n),
};

/** No two within 2 % of each other. */
const PRICES = { coinbase: 50_000, kraken: 55_000, bitstamp: 60_000, bitfinex: 65_000, mempool: 70_000 };

/** A world in which all is well, but for what a case says. */
function world(changes: Partial<World> = {}): World {
  return {
    now: () => NOW,
    fetch: (url) => Promise.resolve({ status: 200, date: NOW, text: url.endsWith('/health') ? '{"status":"ok"}' : '{"data":[]}' }),
    certificateOf: () => Promise.resolve({ validTo: new Date(NOW + 60 * DAY_MS), distrust: null }),
    priceOf: () => Promise.resolve(64_000),
    lnd: () => Promise.resolve(NODE),
    nwc: () => Promise.resolve({ network: 'mainnet', missing: [], spending: [], lists: true }),
    disk: () => Promise.resolve({ freeBytes: 5e10, totalBytes: 1e11 }),
    openFiles: () => 65_536,
    nodeVersion: '24.21.0',
    ...changes,
  };
}

/** A server as `docs/deploy.md` has it, on a machine without its database: nothing listens on port 1. */
const SERVER: Record<string, string> = {
  NODE_ENV: 'production',
  DATABASE_URL: 'postgres://pura:canary-password@127.0.0.1:1/pura',
  SECRET_KEY: `1:${SECRET}`,
  ADMIN_TOKEN: `ada:${randomBytes(24).toString('hex')}`,
  PUBLIC_URL: 'https://pura.example',
  TRUSTED_PROXIES: '127.0.0.1',
  LND_SOCKET: '127.0.0.1:10009',
  LND_MACAROON: lndMacaroon({ uri: CALLS }).toString('hex'),
  LND_CERT: TEST_TLS.cert.toString('base64'),
  OPENAI_API_KEY: 'sk-canary-openai',
};

async function look(env: Record<string, string | undefined> = {}, changes: Partial<World> = {}): Promise<Report> {
  const all = Object.fromEntries(Object.entries({ ...SERVER, ...env }).filter(([, value]) => value !== undefined));
  return diagnose({ env: all, world: world(changes), version: '1.2.3', deadlineMs: 2_000 });
}

const away = (reason: [number, string, { err: { code: number; details: string } }]) => () => Promise.reject(lightningUnavailable(reason));
const answers = (status: number, date = NOW) => ({ fetch: () => Promise.resolve({ status, date, text: '' }) });
const nwc = {
  LND_SOCKET: undefined,
  LND_MACAROON: undefined,
  LND_CERT: undefined,
  NWC_URL: `nostr+walletconnect://${'a'.repeat(64)}?relay=wss://relay.example&secret=${'5'.repeat(64)}`,
};
const simulated = { ...nwc, NWC_URL: undefined, OPENAI_API_KEY: undefined };
const file = (name: string, content: string): string => {
  writeFileSync(path.join(home, name), content);
  return path.join(home, name);
};

type Case = [what: string, env: Record<string, string | undefined>, world: Partial<World>, level: string, check: string, found: string];

it.each<Case>([
  ['a bad value', { PORT: 'eighty' }, {}, 'problem', 'configuration', 'PORT'],
  ['a variable that is none', { LND_MACARON: 'x' }, {}, 'problem', 'configuration', 'LND_MACARON'],
  [
    'a macaroon without its node',
    { LND_SOCKET: undefined, LIGHTNING_BACKEND: 'lnd' },
    {},
    'problem',
    'configuration',
    'LND_SOCKET is required',
  ],
  ['play money in production', simulated, {}, 'problem', 'configuration', 'simulated wallet'],
  ['play money on purpose', { ...simulated, ALLOW_SIMULATED: 'true' }, {}, 'warning', 'wallet', 'the money is not'],
  ['a broken file', { GATEWAY_CONFIG: file('broken.yaml', 'deployments: 7\n') }, {}, 'problem', 'GATEWAY_CONFIG', 'broken.yaml:1:'],
  ['no secret', { SECRET_KEY: undefined }, {}, 'problem', 'SECRET_KEY', 'missing'],
  ['a secret of one digit', { SECRET_KEY: '0'.repeat(64) }, {}, 'problem', 'SECRET_KEY', 'made up'],
  ['a secret of words', { SECRET_KEY: 'change-me-to-something-random-in-production-please' }, {}, 'problem', 'SECRET_KEY', 'made up'],
  ['no token for operators', { ADMIN_TOKEN: undefined }, {}, 'note', 'ADMIN_TOKEN', 'off'],
  ['a token of words', { ADMIN_TOKEN: 'correct-password-here' }, {}, 'problem', 'ADMIN_TOKEN', 'made up'],
  ['a token without TLS', { PUBLIC_URL: 'http://pura.example' }, {}, 'problem', 'ADMIN_TOKEN', 'plain http'],
  ['a database that is away', {}, {}, 'problem', 'database', 'ECONNREFUSED'],
  ['a macaroon that is none', { LND_MACAROON: 'abcd' }, {}, 'problem', 'LND_MACAROON', 'not a macaroon'],
  [
    'a macaroon that lacks a call',
    { LND_MACAROON: lndMacaroon({ uri: CALLS.slice(1) }).toString('hex') },
    {},
    'problem',
    'LND_MACAROON',
    'lacks uri:/lnrpc.Lightning/AddInvoice',
  ],
  [
    'a macaroon for receiving, with withdrawals',
    { WITHDRAWALS: 'true' },
    {},
    'problem',
    'LND_MACAROON',
    'uri:/routerrpc.Router/SendPaymentV2',
  ],
  [
    'a macaroon of an admin',
    { LND_MACAROON: lndMacaroon({ uri: CALLS, offchain: ['write'] }).toString('hex') },
    {},
    'warning',
    'LND_MACAROON',
    'offchain:write',
  ],
  [
    'a macaroon that reads no lists',
    { LND_MACAROON: lndMacaroon({ uri: CALLS.slice(0, 4) }).toString('hex') },
    {},
    'warning',
    'LND_MACAROON',
    'ListInvoices',
  ],
  ['a certificate of LND that is over', {}, { now: () => Date.parse('2200-01-01') }, 'problem', 'LND_CERT', 'expired'],
  ['a certificate for another host', { LND_SOCKET: 'node.example:10009' }, {}, 'warning', 'LND_CERT', 'does not name node.example'],
  [
    'a locked node',
    {},
    { lnd: away([503, 'LndLocked', { err: { code: 2, details: 'wallet locked' } }]) },
    'problem',
    'LND',
    'the wallet of LND is locked',
  ],
  [
    'a node that is away',
    {},
    { lnd: away([503, 'FailedToConnectToDaemon', { err: { code: 14, details: '' } }]) },
    'problem',
    'LND',
    'LND cannot be reached',
  ],
  ['a node that says nothing', {}, { lnd: () => new Promise(() => {}) }, 'unknown', 'LND', 'no answer within'],
  ['a node that is behind', {}, { lnd: () => Promise.resolve({ ...NODE, syncedToChain: false }) }, 'problem', 'LND', 'not synced'],
  ['a node of another coin', {}, { lnd: () => Promise.resolve({ ...NODE, network: undefined }) }, 'problem', 'LND', 'not Bitcoin'],
  ['a node without channels', {}, { lnd: () => Promise.resolve({ ...NODE, activeChannels: 0 }) }, 'problem', 'LND', 'no active channel'],
  [
    'no room to receive',
    {},
    { lnd: () => Promise.resolve({ ...NODE, receivableMsat: msat(0n) }) },
    'problem',
    'incoming liquidity',
    '0 sats',
  ],
  [
    'little room to receive',
    {},
    { lnd: () => Promise.resolve({ ...NODE, receivableMsat: msat(500_000_000n) }) },
    'warning',
    'incoming liquidity',
    '500,000 sats',
  ],
  [
    'room that cannot be seen',
    {},
    { lnd: () => Promise.resolve({ ...NODE, receivableMsat: null }) },
    'unknown',
    'incoming liquidity',
    'ChannelBalance',
  ],
  [
    'a wallet that lacks a method',
    nwc,
    { nwc: () => Promise.resolve({ network: 'mainnet', missing: ['make_invoice'], spending: [], lists: true }) },
    'problem',
    'wallet',
    'make_invoice',
  ],
  [
    'a wallet that can be emptied',
    nwc,
    { nwc: () => Promise.resolve({ network: 'mainnet', missing: [], spending: ['pay_invoice'], lists: true }) },
    'warning',
    'wallet',
    'pay_invoice',
  ],
  [
    'a wallet that is away',
    nwc,
    { nwc: () => Promise.reject(new Error('no relay of the wallet can be reached')) },
    'problem',
    'wallet',
    'no relay',
  ],
  ['prices that differ', {}, { priceOf: ({ name }) => Promise.resolve(PRICES[name]) }, 'problem', 'exchange rate', 'no price is agreed'],
  ['price sources that are away', {}, { priceOf: () => Promise.reject(new Error('ENOTFOUND')) }, 'problem', 'exchange rate', '0 of 5'],
  [
    'one price source that is away',
    {},
    { priceOf: ({ name }) => (name === 'kraken' ? Promise.reject(new Error('503')) : Promise.resolve(64_000)) },
    'warning',
    'exchange rate',
    'no answer: kraken',
  ],
  ['a fixed rate', { BTC_USD: '64000' }, {}, 'warning', 'exchange rate', 'fixed'],
  ['a key that the provider refuses', {}, answers(401), 'problem', 'provider openai', 'refuses the key (401)'],
  ['a provider in trouble', {}, answers(503), 'warning', 'provider openai', 'answers 503'],
  ['a provider behind a redirect', {}, answers(301), 'problem', 'provider openai', 'redirects'],
  [
    'a provider that is away',
    {},
    { fetch: () => Promise.reject(new Error('fetch failed', { cause: new Error('getaddrinfo ENOTFOUND') })) },
    'problem',
    'provider openai',
    'ENOTFOUND',
  ],
  ['a clock that is wrong by the world', {}, answers(200, NOW - 10 * 60_000), 'warning', 'provider openai', 'differ by 600 s'],
  ['no provider', { OPENAI_API_KEY: undefined }, {}, 'note', 'providers', 'demo'],
  ['no public address', { PUBLIC_URL: undefined }, {}, 'warning', 'PUBLIC_URL', 'not set'],
  ['a public address without TLS', { PUBLIC_URL: 'http://pura.example' }, {}, 'problem', 'PUBLIC_URL', 'plain http'],
  ['a proxy that nobody trusts', { TRUSTED_PROXIES: undefined }, {}, 'warning', 'PUBLIC_URL', 'TRUSTED_PROXIES'],
  [
    'a certificate that is over',
    {},
    { certificateOf: () => Promise.resolve({ validTo: new Date(NOW - DAY_MS), distrust: null }) },
    'problem',
    'PUBLIC_URL',
    'expired',
  ],
  [
    'a certificate that is nearly over',
    {},
    { certificateOf: () => Promise.resolve({ validTo: new Date(NOW + 5.5 * DAY_MS), distrust: null }) },
    'warning',
    'PUBLIC_URL',
    'expires in 5 days',
  ],
  [
    'a certificate of nobody',
    {},
    { certificateOf: () => Promise.resolve({ validTo: new Date(NOW + 60 * DAY_MS), distrust: 'SELF_SIGNED' }) },
    'problem',
    'PUBLIC_URL',
    'not trusted: SELF_SIGNED',
  ],
  ['no TLS at all', {}, { certificateOf: () => Promise.reject(new Error('connect ECONNREFUSED')) }, 'problem', 'PUBLIC_URL', 'no TLS'],
  ['another server at the address', {}, answers(404), 'problem', 'PUBLIC_URL', 'answers 404'],
  ['few open files', {}, { openFiles: () => 1000 }, 'problem', 'open files', '1000'],
  ['not many open files', {}, { openFiles: () => 4096 }, 'warning', 'open files', '2048 streams'],
  ['an old Node', {}, { nodeVersion: '20.19.0' }, 'problem', 'Node', '20.19.0'],
])('%s is told', async (_what, env, changes, level, check, found) => {
  const { findings, sound } = await look(env, changes);
  const told = findings.filter((finding) => finding.check === check && finding.level === level);
  expect(told.map((finding) => finding.found)).toContainEqual(expect.stringContaining(found));
  const mute = told.filter((finding) => ['problem', 'warning'].includes(level) && !finding.advice?.endsWith('.'));
  expect(mute).toEqual([]);
  // The database is away in each of them.
  expect(sound).toBe(false);
});

it('nothing keeps the rest from being looked at, and each name is there whatever is wrong', async () => {
  const well = await look();
  const ill = await look(
    {
      PORT: 'x',
      SECRET_KEY: 'short',
      LND_CERT: Buffer.from('nonsense').toString('base64'),
      PUBLIC_URL: 'https://pura.example',
      BTC_USD: '-1',
    },
    {
      ...Object.fromEntries(['fetch', 'certificateOf', 'priceOf', 'disk'].map((name) => [name, () => Promise.reject(new Error('gone'))])),
      lnd: () => new Promise(() => {}),
      openFiles: () => {
        throw new Error('no report');
      },
    },
  );
  const names = ({ findings }: Report) => [...new Set(findings.map(({ check }) => check))];
  expect(names(ill)).toEqual(names(well));
  expect(names(well)).toEqual([
    ...['configuration', 'GATEWAY_CONFIG', 'SECRET_KEY', 'ADMIN_TOKEN', 'database', 'migrations', 'clock', 'clock of the node', 'gateways'],
    ...[
      'LND_MACAROON',
      'LND_CERT',
      'LND',
      'incoming liquidity',
      'exchange rate',
      'provider openai',
      'PUBLIC_URL',
      'disk',
      'open files',
      'Node',
    ],
  ]);
  const refused = ill.findings.filter(({ check }) => check === 'configuration').map(({ found }) => found.split(':')[0]);
  expect(refused).toEqual(expect.arrayContaining(['PORT', 'BTC_USD']));
  expect(new Set(refused).size).toBe(refused.length);
});

it('a secret is in no report, not even where another’s answer repeats it', async () => {
  const gatewayFile = file(
    'gateway.yaml',
    'deployments:\n  - id: own\n    baseUrl: http://127.0.0.1:1/v1?key=query-canary\n    apiKey: sk-canary-deployment\n    headers: { x-extra: header-canary }\n    prices: { input: 1, output: 1 }\n',
  );
  for (const wallet of [{}, nwc]) {
    const env: Record<string, string | undefined> = { ...SERVER, GATEWAY_CONFIG: gatewayFile, ...wallet };
    const leak = (): never => {
      throw new Error(`refused: ${Object.values(env).join(' ')} sk-canary-deployment header-canary query-canary`);
    };
    const report = await look(env, { fetch: leak, certificateOf: leak, priceOf: leak, lnd: leak, nwc: leak });
    const told = textOf(report) + JSON.stringify(report);
    const token = env['ADMIN_TOKEN']?.split(':')[1];
    const secrets = ['canary', SECRET, token, env['LND_MACAROON'], env['NWC_URL'], '5'.repeat(64)].filter((secret) => secret !== undefined);
    expect(secrets.filter((secret) => told.includes(secret))).toEqual([]);
    expect(told).toContain('deployment own');
    expect(told).toContain('refused: production …');
  }
});

describe('the database', () => {
  let database: TestDatabase;
  const role = `doctor_${randomBytes(6).toString('hex')}`;
  const server = () => ({ DATABASE_URL: database.connectionString });
  const as = (user: string) => {
    const url = new URL(database.connectionString);
    url.username = user;
    url.password = 'weak';
    return { DATABASE_URL: url.href };
  };
  const of = async (check: string, env: Record<string, string>, changes: Partial<World> = {}) =>
    (await look(env, { now: () => Date.now(), ...changes })).findings.filter((finding) => finding.check === check);

  beforeAll(async () => {
    database = await createTestDatabase();
    await database.pool.query(`create role ${role} login password 'weak' connection limit 10`);
  });
  afterAll(async () => {
    await database.pool.query(`drop owned by ${role}`);
    await database.pool.query(`drop role ${role}`);
    await database.drop();
  });

  it('answers, has all migrations and the same time', async () => {
    expect(await of('database', server())).toContainEqual({
      check: 'database',
      level: 'ok',
      found: expect.stringMatching(/^PostgreSQL 18\S* ?.*, \d+ MB$/),
    });
    expect(await of('migrations', server())).toEqual([
      { check: 'migrations', level: 'ok', found: expect.stringMatching(/^all \d+ are applied$/) },
    ]);
    expect(await of('clock', server())).toMatchObject([{ level: 'ok' }]);
  });

  it('tells a role that may do too little, and one that may do too much', async () => {
    const found = await of('database', as(role));
    for (const told of ['may not make tables', 'belong to another role', 'only 10 connections']) {
      expect(found).toContainEqual(expect.objectContaining({ level: 'problem', found: expect.stringContaining(told) }));
    }
    expect(await of('database', server())).toContainEqual(
      expect.objectContaining({ level: 'warning', found: expect.stringContaining('superuser') }),
    );
  });

  it.each([
    [{ DATABASE_URL: 'postgres://nobody:wrong@' }, /28P01|28000|password|role/],
    [{ DATABASE_URL: 'postgres:///no_such_database' }, /3D000|does not exist/],
  ])('tells why it lets nobody in: %j', async (wrong, reason) => {
    const url = new URL(database.connectionString);
    if (wrong.DATABASE_URL.includes('@')) [url.username, url.password] = ['nobody', 'wrong'];
    else url.pathname = '/no_such_database';
    const [found] = await of('database', { DATABASE_URL: url.href });
    expect(found).toMatchObject({ level: 'problem', found: expect.stringMatching(reason), advice: expect.stringMatching(/\.$/) });
  });

  it('tells of what does not keep what was committed', async () => {
    await database.pool.query(`alter role ${role} set synchronous_commit = off`);
    await database.pool.query(`alter role ${role} set default_transaction_read_only = on`);
    const found = await of('database', as(role));
    for (const told of ['synchronous_commit is off', 'read-only']) {
      expect(found).toContainEqual(expect.objectContaining({ level: 'problem', found: expect.stringContaining(told) }));
    }
    await database.pool.query(`alter role ${role} reset all`);
  });

  it('is asked by one who may only read', async () => {
    await database.pool.query(`grant pg_read_all_data to ${role}`);
    await database.pool.query(`alter role ${role} set default_transaction_read_only = on`);
    const { findings } = await look({ ...as(role), OPENAI_API_KEY: undefined });
    await database.pool.query(`alter role ${role} reset all`);
    await database.pool.query(`revoke pg_read_all_data from ${role}`);
    expect(findings.filter(({ found }) => found.startsWith('this could not be looked at'))).toEqual([]);
    expect(findings.filter(({ check }) => check === 'gateways')).toHaveLength(1);
  });

  it('tells of migrations that it lacks, and of those that this version does not know', async () => {
    const { rows } = await database.pool.query<{ id: number; name: string }>(
      'select id, name from schema_migrations order by id desc limit 1',
    );
    const [last] = rows;
    await database.pool.query('update schema_migrations set name = $2 where id = $1', [last?.id, '9999_later.sql']);
    expect(await of('migrations', server())).toMatchObject([{ level: 'problem', found: expect.stringContaining('9999_later.sql') }]);
    await database.pool.query('delete from schema_migrations where id = $1', [last?.id]);
    expect(await of('migrations', server())).toMatchObject([{ level: 'note', found: expect.stringContaining(String(last?.name)) }]);
    await database.pool.query('insert into schema_migrations (id, name, batch, migration_time) values ($1, $2, 1, now())', [
      last?.id,
      last?.name,
    ]);
  });

  it.each([
    [-5_000, 'warning', 'behind'],
    [5_000, 'warning', 'ahead'],
    [-3_600_000, 'problem', 'behind'],
  ])('tells a clock that is off by %d ms', async (offMs, level, how) => {
    const [found] = await of('clock', server(), { now: () => Date.now() + offMs });
    expect(found).toMatchObject({ level, found: expect.stringContaining(how) });
  });

  it('tells which of several gateways has another time', async () => {
    const [good, bad] = [randomUUID(), randomUUID()];
    await database.pool.query(
      'insert into instances (id, beat_at, confirmed_at) values ($1, clock_timestamp(), now()), ($2, clock_timestamp(), now())',
      [good, bad],
    );
    const hold = async (instance: string, atMs: number) => {
      const time = atMs.toString(16).padStart(12, '0');
      const id = `${time.slice(0, 8)}-${time.slice(8)}-7${randomBytes(2).toString('hex').slice(1)}-8${randomBytes(2).toString('hex').slice(1)}-${randomBytes(6).toString('hex')}`;
      await database.pool.query(
        `insert into holds (request_id, account_id, key_id, funding, state, amount_msat, amount_pico_usd, budget_day, pico_usd_per_msat, price_version,
           stream, idempotent, instance_id, lease_until, resolved_at)
         values ($1, $2, $2, 'free', 'voided', 0, 0, current_date, 1, 1, false, false, $3, now(), now())`,
        [id, randomUUID(), instance],
      );
    };
    const { rows } = await database.pool.query<{ ms: number }>('select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms');
    const now = Math.round(rows[0]?.ms ?? 0);
    for (let count = 0; count < 3; count++) {
      await hold(good, now);
      await hold(bad, now + 7_000);
    }
    const found = await of('gateways', server());
    expect(found).toMatchObject([
      { level: 'ok', found: '2 run' },
      { level: 'warning', found: expect.stringContaining(`gateway ${bad.slice(0, 8)} is 7`) },
    ]);
  });

  it('tells keys that are stored under a secret which is not configured any more', async () => {
    await addOwner(database.pool);
    expect(await of('SECRET_KEY', server())).toMatchObject([
      { level: 'problem', found: expect.stringContaining('secret 0, which SECRET_KEY lacks') },
    ]);
  });

  it('tells balances of another network', async () => {
    await database.pool.query(`insert into ledger_network (network) values ('regtest') on conflict do nothing`);
    expect(await of('LND', server())).toContainEqual(
      expect.objectContaining({ level: 'problem', found: expect.stringContaining('came from regtest') }),
    );
  });
});
