import { createPool, type Pool } from '../../src/db/postgres.ts';
import type { Timer } from '../../src/timer.ts';
import { loadConfig, type Config } from '../../src/config/config.ts';
import type { DeploymentConfig } from '../../src/config/gateway-file.ts';
import { auditLedger, type Violation } from '../../src/ledger/audit.ts';
import { SimulatedWallet } from '../../src/lightning/simulated/simulated.ts';
import { createLog, type Logger } from '../../src/log.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { startServer, type RunningServer, type ServerOptions } from '../../src/start-server.ts';
import './checked-answers.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';
import { ownerOf, TEST_ROOT } from './funded.ts';
import { until } from './until.ts';

export interface GatewayOptions {
  /** Environment variables on top of the tests' own. */
  env?: Record<string, string>;
  /** Settings that the environment would not be allowed. */
  config?: Partial<Config>;
  /** Upstreams of the test's own, e.g. `upstream.deployment()` of a fake provider. */
  deployments?: DeploymentConfig[];
  providers?: Provider[];
  /** A database shared with another gateway of the test. Not dropped on `close` then. */
  database?: TestDatabase;
  log?: Logger;
  /** After how much silence a stream shows that it is alive. */
  pingAfterMs?: number;
  /** Of the silence of providers. */
  timer?: Timer;
  /** Whether deployments that fail are barred for a while, as they are in a gateway of its operator. */
  bars?: boolean;
  /** Of prices that change with the time. */
  priceClock?: () => number;
  /** How wallets of owners are asked, where not as an operator's gateway does it. */
  autopay?: ServerOptions['autopay'];
  /** Where left out, nothing is explored, and of equals the middle one is drawn. */
  random?: () => number;
}

/** A whole gateway on a free port of loopback, over a database of its own. */
export interface TestGateway {
  readonly url: string;
  readonly server: RunningServer;
  readonly pool: Pool;
  readonly database: TestDatabase;
  /** A new account's owner key. */
  newKey(settings?: Record<string, unknown>): Promise<TestKey>;
  /** Changes a key by its own hand: it must be an owner's. */
  patchKey(key: TestKey, settings: object): Promise<void>;
  /** POSTs JSON (or bytes as they are) with a key. */
  post(path: string, body: unknown, key?: TestKey | null, headers?: Record<string, string>, signal?: AbortSignal): Promise<Response>;
  get(path: string, key?: TestKey | null): Promise<Response>;
  /** Pays an invoice of the simulated node as a payer's wallet does, and gives the preimage. */
  pay(paymentRequest: string): Promise<Buffer>;
  /** Pays `sats` into the key's account through the simulated node; resolves once they are credited. */
  fund(key: TestKey, sats: number): Promise<void>;
  /** The ledger's violations: none, or the test fails. */
  audit(): Promise<Violation[]>;
  close(): Promise<void>;
}

export interface TestKey {
  readonly id: string;
  readonly accountId: string;
  readonly secret: string;
}

/** Free of what would slow the tests down or make them depend on a clock. */
const ENV = { PORT: '0', KEYS_PER_IP_PER_HOUR: '100000', RATE_LIMIT_RPM: '1000000', RATE_LIMIT_TPM: '1000000000000', LOG_LEVEL: 'silent' };

export function testConfig({
  env = {},
  deployments = [],
  config = {},
}: Pick<GatewayOptions, 'env' | 'deployments' | 'config'> = {}): Config {
  return { ...loadConfig({ ...ENV, ...env }), deployments, secretKeys: [TEST_ROOT], ...config };
}

export async function startGateway(options: GatewayOptions = {}): Promise<TestGateway> {
  const database = options.database ?? (await createTestDatabase());
  const config = testConfig(options);
  const log = options.log ?? createLog('silent');
  const { providers = [], pingAfterMs, timer, priceClock, autopay, bars = false, random = () => 0.5 } = options;
  const { connectionString } = database;
  const server = await startServer({ config, log, connectionString, providers, pingAfterMs, timer, priceClock, bars, autopay, random });
  const { url } = server;
  const headersOf = (key: TestKey | null | undefined) => (key ? { authorization: `Bearer ${key.secret}` } : {});
  const post: TestGateway['post'] = (path, body, key, headers = {}, signal) =>
    fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headersOf(key), ...headers },
      body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
      ...(signal && { signal }),
    });
  const gateway: TestGateway = {
    url,
    server,
    pool: database.pool,
    database,
    post,
    get: (path, key) => fetch(url + path, { headers: headersOf(key) }),
    async newKey(settings = {}) {
      const answer = await post('/api/keys', settings);
      const { id, accountId, key } = (await answer.json()) as { id: string; accountId: string; key: string };
      return { id, accountId, secret: key };
    },
    async patchKey(key, settings) {
      const headers = { 'content-type': 'application/json', ...headersOf(key) };
      const answer = await fetch(`${url}/api/keys/${key.id}`, { method: 'PATCH', headers, body: JSON.stringify(settings) });
      if (answer.status !== 200) throw new Error(`the key was not changed: ${await answer.text()}`);
    },
    async pay(paymentRequest) {
      if (!(server.wallet instanceof SimulatedWallet)) throw new Error('only the simulated node pays by itself');
      return server.wallet.pay(paymentRequest);
    },
    async fund({ accountId }, sats) {
      const { invoice } = await server.funding.fund(await ownerOf(database.pool, { accountId }), { amountSat: sats });
      await gateway.pay(invoice.bolt11);
      await until(async () => (await server.funding.status(accountId, invoice.id)).status === 'paid');
    },
    audit: () => auditLedger(database.pool, { oldestHoldSeconds: 3660 }),
    async close() {
      await server.close();
      if (!options.database) await database.drop();
    },
  };
  return gateway;
}

/** A pool on a gateway's database for what must not share its connections, e.g. to hold a lock. */
export function separatePool({ connectionString }: TestDatabase): Pool {
  return createPool({ connectionString, max: 2 });
}
