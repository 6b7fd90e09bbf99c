import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { v4 as uuid } from 'uuid';
import { ApiKeys } from './accounts/api-keys.ts';
import { KeyAuthenticator } from './accounts/key-authenticator.ts';
import { createKeySecrets } from './accounts/key-secret.ts';
import { RateLimit } from './admission/rate-limit.ts';
import { createApp } from './app.ts';
import { greeting } from './greeting.ts';
import { Recorder } from './completions/record.ts';
import { loadTokenizer } from './completions/tokens.ts';
import { ConfigError, loadConfig, withSecretKey, type Config } from './config.ts';
import { EmbeddedPostgresError } from './db/embedded-error.ts';
import { migrate } from './db/migrate.ts';
import { createNotifications } from './db/notify.ts';
import { openDatabase } from './db/open-database.ts';
import { createPool } from './db/postgres.ts';
import { Funding } from './funding.ts';
import { Gateway } from './gateway.ts';
import { createAuthenticate } from './http/authenticate.ts';
import { createHttpServer } from './http/http-server.ts';
import { auditJob } from './jobs/audit-ledger.ts';
import { every } from './jobs/every.ts';
import { forgetAnswers } from './jobs/forget-answers.ts';
import { reconcileInvoices } from './jobs/reconcile-invoices.ts';
import { sweepHolds } from './jobs/sweep-holds.ts';
import { Holds } from './ledger/hold.ts';
import { Leases } from './ledger/lease.ts';
import { openWallet } from './lightning/open-wallet.ts';
import type { Wallet } from './lightning/wallet.ts';
import { createLog, type Logger } from './log.ts';
import { compilePrices, loadPriceVersion } from './pricing/catalogue.ts';
import { createExchangeRate } from './pricing/exchange-rate.ts';
import type { Provider } from './providers/provider.ts';
import { createProviderHealth } from './routing/health.ts';
import { createModels, type Models } from './routing/models.ts';

export interface ServerOptions {
  /** With its secret keys complete. */
  config: Config;
  log: Logger;
  /** A migrated database. */
  connectionString: string;
  /** Stand in for the configured providers of the same id. */
  providers?: readonly Provider[];
}

/** A gateway that serves. */
export interface RunningServer {
  /** Where it listens, e.g. `http://127.0.0.1:8402`. */
  readonly url: string;
  readonly models: Models;
  readonly gateway: Gateway;
  readonly funding: Funding;
  readonly wallet: Wallet;
  readonly holds: Holds;
  readonly recorder: Recorder;
  /**
   * Takes no new request, lets those under way finish within the grace, ends the rest at what they delivered, and
   * returns once everything is settled and closed.
   */
  close(): Promise<void>;
}

const FREE_STREAMS_AT_ONCE = 4;
const LEDGER_CONNECTIONS = 6;
const SWEEP_MS = 5_000;
const HOUR_MS = 3_600_000;
/** What may still take time after the grace: settling what was ended. */
const SETTLE_LIMIT_MS = 8_000;

