import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { v4 as uuid } from 'uuid';
import { ApiKeys } from './accounts/api-keys.ts';
import { walletsOfOtherHosts } from './accounts/linked-wallets.ts';
import { WalletSignIns } from './accounts/wallet-sign-ins.ts';
import { KeyAuthenticator } from './accounts/key-authenticator.ts';
import { createKeySecrets } from './accounts/key-secret.ts';
import { limitsOfHolds } from './admission/hold-limits.ts';
import { RateLimit } from './admission/rate-limit.ts';
import { createApp } from './app.ts';
import { Autopay, type AutopayOptions } from './autopay/autopay.ts';
import { CapacityWeights } from './capacity/capacity-weights.ts';
import { Recorder } from './records/usage-record.ts';
import { loadTokenizer } from './wires/tokens.ts';
import type { Config } from './config/config.ts';
import { ConfigError } from './config/config-error.ts';
import { createNotifications, type Notifications } from './db/notify.ts';
import { createPool, type Pool } from './db/postgres.ts';
import { Funding } from './funding.ts';
import { Gateway } from './gateway.ts';
import { createAuthenticate } from './http/payment/authenticate.ts';
import { createHttpServer, stopListening } from './http/server/http-server.ts';
import { OperatorSettings } from './operator/operator-settings.ts';
import { Payers } from './http/payment/payers.ts';
import { PaymentOffers } from './http/payment/payment-offers.ts';
import { Turns } from './http/payment/turns.ts';
import { OpenElsewhereWatch } from './jobs/open-elsewhere-watch.ts';
import { Deliveries } from './ledger/deliveries.ts';
import { Holds } from './ledger/holds.ts';
import { Instance } from './ledger/instance.ts';
import { Leases } from './ledger/lease.ts';
import { depositNetwork } from './ledger/write-off.ts';
import { openOldWallets, openWallet } from './lightning/open-wallet.ts';
import { observeCalls } from './lightning/observed-wallet.ts';
import type { Wallet } from './lightning/wallet.ts';
import { openLnurl } from './lnurl/open-lnurl.ts';
import type { Logger } from './log.ts';
import { openExchangeRate } from './pricing/exchange-rate.ts';
import { PriceSchedule } from './pricing/price-schedule.ts';
import { warnOfHeldPrices } from './pricing/held-prices.ts';
import type { Provider } from './providers/provider.ts';
import { FleetHealth } from './routing/fleet-health.ts';
import { WarmCaches } from './routing/warm-caches.ts';
import { createModels, type Models } from './models/models.ts';
import { httpObserver } from './http/server/http-observer.ts';
import type { Observe } from './observation.ts';
import { openMetrics, openTraces, startObserving } from './observing.ts';
import { Reload } from './reload.ts';
import type { Timer } from './timer.ts';
import { startJobs } from './jobs/start-jobs.ts';
import { Withdrawing } from './withdrawing.ts';

export interface ServerOptions {
  /** With its secret keys complete. */
  config: Config;
  log: Logger;
  /** A migrated database. */
  connectionString: string;
  /** Stand in for the configured providers of the same id. */
  providers?: readonly Provider[];
  /** After how much silence a stream shows that it is alive, where a test cannot wait as long as a load balancer. */
  pingAfterMs?: number | undefined;
  /** Of the silence of providers, where a test is not to wait for it. */
  timer?: Timer | undefined;
  /** 0 up to 1: the chance that decides shares of load and exploration. The process's own where left out. */
  random?: (() => number) | undefined;
  /** False where deployments that fail over and over are to be asked all the same. */
  bars?: boolean | undefined;
  /** How wallets of owners are asked to pay, where a test's relays are on loopback, and how long refused requests wait for that. */
  autopay?: Partial<Pick<AutopayOptions, 'payers' | 'helpMs'>> | undefined;
  /** Log lines that could not be written since the start. */
  logLinesDropped?: (() => number) | undefined;
  /** The time, in Unix milliseconds, whose prices are in force. */
  priceClock?: (() => number) | undefined;
}

