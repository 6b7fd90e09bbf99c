import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { GatewayError } from '../../../src/errors.ts';
import { challengeOf, preimageOf, settleSilently, type Challenge } from '../../support/challenge.ts';
import { chat, errorOf } from '../../support/chat.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { startFakeProvider, type FakeProvider } from '../../support/fake-provider.ts';
import { depositsOf } from '../../support/funded.ts';
import { startGateway, type TestGateway } from '../../support/gateway.ts';
import { until } from '../../support/until.ts';

const PATH = '/l402/v1/chat/completions';
const prices = { input: 10, output: 20 };
const body = chat({ max_tokens: 5 });

let upstream: FakeProvider;
let database: TestDatabase;
const opened: TestGateway[] = [];
let gateway: TestGateway;

const start = async (env: Record<string, string> = {}): Promise<TestGateway> => {
  const started = await startGateway({ database, deployments: [upstream.deployment({ prices })], env });
  opened.push(started);
  return started;
};
beforeAll(async () => {
  upstream = await startFakeProvider();
  database = await createTestDatabase({ max: 20 });
  gateway = await start({ KEYLESS_INVOICES_PER_IP_PER_HOUR: '1000' });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await Promise.all(opened.map((each) => each.close()));
  await database.drop();
  await upstream.close();
});

const ask = (headers: Record<string, string> = {}, at: TestGateway = gateway) => at.post(PATH, body, null, headers);

async function refused(headers: Record<string, string> = {}, at: TestGateway = gateway): Promise<Challenge> {
  const answer = await ask({ 'x-pura-topup-sats': '2', ...headers }, at);
  expect(answer.status).toBe(402);
  return challengeOf(answer);
}

async function counts(): Promise<{ accounts: number; keys: number; invoices: number }> {
  const { rows } = await database.pool.query<{ accounts: number; keys: number; invoices: number }>(
    `select (select count(*)::integer from accounts) as accounts, (select count(*)::integer from api_keys) as keys,
       (select count(*)::integer from invoices) as invoices`,
  );
  if (!rows[0]) throw new Error('no counts');
  return rows[0];
}

interface InvoiceRow {
  id: string;
  account_id: string | null;
  payer_key_id: string;
  state: string;
}

async function rowOf({ invoice }: Challenge): Promise<InvoiceRow> {
  const { rows } = await database.pool.query<InvoiceRow>('select * from invoices where bolt11 = $1', [invoice]);
  if (!rows[0]) throw new Error('no such invoice');
  return rows[0];
}

describe('a request without a key', () => {
  it('is offered an invoice of nobody’s, and leaves no account behind', async () => {
    const before = await counts();
    const answer = await ask();
    const error = await errorOf(answer);
    expect([answer.status, error.code, error.reason]).toEqual([402, 'free_tier_exceeded', 'used_up']);
    expect(error.message).toBe(`Nobody has paid for this request yet. Pay 1000 sats to go on: ${error.funding?.invoiceUrl}`);
    const challenge = challengeOf(answer);
    expect([error.funding?.paymentRequest, error.funding?.amount]).toEqual([challenge.invoice, 1000]);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(await rowOf(challenge)).toMatchObject({ account_id: null, state: 'open' });
    expect(await counts()).toEqual({ ...before, invoices: before.invoices + 1 });
  });

  it('is not asked to pay for what would be refused anyway', async () => {
    const before = await counts();
    const cases: [object | string, Record<string, string>, number][] = [
      [{ messages: 'none' }, {}, 400],
      [chat({ surprise: 1 }), {}, 400],
      [{ ...body, model: 'pureai/none' }, {}, 404],
      [body, { 'x-pura-topup-sats': '0' }, 400],
      [body, { 'x-pura-max-cost-sats': '0' }, 402],
      [body, { 'content-type': 'text/plain' }, 415],
      [body, { authorization: 'Bearer wrong' }, 401],
      [body, { authorization: 'L402 wrong' }, 401],
    ];
    for (const [content, headers, status] of cases) {
      const answer = await gateway.post(PATH, content, null, headers);
      expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([status, null]);
    }
    expect(await counts()).toEqual(before);
  });

  it('is asked for enough to be served', async () => {
    const large = { ...body, max_tokens: 16_000, n: 4 };
    const answer = await gateway.post(PATH, large, null, { 'x-pura-topup-sats': '1' });
    const challenge = challengeOf(answer);
    expect(challenge.amount).toBeGreaterThan(1_200);
    const preimage = (await gateway.pay(challenge.invoice)).toString('hex');
    expect((await gateway.post(PATH, large, null, challenge.l402(preimage))).status).toBe(200);
  });

  it('is an ordinary one where it has a key', async () => {
    const key = await gateway.newKey();
    const answer = await gateway.post(PATH, body, key);
    expect([answer.status, answer.headers.get('x-pura-funding')]).toEqual([200, 'free']);
  });
});

