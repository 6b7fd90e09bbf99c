import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { PoolClient } from '../../src/db/postgres.ts';
import { chat } from '../support/chat.ts';
import { completion, startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { separatePool, startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { until } from '../support/until.ts';

const LEASE_SECONDS = 2;
/** Many times what an account may have under way and waiting, and more than all connections of a gateway. */
const REPORTS = 40;

let upstream: FakeProvider;
let gateway: TestGateway;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({ deployments: [upstream.deployment()], env: { HOLD_LEASE_SECONDS: String(LEASE_SECONDS) } });
});

afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

async function leaseUntil({ accountId }: TestKey): Promise<number> {
  const { rows } = await gateway.pool.query<{ until: Date }>('select lease_until as until from holds where account_id = $1', [accountId]);
  return rows[0]?.until.getTime() ?? 0;
}

/** No report gets an answer meanwhile: each has to read the usage records. */
async function whileReportsHang(work: (locker: PoolClient) => Promise<void>): Promise<void> {
  const pool = separatePool(gateway.database);
  const locker = await pool.connect();
  await locker.query('begin');
  await locker.query('lock table requests in access exclusive mode');
  try {
    await work(locker);
  } finally {
    await locker.query('rollback');
    locker.release();
    await pool.end();
  }
}

describe('reports of one account, however many at once', () => {
  it('keep no lease from being renewed, and leave keys, top-ups, readiness and the balances of others alone', async () => {
    const [heavy, honest] = [await gateway.newKey(), await gateway.newKey()];
    const held = upstream.hold();
    const answer = gateway.post('/v1/chat/completions', chat(), honest);
    const exchange = await held;
    let reports: Promise<Response>[] = [];

    await whileReportsHang(async () => {
      const paths = ['/api/report?period=30d', '/api/requests', '/api/wallet/transactions', '/api/income'];
      reports = Array.from({ length: REPORTS }, (_, index) => gateway.get(paths[index % paths.length] ?? '', heavy));
      const refused = await Promise.race(reports);
      expect(refused.status).toBe(429);
      expect(refused.headers.get('retry-after')).toBe('1');
      expect(await refused.json()).toMatchObject({ error: { code: 'rate_limit_exceeded' } });

      const first = await leaseUntil(honest);
      await until(async () => (await leaseUntil(honest)) - first > 1_000 * LEASE_SECONDS);
      expect((await gateway.get('/api/wallet/balance', honest)).status).toBe(200);
      expect((await gateway.get('/ready')).status).toBe(200);
      await gateway.fund(await gateway.newKey(), 100);
      exchange.json(completion());
      expect((await answer).status).toBe(200);
    });
    const statuses = (await Promise.all(reports)).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200, 429]));
    expect(await gateway.audit()).toEqual([]);
  });
});
