import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { createPool, transaction, type Pool } from '../../../src/db/postgres.ts';
import { lastAudit, recordAudit } from '../../../src/ledger/audit-history.ts';
import { PUBLIC_PROVIDERS } from '../../../src/config/public-providers.ts';
import type { Deployment } from '../../../src/models/deployment.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { FleetHealth } from '../../../src/routing/fleet-health.ts';
import type { Pass } from '../../../src/routing/gate.ts';
import { startApi, type TestApi, type TestApiOptions } from '../../support/api.ts';
import { createTestDatabase } from '../../support/database.ts';
import { FakeWallet } from '../../support/fake-wallet.ts';
import { deployment } from '../../support/deployment.ts';
import { NO_MODELS } from '../../support/models.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

/** Runs `check` against an API of its own. */
async function withApi(options: TestApiOptions, check: (own: TestApi) => Promise<void>): Promise<void> {
  const own = await startApi(options);
  try {
    await check(own);
  } finally {
    await own.close();
  }
}

function wallet({ away }: { away: boolean }): FakeWallet {
  return Object.assign(new FakeWallet(), { away });
}

function provider(id: string, demo = false): Provider {
  return { id, demo, passesHeaders: false, send: () => Promise.reject(new Error('not in this test')), close: () => Promise.resolve() };
}

const models = (...providers: Provider[]) => ({
  keepUp: () => undefined,
  ...NO_MODELS,
  withOwnKey: NO_MODELS,
  providers,
  allowParameters: new Set<string>(),
  close: () => Promise.resolve(),
});

function attempt(health: FleetHealth, at: Deployment, ok: boolean): void {
  const pass = health.enter(at) as Pass;
  pass.end(ok ? { kind: 'ok', ttftMs: 30, outputTokens: 10, seconds: 1.03 } : { kind: 'fault', reason: '500', retryAfterSeconds: null });
}

describe('/health and /api/health', () => {
  it('answer without a key, and without asking anything', async () => {
    for (const path of ['/health', '/api/health']) {
      const { status, body } = await api.call('GET', path);
      expect([status, body]).toEqual([200, { status: 'ok' }]);
    }
  });
});

