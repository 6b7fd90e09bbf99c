import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ApiKeys } from '../src/accounts/api-keys.ts';
import { KeyAuthenticator } from '../src/accounts/key-authenticator.ts';
import { createKeySecrets } from '../src/accounts/key-secret.ts';
import { msat } from '../src/amount.ts';
import { createNotifications } from '../src/db/notify.ts';
import { createPool, type Pool } from '../src/db/postgres.ts';
import { startEmbeddedPostgres } from '../src/db/embedded/embedded-postgres.ts';
import { migrate } from '../src/db/migrate.ts';
import { readBudgetDays, readMeanCharge } from '../src/ledger/balance.ts';
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
import { addPayer, type Payer } from '../test/support/holds.ts';

/**
 * `node bench/reports.ts`: what the pages of one large account ask, over an embedded PostgreSQL. `--requests` in 30 days, by `--keys`. As in
 * life, an account has a hundred of them alive at a time; `--spread` lets each request have any of them, which leaves nothing to sum up by
 * key and hour. Ends with 1 where a query's 95th percentile is above `--limit` milliseconds.
 */
const { values: options } = parseArgs({
  options: {
    requests: { type: 'string', default: '1000000' },
    keys: { type: 'string', default: '10000' },
    spread: { type: 'boolean', default: false },
    times: { type: 'string', default: '40' },
    limit: { type: 'string', default: '150' },
  },
});

const REQUESTS = Number(options.requests);
const KEYS = Number(options.keys);
const ALIVE = 100;
const DAYS = 30;
const DAY_MS = 86_400_000;
const CSV_ROWS = 100_000;
const PROJECT_DIR = fileURLToPath(new URL('..', import.meta.url));

const directory = mkdtempSync(path.join(tmpdir(), 'pura-bench-'));
chmodSync(directory, 0o755);
const log = createLog('warn');
const postgres = await startEmbeddedPostgres({ dataDir: path.join(directory, 'data'), projectDir: PROJECT_DIR, log });
try {
  await migrate(postgres.connectionString);
  const pool = createPool({ connectionString: postgres.connectionString, max: 1 });
  const payer = await addPayer(pool, { balanceMsat: 1_000_000_000_000n });
  await took(`${REQUESTS} requests of ${KEYS} keys, as they come`, () => seed(pool, payer));
  await took('added up by hour', () => new UsageHours(pool).catchUp());
  await pool.query('vacuum analyze');
  await measure(pool, payer);
  await pool.end();
} finally {
  await postgres.stop();
  for (const made of [directory, postgres.dataDir]) rmSync(made, { recursive: true, force: true });
}

