import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify as yaml } from 'yaml';
import type { DeploymentConfig } from '../../src/config/gateway-file.ts';
import { runningServer } from '../../src/db/embedded/embedded-postmaster.ts';
import { startEmbeddedPostgres } from '../../src/db/embedded/embedded-postgres.ts';
import { createNotifications } from '../../src/db/notify.ts';
import { createPool, type Pool } from '../../src/db/postgres.ts';
import { SimulatedWallet } from '../../src/lightning/simulated/simulated.ts';
import { createLog } from '../../src/log.ts';
import { cleanUpAfterDeath } from './clean-up-after-death.ts';
import type { TestDatabase } from './database.ts';
import { openFunding, ownerOf, TEST_ROOT } from './funded.ts';
import type { TestKey } from './gateway.ts';
import { until } from './until.ts';

const PROJECT_DIR = fileURLToPath(new URL('../../', import.meta.url));

/** The tests' own root secret, as an operator writes it. */
export const SECRET_KEY = `${TEST_ROOT.id}:${TEST_ROOT.secret.toString('hex')}`;

/** Free of what would slow the tests down or make them depend on a clock. */
const ENV = { PORT: '0', KEYS_PER_IP_PER_HOUR: '100000', RATE_LIMIT_RPM: '1000000', RATE_LIMIT_TPM: '1000000000000', SECRET_KEY };

/** Whole once its last command is there. */
const GREETING = /Pura listens on (\S+)\n[^]*\/dev\/lightning\/pay/;

/** A process that has ended. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Everything it wrote, to stdout and to stderr. */
  output: string;
}

/** A gateway as an operator runs it: a process of its own. */
export interface GatewayProcess {
  readonly url: string;
  readonly pid: number;
  /** Of the memory it has in use. */
  residentMegabytes(): number;
  /** What it has written so far. */
  output(): string;
  /** Resolves once it is gone. */
  readonly ended: Promise<Ended>;
  signal(signal: NodeJS.Signals): void;
  /** Sends a signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<Ended>;
  newKey(settings?: Record<string, unknown>): Promise<TestKey>;
  post(path: string, body: unknown, key?: TestKey | null, headers?: Record<string, string>, signal?: AbortSignal): Promise<Response>;
  get(path: string, key?: TestKey | null): Promise<Response>;
}

export interface SiteOptions {
  deployments?: readonly DeploymentConfig[];
  /** Environment variables of all its gateways, on top of the tests' own. */
  env?: Record<string, string>;
  /** The arguments that start a gateway, in the project's directory. */
  command?: readonly string[];
  /** Where its data lie instead of on the site's own disk. Not removed on `close` then. */
  dataDir?: string;
}

/** A database that gateways use, seen from the test. */
export type SharedDatabase = Pick<TestDatabase, 'pool' | 'connectionString'>;

/** A machine to run gateways on: a data directory, a configuration file, and processes that are gone after `close`. */
export interface GatewaySite {
  readonly dataDir: string;
  /** Starts a gateway and resolves once it serves. Rejects with what it wrote where it ends instead. */
  start(env?: Record<string, string>): Promise<GatewayProcess>;
  /** Runs a program of the project to its end: a start that is refused, a command. */
  run(command: readonly string[], env?: Record<string, string>): Promise<Ended>;
  /** The embedded database of a gateway that runs. Good also for those that find the same server later. */
  database(): Promise<SharedDatabase>;
  /** The process number of the embedded server's postmaster. */
  postmasterPid(): number;
  /** Kills whatever still runs and removes every file. */
  close(): Promise<void>;
}