describe('/ready', () => {
  it('is 200 where every part is ok', async () => {
    const { status, body } = await api.call('GET', '/ready');
    expect([status, body]).toEqual([200, { ready: true, parts: { database: 'ok', migrations: 'ok', lightning: 'ok' } }]);
  });

  it('stays 200 where Lightning alone is down', () =>
    withApi({ deps: { wallet: wallet({ away: true }) } }, async (own) => {
      const { status, body } = await own.call('GET', '/ready');
      expect([status, body]).toEqual([200, { ready: true, parts: { database: 'ok', migrations: 'ok', lightning: 'away' } }]);
    }));

  it('is 503 where the database lacks a migration', () =>
    withApi({}, async (own) => {
      await own.pool.query('delete from schema_migrations where name = (select max(name) from schema_migrations)');
      const { status, body } = await own.call('GET', '/ready');
      expect([status, body]).toEqual([503, { ready: false, parts: { database: 'ok', migrations: '1 missing', lightning: 'ok' } }]);
      await own.pool.query('drop table schema_migrations');
    }));

  it('is 503 where the database can be read and not written, as a standby can, and 200 again once it can', async () => {
    const options = `-c default_transaction_read_only=on`;
    const database = await createTestDatabase();
    const standby = new URL(database.connectionString);
    standby.searchParams.set('options', options);
    const probePool = createPool({ connectionString: standby.href });
    await withApi({ deps: { probePool } }, async (own) => {
      const { status, body } = await own.call('GET', '/ready');
      expect([status, body]).toEqual([503, { ready: false, parts: { database: 'cannot write', migrations: 'ok', lightning: 'ok' } }]);
    });
    await probePool.end();
    await database.drop();
  });

  it('is 200 in time, and so is /api/status, where the node hangs', async () => {
    const status = Promise.withResolvers<{ ready: boolean }>();
    const hanging = new FakeWallet();
    const asked = jest.spyOn(hanging, 'status').mockReturnValue(status.promise);
    await withApi({ deps: { wallet: hanging, nodeDeadlineMs: 20 } }, async (own) => {
      const reason = 'LND does not answer';
      for (let round = 0; round < 2; round++) {
        expect(await own.call('GET', '/ready')).toMatchObject({ status: 200, body: { ready: true, parts: { lightning: reason } } });
        expect(await own.call('GET', '/api/status')).toMatchObject({ status: 200, body: { lightning: { ready: false, reason } } });
      }
      // It is not asked again while it may still answer.
      expect(asked).toHaveBeenCalledTimes(1);
      status.resolve({ ready: true });
      expect(await own.call('GET', '/api/status')).toMatchObject({ body: { lightning: { ready: true } } });
    });
  });

  it('is 200 while a backup reads every table, and keeps nothing of that time', async () => {
    const size = async () => (await api.pool.query<{ size: bigint }>(`select pg_table_size('write_probes') as size`)).rows[0]?.size ?? 0n;
    const ready = () => withApi({ deps: { pool: api.pool } }, async (own) => expect((await own.call('GET', '/ready')).status).toBe(200));
    await ready();
    const before = await size();
    await transaction(api.pool, async (backup) => {
      // As pg_dump does.
      await backup.query('lock table write_probes in access share mode');
      await ready();
      await ready();
      expect(await size()).toBeGreaterThan(before);
    });
    await ready();
    expect(await size()).toBe(before);
  });

  it('writes at most once in a moment, however many ask', async () => {
    const writes = jest.spyOn(api.pool, 'query');
    const answers = await Promise.all(Array.from({ length: 50 }, () => api.call('GET', '/ready')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(writes.mock.calls.filter(([statement]) => JSON.stringify(statement).includes('write_probes')).length).toBeLessThanOrEqual(1);
    writes.mockRestore();
  });

  it('is 503 where the database cannot be reached, and serves nothing unmetered meanwhile', async () => {
    const pool = createPool({ connectionString: 'postgres://nobody:secret@127.0.0.1:1/none' });
    await withApi({ deps: { pool } }, async (own) => {
      const { status, body } = await own.call('GET', '/ready');
      expect([status, body]).toEqual([503, { ready: false, parts: { database: 'unreachable', migrations: 'unknown', lightning: 'ok' } }]);
      expect((await own.call('GET', '/health')).status).toBe(200);
    });
    await pool.end();
  });
});

describe('/api/status', () => {
  it('tells the version, the wallet and the rate, without a key', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    const { status, body } = await api.call('GET', '/api/status');
    expect(status).toBe(200);
    expect(body).toMatchObject({
      version,
      lightning: { backend: 'simulated', network: 'simulated', ready: true },
      exchangeRate: { btcUsd: 100_000, source: 'simulated', sources: [], ageSeconds: 0 },
      audit: null,
    });
  });

  it('tells of each provider whether it is configured and how its traffic went, and not how much there was', () => {
    const own = deployment({ id: 'pureai/own-model', provider: provider('own') });
    const health = new FleetHealth(() => {});
    for (const ok of [true, true, true, false]) attempt(health, own, ok);
    const offer = { ...models(own.provider, provider('demo', true)), list: (operation?: string) => (operation === 'embed' ? [] : [own]) };
    return withApi({ deps: { health, models: offer } }, async (server) => {
      const { body } = await server.call('GET', '/api/status');
      const seen = { successRate: 0.75, latencyMs: 30, ttftMs: 30, tokensPerSecond: 10 };
      const none = { successRate: null, latencyMs: null, ttftMs: null, tokensPerSecond: null };
      const always = (value: object) => ({ '1m': value, '5m': value, '1h': value, '24h': value });
      expect(body['providers']).toEqual([
        {
          id: 'own',
          configured: true,
          demo: false,
          status: 'degraded',
          windows: always(seen),
          deployments: [{ id: 'pureai/own-model', circuit: 'closed', pausedUntil: null }],
        },
        { id: 'demo', configured: true, demo: true, status: 'idle', windows: always(none), deployments: [] },
        ...PUBLIC_PROVIDERS.map((id) => ({
          id,
          configured: false,
          demo: false,
          status: 'unconfigured',
          windows: always(none),
          deployments: [],
        })),
      ]);
    });
  });

  it('tells of an open circuit and of a pause', () => {
    const [broken, busy] = [
      deployment({ id: 'own/broken', provider: provider('own') }),
      deployment({ id: 'own/busy', provider: provider('own') }),
    ];
    const health = new FleetHealth(() => {});
    for (let i = 0; i < 50; i++) attempt(health, busy, true);
    for (let i = 0; i < 5; i++) attempt(health, broken, false);
    (health.enter(busy) as Pass).end({ kind: 'fault', reason: '429', retryAfterSeconds: 60 });
    const offer = { ...models(broken.provider), list: (operation?: string) => (operation === 'embed' ? [] : [broken, busy]) };
    return withApi({ deps: { health, models: offer } }, async (server) => {
      const { body } = await server.call('GET', '/api/status');
      expect(body['providers']?.[0]).toMatchObject({
        status: 'degraded',
        windows: { '5m': { successRate: 0.892_857 } },
        deployments: [
          { id: 'own/broken', circuit: 'open', pausedUntil: null },
          { id: 'own/busy', circuit: 'closed', pausedUntil: expect.stringMatching(/^20.*Z$/) },
        ],
      });
    });
  });

  it.each([
    ['fails', (probePool: Pool) => probePool.end()],
    ['hangs', (probePool: Pool) => void jest.spyOn(probePool, 'query').mockReturnValue(new Promise(() => {}) as never)],
  ])('tells of the last audit, and goes on to where the database %s', async (_what, breakDatabase) => {
    const database = await createTestDatabase();
    const probePool = createPool({ connectionString: database.connectionString });
    const clock = jest.spyOn(performance, 'now');
    try {
      await withApi({ deps: { probePool } }, async (own) => {
        await recordAudit(probePool, { tookMs: 1, whole: true, ranBy: 'command', violations: [] });
        const audit = await lastAudit(probePool);
        const told = { at: audit?.at.toISOString(), sound: true };
        expect((await own.call('GET', '/api/status')).body['audit']).toEqual(told);
        await breakDatabase(probePool);
        clock.mockImplementation(() => Number.MAX_SAFE_INTEGER);
        expect((await own.call('GET', '/api/status')).body['audit']).toEqual(told);
        expect(await (await fetch(`${own.origin}/status`)).text()).toMatch(/Sound, \d+ s ago/);
      });
    } finally {
      clock.mockRestore();
      jest.restoreAllMocks();
      if (!probePool.ended) await probePool.end();
      await database.drop();
    }
  });

  it('says why Lightning is not ready', () =>
    withApi({ deps: { wallet: wallet({ away: true }) } }, async (own) => {
      const { body } = await own.call('GET', '/api/status');
      expect(body['lightning']).toEqual({ backend: 'lnd', network: 'regtest', ready: false, reason: 'away' });
    }));
});