describe('the payment of an invoice of nobody’s', () => {
  it('makes one account, its key row and the deposit together, however many report it', async () => {
    const other = await start();
    const challenge = await refused();
    const before = await counts();
    const preimage = await settleSilently(database.pool, challenge.invoice);
    const shown = [challenge.l402(preimage), challenge.mpp(preimage), challenge.x402()];
    const reports = Array.from({ length: 6 }, (_, index) =>
      fetch(`${(index % 2 ? gateway : other).url}/api/wallet/balance`, { headers: shown[index % 3] ?? {} }),
    );
    const answers = await Promise.all(reports);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    for (const answer of answers) expect(await answer.json()).toMatchObject({ balanceMsat: 2_000, freeRequestsLimit: 0 });
    const { account_id: account, state, payer_key_id: keyId } = await rowOf(challenge);
    expect(state).toBe('paid');
    expect(await depositsOf(database.pool, account ?? '')).toEqual({ postedMsat: 2_000n, deposits: [2_000n], funded: true });
    expect(await counts()).toEqual({ ...before, accounts: before.accounts + 1, keys: before.keys + 1 });
    const { rows } = await database.pool.query('select account_id, role, prefix from api_keys where id = $1', [keyId]);
    expect(rows).toEqual([{ account_id: account, role: 'owner', prefix: 'l402' }]);
  });

  it('makes nothing at all where the deposit cannot be made', async () => {
    const challenge = await refused();
    const before = await counts();
    const { payer_key_id: keyId } = await rowOf(challenge);
    // The row that its payment makes cannot be made: another has its id.
    const key = await gateway.newKey();
    await database.pool.query('update api_keys set id = $2 where id = $1', [key.id, keyId]);
    const preimage = await settleSilently(database.pool, challenge.invoice);
    expect((await ask(challenge.l402(preimage))).status).toBe(500);
    expect(await rowOf(challenge)).toMatchObject({ account_id: null, state: 'open' });
    expect(await counts()).toMatchObject({ accounts: before.accounts + 1 });
    await database.pool.query('update api_keys set id = $1 where id = $2', [key.id, keyId]);
    expect((await ask(challenge.l402(preimage))).status).toBe(200);
  });

  it('is credited by itself, whether the payer comes back or not, and its page tells nothing but the payment', async () => {
    const challenge = await refused();
    const { id } = await rowOf(challenge);
    const page = await (await fetch(`${gateway.url}/invoice/${id}`)).text();
    for (const secret of [challenge.token, challenge.mppId]) expect(page).not.toContain(secret);
    await gateway.pay(challenge.invoice);
    await until(async () => (await rowOf(challenge)).state === 'paid');
    expect((await fetch(`${gateway.url}/invoice/${id}`)).status).toBe(200);
  });

  it('opens the account to its token alone: not to the invoice, its id, its hash or its preimage', async () => {
    const challenge = await refused();
    const preimage = (await gateway.pay(challenge.invoice)).toString('hex');
    const { id, payer_key_id: keyId } = await rowOf(challenge);
    const others = await refused();
    for (const secret of [preimage, challenge.invoice, id, keyId, `pura_${keyId}`, 'l402']) {
      const answers = [await ask({ authorization: `Bearer ${secret}` }), await ask({ authorization: `L402 ${secret}:${preimage}` })];
      expect(answers.map(({ status }) => status)).toEqual([401, 401]);
    }
    expect((await ask(others.l402(preimage))).status).toBe(401);
    expect((await ask(others.x402({ invoice: challenge.invoice }))).status).toBe(401);
    const key = await gateway.newKey();
    expect((await gateway.post(PATH, body, key, challenge.x402())).status).toBe(401);
    expect((await ask(challenge.x402())).status).toBe(200);
  });
});

