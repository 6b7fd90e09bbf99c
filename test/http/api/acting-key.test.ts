import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { createApp, type AppDeps } from '../../../src/app.ts';
import { routesOf } from '../../../src/http/server/method-not-allowed.ts';
import { Turns } from '../../../src/http/payment/turns.ts';
import { SimulatedWallet } from '../../../src/lightning/simulated/simulated.ts';
import { whileLocked } from '../../support/account-lock.ts';
import { challengeOf, preimageOf, settleSilently } from '../../support/challenge.ts';
import { chat } from '../../support/chat.ts';
import { startFakeProvider, type FakeProvider } from '../../support/fake-provider.ts';
import { foreignInvoice } from '../../support/foreign-invoice.ts';
import { separatePool, startGateway, testConfig, type TestGateway, type TestKey } from '../../support/gateway.ts';
import { until } from '../../support/until.ts';
import { withhold } from '../../support/withheld.ts';

interface Write {
  /** What acts: an owner key, any key, or nobody. */
  by: 'owner' | 'any' | 'nobody';
  /** Of a request that is granted. */
  status?: number;
  /** None for what has no body. `other` is a key of the account, beside the one that acts. */
  body?: (other: TestKey) => object;
}

const inference: Write = { by: 'any', status: 200, body: () => chat() };
const { messages } = chat();
/** What each wire asks for besides chat. */
const OF_OTHER_WIRES: [path: string, body: object][] = [
  ['/v1/completions', { prompt: 'hi' }],
  ['/v1/responses', { input: 'hi' }],
  ['/v1/messages', { max_tokens: 16, messages }],
  ['/v1/router', { messages }],
];

/** Every route that may write, and what a request of it is like. */
const WRITES: Record<string, Write> = {
  'POST /v1/chat/completions': inference,
  'POST /l402/v1/chat/completions': inference,
  ...Object.fromEntries(
    OF_OTHER_WIRES.flatMap(([path, body]) => [path, `/l402${path}`].map((one) => [`POST ${one}`, { ...inference, body: () => body }])),
  ),
  'POST /v1/embeddings': { by: 'nobody' },
  'POST /l402/v1/embeddings': { by: 'nobody' },
  'POST /v1/messages/count_tokens': { by: 'nobody' },
  'POST /api/estimate': { by: 'nobody' },
  'POST /api/chat': { ...inference, body: () => chat({ stream: true }) },
  'POST /api/keys': { by: 'owner', status: 201, body: () => ({ role: 'owner' }) },
  'PATCH /api/keys/:id': { by: 'owner', status: 200, body: () => ({ dailyBudgetUsd: 0 }) },
  'DELETE /api/keys/:id': { by: 'owner', status: 204 },
  'POST /api/keys/:id/rotate': { by: 'owner', status: 200 },
  'POST /api/wallet/fund': { by: 'any', status: 201, body: () => ({ amount: 1000 }) },
  // Tells of a key that may not act in its results: its own test has the case.
  'POST /mcp': { by: 'nobody' },
  'POST /api/wallet/withdraw': { by: 'owner', status: 202, body: () => ({ paymentRequest: foreignInvoice().paymentRequest }) },
  'PUT /api/wallet/autopay': { by: 'owner', status: 200, body: () => ({ thresholdSats: 1, topupSats: 100, dailyLimitSats: 100 }) },
  'DELETE /api/wallet/autopay': { by: 'owner', status: 204 },
  'POST /invoice/:id/pay': { by: 'nobody' },
  'POST /dev/lightning/pay': { by: 'nobody' },
};

/** What happens to the acting key after it was looked at, and what its request gets. */
const CHANGES: [string, string, (write: Write) => number | undefined][] = [
  ['revoked', 'revoked_at = now(), version = version + 1', () => 401],
  ['revoked, untold', 'revoked_at = now()', () => 401],
  ['rotated', `prefix = 'pura_newone', secret_hash = decode(md5(id::text), 'hex'), version = version + 1`, () => 401],
  ['past its expiry', `expires_at = clock_timestamp() - interval '1 ms', version = version + 1`, () => 401],
  ['demoted', `role = 'inference', version = version + 1`, ({ by, status }) => (by === 'owner' ? 403 : status)],
  ['changed otherwise', `label = 'other', rate_limit_rpm = 1000, version = version + 1`, ({ status }) => status],
];

