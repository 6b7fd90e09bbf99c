import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ApiKeys } from '../src/accounts/api-keys.ts';
import { KeyAuthenticator } from '../src/accounts/key-authenticator.ts';
import { createKeySecrets } from '../src/accounts/key-secret.ts';
import { msat } from '../src/amount.ts';
import { createNotifications } from '../src/db/notify.ts';
import { createPool, type Pool } from '../src/db/postgres.ts';
import { readBudgetDays, readMeanCharge } from '../src/ledger/balance.ts';
import { auditLedger } from '../src/ledger/audit.ts';
import { rollLedgerDays } from '../src/ledger/ledger-days.ts';
import { readRunway } from '../src/ledger/runway.ts';
import { readSpend } from '../src/ledger/spend.ts';
import { readStatementDays } from '../src/ledger/statement-days.ts';
import { readStatement } from '../src/ledger/statement.ts';
import { UsageHours } from '../src/ledger/usage-hours.ts';
import { createLog } from '../src/log.ts';
import { readReceipt } from '../src/records/receipt.ts';
import { readRequests } from '../src/records/recorded-requests.ts';
import { statementCsv } from '../src/records/statement-csv.ts';
import { usageCsv } from '../src/records/usage-csv.ts';
import { createSite, type GatewayProcess, type GatewaySite, type SharedDatabase } from '../test/support/gateway-process.ts';
import type { TestKey } from '../test/support/gateway.ts';
import { addHistory, addOthers, DAYS, patiently } from './large-history.ts';
import { ADMIN_TOKEN, apiReports, adminPages, consolePages } from './pages.ts';
import { cpuOf, cpuOfFamily } from './processor.ts';
import { timed, took, type Measured } from './timed.ts';

/**
 * `node bench/reports.ts`: what the pages of one large account and the operator's ask, over an embedded PostgreSQL: first the queries alone,
 * then the pages as a gateway serves them. `--requests` in 30 days, by `--keys`; `--accounts` are there besides. As in life, an account has a
 * hundred keys alive at a time; `--spread` lets each request have any of them, which leaves nothing to sum up by key and hour. `--data` is a
 * directory where all of that is kept for another run. `--only` names what is measured: queries, pages, csv or audit. Ends with 1 where a
 * 95th percentile is above `--limit` milliseconds.
 */
const { values: options } = parseArgs({
  options: {
    requests: { type: 'string', default: '1000000' },
    keys: { type: 'string', default: '10000' },
    accounts: { type: 'string', default: '100000' },
    spread: { type: 'boolean', default: false },
    times: { type: 'string', default: '40' },
    limit: { type: 'string', default: '150' },
    data: { type: 'string' },
    only: { type: 'string', multiple: true, default: ['queries', 'pages', 'csv', 'audit'] },
  },
});

const DAY_MS = 86_400_000;
const CSV_ROWS = 100_000;
const TIMES = Number(options.times);

const log = createLog('warn');
const site = createSite({
  ...(options.data !== undefined && { dataDir: options.data }),
  env: { ADMIN_TOKEN, LOG_LEVEL: 'warn' },
});
try {
  const gateway = await site.start();
  const database = await site.database();
  const key = await accountIn(gateway, database);
  const slow = [
    ...(options.only.includes('queries') ? await measureQueries(database, key) : []),
    ...(options.only.includes('pages') ? await measurePages(site, gateway, database, key) : []),
  ];
  if (options.only.includes('csv'))
    await withApiKeys(database, (pool, apiKeys) => csv(pool, apiKeys, { accountId: key.accountId, keyId: null }));
  if (options.only.includes('audit')) await audit(database);
  if (slow.length > 0) {
    console.log(`\nabove ${options.limit} ms: ${slow.join('; ')}`);
    process.exitCode = 1;
  }
  await gateway.end('SIGTERM');
} finally {
  await site.close();
}