describe('a keyless credential that nobody has paid for', () => {
  it('is offered its invoice again while that fits, and another where it does not', async () => {
    const challenge = await refused();
    const preimage = await preimageOf(database.pool, challenge.invoice);
    for (const headers of [challenge.l402(preimage), challenge.mpp(preimage), challenge.x402()]) {
      expect((await refused(headers)).invoice).toBe(challenge.invoice);
    }
    const more = await refused({ ...challenge.x402(), 'x-pura-topup-sats': '5' });
    expect([more.amount, more.invoice === challenge.invoice]).toEqual([5, false]);
    await database.pool.query(
      `update invoices set created_at = now() - interval '1 hour', expires_at = now() + interval '5 minutes' where bolt11 = $1`,
      [challenge.invoice],
    );
    expect((await refused(challenge.x402())).invoice).not.toBe(challenge.invoice);
    expect((await rowOf(challenge)).account_id).toBeNull();
  });

  it('counts against requests a minute, without making invoices', async () => {
    const limited = await start({ RATE_LIMIT_RPM: '3' });
    const challenge = await refused({}, limited);
    const before = await counts();
    const statuses: number[] = [];
    for (let count = 0; count < 4; count++) {
      statuses.push((await ask({ ...challenge.x402(), 'x-pura-topup-sats': '2' }, limited)).status);
    }
    expect(statuses).toEqual([402, 402, 402, 429]);
    expect(await counts()).toEqual(before);
  });
});

describe('a key of the payer’s own', () => {
  const keyFor = (headers: Record<string, string>, settings: object = {}, at = gateway) => at.post('/api/keys', settings, null, headers);

  it('is an owner’s, for the token of the payment, and can do away with the token', async () => {
    const challenge = await refused({ 'x-pura-topup-sats': '50' });
    const preimage = await settleSilently(database.pool, challenge.invoice);
    const answer = await keyFor(challenge.x402(), { label: 'mine' });
    const own = (await answer.json()) as { key: string; accountId: string; id: string };
    const { account_id: account, payer_key_id: tokenKey } = await rowOf(challenge);
    expect([answer.status, own.accountId]).toEqual([201, account]);
    const as = { authorization: `Bearer ${own.key}` };
    const { keys } = (await (await fetch(`${gateway.url}/api/keys`, { headers: as })).json()) as { keys: { role: string; id: string }[] };
    expect(keys.map(({ id, role }) => [id, role])).toEqual([
      [tokenKey, 'owner'],
      [own.id, 'owner'],
    ]);
    expect((await ask(as)).status).toBe(200);
    expect((await ask(challenge.l402(preimage))).status).toBe(200);
    expect((await fetch(`${gateway.url}/api/keys/${tokenKey}`, { method: 'DELETE', headers: as })).status).toBe(204);
    for (const headers of [challenge.l402(preimage), challenge.mpp(preimage), challenge.x402()]) {
      expect((await ask(headers)).status).toBe(401);
      expect((await keyFor(headers)).status).toBe(401);
    }
    expect((await ask(as)).status).toBe(200);
  });

  it('is not to be had before the payment, nor for another’s', async () => {
    const challenge = await refused();
    const before = await counts();
    const answer = await keyFor(challenge.x402());
    expect([answer.status, challengeOf(answer).amount]).toEqual([402, 1000]);
    expect((await counts()).keys).toBe(before.keys);
    expect((await counts()).accounts).toBe(before.accounts);
  });

  it('is to be had for a token that has expired, which is good for nothing else', async () => {
    const short = await start({ L402_TOKEN_DAYS: '2', FREE_TIER_REQUESTS: '0' });
    const challenge = await refused({ 'x-pura-topup-sats': '50' }, short);
    const preimage = (await short.pay(challenge.invoice)).toString('hex');
    const shown = [challenge.l402(preimage), challenge.mpp(preimage), challenge.x402()];
    for (const headers of shown) expect((await ask(headers, short)).status).toBe(200);

    const { account_id: account, payer_key_id: keyId, id } = await rowOf(challenge);
    const aged = async (days: { credited: number; used: number }) => {
      await database.pool.query(`update invoices set credited_at = now() - make_interval(days => $2) where id = $1`, [id, days.credited]);
      await database.pool.query(`update api_keys set last_used_at = now() - make_interval(days => $2) where id = $1`, [keyId, days.used]);
      return start({ L402_TOKEN_DAYS: '2', FREE_TIER_REQUESTS: '0' });
    };
    // Use keeps it alive, however long ago it was paid for.
    const used = await aged({ credited: 30, used: 1 });
    for (const headers of shown) expect((await ask(headers, used)).status).toBe(200);
    const idle = await aged({ credited: 30, used: 3 });
    for (const headers of shown) expect((await ask(headers, idle)).status).toBe(401);
    const own = (await (await keyFor(challenge.mpp(preimage), {}, idle)).json()) as { key: string; accountId: string };
    expect(own.accountId).toBe(account);
    expect((await ask({ authorization: `Bearer ${own.key}` }, idle)).status).toBe(200);
  });

  it('is not to be had for the expired token of a key that somebody has', async () => {
    const short = await start({ L402_TOKEN_DAYS: '2', FREE_TIER_REQUESTS: '0' });
    const key = await short.newKey();
    const answer = await short.post(PATH, body, key);
    const challenge = challengeOf(answer);
    const preimage = (await short.pay(challenge.invoice)).toString('hex');
    await until(async () => (await depositsOf(database.pool, key.accountId)).funded);
    await database.pool.query(`update invoices set credited_at = now() - interval '3 days' where account_id = $1`, [key.accountId]);
    await database.pool.query(`update api_keys set last_used_at = now() - interval '3 days' where id = $1`, [key.id]);
    const later = await start({ L402_TOKEN_DAYS: '2' });
    expect((await keyFor(challenge.l402(preimage), {}, later)).status).toBe(401);
  });
});