async function took(what: string, work: () => Promise<void>): Promise<void> {
  const begun = performance.now();
  await work();
  console.log(`${what}: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
}

async function seed(pool: Pool, { accountId, keyId }: Payer): Promise<void> {
  const client = await pool.connect();
  const run = async (sql: string, values: unknown[]) => void (await client.query({ text: sql, values, ...{ query_timeout: 3_600_000 } }));
  await client.query('set statement_timeout = 0');
  await run(
    `insert into api_keys (id, account_id, secret_hash, secret_id, prefix, role, label, daily_budget_pico_usd, created_at, revoked_at)
     select md5('key ' || n)::uuid, $1, decode(md5(n::text), 'hex'), '0', 'pura_' || lpad(n::text, 6, '0'), 'inference', 'agent ' || n, 10 ^ 13,
       now() - ($2::int - n) * interval '4 minutes', case when n <= $2::int - $3::int then now() end from generate_series(1, $2::int) n`,
    [accountId, KEYS, ALIVE],
  );
  await run(
    `create temporary table made as
     select md5('request ' || n)::uuid as id, n, now() - ($1::bigint - n) * interval '${DAYS} days' / $1 as at, abs(hashint4(n::int)) as dice,
       md5('key ' || case when $4 then 1 + abs(hashint4(n::int + 7)) % $2
         else 1 + (n * greatest($2 - $3, 0) / $1 + abs(hashint4(n::int + 7)) % least($2, $3)) % $2 end)::uuid as key_id
     from generate_series(1, $1::bigint) n`,
    [REQUESTS, KEYS, ALIVE, options.spread],
  );
  await run(
    `insert into holds (request_id, account_id, key_id, funding, state, amount_msat, posted_msat, amount_pico_usd, posted_pico_usd, budget_day,
       pico_usd_per_msat, price_version, stream, idempotent, instance_id, lease_until, created_at, resolved_at)
     select id, $1, key_id, 'wallet', case when dice % 100 = 0 then 'voided' else 'posted' end, 2000, case when dice % 100 = 0 then 0 else 20 + dice % 900 end,
       2000000000, case when dice % 100 = 0 then 0 else (20 + dice % 900) * 1000000::bigint end, at::date, 1000000, 1, false, false, id, at, at, at
     from made order by n`,
    [accountId],
  );
  await run(
    `insert into requests (id, account_id, key_id, created_at, path, requested_model, model, provider, tier, stream, outcome, status, funding,
       prompt_tokens, completion_tokens, cost_pico_usd, charged_msat, pico_usd_per_msat, latency_ms, explored)
     select id, $1, key_id, at + interval '20 milliseconds', '/v1/chat/completions', 'auto', 'model-' || dice % 12, 'provider-' || dice % 4, 'cheap', true,
       case when dice % 100 = 0 then 'refused' when dice % 33 = 1 then 'client_gone' else 'ok' end, 200, 'wallet', 900 + dice % 500, 80 + dice % 300,
       (20 + dice % 900) * 1000000::bigint, 20 + dice % 900, 1000000, 900, dice % 40 = 3
     from made where dice % 5003 <> 1 order by n`,
    [accountId],
  );
  await run(
    `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, request_id, key_id, created_at)
     select 'charge:' || id, $1, 'charge', 'wallet', 'revenue', 20 + dice % 900, 1000000000000 - sum(20 + dice % 900) over (order by n), id, key_id, at
     from made where dice % 100 <> 0 order by n`,
    [accountId],
  );
  await run(
    `insert into budget_days (key_id, day, account_id, spent_pico_usd)
     select key_id, (clock_timestamp() at time zone 'utc')::date, $1, 10 ^ 9 from (select distinct key_id from made) k where key_id <> $2`,
    [accountId, keyId],
  );
  await client.query('drop table made');
  client.release(true);
}

/** What a process took of the processor, in ms; 0 where the system does not tell. */
function cpuOf(pid: number): number {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return 0;
  // After the name in brackets: the 12th and 13th are ticks of 10 ms in the program and in the system.
  const fields = readFileSync(file, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Each query in turn. Where other work disturbs the times, the processor's tell more: of the connection's backend and of this process. */
async function measure(pool: Pool, { accountId }: Payer): Promise<void> {
  const notifications = createNotifications(postgres.connectionString, log);
  const secrets = createKeySecrets([{ id: '1', secret: randomBytes(32) }]);
  const authenticator = new KeyAuthenticator({ pool, secrets, notifications, log });
  const apiKeys = new ApiKeys({ pool, secrets, authenticator, log });
  const all = { accountId, keyId: null };
  const [latest] = await readRequests(pool, { ...all, after: null, limit: 1 });
  const keyId = latest?.keyId ?? '';
  const month = { ...all, hours: DAYS * 24 };
  const ago = (days: number) => new Date(Date.now() - days * DAY_MS);
  const list = { ...all, after: null, limit: 50 };
  const queries: [what: string, query: () => Promise<unknown>][] = [
    ['report of 24 hours', () => readSpend(pool, { ...all, hours: 24, byKey: true })],
    ['report of 7 days', () => readSpend(pool, { ...all, hours: 7 * 24, byKey: true })],
    ['report of 30 days', () => readSpend(pool, { ...month, byKey: true })],
    ['30 days by day and model', () => readSpend(pool, { ...month, series: { bucket: 'day', by: 'model' } })],
    ['30 days by hour and model', () => readSpend(pool, { ...month, series: { bucket: 'hour', by: 'model' } })],
    ['30 days by day and key', () => readSpend(pool, { ...month, series: { bucket: 'day', by: 'key' } })],
    ['30 days of one outcome', () => readSpend(pool, { ...month, outcome: 'client_gone' })],
    ['30 days of one key', () => readSpend(pool, { ...month, keyId })],
    ['runway', () => readRunway(pool, accountId, msat(10n ** 9n))],
    ['mean charge', () => readMeanCharge(pool, accountId)],
    ['requests, first page', () => readRequests(pool, list)],
    ['requests before 20 days ago', () => readRequests(pool, { ...list, to: ago(20) })],
    ['requests of a model', () => readRequests(pool, { ...list, model: 'model-7' })],
    ['requests of a rare outcome', () => readRequests(pool, { ...list, outcome: 'refused' })],
    ['requests of a model that was never used', () => readRequests(pool, { ...list, model: 'none', from: ago(7) })],
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
  await timed(pool, queries);
  await csv(pool, apiKeys, all);
  await authenticator.close();
  await notifications.close();
}

/** Prints a table. */
async function timed(pool: Pool, queries: readonly [what: string, query: () => Promise<unknown>][]): Promise<void> {
  const { rows: backends } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
  const cpuMs = () => cpuOf(backends[0]?.pid ?? 0) + process.cpuUsage().user / 1000 + process.cpuUsage().system / 1000;
  console.log('\n| query | median ms | 95 % ms | CPU ms |\n| --- | --- | --- | --- |');
  for (const [what, query] of queries) {
    const times: number[] = [];
    const before = cpuMs();
    for (let n = 0; n < Number(options.times); n++) {
      const begun = performance.now();
      await query();
      times.push(performance.now() - begun);
    }
    const sorted = times.toSorted((a, b) => a - b);
    const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    const cpu = ((cpuMs() - before) / times.length).toFixed(1);
    console.log(`| ${what} | ${at(0.5).toFixed(1)} | ${at(0.95).toFixed(1)} | ${cpu} |`);
    if (at(0.95) > Number(options.limit)) process.exitCode = 1;
  }
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
