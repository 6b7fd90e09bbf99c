import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { challengeOf } from '../../support/challenge.ts';
import { chat, errorOf } from '../../support/chat.ts';
import { startFakeProvider, type FakeProvider } from '../../support/fake-provider.ts';
import { foreignInvoice } from '../../support/foreign-invoice.ts';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';
import { until } from '../../support/until.ts';

const PATH = '/v1/chat/completions';
const YEAR_MS = 365 * 86_400_000;
const inAYear = () => new Date(Date.now() + YEAR_MS).toISOString();

let upstream: FakeProvider;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  const deployments = [upstream.deployment({ prices: { input: 10, output: 20 } })];
  gateway = await startGateway({ deployments, env: { WITHDRAWALS: 'true', FREE_TIER_REQUESTS: '0' } });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  await upstream.close();
});
beforeEach(async () => {
  key = await gateway.newKey();
});

async function call(method: string, path: string, by: TestKey, body?: object) {
  const answer = await fetch(gateway.url + path, {
    method,
    headers: { authorization: `Bearer ${by.secret}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  });
  const content = await answer.text();
  const read = (content ? JSON.parse(content) : {}) as { error?: { code: string }; id: string; key: string; paymentRequest: string };
  return { status: answer.status, code: read.error?.code, body: read };
}

async function addKey(owner: TestKey, settings: object): Promise<TestKey> {
  const { body } = await call('POST', '/api/keys', owner, settings);
  return { id: body.id, accountId: owner.accountId, secret: body.key };
}

/** The ways to end a key, or to make it another kind of key: `by` acts on `target`. */
const ENDS: [string, (target: TestKey, by?: TestKey) => ReturnType<typeof call>][] = [
  ['revoked', (target, by = target) => call('DELETE', `/api/keys/${target.id}`, by)],
  ['given an expiry', (target, by = target) => call('PATCH', `/api/keys/${target.id}`, by, { expiresAt: inAYear() })],
  ['made an inference key', (target, by = target) => call('PATCH', `/api/keys/${target.id}`, by, { role: 'inference' })],
];

const invoiceInState = (assignments: string) => async (): Promise<void> => {
  const { body } = await call('POST', '/api/wallet/fund', key, { amount: 1000 });
  await gateway.pool.query(`update invoices set ${assignments} where bolt11 = $1`, [body.paymentRequest]);
};

/** What would be lost with the last way in. */
const STAKES: [string, () => Promise<unknown>][] = [
  ['a balance', () => gateway.fund(key, 1_000)],
  [
    'a balance that is held as a whole',
    async () => {
      await gateway.fund(key, 100);
      const { paymentRequest, paymentHash } = foreignInvoice({ amountMsat: 100_000n });
      await gateway.pool.query(
        `with held as (update accounts set held_msat = posted_msat where id = $1 returning id)
         insert into withdrawals (id, account_id, key_id, backend, node_id, network, payment_hash, bolt11, amount_msat, fee_limit_msat, state,
           idempotency_key, idempotency_sha256, expires_at, sent_at, deadline_at, next_check_at)
         select gen_random_uuid(), id, $2, 'simulated', 'elsewhere', 'simulated', $3, $4, 100000, 0, 'sent', 'k', '', now() + interval '1 h',
           now(), now() + interval '1 h', now() + interval '1 h' from held`,
        [key.accountId, key.id, paymentHash, paymentRequest],
      );
    },
  ],
  ['an open invoice', invoiceInState(`amount_sat = amount_sat`)],
  ['an invoice that is being made', invoiceInState(`state = 'creating', bolt11 = null, next_check_at = now() + interval '1 h'`)],
  [
    'an invoice past its expiry that the node may still settle',
    invoiceInState(`state = 'expired', expires_at = now() - interval '1 h', next_check_at = now() + interval '1 h'`),
  ],
  ["a 402's invoice", () => gateway.post(PATH, chat(), key)],
];

/** Keys that are no other way in. */
const BESIDE: [string, () => Promise<unknown>][] = [
  ['nothing', () => Promise.resolve()],
  ['an inference key', () => addKey(key, {})],
  ['an owner key that expires', () => addKey(key, { role: 'owner', expiresAt: inAYear() })],
  [
    'an owner key that has expired',
    async () => {
      const { id } = await addKey(key, { role: 'owner' });
      await gateway.pool.query(`update api_keys set expires_at = now() - interval '1 s' where id = $1`, [id]);
    },
  ],
  [
    'a revoked owner key',
    async () => {
      const { id } = await addKey(key, { role: 'owner' });
      await call('DELETE', `/api/keys/${id}`, key);
    },
  ],
  [
    "another account's owner key",
    async () => {
      await gateway.newKey();
    },
  ],
];

describe('the last owner key of an account', () => {
  const stakes = STAKES.flatMap(([stake, make]) => ENDS.map(([name, end]) => ({ stake, make, name, end })));
  it.each(stakes)('with $stake is not $name', async ({ make, end }) => {
    await make();
    expect(await end(key)).toMatchObject({ status: 409, code: 'last_owner_key' });
    expect((await call('GET', '/api/keys', key)).body).toMatchObject({
      keys: [{ role: 'owner', revokedAt: null, expiresAt: null }],
    });
  });

  const besides = BESIDE.flatMap(([beside, make]) => ENDS.map(([name, end]) => ({ beside, make, name, end })));
  it.each(besides)('with a balance is not $name beside $beside', async ({ make, end }) => {
    await make();
    await gateway.fund(key, 1_000);
    expect(await end(key)).toMatchObject({ status: 409, code: 'last_owner_key' });
  });

  it.each(ENDS)('may be %s where there is another one', async (_name, end) => {
    await gateway.fund(key, 1_000);
    const other = await addKey(key, { role: 'owner' });
    expect((await end(key, other)).status).toBeLessThan(300);
    for (const [, again] of ENDS) expect(await again(other)).toMatchObject({ status: 409 });
  });

  it.each(ENDS)('may be %s where nothing is at stake', async (_name, end) => {
    expect((await end(key)).status).toBeLessThan(300);
  });

  it('may be rotated, and changed in all else', async () => {
    await gateway.fund(key, 1_000);
    const { status, body } = await call('POST', `/api/keys/${key.id}/rotate`, key);
    expect(status).toBe(200);
    const rotated = { ...key, secret: body.key };
    const changes = { label: 'x', dailyBudgetUsd: 1, role: 'owner', expiresAt: null };
    expect((await call('PATCH', `/api/keys/${key.id}`, rotated, changes)).status).toBe(200);
  });

  it('may go once the money has gone, and the node has had the last word on every invoice', async () => {
    await invoiceInState(`state = 'expired', expires_at = now() - interval '2 d', next_check_at = null`)();
    expect((await call('DELETE', `/api/keys/${key.id}`, key)).status).toBe(204);
  });
});

describe('an account whose owner keys expire', () => {
  let expiring: TestKey;
  beforeEach(async () => {
    expiring = await gateway.newKey({ expiresAt: inAYear() });
  });

  it('gets no invoice: neither asked for, nor in a 402, which says why', async () => {
    expect(await call('POST', '/api/wallet/fund', expiring, { amount: 1000 })).toMatchObject({ status: 409, code: 'last_owner_key' });
    const answer = await gateway.post(PATH, chat(), expiring);
    expect([answer.status, answer.headers.get('www-authenticate'), answer.headers.get('payment-required')]).toEqual([402, null, null]);
    const { code, reason, funding, message } = await errorOf(answer);
    expect([code, reason, funding]).toEqual(['free_tier_exceeded', 'used_up', undefined]);
    expect(message).toBe(
      'The free requests do not cover this one. Nothing can be paid in while the account has no owner key without an expiry. ' +
        'PATCH one with {"expiresAt":null}, or make another.',
    );
    const { rows } = await gateway.pool.query('select from invoices where account_id = $1', [expiring.accountId]);
    expect(rows).toEqual([]);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['its key is given no expiry', () => call('PATCH', `/api/keys/${expiring.id}`, expiring, { expiresAt: null })],
    ['it has an owner key without one', () => addKey(expiring, { role: 'owner' })],
  ])('gets one once %s', async (_name, mend) => {
    await mend();
    expect((await call('POST', '/api/wallet/fund', expiring, { amount: 1000 })).status).toBe(201);
    expect(challengeOf(await gateway.post(PATH, chat(), expiring)).amount).toBe(1000);
  });
});

describe('an account that came into money while its owner keys expire', () => {
  it('goes on, and makes no further key but the one that it lacks', async () => {
    await gateway.fund(key, 1_000);
    await gateway.pool.query('update api_keys set expires_at = $2 where id = $1', [key.id, inAYear()]);
    expect((await gateway.post(PATH, chat(), key)).status).toBe(200);
    for (const settings of [{}, { role: 'owner', expiresAt: inAYear() }]) {
      expect(await call('POST', '/api/keys', key, settings)).toMatchObject({ status: 409, code: 'last_owner_key' });
    }
    const { body } = await call('POST', `/api/keys/${key.id}/rotate`, key);
    const owner = { ...key, secret: body.key };
    expect((await call('PATCH', `/api/keys/${key.id}`, owner, { expiresAt: null })).status).toBe(200);
    expect((await call('POST', '/api/keys', owner, {})).status).toBe(201);
  });
});

describe('a payer without a key', () => {
  it('keeps what the token stands for until another owner key is there', async () => {
    const challenge = challengeOf(await gateway.post('/l402/v1/chat/completions', chat(), null));
    const headers = challenge.l402((await gateway.pay(challenge.invoice)).toString('hex'));
    const as = (method: string, path: string, body?: object) =>
      fetch(gateway.url + path, {
        method,
        headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
      });
    const { keys } = (await (await as('GET', '/api/keys')).json()) as { keys: { id: string }[] };
    const row = `/api/keys/${keys[0]?.id}`;
    const ends = () => [as('DELETE', row), as('PATCH', row, { expiresAt: inAYear() }), as('PATCH', row, { role: 'inference' })];
    for (const answer of await Promise.all(ends())) expect(answer.status).toBe(409);
    expect((await as('POST', '/api/keys', { expiresAt: inAYear() })).status).toBe(201);
    for (const answer of await Promise.all(ends())) expect(answer.status).toBe(409);
    expect((await as('POST', '/api/keys', {})).status).toBe(201);
    expect((await as('DELETE', row)).status).toBe(204);
    expect((await as('GET', '/api/keys')).status).toBe(401);
  });
});

describe('many callers at once', () => {
  const ROUNDS = 5;
  const lasting = async ({ accountId }: TestKey): Promise<number> => {
    const { rows } = await gateway.pool.query<{ lasting: number }>(
      `select count(*)::integer as lasting from api_keys where account_id = $1 and role = 'owner' and revoked_at is null and expires_at is null`,
      [accountId],
    );
    return rows[0]?.lasting ?? 0;
  };

  it('get nothing more from a key once its revocation was answered', async () => {
    const thief = await addKey(key, { role: 'owner' });
    const keys = async (): Promise<number> => {
      const { rows } = await gateway.pool.query<{ keys: number }>('select count(*)::integer as keys from api_keys where account_id = $1', [
        key.accountId,
      ]);
      return rows[0]?.keys ?? 0;
    };
    const making = Array.from({ length: 30 }, () => call('POST', '/api/keys', thief, { role: 'owner' }));
    await Promise.race(making);
    expect((await call('DELETE', `/api/keys/${thief.id}`, key)).status).toBe(204);
    const made = await keys();
    const statuses = (await Promise.all(making)).map(({ status }) => status);
    expect(statuses.filter((status) => ![201, 401].includes(status))).toEqual([]);
    expect(await keys()).toBe(made);
    expect(statuses.filter((status) => status === 201)).toHaveLength(made - 2);
  });

  it.each(ENDS)('of which each has the other %s leave one owner key, and every refusal is 401, 403 or 409', async (_name, end) => {
    for (let round = 0; round < ROUNDS; round++) {
      const one = await gateway.newKey();
      await gateway.fund(one, 100);
      const others = await Promise.all([1, 2, 3].map(() => addKey(one, { role: 'owner' })));
      const owners = [one, ...others];
      const answers = await Promise.all(owners.flatMap((by) => owners.map((target) => end(target, by))));
      expect(answers.map(({ status }) => status).filter((status) => ![200, 204, 401, 403, 409].includes(status))).toEqual([]);
      expect(await lasting(one)).toBe(1);
    }
  });

  /** What puts something at stake, once each; gives whether it did. */
  const ARRIVALS: [string, (owner: TestKey) => Promise<() => Promise<boolean>>][] = [
    ['a top-up', (owner) => Promise.resolve(async () => (await call('POST', '/api/wallet/fund', owner, { amount: 1000 })).status === 201)],
    ["a 402's invoice", (owner) => Promise.resolve(async () => (await gateway.post(PATH, chat(), owner)).headers.has('www-authenticate'))],
    [
      'the credit of a payment',
      async (owner) => {
        const { body } = await call('POST', '/api/wallet/fund', owner, { amount: 1000 });
        return async () => {
          await gateway.pay(body.paymentRequest);
          await until(async () => {
            const { rows } = await gateway.pool.query<{ paid: boolean }>(`select state = 'paid' as paid from invoices where bolt11 = $1`, [
              body.paymentRequest,
            ]);
            return rows[0]?.paid;
          });
          return true;
        };
      },
    ],
    [
      'an admission',
      async (owner) => {
        await gateway.fund(owner, 1_000);
        return async () => {
          await gateway.post(PATH, chat(), owner);
          return true;
        };
      },
    ],
  ];
  const races = ARRIVALS.flatMap(([arrival, prepare]) => ENDS.map(([name, end]) => ({ arrival, prepare, name, end })));
  it.each(races)('never let the last owner key be $name beside $arrival', async ({ prepare, end }) => {
    for (let round = 0; round < ROUNDS; round++) {
      const owner = await gateway.newKey();
      const arrive = await prepare(owner);
      const [arrived, ...ends] = await Promise.all([arrive(), end(owner), end(owner), end(owner)]);
      const gone = ends.some(({ status }) => status < 300);
      expect([arrived, gone]).not.toEqual([true, true]);
      expect((await lasting(owner)) > 0).toBe(!gone);
    }
  });
});