describe('invoices of nobody’s', () => {
  it('are so many an hour for one address, and no fewer for those with a key', async () => {
    const limited = await start({ KEYLESS_INVOICES_PER_IP_PER_HOUR: '2', FREE_TIER_REQUESTS: '0' });
    await refused({}, limited);
    const challenge = await refused({}, limited);
    const third = await ask({}, limited);
    expect([third.status, (await errorOf(third)).code]).toEqual([429, 'too_many_invoices']);
    expect(Number(third.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await refused(challenge.x402(), limited)).invoice).toBe(challenge.invoice);
    const key = await limited.newKey();
    expect((await limited.post(PATH, body, key)).status).toBe(402);
  });

  it('are so many of all addresses together, and no fewer for those with a key', async () => {
    const node = gateway.server.wallet;
    await database.pool.query(
      `insert into invoices (id, backend, node_id, network, payment_hash, bolt11, amount_sat, state, expires_at, payer_key_id)
       select gen_random_uuid(), 'simulated', $1, 'simulated', sha256(n::text::bytea), 'spam' || n, 1, 'open', now() + interval '1 hour', gen_random_uuid()
       from generate_series(1, 4000) n`,
      [node.nodeId],
    );
    const answer = await ask();
    expect([answer.status, (await errorOf(answer)).code]).toEqual([429, 'too_many_invoices']);
    const poor = await start({ FREE_TIER_REQUESTS: '0' });
    expect((await poor.post('/v1/chat/completions', body, await poor.newKey())).status).toBe(402);
    await database.pool.query(`update invoices set expires_at = now() where bolt11 like 'spam%'`);
    expect((await ask()).status).toBe(402);
    await database.pool.query(`delete from invoices where bolt11 like 'spam%'`);
  });

  it('are a 503 while the node is away', async () => {
    const create = jest.spyOn(gateway.server.wallet, 'createInvoice').mockRejectedValue(new GatewayError('lightning_unavailable'));
    const answer = await ask();
    create.mockRestore();
    expect([answer.status, (await errorOf(answer)).code]).toEqual([503, 'lightning_unavailable']);
  });
});

/** What the paths take that take no chat. */
const BODIES: [end: string, body: object][] = [
  ['/v1/completions', { prompt: 'hi' }],
  ['/responses', { input: 'hi' }],
  ['/messages', { model: 'auto', max_tokens: 16, messages: [{ role: 'user', content: 'hi' }] }],
  ['/router', { messages: [{ role: 'user', content: 'hi' }] }],
];

describe('/.well-known/l402', () => {
  it('tells an agent where to go, what it costs and how to pay', async () => {
    const answer = await gateway.get('/.well-known/l402');
    expect([answer.status, answer.headers.get('content-type'), answer.headers.get('cache-control')]).toEqual([
      200,
      'application/json; charset=utf-8',
      'public, max-age=300',
    ]);
    const discovery = (await answer.json()) as { routes: { path: string; key: string; url: string }[]; models: unknown[] };
    expect(discovery).toMatchObject({
      version: '1',
      payment: { rail: 'lightning', network: 'simulated', unit: 'sats', default_topup: 1000, credential_idle_days: null },
      challenges: [{ scheme: 'L402' }, { scheme: 'Payment', method: 'lightning', intent: 'charge' }, { scheme: 'x402' }],
      models: [{ id: 'pureai/fake', pricing_usd_per_million_tokens: { input: 10, output: 20 } }],
    });
    expect(discovery.routes.map(({ path }) => path)).toEqual(expect.arrayContaining(['/l402/v1/messages', '/v1/responses', '/api/chat']));
    for (const { path, url, key } of discovery.routes.filter(({ path: one }) => !one.endsWith('/embeddings'))) {
      const asked = JSON.stringify(BODIES.find(([end]) => path.endsWith(end))?.[1] ?? body);
      const { status } = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: asked });
      expect([path, status]).toEqual([path, key === 'none' ? 402 : 401]);
    }
  });
});