/** The large account with its history: made, or found in `--data`. */
async function accountIn(gateway: GatewayProcess, { pool }: SharedDatabase): Promise<TestKey> {
  const file = options.data === undefined ? undefined : path.join(options.data, 'account.json');
  if (file !== undefined && existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as TestKey;
  const key = await gateway.newKey();
  await pool.query('update accounts set free_limit = 0 where id = $1', [key.accountId]);
  const [requests, keys, accounts] = [Number(options.requests), Number(options.keys), Number(options.accounts)];
  await took(`${accounts} other accounts`, async () => addOthers(pool, accounts, await nodeOf(pool)));
  await took(`${requests} requests of ${keys} keys`, () =>
    addHistory(pool, { accountId: key.accountId, keyId: key.id }, { requests, keys, spread: options.spread }),
  );
  await took('added up by hour and by day', async () => {
    // The gateway is at it too, and one of them at a time.
    const isBehind = async () =>
      (await pool.query(`select from usage_rollup where rolled_to < now() - interval '1 minute'`)).rowCount !== 0;
    do await new UsageHours(pool).catchUp();
    while (await isBehind());
    await rollLedgerDays(pool, 0);
  });
  await patiently(pool, (run) => run('vacuum analyze'));
  if (file !== undefined) writeFileSync(file, JSON.stringify(key));
  return key;
}

async function nodeOf(pool: Pool): Promise<string> {
  const { rows } = await pool.query<{ node_id: string }>('select node_id from lightning_nodes');
  return rows[0]?.node_id ?? 'node';
}

async function withApiKeys<T>({ connectionString }: SharedDatabase, work: (pool: Pool, apiKeys: ApiKeys) => Promise<T>): Promise<T> {
  const pool = createPool({ connectionString, max: 1 });
  const notifications = createNotifications(connectionString, log);
  const secrets = createKeySecrets([{ id: '1', secret: randomBytes(32) }]);
  const authenticator = new KeyAuthenticator({ pool, secrets, notifications, log });
  try {
    return await work(pool, new ApiKeys({ pool, secrets, authenticator, log }));
  } finally {
    await authenticator.close();
    await notifications.close();
    await pool.end();
  }
}

/** Each query in turn. The processor's time is of the connection's backend and of this process. */
function measureQueries(database: SharedDatabase, key: TestKey): Promise<string[]> {
  return withApiKeys(database, async (pool, apiKeys) => {
    const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
    const cpuMs = () => cpuOf(rows[0]?.pid ?? 0) + process.cpuUsage().user / 1000 + process.cpuUsage().system / 1000;
    return timed('query', await queriesOf(pool, apiKeys, key.accountId), { times: TIMES, limitMs: Number(options.limit), cpuMs });
  });
}

async function queriesOf(pool: Pool, apiKeys: ApiKeys, accountId: string): Promise<Measured[]> {
  const all = { accountId, keyId: null };
  const [latest] = await readRequests(pool, { ...all, after: null, limit: 1 });
  const keyId = latest?.keyId ?? '';
  const month = { ...all, hours: DAYS * 24 };
  const ago = (days: number) => new Date(Date.now() - days * DAY_MS);
  const list = { ...all, after: null, limit: 50 };
  return [
    ['report of 24 hours', () => readSpend(pool, { ...all, hours: 24, byKey: true })],
    ['report of 7 days', () => readSpend(pool, { ...all, hours: 7 * 24, byKey: true })],
    ['report of 30 days', () => readSpend(pool, { ...month, byKey: true })],
    ['30 days by day and model', () => readSpend(pool, { ...month, series: { bucket: 'day', by: 'model' } })],
    ['30 days by hour and model', () => readSpend(pool, { ...month, series: { bucket: 'hour', by: 'model' } })],
    ['30 days by day and key', () => readSpend(pool, { ...month, series: { bucket: 'day', by: 'key' } })],
    ['30 days by hour and key', () => readSpend(pool, { ...month, series: { bucket: 'hour', by: 'key' } })],
    ['30 days of one outcome', () => readSpend(pool, { ...month, outcome: 'client_gone' })],
    ['30 days of one model, keys too', () => readSpend(pool, { ...month, model: 'model-7', byKey: true })],
    ['30 days of one key', () => readSpend(pool, { ...month, keyId })],
    ['30 days of a model never used, keys too', () => readSpend(pool, { ...month, model: 'none', byKey: true })],
    ['runway', () => readRunway(pool, accountId, msat(10n ** 9n))],
    ['mean charge', () => readMeanCharge(pool, accountId)],
    ['requests, first page', () => readRequests(pool, list)],
    ['requests before 20 days ago', () => readRequests(pool, { ...list, to: ago(20) })],
    ['requests of a model', () => readRequests(pool, { ...list, model: 'model-7' })],
    ['requests of a rare outcome', () => readRequests(pool, { ...list, outcome: 'refused' })],
    ['requests of a model never used, 7 days', () => readRequests(pool, { ...list, model: 'none', from: ago(7) })],
    ['requests of a model never used, 30 days', () => readRequests(pool, { ...list, model: 'none', from: ago(30) })],
    ['requests of one key', () => readRequests(pool, { ...list, keyId })],
    ['receipt', () => readReceipt(pool, all, latest?.id ?? '')],
    ['statement, first page', () => readStatement(pool, { ...all, before: null, limit: 50 })],
    ['statement of 20 days ago', () => readStatement(pool, { ...all, from: ago(21), to: ago(20), before: null, limit: 50 })],
    ['statement, deposits', () => readStatement(pool, { ...all, kind: 'deposit', before: null, limit: 50 })],
    ['statement, days of a month', () => readStatementDays(pool, accountId, ago(DAYS), new Date())],
    ['keys, first page', () => apiKeys.list(accountId, { limit: 51 })],
    ['keys by label', () => apiKeys.list(accountId, { limit: 51, q: 'agent 9' })],
    ['keys by prefix', () => apiKeys.list(accountId, { limit: 51, q: 'pura_009999' })],
    ['live keys', () => apiKeys.list(accountId, { limit: 51, state: 'live' })],
    ['what 50 keys spent today', () => readBudgetDays(pool, Array<string>(50).fill(keyId))],
  ];
}

/** Each page in turn, as its reader would ask. The processor's time is of the gateway and of the database with all its backends. */
async function measurePages(on: GatewaySite, gateway: GatewayProcess, { pool }: SharedDatabase, key: TestKey): Promise<string[]> {
  const cpuMs = () => cpuOf(gateway.pid) + cpuOfFamily(on.postmasterPid());
  const rounds = { times: TIMES, limitMs: Number(options.limit), cpuMs };
  return [
    ...(await timed('report of the API', apiReports(gateway, key), rounds)),
    ...(await timed('page of the console', await consolePages(gateway.url, pool, key), rounds)),
    ...(await timed('page of an operator', await adminPages(gateway.url, pool, key), rounds)),
  ];
}

/** A page of a thousand rows at a time: however long it is, it needs no more memory. */
async function csv(pool: Pool, apiKeys: ApiKeys, all: { accountId: string; keyId: null }): Promise<void> {
  for (const [what, lines] of [
    ['usage', usageCsv({ pool, apiKeys }, all, { most: CSV_ROWS, more: () => 'more' })],
    ['statement', statementCsv({ pool, apiKeys }, all, { most: CSV_ROWS, more: () => 'more' })],
  ] as const) {
    await took(`${what} as CSV, ${CSV_ROWS} rows`, async () => {
      let [bytes, heap] = [0, 0];
      for await (const piece of lines) {
        bytes += piece.length;
        heap = Math.max(heap, process.memoryUsage().heapUsed);
      }
      console.log(`${(bytes / 1e6).toFixed(1)} MB, at most ${(heap / 1e6).toFixed(0)} MB of heap`);
    });
  }
}

/** What was measured is a ledger as it would be, or the figures say little. */
async function audit({ pool }: SharedDatabase): Promise<void> {
  await took('audit of the whole ledger', async () => {
    const violations = await auditLedger(pool, { oldestHoldSeconds: 600 });
    for (const { rule, subject, expected, found } of violations.slice(0, 10)) {
      console.log(`${rule}: ${subject} should be ${expected}, is ${found}`);
      process.exitCode = 1;
    }
  });
}