/** A gateway that serves. */
export interface RunningServer {
  /** Where it listens, e.g. `http://127.0.0.1:8402`. */
  readonly url: string;
  readonly models: Models;
  readonly gateway: Gateway;
  readonly funding: Funding;
  readonly wallet: Wallet;
  /** Puts the models, prices and capacities that `read` gives in place of those in force, or keeps these: whether it did. Never rejects. */
  reload(read: () => Config): Promise<boolean>;
  /**
   * Takes no new connection and, after `lingerMs` for requests on those that are open, no new request; lets those under
   * way finish within the grace, ends the rest at what they delivered, and returns once everything is settled and closed.
   */
  close(options?: { lingerMs?: number }): Promise<void>;
}

/** Relays that owners name are on public addresses: no setting says otherwise. */
const STRANGERS_RELAYS = { allowLoopback: false };
const LEDGER_CONNECTIONS = 6;
const REPORT_CONNECTIONS = 4;
/** Connections that wait for the loop to accept them, up to the system's own limit: a burst of agents is not made to try again. */
const BACKLOG = 4096;
/** What may still take time after the grace: settling what was ended. */
const SETTLE_LIMIT_MS = 8_000;
/** Nobody waits longer for a receiver of traces that is away. */
const LAST_TRACES_MS = 2_000;

/** Puts the gateway together and starts it. Rejects where the address is taken or the database cannot be reached. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const base = openBase(options);
  try {
    return await serve(options, base);
  } catch (error) {
    await closeBase(base);
    throw error;
  }
}

async function serve(options: ServerOptions, base: Base): Promise<RunningServer> {
  const { config, log, pingAfterMs, timer, random } = options;
  const observing = startObserving(log);
  const { observe } = observing;
  const tracing = await openTraces(observing, config);
  const money = await openMoney(options, base, observe);
  await refuseOtherNetwork(base.pool, money.wallet);
  await refuseOtherHost(base.pool, config);
  const { pool, reportPool, probePool, notifications } = base;
  const { models, holds, deliveries, instance, leases, recorder, funding, withdrawing, autopay, wallet, oldWallets, capacity } = money;

  const secrets = createKeySecrets(config.secretKeys);
  const authenticator = new KeyAuthenticator({ pool, secrets, notifications, log });
  const payers = new Payers({ keys: authenticator, funding, roots: config.secretKeys });
  const offers = new PaymentOffers({ pool, funding, wallet, config });
  const authenticate = createAuthenticate(payers, offers);
  const apiKeys = new ApiKeys({ pool, secrets, authenticator, log });
  const forgetKey = (keyId: string) => authenticator.forget(keyId);
  const turns = new Turns();
  const settings = new OperatorSettings({ pool, notifications, health: money.health, log });
  await settings.load();
  const common = { config, log, observe, pool, reportPool, turns, authenticate, settings, ...money };
  const gateway = new Gateway({ ...common, tracing, payers, offers, forgetKey, pingAfterMs, timer, random });
  const lnurl = openLnurl(common);
  const signIns = new WalletSignIns(pool, notifications);
  const metrics = await openMetrics(observing, config, { ...money, gateway, logLinesDropped: options.logLinesDropped ?? (() => 0) });
  if (metrics || tracing) observeCalls(wallet, observe);
  const app = createApp({ ...common, payers, metrics, probePool, keys: authenticator, apiKeys, gateway, lnurl, signIns });
  const server = createHttpServer(app, { onRequest: metrics && httpObserver(observe) });
  await instance.beat();
  await listen(server, config);
  leases.start();
  instance.start();
  capacity.start();
  const jobs = startJobs({ ...options, ...base, ...money, observe, gateway });

  const reload = new Reload({ ...money, requests: gateway.requests, log, observe });

  const { port } = server.address() as AddressInfo;
  const host = config.HOST.includes(':') ? `[${bareHost(config.HOST)}]` : config.HOST;
  return {
    url: `http://${host}:${port}`,
    models,
    gateway,
    funding,
    wallet,
    reload: (read) => reload.run(read),
    async close({ lingerMs = 0 } = {}) {
      const closed = new Promise<void>((resolve) => stopListening(server, resolve));
      await atMost(lingerMs, closed);
      // What came while the process was busy is read before idle connections are closed: theirs may not be.
      if (lingerMs > 0) await nextTurn();
      await drain(gateway, server, config.SHUTDOWN_GRACE_SECONDS * 1000);
      await Promise.all([...jobs.map((job) => job.stop()), autopay.close()]);
      let settled = false;
      const delivered = Promise.all([holds.drained(), deliveries.drained()]).then(() => (settled = true));
      await atMost(SETTLE_LIMIT_MS, Promise.all([delivered, recorder.flush(), withdrawing.drained()]));
      await leases.stop();
      await instance.stop({ settled });
      server.closeAllConnections();
      await closed;
      await authenticator.close();
      funding.close();
      settings.stop();
      await Promise.all([wallet.close(), ...oldWallets.map((old) => old.close()), models.close(), capacity.close()]);
      await atMost(LAST_TRACES_MS, tracing?.close() ?? Promise.resolve());
      await closeBase(base);
    },
  };
}

/** Play money must not buy what real money pays for, nor the other way round. */
async function refuseOtherNetwork(pool: Pool, wallet: Wallet): Promise<void> {
  const { network } = wallet;
  const known = await depositNetwork(pool);
  if (known === null || known === network) return;
  await wallet.close();
  throw new ConfigError(
    `LIGHTNING_BACKEND: the balances in this database came from ${known}, and this wallet is on ${network}; \`npm run write-off\` books them away`,
  );
}