export function createSite({
  deployments = [],
  env: siteEnv = {},
  command = ['src/server.ts'],
  dataDir: ownDir,
}: SiteOptions = {}): GatewaySite {
  const home = mkdtempSync(path.join(tmpdir(), 'pura-site-'));
  // Also for the user that the database runs as where root runs the tests.
  chmodSync(home, 0o755);
  const dataDir = ownDir ?? path.join(home, 'data');
  const configFile = path.join(home, 'gateway.yaml');
  writeFileSync(configFile, yaml({ deployments: deployments.map((deployment) => JSON.parse(JSON.stringify(deployment)) as object) }));
  const processesDir = path.join(home, 'processes');
  mkdirSync(processesDir);
  const clusterDir = path.join(dataDir, 'postgres');
  const release = cleanUpAfterDeath({ directories: [home], clusterDir, processesDir });
  const running = new Set<Launched>();
  const pools: Pool[] = [];
  let closed = false;

  const launch = (args: readonly string[], env: Record<string, string>) => {
    // A test that has failed can still be under way when everything is cleared away.
    if (closed) throw new Error('nothing starts on a site that is closed');
    const { PATH = '', HOME = '', NODE_COMPILE_CACHE = '' } = process.env;
    const all = { PATH, HOME, NODE_COMPILE_CACHE, ...ENV, DATA_DIR: dataDir, GATEWAY_CONFIG: configFile, ...siteEnv, ...env };
    const child = spawn(process.execPath, args, { cwd: PROJECT_DIR, env: all, stdio: ['ignore', 'pipe', 'pipe'] });
    const launched = watch(child);
    running.add(launched);
    const mark = path.join(processesDir, String(child.pid));
    writeFileSync(mark, '');
    void launched.ended.then(() => {
      running.delete(launched);
      rmSync(mark, { force: true });
    });
    return launched;
  };

  return {
    dataDir,
    async start(env = {}) {
      const launched = launch(command, env);
      const url = await until(() => {
        if (!running.has(launched)) throw new Error(`the gateway did not start: ${launched.output()}`);
        return GREETING.exec(launched.output())?.[1];
      });
      return gatewayProcess(url, launched);
    },
    run: (args, env = {}) => launch(args, env).ended,
    async database() {
      const { connectionString } = await startEmbeddedPostgres({ dataDir, projectDir: PROJECT_DIR, log: createLog('silent'), join: true });
      const pool = createPool({ connectionString, max: 3 });
      pools.push(pool);
      return { pool, connectionString };
    },
    postmasterPid() {
      const server = runningServer(clusterDir);
      if (!server) throw new Error('the embedded PostgreSQL is not running');
      return server.pid;
    },
    async close() {
      closed = true;
      for (const { child } of running) child.kill('SIGKILL');
      await Promise.all([...running].map(({ ended }) => ended));
      await Promise.all(pools.map((pool) => pool.end()));
      const server = runningServer(clusterDir);
      if (server) process.kill(server.pid, 'SIGQUIT');
      await until(() => runningServer(clusterDir) === undefined);
      rmSync(home, { recursive: true, force: true });
      release();
    },
  };
}

interface Launched {
  child: ChildProcess;
  ended: Promise<Ended>;
  output: () => string;
}

function watch(child: ChildProcess): Launched {
  let output = '';
  const collect = (chunk: Buffer) => void (output += chunk.toString());
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  // `close` comes after the last byte of both.
  const ended = once(child, 'close').then(([code, signal]): Ended => ({ code, signal, output }));
  return { child, ended, output: () => output };
}

function gatewayProcess(url: string, { child, ended, output }: Launched): GatewayProcess {
  const headersOf = (key: TestKey | null | undefined) => (key ? { authorization: `Bearer ${key.secret}` } : {});
  const post: GatewayProcess['post'] = (place, body, key, headers = {}, signal) =>
    fetch(url + place, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headersOf(key), ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...(signal && { signal }),
    });
  return {
    url,
    pid: child.pid ?? 0,
    residentMegabytes: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024,
    output,
    ended,
    signal: (signal) => void child.kill(signal),
    end(signal) {
      child.kill(signal);
      return ended;
    },
    post,
    get: (place, key) => fetch(url + place, { headers: headersOf(key) }),
    async newKey(settings = {}) {
      const answer = await post('/api/keys', settings);
      const { id, accountId, key } = (await answer.json()) as { id: string; accountId: string; key: string };
      return { id, accountId, secret: key };
    },
  };
}

/** Takes the account's free requests away and pays `sats` into its wallet, through the simulated node that the gateways share. */
export async function fundAccount({ pool, connectionString }: SharedDatabase, { accountId }: TestKey, sats: number): Promise<void> {
  await pool.query('update accounts set free_limit = 0 where id = $1', [accountId]);
  const notifications = createNotifications(connectionString);
  const wallet = new SimulatedWallet({ pool, notifications, root: TEST_ROOT });
  const { funding, close } = openFunding({ pool, connectionString, drop: () => Promise.resolve() }, wallet);
  try {
    const { invoice } = await funding.fund(await ownerOf(pool, { accountId }), { amountSat: sats });
    await wallet.pay(invoice.bolt11);
    await until(async () => (await funding.status(accountId, invoice.id)).status === 'paid');
  } finally {
    await close();
    await notifications.close();
  }
}