/** Puts the gateway together and starts it. Rejects where the address is taken or the database cannot be reached. */
export async function startServer({ config, log, connectionString, providers = [] }: ServerOptions): Promise<RunningServer> {
  const onError = (error: Error) => log.warn({ err: error }, 'an idle connection to the database broke');
  const pool = createPool({ connectionString, onError });
  // The ledger's own, so that no report can keep money waiting.
  const ledgerPool = createPool({ connectionString, max: LEDGER_CONNECTIONS, onError });
  const notifications = createNotifications(connectionString, log);
  const [root] = config.secretKeys;
  if (!root) throw new ConfigError('SECRET_KEY is missing');

  const prices = compilePrices(config);
  const models = createModels(config, { prices, priceVersion: await loadPriceVersion(pool, prices), providers });
  await Promise.all([...new Set(models.list().map(({ tokenizer }) => tokenizer))].map(loadTokenizer));
  const exchangeRate = createExchangeRate(config);
  const health = createProviderHealth();

  const holds = new Holds(ledgerPool, {
    freeRequests: config.FREE_TIER_REQUESTS,
    freeDayPicoUsd: config.FREE_TIER_GLOBAL_DAILY_USD,
    freeStreams: FREE_STREAMS_AT_ONCE,
    leaseSeconds: config.HOLD_LEASE_SECONDS,
    instanceId: uuid(),
  });
  const leases = new Leases(pool, log, config.HOLD_LEASE_SECONDS);
  const rateLimit = new RateLimit({ requestsPerMinute: config.RATE_LIMIT_RPM, tokensPerMinute: config.RATE_LIMIT_TPM });
  const recorder = new Recorder(pool, log);

  const wallet = await openWallet(config, { pool, notifications, root, log });
  const funding = new Funding({
    pool,
    wallet,
    notifications,
    roots: config.secretKeys,
    log,
    invoiceExpirySeconds: config.INVOICE_EXPIRY_SECONDS,
    topupDefaultSats: config.TOPUP_DEFAULT_SATS,
  });

  const secrets = createKeySecrets(config.secretKeys);
  const authenticator = new KeyAuthenticator({ pool, secrets, notifications, log });
  const authenticate = createAuthenticate(authenticator);
  const apiKeys = new ApiKeys({ pool, secrets, authenticator, log });
  const forgetKey = (keyId: string) => authenticator.forget(keyId);
  const gateway = new Gateway({ config, pool, log, authenticate, forgetKey, models, health, exchangeRate, rateLimit, holds, leases, funding, recorder });

  const app = createApp({ config, log, pool, authenticate, apiKeys, gateway, recorder, models, exchangeRate, health, wallet, funding });
  const server = createHttpServer(app);
  await listen(server, config);

  leases.start();
  const watcher = reconcileInvoices({ funding, wallet, connectionString, log });
  const oldestHoldSeconds = config.STREAM_MAX_SECONDS + 2 * config.HOLD_LEASE_SECONDS;
  const jobs = [
    every(Math.min(SWEEP_MS, config.HOLD_LEASE_SECONDS * 1000), 'sweep holds', async () => void (await sweepHolds({ pool, holds, log, leaseSeconds: config.HOLD_LEASE_SECONDS })), log),
    every(HOUR_MS, 'forget answers', () => forgetAnswers(pool), log),
    auditJob({ pool, log, connectionString, intervalMs: HOUR_MS, oldestHoldSeconds }),
  ];

  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${config.HOST.includes(':') ? `[${config.HOST.replace(/[[\]]/g, '')}]` : config.HOST}:${port}`,
    models,
    gateway,
    funding,
    wallet,
    holds,
    recorder,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await drain(gateway, server, config.SHUTDOWN_GRACE_SECONDS * 1000);
      await Promise.all([watcher.stop(), ...jobs.map((job) => job.stop())]);
      await Promise.race([holds.drained(), delay(SETTLE_LIMIT_MS, undefined, { ref: false })]);
      await Promise.race([recorder.flush(), delay(SETTLE_LIMIT_MS, undefined, { ref: false })]);
      await leases.stop();
      server.closeAllConnections();
      await closed;
      await authenticator.close();
      funding.close();
      await Promise.all([wallet.close(), models.close(), notifications.close()]);
      await Promise.all([pool.end(), ledgerPool.end()]);
    },
  };
}

/** Waits for the requests under way; past the grace, ends them. */
async function drain(gateway: Gateway, server: Server, graceMs: number): Promise<void> {
  server.closeIdleConnections();
  const finished = gateway.close();
  const inTime = await Promise.race([finished.then(() => true), delay(graceMs, false, { ref: false })]);
  if (inTime) return;
  gateway.stop();
  await Promise.race([finished, delay(SETTLE_LIMIT_MS, undefined, { ref: false })]);
}

function listen(server: Server, { PORT, HOST }: Config): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) =>
      reject(error.code === 'EADDRINUSE' ? new ConfigError(`PORT: ${PORT} is in use on ${HOST}`) : error);
    server.once('error', refuse);
    server.listen(PORT, HOST.replace(/[[\]]/g, ''), () => {
      server.off('error', refuse);
      resolve();
    });
  });
}

/** The program: starts everything, and ends it in order on SIGTERM or SIGINT. A second signal ends it at once. */
async function main(): Promise<void> {
  const bare = loadConfig();
  const log = createLog(bare.LOG_LEVEL);
  const database = await openDatabase(bare, log);
  let server: RunningServer;
  let config: Config;
  try {
    config = withSecretKey(bare, database.dataDir);
    await migrate(database.connectionString);
    server = await startServer({ config, log, connectionString: database.connectionString });
  } catch (error) {
    await database.stop();
    throw error;
  }
  console.log(greeting({ config, database, server }));
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ signal, underWay: server.gateway.underWay }, 'stopping');
    server
      .close()
      .then(() => database.stop())
      .then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ err: error }, 'did not stop cleanly');
          process.exit(1);
        },
      );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

if (import.meta.main) {
  main().catch((error: unknown) => {
    // A mistake of the operator's is told in a sentence, not with a stack.
    const told = error instanceof ConfigError || error instanceof EmbeddedPostgresError || (error as Error).name === 'MigrationError';
    console.error(told ? `Pura cannot start. ${(error as Error).message}` : error);
    process.exit(1);
  });
}
