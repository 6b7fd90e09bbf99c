import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { chat, errorOf } from '../support/chat.ts';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { holdsOf } from '../support/ledger.ts';

const PATH = '/v1/chat/completions';

let upstream: FakeProvider;
let gateway: TestGateway;
let other: TestGateway;

beforeAll(async () => {
  upstream = await startFakeProvider();
  const deployments = [upstream.deployment({ prices: { input: 10, output: 20 } })];
  const env = { FREE_TIER_REQUESTS: '0' };
  gateway = await startGateway({ deployments, env });
  other = await startGateway({ deployments, env, database: gateway.database });
});
afterAll(async () => {
  await other.close();
  await gateway.close();
  await upstream.close();
});

/** Answers by what they say: refusals with when to come again. */
async function count(answers: Response[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const answer of answers) {
    const { status } = answer;
    const outcome = status === 200 ? '200' : `${status} ${(await errorOf(answer)).code}, again after ${answer.headers.get('retry-after')}`;
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return counts;
}

async function fundedKey(): Promise<TestKey> {
  const key = await gateway.newKey();
  await gateway.fund(key, 10_000);
  return key;
}

describe('a key that two owners change over and over', () => {
  it('is served or told to come again, and every answer is charged once', async () => {
    const key = await fundedKey();
    const enough = new AbortController();
    const changes = [gateway, other].map(async (each, index) => {
      for (let label = 0; !enough.signal.aborted; label++) await each.patchKey(key, { label: `${index} ${label}` });
    });
    const answers: Response[] = [];
    for (let round = 0; round < 10; round++) {
      const asked = Array.from({ length: 20 }, (_, index) => {
        const idempotency = { 'idempotency-key': `${round} ${index % 5}` };
        return (index % 2 ? gateway : other).post(PATH, chat({ stream: index % 3 === 0 }), key, index % 4 === 0 ? idempotency : {});
      });
      answers.push(...(await Promise.all(asked)));
    }
    enough.abort();
    await Promise.all(changes);
    const counts = await count(answers);
    const allowed = ['200', '503 overloaded, again after 1', '409 idempotency_in_progress, again after 1'];
    expect(Object.keys(counts).filter((outcome) => !allowed.includes(outcome))).toEqual([]);
    const served = counts['200'] ?? 0;
    expect(served).toBeGreaterThan(0);
    const replayed = answers.filter(({ headers }) => headers.get('idempotency-replayed') === 'true').length;
    const holds = await holdsOf(gateway.pool, key.accountId);
    expect(holds.filter(({ state }) => state === 'posted')).toHaveLength(served - replayed);
    expect(await gateway.audit()).toEqual([]);
  });
});

describe('a key whose every look is out of date', () => {
  it('is a 503 that says when to come again, and nothing of its request is left', async () => {
    const key = await fundedKey();
    const { rows } = await gateway.pool.query<{ sql: string }>(`select pg_get_functiondef('ledger_commit'::regproc) as sql`);
    const sql = rows[0]?.sql ?? '';
    const dispatched = upstream.requests.length;
    await gateway.pool.query(sql.replaceAll('k.version', '(k.version + 1) as version').replaceAll('as version =', '='));
    try {
      for (const members of [{}, { stream: true }]) {
        expect(await count([await gateway.post(PATH, chat(members), key, { 'idempotency-key': 'k' })])).toEqual({
          '503 overloaded, again after 1': 1,
        });
      }
    } finally {
      await gateway.pool.query(sql);
    }
    expect(upstream.requests.length).toBe(dispatched);
    expect(await holdsOf(gateway.pool, key.accountId)).toEqual([]);
    expect((await gateway.post(PATH, chat(), key, { 'idempotency-key': 'k' })).status).toBe(200);
  });
});
