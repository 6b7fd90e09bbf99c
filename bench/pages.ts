import type { Pool } from '../src/db/postgres.ts';
import type { GatewayProcess } from '../test/support/gateway-process.ts';
import type { TestKey } from '../test/support/gateway.ts';
import { OperatorClient } from '../test/support/operator-client.ts';
import { signedIn } from '../test/support/signed-in.ts';
import type { Measured } from './timed.ts';

export const ADMIN_TOKEN = 'measures-pages-as-an-operator-would-0123456789';

/** One row of a query, which has to be there. */
async function one<Row extends object>(pool: Pool, sql: string, values: unknown[] = []): Promise<Row> {
  const { rows } = await pool.query<Row>(sql, values);
  if (!rows[0]) throw new Error(`nothing found by ${sql}`);
  return rows[0];
}

function requireOk(path: string, { status, html }: { status: number; html: string }): void {
  // Too much to sum up is slow, and shows as such.
  if (status !== 200 && status !== 503) throw new Error(`${path} answers ${status}: ${html.slice(0, 300)}`);
}

/** Reports as programs ask for them. */
export function apiReports(gateway: GatewayProcess, key: TestKey): Measured[] {
  return [
    '/api/report?period=24h',
    '/api/report?period=7d',
    '/api/report?period=30d',
    '/api/report?period=30d&series=day&by=model',
    '/api/report?period=30d&series=hour&by=model',
    '/api/report?period=30d&series=day&by=key',
    '/api/report?period=30d&series=hour&by=key',
    '/api/report?period=30d&model=model-7',
    '/api/report?period=30d&outcome=client_gone',
    '/api/report?period=30d&model=never-used',
    '/api/report?period=30d&model=never-used&series=day&by=key',
    '/api/requests?limit=50',
    '/api/wallet/balance',
    '/api/wallet/transactions?limit=50',
    '/api/keys?limit=50',
  ].map((path) => [path, async () => requireOk(path, await read(await gateway.get(path, key)))]);
}

async function read(answer: Response): Promise<{ status: number; html: string }> {
  return { status: answer.status, html: await answer.text() };
}

/** The console as the large account's owner sees it. */
export async function consolePages(origin: string, pool: Pool, key: TestKey): Promise<Measured[]> {
  const browser = await signedIn(origin, key.secret);
  const { id, key_id: busyKey } = await one<{ id: string; key_id: string }>(
    pool,
    'select id, key_id from requests where account_id = $1 and key_id <> $2 order by created_at desc limit 1',
    [key.accountId, key.id],
  );
  const day = (back: number) => new Date(Date.now() - back * 86_400_000).toISOString().slice(0, 10);
  return [
    '/console',
    '/console?period=24h',
    '/console?period=30d',
    '/console/usage',
    '/console/usage?period=7d',
    '/console/usage?period=30d',
    '/console/usage?period=30d&model=model-7',
    '/console/usage?period=30d&outcome=client_gone',
    '/console/usage?period=30d&model=never-used',
    `/console/usage?period=30d&key=${busyKey}`,
    `/console/requests/${id}`,
    '/console/statement',
    `/console/statement?from=${day(20)}&to=${day(10)}`,
    '/console/statement?kind=deposit',
    '/console/keys',
    '/console/keys?state=live',
    '/console/keys?q=agent+99',
    '/console/keys?q=pura_009999',
    `/console/keys/${busyKey}`,
    '/console/top-up',
    '/console/withdraw',
    '/console/wallets',
    '/console/playground',
  ].map((path) => [nameOf(path), async () => requireOk(path, await browser.ask(path))]);
}

/** The operator's pages: their lists' first pages, and some far down. */
export async function adminPages(origin: string, pool: Pool, key: TestKey): Promise<Measured[]> {
  const operator = new OperatorClient(origin);
  await operator.signIn({ token: ADMIN_TOKEN });
  const other = await one<{ id: string; prefix: string; micros: bigint }>(
    pool,
    `select a.id, k.prefix, (extract(epoch from a.created_at) * 1000000)::bigint as micros from accounts a join api_keys k on k.account_id = a.id where a.frozen_at is not null order by a.id limit 1`,
  );
  const invoice = await one<{ id: string; micros: bigint }>(
    pool,
    `select id, (extract(epoch from credited_at) * 1000000)::bigint as micros from invoices where state = 'paid' order by credited_at offset 1000 limit 1`,
  );
  const deep = await one<{ id: string }>(pool, 'select id from accounts order by id offset 1000 limit 1');
  return [
    '/admin',
    '/admin/accounts',
    `/admin/accounts?cursor=${deep.id}`,
    '/admin/accounts?show=funded',
    `/admin/accounts?show=funded&cursor=${deep.id}`,
    '/admin/accounts?show=frozen',
    `/admin/accounts?show=frozen&cursor=${deep.id}`,
    '/admin/accounts?q=pura_',
    '/admin/accounts?q=pura_a',
    `/admin/accounts?q=${other.prefix}`,
    `/admin/accounts?q=${other.id}`,
    `/admin/accounts?q=${'ab'.repeat(32)}`,
    `/admin/accounts/${key.accountId}`,
    `/admin/accounts/${other.id}`,
    '/admin/invoices',
    '/admin/invoices?show=open',
    '/admin/invoices?show=paid',
    `/admin/invoices?show=paid&cursor=${invoice.micros}.${invoice.id}`,
    '/admin/withdrawals',
    `/admin/withdrawals?cursor=${other.micros}.${other.id}`,
    '/admin/orphans',
    '/admin/providers',
    '/admin/free-tier',
    '/admin/audit',
    '/admin/system',
    '/admin/acts',
    '/status',
  ].map((path) => [nameOf(path), async () => requireOk(path, await operator.ask(path))]);
}

/** Ids tell a reader nothing. */
function nameOf(path: string): string {
  return path
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '…')
    .replaceAll(/(=)[0-9a-f]{64}/g, '$1<hash>')
    .replace(/=\d+\.…/, '=…');
}