/** A wallet's linking key is another one for each domain: under another one nobody's wallet would sign in any more. */
async function refuseOtherHost(pool: Pool, { PUBLIC_URL, ALLOW_HOST_CHANGE }: Config): Promise<void> {
  if (PUBLIC_URL === undefined || ALLOW_HOST_CHANGE) return;
  const { hostname } = new URL(PUBLIC_URL);
  const [other] = await walletsOfOtherHosts(pool, hostname);
  if (!other) return;
  throw new ConfigError(
    `PUBLIC_URL: ${other.wallets} wallets are linked to accounts under ${other.host}, and cannot sign in under ${hostname}; set ALLOW_HOST_CHANGE=true to start all the same`,
  );
}

interface Base {
  pool: Pool;
  /** The ledger's own connections, so that no report can keep money waiting. */
  ledgerPool: Pool;
  /** One connection for what must never wait behind anything: the renewal of leases, and the beats. */
  leasePool: Pool;
  /** For what may take seconds: reports, statements, stored answers. */
  reportPool: Pool;
  /** Tells how the database is, whatever waits for the others. */
  probePool: Pool;
  notifications: Notifications;
}

function openBase({ connectionString, log }: ServerOptions): Base {
  const onError = (error: Error) => log.warn({ err: error }, 'an idle connection to the database broke');
  return {
    pool: createPool({ connectionString, onError }),
    ledgerPool: createPool({ connectionString, min: 1, max: LEDGER_CONNECTIONS, pipeline: true, onError }),
    leasePool: createPool({ connectionString, min: 1, max: 1, onError }),
    reportPool: createPool({ connectionString, max: REPORT_CONNECTIONS, onError }),
    probePool: createPool({ connectionString, max: 1, onError }),
    notifications: createNotifications(connectionString, log),
  };
}

async function closeBase({ notifications, ...pools }: Base): Promise<void> {
  await notifications.close();
  await Promise.all(Object.values(pools).map((pool) => pool.end()));
}

