import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { auditLedger } from '../../src/ledger/audit.ts';
import { chat, errorOf } from '../support/chat.ts';
import { createTestDatabase } from '../support/database.ts';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { createSite, fundAccount, SECRET_KEY, type GatewayProcess, type GatewaySite } from '../support/gateway-process.ts';
import type { TestKey } from '../support/gateway.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const PROJECT_DIR = fileURLToPath(new URL('../../', import.meta.url));
/** Nothing it writes can tell which port it was given. */
const PORT = 28_402;
const CLIENTS = 16;
const DEPOSIT_SATS = 1_000_000;
const LIMIT_MS = 120_000;

let upstream: FakeProvider;
let disk: string;
let site: GatewaySite;

/** Root alone can, and not in every container. */
const canMount = process.getuid?.() === 0 && spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0;
if (!canMount) process.stderr.write('no small disk can be mounted here to fill it: skipped\n');

beforeEach(async () => {
  upstream = await startFakeProvider();
  disk = mkdtempSync(path.join(tmpdir(), 'pura-disk-'));
  if (canMount) execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=220m,mode=755', 'tmpfs', disk]);
  site = createSite({ deployments: [upstream.deployment()], env: { DAILY_BUDGET_USD: '1000000' }, dataDir: path.join(disk, 'data') });
});

afterEach(async () => {
  await site.close();
  if (canMount) execFileSync('umount', ['--lazy', disk]);
  rmSync(disk, { recursive: true });
  await upstream.close();
});

interface Answered {
  status: number;
  code: string | undefined;
  chargedMsat: bigint;
}

async function ask(gateway: GatewayProcess, key: TestKey): Promise<Answered> {
  const answer = await gateway.post('/v1/chat/completions', chat(), key);
  const { status } = answer;
  if (status !== 200) return { status, code: (await errorOf(answer)).code, chargedMsat: 0n };
  await answer.arrayBuffer();
  return { status, code: undefined, chargedMsat: BigInt(answer.headers.get('x-pura-charged-msat') ?? NaN) };
}

/** Takes all the room that is left beside `file`, also where others write meanwhile. */
function fill(file: string): void {
  const { bavail, bsize } = statfsSync(path.dirname(file));
  try {
    writeFileSync(file, Buffer.alloc((bavail + 1) * bsize));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

describe("a database's disk that is full", () => {
  (canMount ? it : it.skip)(
    'refuses in bounded time and serves nothing unmetered; with room again it goes on, every msat accounted for',
    async () => {
      const gateway = await site.start({ HOLD_LEASE_SECONDS: '5' });
      const database = await site.database();
      const key = await gateway.newKey();
      await fundAccount(database, key, DEPOSIT_SATS);
      const filler = path.join(disk, 'filler');
      fill(filler);

      const answers: Answered[] = [];
      const refused = () => answers.filter(({ status }) => status !== 200);
      const client = async () => {
        while (refused().length < CLIENTS) answers.push(await ask(gateway, key));
      };
      await Promise.all(Array.from({ length: CLIENTS }, client));
      expect(new Set(refused().map(({ status, code }) => `${status} ${code}`))).toEqual(new Set(['503 database_unavailable']));
      expect((await gateway.get('/health')).status).toBe(200);
      const ready = await gateway.get('/ready');
      expect(ready.status).toBe(503);
      expect(await ready.json()).toMatchObject({ ready: false, parts: { database: 'cannot write' } });

      rmSync(filler);
      await until(async () => {
        answers.push(await ask(gateway, key));
        return answers.at(-1)?.status === 200;
      }, LIMIT_MS);
      await until(async () => (await gateway.get('/ready')).status === 200);
      await until(async () => (await holdsOf(database.pool, key.accountId)).every(({ state }) => state !== 'pending'), LIMIT_MS);

      const charged = answers.reduce((sum, { chargedMsat }) => sum + chargedMsat, 0n);
      expect(await accountOf(database.pool, key.accountId)).toMatchObject({
        posted_msat: BigInt(DEPOSIT_SATS) * 1_000n - charged,
        held_msat: 0n,
      });
      expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
      expect(await gateway.end('SIGTERM')).toMatchObject({ code: 0 });
    },
  );
});

describe("a log's disk that is full", () => {
  it('keeps no gateway from starting, serving and stopping in order', async () => {
    const database = await createTestDatabase();
    const command = ['-c', 'exec "$0" src/server.ts >/dev/full 2>&1', process.execPath];
    const env = { PORT: String(PORT), SECRET_KEY, DATABASE_URL: database.connectionString };
    const gateway = spawn('/bin/sh', command, { cwd: PROJECT_DIR, env });
    const ended = once(gateway, 'exit');
    try {
      const url = `http://127.0.0.1:${PORT}`;
      await until(() =>
        fetch(`${url}/health`).then(
          ({ ok }) => ok,
          () => false,
        ),
      );
      expect((await fetch(`${url}/api/keys`, { method: 'POST' })).status).toBe(201);
      gateway.kill();
      await until(() => gateway.exitCode !== null || gateway.signalCode !== null);
    } finally {
      gateway.kill('SIGKILL');
      await database.drop();
    }
    expect(await ended).toEqual([0, null]);
  });
});