let upstream: FakeProvider;
let gateway: TestGateway;
/** The account's other owner key, which stays. */
let other: TestKey;
let acting: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({ deployments: [upstream.deployment()], env: { WITHDRAWALS: 'true', FREE_TIER_REQUESTS: '0' } });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  await upstream.close();
});
beforeEach(async () => {
  other = await gateway.newKey();
  await gateway.fund(other, 5_000);
  const answer = await gateway.post('/api/keys', { role: 'owner' }, other);
  const { id, key: secret } = (await answer.json()) as { id: string; key: string };
  acting = { ...other, id, secret };
  await gateway.pool.query(
    `insert into autopay (account_id, connection, relay_hosts, threshold_sat, topup_sat, daily_limit_sat, state)
     values ($1, '\\x00', '{relay.example}', 2, 200, 200, 'paused')`,
    [other.accountId],
  );
  // Known to the gateway's cache from here on: only the row itself tells of a change.
  expect((await gateway.get('/api/wallet/balance', acting)).status).toBe(200);
});

const change = (assignments: string) => gateway.pool.query(`update api_keys set ${assignments} where id = $1`, [acting.id]);

/** All that the account has, but for when its keys were used. */
async function books(): Promise<string | undefined> {
  const { rows } = await gateway.pool.query<{ books: string }>(
    `select to_jsonb(b)::text as books from (select (select json_agg(a) from accounts a where a.id = $1) as account, (select count(*) from accounts) as accounts,
       (select json_agg(to_jsonb(k) - 'last_used_at' order by k.id) from api_keys k where k.account_id = $1) as keys,
       (select json_agg(i order by i.id) from invoices i where i.account_id = $1) as invoices,
       (select json_agg(w order by w.id) from withdrawals w where w.account_id = $1) as withdrawals,
       (select json_agg(t order by t.id) from transfers t where t.account_id = $1) as transfers,
       (select json_agg(h order by h.request_id) from holds h where h.account_id = $1) as holds,
       (select json_agg(b order by b.day) from budget_days b where b.account_id = $1) as budgets,
       (select json_agg(p) from autopay p where p.account_id = $1) as autopay,
       (select json_agg(i) from idempotency i where i.account_id = $1) as idempotency) b`,
    [other.accountId],
  );
  return rows[0]?.books;
}

const actingHeaders = () => ({ authorization: `Bearer ${acting.secret}`, 'idempotency-key': randomUUID() });
const requestOf = (route: string, { body }: Write) => {
  const [method = '', path = ''] = route.split(' ');
  return { method, path: path.replace(':id', other.id), body: body && JSON.stringify(body(other)), headers: actingHeaders() };
};

const granted = (status: number) => status < 300;
const keyed = Object.entries(WRITES).filter(([, { by }]) => by !== 'nobody');
const cases = keyed.flatMap(([route, write]) =>
  CHANGES.map(([name, assignments, expected]) => ({ route, write, name, assignments, status: expected(write) })),
);

