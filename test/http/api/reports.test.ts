import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { UsageRecord } from '../../../src/records/usage-record.ts';
import { msat, msatFromPicoUsd, picoUsd, usdNumber, type PicoUsdPerMsat } from '../../../src/amount.ts';
import { Holds } from '../../../src/ledger/holds.ts';
import { refundCharge } from '../../../src/ledger/refund.ts';
import { LIMITS } from '../../support/holds.ts';
import { startApi, text, type Answer, type TestApi } from '../../support/api.ts';
import { ZERO_USAGE } from '../../../src/wires/usage.ts';

const RATE = 1_000_000n as PicoUsdPerMsat;
const ATTEMPTS = [
  { provider: 'p0', model: 'm0', result: 'http_error', status: 529, latencyMs: 1.23456789 },
  { provider: 'p1', model: 'm1', result: 'ok', status: 200, latencyMs: 12 },
];
const DEPOSIT_MSAT = 50_000_000n;

let api: TestApi;
let holds: Holds;
let owner: { secret: string; keyId: string; accountId: string };
let worker: { secret: string; keyId: string };

beforeAll(async () => {
  api = await startApi({ env: { FREE_TIER_REQUESTS: '1' } });
  const limits = { ...LIMITS, freeRequests: 1, instanceId: randomUUID() };
  holds = new Holds(api.pool, limits);
});
afterAll(() => api.close());
beforeEach(async () => {
  owner = await api.newAccount();
  worker = await api.newKey(owner.secret);
  await deposit(owner.accountId, DEPOSIT_MSAT);
});

async function deposit(accountId: string, amountMsat: bigint): Promise<void> {
  await api.pool.query(
    `with a as (update accounts set posted_msat = posted_msat + $2, funded_at = now() where id = $1 returning posted_msat)
     insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, invoice_id)
     select gen_random_uuid()::text, $1, 'deposit', 'lightning_receivable', 'wallet', $2, a.posted_msat, gen_random_uuid() from a`,
    [accountId, amountMsat],
  );
}

interface Spent {
  keyId?: string;
  accountId?: string;
  costPicoUsd: bigint;
  model?: string;
  provider?: string;
  /** False: the process died before it could write the usage record. */
  recorded?: boolean;
  void?: boolean;
  /** What the router decided, where it did. */
  routed?: Pick<UsageRecord, 'explored' | 'routing' | 'attempts'>;
}

/** One request through the real ledger: held, settled, recorded. Gives its id. */
async function request({
  keyId = owner.keyId,
  accountId = owner.accountId,
  costPicoUsd,
  model = 'm1',
  provider = 'p1',
  ...how
}: Spent): Promise<string> {
  const requestId = randomUUID();
  const { rows } = await api.pool.query<{ version: number }>('select version from api_keys where id = $1', [keyId]);
  const cost = picoUsd(costPicoUsd);
  const admitted = await holds.admit({
    requestId,
    accountId,
    keyId,
    keyVersion: rows[0]?.version ?? 0,
    basePicoUsd: picoUsd(cost * 2n),
    perTokenPicoUsd: picoUsd(0n),
    leastTokens: 1,
    mostTokens: 1,
    freeMaxPicoUsd: picoUsd(10n ** 12n),
    picoUsdPerMsat: RATE,
    priceVersion: 1,
    stream: false,
  });
  if (admitted.verdict !== 'admitted') throw new Error(`not admitted: ${admitted.verdict}`);
  const chargeMsat = admitted.funding === 'wallet' ? msatFromPicoUsd(cost, RATE) : msat(0n);
  const freeDay = admitted.funding === 'free' ? admitted.budgetDay : null;
  await holds.settle({ kind: 'settlement', requestId, accountId, void: how.void ?? false, chargeMsat, costPicoUsd: cost, freeDay });
  const record: UsageRecord = {
    id: requestId,
    accountId,
    keyId,
    path: '/v1/chat/completions',
    requestedModel: 'auto',
    model,
    provider,
    tier: 'cheap',
    stream: false,
    outcome: how.void ? 'upstream_error' : 'ok',
    status: how.void ? 503 : 200,
    errorCode: null,
    funding: admitted.funding,
    usage: { ...ZERO_USAGE, input: 10, output: 5 },
    costPicoUsd: cost,
    costMsat: msatFromPicoUsd(cost, RATE),
    chargedMsat: chargeMsat,
    picoUsdPerMsat: RATE,
    priceVersion: 1,
    pricedAs: null,
    markupBasisPoints: 0n,
    latencyMs: 12.5,
    ttftMs: null,
    explored: false,
    upstreamRequestId: null,
    clientRequestId: null,
    ...how.routed,
  };
  if (how.recorded !== false) api.recorder.add(record);
  return requestId;
}