/** All that prices, holds, charges and credits. */
async function openMoney(
  { config, log, providers = [], priceClock, bars, autopay = {} }: ServerOptions,
  { pool, ledgerPool, leasePool, notifications }: Base,
  observe: Observe,
) {
  // The oldest one: a secret that is added must not make another node of the simulated one.
  const root = config.secretKeys.at(-1);
  if (!root) throw new ConfigError('SECRET_KEY is missing');
  warnOfHeldPrices(log);
  const prices = await PriceSchedule.open({ config, pool, now: priceClock });
  const models = createModels(config, { prices, providers });
  await Promise.all([...new Set(models.list().map(({ tokenizer }) => tokenizer))].map(loadTokenizer));
  const needed = { pool, notifications, root, log, observe };
  const wallet = await openWallet(config, needed);
  const oldWallets = await openOldWallets(config, needed, wallet);
  const instanceId = uuid();
  const deliveries = new Deliveries(pool, observe);
  const health = new FleetHealth(observe, { bars });
  const exchangeRate = await openExchangeRate(config, { pool, log, observe });
  const nodes = { pool, wallet, oldWallets, log, observe, exchangeRate };
  const funding = new Funding({
    ...nodes,
    notifications,
    roots: config.secretKeys,
    invoiceExpirySeconds: config.INVOICE_EXPIRY_SECONDS,
    topupDefaultSats: config.TOPUP_DEFAULT_SATS,
    dailyBudgetPicoUsd: config.DAILY_BUDGET_USD,
  });
  return {
    models,
    prices,
    capacity: new CapacityWeights(config.capacity, { log, providerIds: () => models.providers.map(({ id }) => id) }),
    wallet,
    oldWallets,
    openElsewhere: new OpenElsewhereWatch({ pool, nodeIds: [wallet, ...oldWallets].map(({ nodeId }) => nodeId), observe }),
    exchangeRate,
    health,
    gate: health,
    warm: new WarmCaches(),
    rateLimit: new RateLimit({ requestsPerMinute: config.RATE_LIMIT_RPM, tokensPerMinute: config.RATE_LIMIT_TPM }),
    leases: new Leases(leasePool, observe, config.HOLD_LEASE_SECONDS),
    recorder: new Recorder(pool, observe),
    holds: new Holds(ledgerPool, limitsOfHolds(config, instanceId), observe),
    deliveries,
    funding,
    autopay: new Autopay({
      pool,
      wallet,
      funding,
      notifications,
      roots: config.secretKeys,
      observe,
      payers: STRANGERS_RELAYS,
      ...autopay,
    }),
    instance: new Instance(leasePool, observe, instanceId, deliveries),
    withdrawing: new Withdrawing({ ...nodes, allowed: config.WITHDRAWALS, maxFeePercent: config.WITHDRAW_MAX_FEE_PERCENT }),
  };
}

/** Waits for the requests under way; past the grace, ends them. */
async function drain(gateway: Gateway, server: Server, graceMs: number): Promise<void> {
  // It takes none any more: this closes those that are idle.
  server.close();
  const finished = gateway.requests.close();
  await atMost(graceMs, finished);
  gateway.requests.stop();
  await atMost(SETTLE_LIMIT_MS, finished);
}

/** Waits for `work`, but not for ever. */
async function atMost(limitMs: number, work: Promise<unknown>): Promise<void> {
  await Promise.race([work, delay(limitMs, undefined, { ref: false })]);
}

function bareHost(host: string): string {
  return host.replace(/[[\]]/g, '');
}

function listen(server: Server, { PORT, HOST }: Config): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) =>
      reject(error.code === 'EADDRINUSE' ? new ConfigError(`PORT: ${PORT} is in use on ${HOST}`) : error);
    server.once('error', refuse);
    server.listen({ port: PORT, host: bareHost(HOST), backlog: BACKLOG }, () => {
      server.off('error', refuse);
      resolve();
    });
  });
}