describe('the routes that may write', () => {
  it('are all in this table', () => {
    const wallet: unknown = Object.create(SimulatedWallet.prototype);
    const deps = { config: testConfig(), turns: new Turns(), lnurl: {}, wallet } as AppDeps;
    // Forms of people who have signed in carry no key, and are small: their session is looked up once the form is here.
    const routes = [...routesOf(createApp(deps))].filter(([path]) => !/^\/(console|admin)\b/.test(path));
    const mutating = routes.flatMap(([path, methods]) =>
      [...methods].filter((method) => !['GET', 'HEAD'].includes(method)).map((method) => `${method} ${path}`),
    );
    // Those of people who are signed in act with no key of their own: their session's tests have them.
    const ofKeys = mutating.filter((route) => !/^POST \/(console|admin)\//.test(route));
    expect(ofKeys.toSorted()).toEqual(Object.keys(WRITES).toSorted());
  });
});

describe('an answer that carries a secret', () => {
  it('is to be kept by nobody on its way, on whatever route', async () => {
    const carrying: string[] = [];
    for (const [route, write] of keyed.toReversed()) {
      for (const credential of [actingHeaders(), {}]) {
        const { method, path, body } = requestOf(route, write);
        const sent = { ...credential, ...(body !== undefined && { 'content-type': 'application/json' }) };
        const answer = await fetch(gateway.url + path, { method, headers: sent, ...(body !== undefined && { body }) });
        const content = `${await answer.text()} ${answer.headers.get('www-authenticate') ?? ''}`;
        if (!/pura_[\w-]{43}|macaroon=/.test(content)) continue;
        carrying.push(`${answer.status} ${route}`);
        expect([route, answer.headers.get('cache-control')]).toEqual([route, 'no-store']);
      }
    }
    expect(carrying.toSorted()).toEqual([
      '200 POST /api/keys/:id/rotate',
      '201 POST /api/keys',
      '201 POST /api/keys',
      '402 POST /l402/v1/chat/completions',
      '402 POST /l402/v1/completions',
      '402 POST /l402/v1/messages',
      '402 POST /l402/v1/responses',
      '402 POST /l402/v1/router',
    ]);
  });
});

describe('a key that changes while the body is on its way', () => {
  it.each(cases.filter(({ write }) => write.body))('$route: $status where it is $name', async ({ route, write, assignments, status }) => {
    const { body = '', ...request } = requestOf(route, write);
    const withheld = await withhold(gateway.url, { ...request, body });
    await change(assignments);
    const before = await books();
    const answer = await withheld.finish();
    expect([answer.status, answer.body]).toEqual([status, expect.any(String)]);
    expect((await books()) === before).toBe(!granted(answer.status));
  });
});

describe('a key that changes between its being looked at and the transaction', () => {
  it.each(cases)('$route: $status where it is $name', async ({ route, write, assignments, status }) => {
    const { method, path, body, headers: sent } = requestOf(route, write);
    const locker = separatePool(gateway.database);
    let before: string | undefined;
    let answering: Promise<Response> | undefined;
    await whileLocked(locker, other, async (waiting) => {
      answering = fetch(gateway.url + path, {
        method,
        headers: { ...sent, ...(body !== undefined && { 'content-type': 'application/json' }) },
        ...(body !== undefined && { body }),
      });
      await until(async () => (await waiting()).length > 0);
      await change(assignments);
      before = await books();
    });
    const answer = await (answering as unknown as Promise<Response>);
    await answer.text();
    await locker.end();
    expect(answer.status).toBe(status);
    expect((await books()) === before).toBe(!granted(answer.status));
  });
});

describe('what a payment stands for', () => {
  const path = '/l402/v1/chat/completions';
  const body = JSON.stringify(chat());
  const refused = async (key: TestKey | null) => challengeOf(await gateway.post(path, chat(), key, { 'x-pura-topup-sats': '300' }));
  const poorKey = () => gateway.newKey();

  it.each([
    ['a payer without a key', () => Promise.resolve(null)],
    ['the payer of a key’s invoice', poorKey],
  ])('is served to %s who pays while the body is on its way', async (_name, payer) => {
    const challenge = await refused(await payer());
    const preimage = await preimageOf(gateway.pool, challenge.invoice);
    for (const headers of [challenge.l402(preimage), challenge.mpp(preimage), challenge.x402()]) {
      const withheld = await withhold(gateway.url, { method: 'POST', path, body, headers });
      await settleSilently(gateway.pool, challenge.invoice);
      expect((await withheld.finish()).status).toBe(200);
    }
  });

  it('ends with its key row, whatever was on its way', async () => {
    const challenge = await refused(null);
    const preimage = (await gateway.pay(challenge.invoice)).toString('hex');
    const headers = challenge.l402(preimage);
    const made = (await (await gateway.post('/api/keys', {}, null, headers)).json()) as { accountId: string };
    const writes = [
      { method: 'POST', path: '/api/keys', body: '{"role":"owner"}', headers },
      { method: 'POST', path: '/api/wallet/fund', body: '{"amount":1000}', headers },
      { method: 'POST', path, body, headers },
    ];
    const withheld = await Promise.all(writes.map((write) => withhold(gateway.url, write)));
    await gateway.pool.query(`update api_keys set revoked_at = now() where account_id = $1 and prefix = 'l402'`, [made.accountId]);
    other = { ...other, accountId: made.accountId };
    const before = await books();
    for (const each of withheld) expect((await each.finish()).status).toBe(401);
    expect(await books()).toBe(before);
  });
});

describe('a stored answer', () => {
  it.each(CHANGES.slice(0, 4))('is told to no key that was %s', async (_name, assignments) => {
    const sent = { 'idempotency-key': randomUUID() };
    expect((await gateway.post('/v1/chat/completions', chat(), acting, sent)).status).toBe(200);
    const replayed = await gateway.post('/v1/chat/completions', chat(), acting, sent);
    expect([replayed.status, replayed.headers.get('idempotency-replayed')]).toEqual([200, 'true']);
    await change(assignments);
    expect((await gateway.post('/v1/chat/completions', chat(), acting, sent)).status).toBe(401);
  });
});