const get = (path: string, key = owner.secret): Promise<Answer> => api.call('GET', path, { key });

/** All pages of a list, `limit` at a time. */
async function pages(path: string, name: string, limit: number): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = [];
  let cursor: string | null = null;
  do {
    const { status, body } = await get(`${path}?limit=${limit}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
    expect(status).toBe(200);
    const page = body[name] as unknown as Record<string, unknown>[];
    expect(page.length).toBeLessThanOrEqual(limit);
    rows.push(...page);
    cursor = body['nextCursor'] === null ? null : text(body['nextCursor']);
  } while (cursor);
  return rows;
}

describe('GET /api/report', () => {
  it('agrees with the statement to the msat, whatever was recorded', async () => {
    await request({ costPicoUsd: 123_456_789n });
    for (let i = 1; i <= 20; i++) {
      await request({ costPicoUsd: BigInt(i) * 777_777n + 1n, model: `m${i % 3}`, provider: `p${i % 2}`, recorded: i % 5 !== 0 });
    }
    await request({ costPicoUsd: 5_000_000n, void: true });
    const { body } = await get('/api/report');
    const { body: statement } = await get('/api/wallet/transactions?limit=200');
    const lines = statement['transactions'] as unknown as { kind: string; amountMsat: number }[];
    const charges = lines.filter(({ kind }) => kind === 'charge');
    expect(charges).toHaveLength(20);
    expect(body['totalChargedMsat']).toBe(-charges.reduce((sum, { amountMsat }) => sum + amountMsat, 0));
    const expected = Array.from({ length: 20 }, (_, i) => BigInt(i + 1) * 777_777n + 1n).reduce((sum, cost) => sum + cost, 123_456_789n);
    expect(body).toMatchObject({ period: '24h', requestCount: 21, totalSpendUsd: usdNumber(picoUsd(expected)) });
    expect(body['averageCostUsd']).toBe(usdNumber(picoUsd(expected / 21n)));
    expect(Object.keys(body['perModel'] ?? {}).toSorted()).toEqual(['m0', 'm1', 'm2', 'unrecorded']);
    for (const by of ['perModel', 'perProvider']) {
      const rows = Object.values(body[by] as unknown as Record<string, { requestCount: number; chargedMsat: number }>);
      expect(rows.reduce((sum, { requestCount }) => sum + requestCount, 0)).toBe(21);
      expect(rows.reduce((sum, { chargedMsat }) => sum + chargedMsat, 0)).toBe(body['totalChargedMsat']);
    }
  });

  it('rounds each request up to a msat as its charge was, not their sum', async () => {
    await request({ costPicoUsd: 1n });
    for (let i = 0; i < 3; i++) await request({ costPicoUsd: 1n });
    expect((await get('/api/report')).body).toMatchObject({ totalSpendMsat: 4, totalChargedMsat: 3, totalSpendUsd: 4e-12 });
  });

  it('is zero where nothing was spent', async () => {
    expect((await get('/api/report?period=30d')).body).toMatchObject({
      period: '30d',
      totalSpendUsd: 0,
      totalSpendMsat: 0,
      requestCount: 0,
      averageCostUsd: 0,
      perModel: {},
      perProvider: {},
    });
  });

  it('counts the requests that were spent on learning, and lists their odds and attempts', async () => {
    const routing = { exploreOdds: 0.04, difficulty: 0.2, expectedError: 0.1, score: 0.25 };
    const explored = await request({ costPicoUsd: 1n, routed: { explored: true, routing, attempts: ATTEMPTS } });
    const plain = await request({ costPicoUsd: 1n });
    const lost = await request({ costPicoUsd: 1n, recorded: false });
    expect((await get('/api/report')).body).toMatchObject({ requestCount: 3, exploredCount: 1 });
    const { body } = await get('/api/requests');
    const listed = body['requests'] as unknown as Record<string, unknown>[];
    const of = (id: string) => listed.find((row) => row['id'] === id);
    expect(of(explored)).toMatchObject({ explored: true, exploreOdds: 0.04, attempts: 2 });
    for (const id of [plain, lost]) expect(of(id)).toMatchObject({ explored: false, exploreOdds: null, attempts: null });
    const kept = await api.pool.query('select difficulty, expected_error, routing_score from requests where id = $1', [explored]);
    expect(kept.rows).toEqual([{ difficulty: 0.2, expected_error: 0.1, routing_score: 0.25 }]);
  });

  it('rolls back from now', async () => {
    const old = await request({ costPicoUsd: 1_000_000n });
    await request({ costPicoUsd: 2_000_000n });
    await api.pool.query(`update holds set resolved_at = now() - interval '25 hours' where request_id = $1`, [old]);
    expect((await get('/api/report')).body['requestCount']).toBe(1);
    const week = await get('/api/report?period=7d');
    expect(week.body['requestCount']).toBe(2);
    const age = Date.now() - new Date(text(week.body['windowStart'])).getTime();
    expect(Math.abs(age - 7 * 86_400_000)).toBeLessThan(60_000);
  });

  it('leaves out what was refunded', async () => {
    await request({ costPicoUsd: 1_000_000n });
    const requestId = await request({ costPicoUsd: 3_000_000n });
    await refundCharge(api.pool, owner.accountId, requestId);
    expect((await get('/api/report')).body).toMatchObject({ requestCount: 1, totalChargedMsat: 0 });
    const { body } = await get('/api/income');
    expect(body).toMatchObject({ depositsMsat: Number(DEPOSIT_MSAT), chargedMsat: 0, netMsat: Number(DEPOSIT_MSAT) });
    const { body: listed } = await get('/api/requests');
    expect(listed['requests']?.[0]).toMatchObject({ id: requestId, costMsat: 0, chargedMsat: 0 });
  });

  it.each(['1h', '', '24H', '__proto__'])('refuses the period %j by name', async (period) => {
    const { status, body } = await get(`/api/report?period=${period}`);
    expect([status, body['error']?.['param']]).toEqual([400, 'period']);
  });
});

describe('GET /api/income', () => {
  it('is the same numbers as an income statement, and what the wallet gained', async () => {
    await request({ costPicoUsd: 9_000_000n });
    await request({ costPicoUsd: 4_000_001n });
    await deposit(owner.accountId, 1_000n);
    const { body } = await get('/api/income');
    const { body: report } = await get('/api/report');
    const { body: balance } = await get('/api/wallet/balance');
    expect(body).toMatchObject({
      period: '24h',
      depositsMsat: Number(DEPOSIT_MSAT) + 1000,
      chargedMsat: 5,
      withdrawalsMsat: 0,
      totalSpendUsd: report['totalSpendUsd'],
    });
    expect(body['netMsat']).toBe(balance['balanceMsat']);
  });
});

describe('GET /api/wallet/balance', () => {
  it('is the ledger’s, with what is reserved, the budget of the day, and when it ends', async () => {
    await request({ costPicoUsd: 1_000_000n });
    await request({ costPicoUsd: 2_500_000n });
    const { body } = await get('/api/wallet/balance');
    expect(body).toEqual({
      balance: 49_999,
      unit: 'sats',
      rail: 'lightning',
      estimatedRequests: Math.floor(Number(DEPOSIT_MSAT - 3n) / 3),
      balanceMsat: Number(DEPOSIT_MSAT) - 3,
      reservedMsat: 0,
      availableMsat: Number(DEPOSIT_MSAT) - 3,
      freeRequestsRemaining: 0,
      freeRequestsLimit: 1,
      dailyBudgetUsd: 10,
      dailySpendUsd: 0.0000035,
      budgetResetsAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT00:00:00\.000Z$/),
    });
    const resetsIn = new Date(text(body['budgetResetsAt'])).getTime() - Date.now();
    expect(resetsIn).toBeGreaterThan(0);
    expect(resetsIn).toBeLessThanOrEqual(86_400_000);
  });

  it('does not count a hold as available', async () => {
    await api.pool.query('update accounts set held_msat = 1 where id = $1', [owner.accountId]);
    expect((await get('/api/wallet/balance')).body).toMatchObject({ balance: 49_999, reservedMsat: 1, balanceMsat: Number(DEPOSIT_MSAT) });
  });
});

describe('GET /api/wallet/transactions', () => {
  it('is the whole statement, newest first, each line with the balance after it, in pages of any size', async () => {
    await request({ costPicoUsd: 1n });
    for (let i = 0; i < 6; i++) await request({ costPicoUsd: 10_000_000n, recorded: i > 0 });
    const lines = await pages('/api/wallet/transactions', 'transactions', 4);
    expect(lines).toHaveLength(7);
    expect(new Set(lines.map(({ id }) => id)).size).toBe(7);
    let balance = 0;
    for (const line of lines.toReversed()) {
      balance += Number(line['amountMsat']);
      expect(line['balanceAfterMsat']).toBe(balance);
    }
    expect(lines.at(-1)).toMatchObject({ kind: 'deposit', amountMsat: Number(DEPOSIT_MSAT), invoiceId: expect.any(String) });
    expect(lines.at(-1)).not.toHaveProperty('requestId');
    expect(lines[0]).toMatchObject({ kind: 'charge', amountMsat: -10, model: 'm1', requestId: expect.any(String) });
    expect(lines.at(-2)).toMatchObject({ model: 'unrecorded' });
  });

  it.each([
    ['limit', 'limit=0'],
    ['limit', 'limit=201'],
    ['limit', 'limit=ten'],
    ['limit', 'limit=1&limit=2'],
    ['cursor', 'cursor=nonsense'],
    ['cursor', `cursor=${Buffer.from('["1 or 1=1"]').toString('base64url')}`],
    ['cursor', 'cursor=a&cursor=b'],
  ])('names %s when it is wrong: %s', async (param, query) => {
    for (const path of ['/api/wallet/transactions', '/api/requests']) {
      const { status, body } = await get(`${path}?${query}`);
      expect([status, body['error']?.['param']]).toEqual([400, param]);
    }
  });
});

describe('GET /api/requests', () => {
  it('has one row for each request, the unrecorded and the failed too, in pages of any size', async () => {
    const ids: string[] = [];
    ids.push(await request({ costPicoUsd: 1n }));
    for (let i = 0; i < 9; i++) ids.push(await request({ costPicoUsd: 4_000_000n, recorded: i % 3 !== 1, void: i === 3 }));
    await api.recorder.flush();
    for (const limit of [1, 3, 200]) {
      const rows = await pages('/api/requests', 'requests', limit);
      expect(rows.map(({ id }) => String(id)).toSorted()).toEqual(ids.toSorted());
      const times = rows.map(({ createdAt }) => String(createdAt));
      expect(times).toEqual(times.toSorted().toReversed());
    }
    const rows = await pages('/api/requests', 'requests', 200);
    expect(rows.filter(({ model }) => model === 'unrecorded')).toHaveLength(3);
    expect(rows.find(({ id }) => id === ids[2])).toMatchObject({
      model: 'unrecorded',
      outcome: 'unrecorded',
      chargedMsat: 4,
      funding: 'wallet',
    });
    expect(rows.find(({ id }) => id === ids[4])).toMatchObject({ outcome: 'upstream_error', status: 503, chargedMsat: 0, costUsd: 0 });
    expect(rows.find(({ id }) => id === ids[0])).toMatchObject({
      funding: 'free',
      costMsat: 1,
      chargedMsat: 0,
      promptTokens: 10,
      latencyMs: 12.5,
    });
  });
});

describe('a cursor', () => {
  it('that was made up is refused or leads nowhere, and never breaks the query', async () => {
    const id = randomUUID();
    for (const parts of [['99999999999999999', id], ['0', id], ['2026-99-99 00:00:00+00', id], ['1', 'x'], ['1'], [1, id], null, {}]) {
      const cursor = Buffer.from(JSON.stringify(parts)).toString('base64url');
      expect([200, 400]).toContain((await get(`/api/requests?cursor=${cursor}`)).status);
    }
    const largest = Buffer.from('["999999999999999999"]').toString('base64url');
    expect((await get(`/api/wallet/transactions?cursor=${largest}`)).status).toBe(200);
  });
});

describe('whose figures', () => {
  const paths = ['/api/report', '/api/income', '/api/requests', '/api/wallet/transactions'];

  it('cover the account for its owner, narrowed by keyId, and only itself for another key', async () => {
    await request({ costPicoUsd: 1_000_000n });
    await request({ costPicoUsd: 1_000_000n });
    await request({ costPicoUsd: 5_000_000n, keyId: worker.keyId });
    const count = async (path: string, key: string): Promise<unknown> => (await get(path, key)).body['requestCount'];
    expect(await count('/api/report', owner.secret)).toBe(3);
    expect(await count(`/api/report?keyId=${worker.keyId}`, owner.secret)).toBe(1);
    expect(await count(`/api/report?keyId=${owner.keyId}`, owner.secret)).toBe(2);
    expect(await count('/api/report', worker.secret)).toBe(1);
    expect(await count(`/api/report?keyId=${worker.keyId}`, worker.secret)).toBe(1);
    expect((await get('/api/requests', worker.secret)).body['requests']).toMatchObject([{ keyId: worker.keyId, chargedMsat: 5 }]);
    expect((await get('/api/wallet/transactions', worker.secret)).body['transactions']).toMatchObject([{ amountMsat: -5 }]);
    expect((await get('/api/income', worker.secret)).body).toMatchObject({ depositsMsat: 0, chargedMsat: 5, netMsat: -5 });
    expect((await get('/api/wallet/balance', worker.secret)).body).toMatchObject({ dailySpendUsd: 0.000005 });
  });

  it("are never another account's, nor those of a sibling key", async () => {
    const stranger = await api.newAccount();
    for (const path of [...paths, '/api/wallet/balance']) {
      const foreign = await get(`${path}?keyId=${owner.keyId}`, stranger.secret);
      expect([foreign.status, foreign.body['error']?.['code']]).toEqual([404, 'key_not_found']);
      expect((await get(`${path}?keyId=nonsense`, stranger.secret)).body).toEqual(foreign.body);
      expect((await get(`${path}?keyId=${owner.keyId}`, worker.secret)).status).toBe(403);
      expect((await api.call('GET', path)).status).toBe(401);
    }
    await request({ costPicoUsd: 1_000_000n });
    expect((await get('/api/report', stranger.secret)).body['requestCount']).toBe(0);
    expect((await get('/api/requests', stranger.secret)).body['requests']).toEqual([]);
    expect((await get('/api/wallet/transactions', stranger.secret)).body['transactions']).toEqual([]);
  });
});

describe('filters', () => {
  it('narrow requests and statement, and a bad one is named', async () => {
    await request({ costPicoUsd: 1_000_000n, model: 'm1' });
    await request({ costPicoUsd: 2_000_000n, model: 'm2', provider: 'p2' });
    await request({ costPicoUsd: 3_000_000n, model: 'm1', void: true });
    await request({ costPicoUsd: 4_000_000n, recorded: false, keyId: worker.keyId });
    const count = async (path: string, name: string) => ((await get(path)).body[name] as unknown as unknown[]).length;
    for (const [query, expected] of [
      ...[
        ['model=m1', 2],
        ['outcome=ok', 2],
        ['outcome=upstream_error', 1],
        ['outcome=unrecorded', 1],
        ['model=none', 0],
        ['funding=byok', 0],
      ],
      ...[
        ['from=2020-01-01T00:00:00Z', 4],
        ['to=2020-01-01T00:00:00Z', 0],
        [`keyId=${worker.keyId}`, 1],
      ],
    ] as const)
      expect([query, await count(`/api/requests?${query}`, 'requests')]).toEqual([query, expected]);
    for (const [query, expected] of [
      ...[
        ['kind=deposit', 1],
        ['kind=charge', 2],
        ['kind=refund', 0],
      ],
      ...[
        ['from=2020-01-01T00:00:00Z&kind=deposit', 1],
        ['to=2020-01-01T00:00:00Z', 0],
      ],
    ] as const)
      expect([query, await count(`/api/wallet/transactions?${query}`, 'transactions')]).toEqual([query, expected]);
    for (const [path, param] of [
      ['/api/requests?from=yesterday', 'from'],
      ['/api/requests?outcome=fine', 'outcome'],
      ['/api/wallet/transactions?kind=gift', 'kind'],
      ['/api/report?series=minute', 'series'],
      ['/api/keys?state=dead', 'state'],
    ] as const)
      expect([path, (await get(path)).status, (await get(path)).body['error']?.['param']]).toEqual([path, 400, param]);
    const { body } = await get('/api/report?model=m2&series=day&by=key');
    expect(body).toMatchObject({ requestCount: 1, perKey: { [owner.keyId]: { requestCount: 1 } } });
    const rows = (body['series'] as unknown as { rows: { name: string }[] }[]).flatMap((bucket) => bucket.rows);
    expect(rows).toMatchObject([{ name: owner.keyId, requestCount: 1 }]);
  });
});
