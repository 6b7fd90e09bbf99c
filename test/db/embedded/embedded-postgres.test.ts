import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { EmbeddedPostgresError } from '../../../src/db/embedded/embedded-error.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../../src/db/embedded/embedded-postgres.ts';
import { createPool } from '../../../src/db/postgres.ts';
import { createLog } from '../../../src/log.ts';
import { killAndWait, launchInProcess } from '../../support/embedded-process.ts';

const PROJECT_DIR = fileURLToPath(new URL('../../../', import.meta.url));
const itAsRoot = process.getuid?.() === 0 ? it : it.skip;

describe('the embedded PostgreSQL', () => {
  let home: string;
  let dataDir: string;
  let cleanUps: (() => Promise<void>)[];

  beforeEach(() => {
    home = mkdtempSync(path.join(tmpdir(), 'pura-embedded-'));
    chmodSync(home, 0o755);
    dataDir = path.join(home, 'data');
    cleanUps = [];
  });

  afterEach(async () => {
    for (const cleanUp of cleanUps.toReversed()) await cleanUp();
    rmSync(home, { recursive: true });
  });

  async function start(options: { join?: boolean; dataDir?: string } = {}): Promise<EmbeddedPostgres> {
    const postgres = await startEmbeddedPostgres({
      dataDir,
      projectDir: PROJECT_DIR,
      log: createLog('silent'),
      settings: { fsync: 'off' },
      ...options,
    });
    cleanUps.push(() => postgres.stop());
    return postgres;
  }

  async function launch() {
    const launched = await launchInProcess(dataDir);
    cleanUps.push(() => killAndWait(launched.child, 'SIGTERM'));
    return launched;
  }

  const postmasterPid = () => Number(readFileSync(path.join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]);

  it('keeps its data over a restart, and removes what a start that was cut off left behind', async () => {
    mkdirSync(path.join(dataDir, 'postgres.new-abc'), { recursive: true });
    const first = await start();
    expect(first).toMatchObject({ dataDir, adopted: false });
    await query(first, 'create table kept as select 7 as value');
    await first.stop();
    expect(existsSync(path.join(dataDir, 'postgres', 'postmaster.pid'))).toBe(false);
    expect(readdirSync(dataDir).filter((name) => name.startsWith('postgres.new'))).toEqual([]);

    const second = await start();
    expect(second.adopted).toBe(false);
    expect(await query(second, 'select value from kept')).toEqual([{ value: 7 }]);
  });

  it('listens on the loopback address only, behind a password that nobody else can read, with checksums and durable commits', async () => {
    const postgres = await startEmbeddedPostgres({ dataDir, projectDir: PROJECT_DIR, log: createLog('silent') });
    cleanUps.push(() => postgres.stop());
    const settings = [
      'listen_addresses',
      'unix_socket_directories',
      'data_checksums',
      'fsync',
      'synchronous_commit',
      'password_encryption',
      'jit',
    ];
    const values = await query(
      postgres,
      `select ${settings
        .map((name) => `current_setting('${name}')`)
        .map((call, index) => `${call} as s${index}`)
        .join(', ')}`,
    );
    expect(Object.values(values[0] ?? {})).toEqual(['127.0.0.1', '', 'on', 'on', 'on', 'scram-sha-256', 'off']);
    expect(statSync(path.join(dataDir, 'postgres-password')).mode & 0o777).toBe(0o600);
    const guess = new URL(postgres.connectionString);
    guess.password = 'postgres';
    await expect(query({ connectionString: guess.href }, 'select 1')).rejects.toMatchObject({ code: '28P01' });
  });

  itAsRoot('does not run as root', async () => {
    await start();
    expect(statSync(`/proc/${postmasterPid()}`).uid).not.toBe(0);
    expect(statSync(path.join(dataDir, 'postgres')).uid).not.toBe(0);
  });

  itAsRoot('moves to a directory of its own where its user cannot get to the data directory, and finds it again', async () => {
    chmodSync(home, 0o700);
    const first = await start();
    cleanUps.unshift(async () => rmSync(first.dataDir, { recursive: true }));
    expect(first.dataDir).toMatch(/^\/var\/lib\/pura-gateway\/[0-9a-f]{16}$/);
    expect(existsSync(dataDir)).toBe(false);
    await query(first, 'create table kept as select 7 as value');
    await first.stop();
    const second = await start();
    expect(second.dataDir).toBe(first.dataDir);
    expect(await query(second, 'select value from kept')).toEqual([{ value: 7 }]);
  });

  it('adopts the server of a gateway that was killed, and stops it like its own', async () => {
    const { child, report } = await launch();
    await query({ connectionString: report.connectionString ?? '' }, 'create table kept as select 7 as value');
    const pid = postmasterPid();
    await killAndWait(child, 'SIGKILL');

    const heir = await start();
    expect(heir).toMatchObject({ adopted: true, connectionString: report.connectionString });
    expect(postmasterPid()).toBe(pid);
    expect(await query(heir, 'select value from kept')).toEqual([{ value: 7 }]);
    await heir.stop();
    expect(existsSync(path.join(dataDir, 'postgres', 'postmaster.pid'))).toBe(false);
  });

  it('refuses a directory that a living gateway uses, naming it; a command may join', async () => {
    const { child, report } = await launch();
    await expect(start()).rejects.toThrow(EmbeddedPostgresError);
    await expect(start()).rejects.toThrow(`another gateway (process ${child.pid}) is running on ${dataDir}`);

    const joined = await start({ join: true });
    expect(joined.connectionString).toBe(report.connectionString);
    await joined.stop();
    expect(await query(joined, 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });

  it('has one winner when first starts race, and the others are refused', async () => {
    const launched = await Promise.all([launch(), launch(), launch()]);
    const reports = launched.map(({ report }) => report);
    expect(reports.filter(({ refused }) => refused === undefined)).toHaveLength(1);
    expect(reports.filter(({ refused }) => refused?.includes('another gateway'))).toHaveLength(2);
    const winner = reports.find(({ connectionString }) => connectionString);
    expect(await query({ connectionString: winner?.connectionString ?? '' }, 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });

  it('comes back on the same port, for the same pool, when its server is killed', async () => {
    const postgres = await start();
    const pool = createPool({ connectionString: postgres.connectionString, max: 1 });
    cleanUps.push(() => pool.end());
    await pool.query('create table kept as select 7 as value');
    const killed = postmasterPid();
    process.kill(killed, 'SIGKILL');

    await eventually(async () => {
      expect(await pool.query('select value from kept')).toMatchObject({ rows: [{ value: 7 }] });
      expect(postmasterPid()).not.toBe(killed);
    });
  });

  it('stops in order while its server is being brought back', async () => {
    const postgres = await start();
    process.kill(postmasterPid(), 'SIGKILL');
    await postgres.stop();
    const again = await start();
    expect(await query(again, 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });

  it('starts although the process number in a stale postmaster.pid belongs to somebody else now', async () => {
    const first = await start();
    await first.stop();
    const { uid, gid } = statSync(path.join(dataDir, 'postgres'));
    const stranger = spawn('sleep', ['60'], process.getuid?.() === 0 ? { uid, gid } : {});
    cleanUps.push(() => killAndWait(stranger, 'SIGKILL'));
    const stale = [stranger.pid, `${dataDir}/postgres`, 1, 5432, '', '127.0.0.1', '', 'ready', ''].join('\n');
    writeFileSync(path.join(dataDir, 'postgres', 'postmaster.pid'), stale);
    const second = await start();
    expect(second.adopted).toBe(false);
    expect(await query(second, 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });

  it('says what is wrong when the password is lost or the cluster is of another version', async () => {
    const first = await start();
    await first.stop();
    const password = readFileSync(path.join(dataDir, 'postgres-password'));
    rmSync(path.join(dataDir, 'postgres-password'));
    await expect(start()).rejects.toThrow(/postgres-password is missing/);
    writeFileSync(path.join(dataDir, 'postgres-password'), password);
    writeFileSync(path.join(dataDir, 'postgres', 'PG_VERSION'), '12\n');
    await expect(start()).rejects.toThrow(/was written by PostgreSQL 12/);
  });
});

async function query({ connectionString }: { connectionString: string }, statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}

/** The first success of an attempt that may fail for a while. */
async function eventually<T>(attempt: () => Promise<T>, deadline = performance.now() + 10_000): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(20);
    }
  }
}
