import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { Autopay } from '../../src/autopay/autopay.ts';
import { ApiKeys } from '../../src/accounts/api-keys.ts';
import { WalletSignIns } from '../../src/accounts/wallet-sign-ins.ts';
import { KeyAuthenticator } from '../../src/accounts/key-authenticator.ts';
import { createKeySecrets } from '../../src/accounts/key-secret.ts';
import { CapacityWeights } from '../../src/capacity/capacity-weights.ts';
import { createApp, type AppDeps } from '../../src/app.ts';
import { Recorder } from '../../src/records/usage-record.ts';
import { loadConfig } from '../../src/config/config.ts';
import { createNotifications, type Notifications } from '../../src/db/notify.ts';
import type { Pool } from '../../src/db/postgres.ts';
import { createAuthenticate } from '../../src/http/payment/authenticate.ts';
import { createHttpServer } from '../../src/http/server/http-server.ts';
import { Payers } from '../../src/http/payment/payers.ts';
import { PaymentOffers } from '../../src/http/payment/payment-offers.ts';
import { Turns } from '../../src/http/payment/turns.ts';
import { openLnurl } from '../../src/lnurl/open-lnurl.ts';
import { createLog } from '../../src/log.ts';
import { openExchangeRate } from '../../src/pricing/exchange-rate.ts';
import { FleetHealth } from '../../src/routing/fleet-health.ts';
import { OperatorSettings } from '../../src/operator/operator-settings.ts';
import { Withdrawing } from '../../src/withdrawing.ts';
import './checked-answers.ts';
import { createTestDatabase } from './database.ts';
import { openFunding } from './funded.ts';
import { NO_MODELS } from './models.ts';

/** An answer, read. */
export interface Answer {
  status: number;
  headers: Headers;
  // Tests look into answers of every shape; what is not there fails their expectations.
  body: Json;
}

/** Any JSON value, for looking into. */
export interface Json {
  [name: string]: Json;
  [index: number]: Json;
}

/** A string in a JSON value. */
export function text(value: Json | undefined): string {
  if (typeof value !== 'string') throw new TypeError(`no text: ${JSON.stringify(value)}`);
  return value;
}

export interface CallOptions {
  key?: string;
  body?: unknown;
  headers?: Record<string, string>;
}

/** The HTTP API on loopback over a database of its own; providers, the wallet and the gateway are stood in for. */
export interface TestApi {
  readonly origin: string;
  readonly pool: Pool;
  readonly connectionString: string;
  readonly notifications: Notifications;
  readonly authenticator: KeyAuthenticator;
  readonly recorder: Recorder;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** A new account: its owner's secret and the answer's ids. */
  newAccount(settings?: Record<string, unknown>): Promise<{ secret: string; keyId: string; accountId: string }>;
  /** Another key of the owner's account. */
  newKey(owner: string, settings?: Record<string, unknown>): Promise<{ secret: string; keyId: string }>;
  close(): Promise<void>;
}

export interface TestApiOptions {
  env?: Record<string, string>;
  deps?: Partial<AppDeps>;
}

/** Starts the API. `env` is read as the gateway's own environment, `deps` replace parts of it. */
export async function startApi({ env = {}, deps = {} }: TestApiOptions = {}): Promise<TestApi> {
  const database = await createTestDatabase();
  const config = loadConfig({ SECRET_KEY: `7:${randomBytes(32).toString('hex')}`, KEYS_PER_IP_PER_HOUR: '100000', ...env });
  const log = createLog('silent');
  const notifications = createNotifications(database.connectionString, log);
  const secrets = createKeySecrets(config.secretKeys);
  const authenticator = new KeyAuthenticator({ pool: database.pool, secrets, notifications, log });
  const opened = openFunding(database, deps.wallet ?? noWallet);
  const payers = new Payers({ keys: authenticator, funding: opened.funding, roots: config.secretKeys });
  const offers = new PaymentOffers({ pool: database.pool, funding: opened.funding, wallet: deps.wallet ?? noWallet, config });
  const recorder = new Recorder(database.pool, () => {});
  const health = new FleetHealth(() => {});
  const withdrawing = new Withdrawing({
    pool: database.pool,
    wallet: deps.wallet ?? noWallet,
    log,
    observe: () => {},
    allowed: false,
    maxFeePercent: 1,
  });
  const app = createApp({
    config,
    log,
    observe: () => {},
    pool: database.pool,
    reportPool: deps.pool ?? database.pool,
    probePool: deps.pool ?? database.pool,
    turns: new Turns(),
    authenticate: createAuthenticate(payers, offers),
    payers,
    keys: authenticator,
    signIns: new WalletSignIns(database.pool, notifications),
    apiKeys: new ApiKeys({ pool: database.pool, secrets, authenticator, log }),
    gateway: {
      answer: () => Promise.reject(new Error('no gateway in this test')),
      estimate: () => Promise.reject(new Error('no gateway in this test')),
    },
    recorder,
    models: {
      keepUp: () => undefined,
      ...NO_MODELS,
      withOwnKey: NO_MODELS,
      providers: [],
      allowParameters: new Set(),
      close: () => Promise.resolve(),
    },
    exchangeRate: await openExchangeRate(config, { pool: database.pool, log, observe: () => {} }),
    health,
    settings: new OperatorSettings({ pool: database.pool, notifications, health, log }),
    capacity: new CapacityWeights(config.capacity, { log, providerIds: () => [] }),
    wallet: noWallet,
    funding: opened.funding,
    lnurl: openLnurl({ pool: database.pool, wallet: deps.wallet ?? noWallet, funding: opened.funding, withdrawing, config }),
    withdrawing,
    autopay: new Autopay({
      pool: database.pool,
      wallet: deps.wallet ?? noWallet,
      funding: opened.funding,
      notifications,
      roots: config.secretKeys,
      observe: () => {},
      payers: { allowLoopback: true },
    }),
    ...deps,
  });
  const server = createHttpServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const call: TestApi['call'] = async (method, path, { key, body, headers = {} } = {}) => {
    const response = await fetch(origin + path, {
      method,
      headers: {
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const content = await response.text();
    return { status: response.status, headers: response.headers, body: (content ? JSON.parse(content) : {}) as Json };
  };
  const created = async (options: CallOptions): Promise<{ secret: string; keyId: string; accountId: string }> => {
    const { status, body } = await call('POST', '/api/keys', options);
    if (status !== 201) throw new Error(`no key: ${status} ${JSON.stringify(body)}`);
    return { secret: text(body['key']), keyId: text(body['id']), accountId: text(body['accountId']) };
  };

  return {
    origin,
    pool: database.pool,
    connectionString: database.connectionString,
    notifications,
    authenticator,
    recorder,
    call,
    newAccount: (settings = {}) => created({ body: settings }),
    newKey: (owner, settings = {}) => created({ key: owner, body: settings }),
    async close() {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
      await authenticator.close();
      await opened.close();
      await notifications.close();
      await database.drop();
    },
  };
}

/** A wallet that says it is ready; no test of the API's own asks it for more. */
const noWallet: AppDeps['wallet'] = {
  backend: 'simulated',
  nodeId: '02'.padEnd(66, '0'),
  network: 'simulated',
  takesPreimage: true,
  createInvoice: () => Promise.reject(new Error('no wallet in this test')),
  lookupInvoice: () => Promise.resolve(null),
  watchSettlements: () => Promise.resolve(),
  status: () => Promise.resolve({ ready: true }),
  close: () => Promise.resolve(),
};
