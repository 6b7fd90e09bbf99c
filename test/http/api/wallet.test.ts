import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import bolt11 from 'bolt11';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';
import { until } from '../../support/until.ts';

let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
});

type Body = Record<string, unknown> & { error?: { code: string; param: string | null; message: string } };
const fund = async (body: unknown, headers: Record<string, string> = {}) => {
  const answer = await gateway.post('/api/wallet/fund', body, key, headers);
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Body };
};
const statusOf = async (invoiceId: unknown, asked = key) => {
  const answer = await gateway.get(`/api/wallet/status?invoiceId=${String(invoiceId)}`, asked);
  return { status: answer.status, body: (await answer.json()) as Body };
};
const pay = async (paymentRequest: unknown, headers: Record<string, string> = {}) => {
  const answer = await gateway.post('/dev/lightning/pay', { paymentRequest }, null, headers);
  return { status: answer.status, body: (await answer.json()) as Body };
};
const freshKey = async () => {
  key = await gateway.newKey();
};

describe('POST /api/wallet/fund', () => {
  beforeAll(freshKey);

  it('answers 201 with an invoice that any decoder reads, under the origin that the client used', async () => {
    const { status, headers, body } = await fund({ amount: 2500 });
    expect(status).toBe(201);
    expect(headers.get('cache-control')).toBe('no-store');
    const { invoiceId, paymentRequest } = body as { invoiceId: string; paymentRequest: string };
    expect(body).toEqual({
      invoiceId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      paymentRequest: expect.stringMatching(/^lnbcrt25u1/),
      paymentHash: bolt11.decode(paymentRequest).tagsObject.payment_hash,
      amount: 2500,
      unit: 'sats',
      status: 'pending',
      rail: 'lightning',
      createdAt: expect.stringMatching(/Z$/),
      expiresAt: expect.stringMatching(/Z$/),
      invoiceUrl: `${gateway.url}/invoice/${invoiceId}`,
      statusUrl: `${gateway.url}/api/wallet/status?invoiceId=${invoiceId}`,
      lightningUrl: `lightning:${paymentRequest}`,
    });
  });

  it('takes 10000 sats where nothing is said', async () => {
    expect((await fund('')).body).toMatchObject({ amount: 10_000 });
    expect((await fund({})).body).toMatchObject({ amount: 10_000 });
  });

  it.each([
    [{ amount: 99 }, 'amount'],
    [{ amount: 1_000_001 }, 'amount'],
    [{ amount: 100.5 }, 'amount'],
    [{ amount: '1000' }, 'amount'],
    [{ amount: null }, 'amount'],
    [{ amount: -1 }, 'amount'],
    [{ sats: 1000 }, 'sats'],
  ])('refuses %j and names the field', async (body, param) => {
    expect(await fund(body)).toMatchObject({ status: 400, body: { error: { code: 'invalid_request', param } } });
  });

  it('refuses what is not JSON, and whoever has no key', async () => {
    expect((await fund('{"amount":')).status).toBe(400);
    expect((await fund('amount=1000', { 'content-type': 'application/x-www-form-urlencoded' })).status).toBe(415);
    expect((await gateway.post('/api/wallet/fund', {}, null)).status).toBe(401);
  });
});

describe('Idempotency-Key on /api/wallet/fund', () => {
  beforeAll(freshKey);

  it('gives the same invoice for the same key and body, marked, and 409 for another body', async () => {
    const header = { 'idempotency-key': 'top-up 1' };
    const [first, second] = await Promise.all([fund({ amount: 500 }, header), fund({ amount: 500 }, header)]);
    const third = await fund({ amount: 500 }, header);
    expect([first.status, second.status, third.status]).toEqual([201, 201, 201]);
    expect(second.body).toEqual(first.body);
    expect(third.body).toEqual(first.body);
    expect(third.headers.get('idempotency-replayed')).toBe('true');
    expect([first, second].filter(({ headers }) => headers.has('idempotency-replayed'))).toHaveLength(1);
    expect(await fund({ amount: 501 }, header)).toMatchObject({ status: 409, body: { error: { code: 'idempotency_conflict' } } });
  });

  it('is refused where it is empty or too long', async () => {
    expect((await fund({}, { 'idempotency-key': '' })).status).toBe(400);
    expect((await fund({}, { 'idempotency-key': 'x'.repeat(256) })).status).toBe(400);
    expect((await fund({}, { 'idempotency-key': 'x'.repeat(255) })).status).toBe(201);
  });
});

describe('open invoices', () => {
  beforeAll(freshKey);

  it('are five an account at most', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => fund({ amount: 500 })));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(5);
    expect(answers.find(({ status }) => status !== 201)).toMatchObject({ status: 429, body: { error: { code: 'too_many_invoices' } } });
  });
});

describe('GET /api/wallet/status', () => {
  beforeAll(freshKey);

  it('tells of the payment as soon as it is made, and the balance it left', async () => {
    const { body } = await fund({ amount: 700 });
    expect(await statusOf(body['invoiceId'])).toMatchObject({
      status: 200,
      body: { ...body, receivedMsat: null, paidAt: null, creditedAt: null, balance: 0 },
    });
    const paid = await pay(body['paymentRequest']);
    expect(paid.status).toBe(200);
    const preimage = Buffer.from(paid.body['preimage'] as string, 'hex');
    expect(createHash('sha256').update(preimage).digest('hex')).toBe(body['paymentHash']);
    expect(await statusOf(body['invoiceId'])).toMatchObject({
      body: { status: 'paid', receivedMsat: 700_000, paidAt: expect.any(String), creditedAt: expect.any(String), balance: 700 },
    });
  });

  it("does not tell another account's invoice from one that does not exist", async () => {
    const { body } = await fund({ amount: 700 });
    const other = await gateway.newKey();
    const answers = await Promise.all([
      statusOf(body['invoiceId'], other),
      statusOf('00000000-0000-4000-8000-000000000000', other),
      statusOf('%00', other),
    ]);
    expect(answers.map(({ status, body: { error } }) => [status, error?.code])).toEqual(
      Array.from(answers, () => [404, 'invoice_not_found']),
    );
    expect(new Set(answers.map(({ body: answer }) => JSON.stringify(answer))).size).toBe(1);
    expect((await gateway.get('/api/wallet/status', key)).status).toBe(400);
  });
});

describe('the watcher of a whole gateway', () => {
  beforeAll(freshKey);

  it('credits a payment within a second, although nobody asks', async () => {
    const { body } = await fund({ amount: 900 });
    const credited = new Promise<number>((resolve) => {
      gateway.server.funding.subscribe(body['invoiceId'] as string, () => resolve(performance.now()));
    });
    await until(async () => {
      const { rows } = await gateway.pool.query(
        `select 1 from pg_locks where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database())`,
      );
      return rows.length > 0;
    });
    const paidAt = performance.now();
    await pay(body['paymentRequest']);
    expect((await credited) - paidAt).toBeLessThan(1_000);
  });
});

describe('POST /dev/lightning/pay', () => {
  beforeAll(freshKey);

  it('refuses an invoice that was paid, is not of this node, or is none', async () => {
    const { body } = await fund({ amount: 500 });
    expect((await pay(body['paymentRequest'])).status).toBe(200);
    expect(await pay(body['paymentRequest'])).toMatchObject({ status: 400, body: { error: { param: 'paymentRequest' } } });
    expect((await pay('lnbc1nonsense')).status).toBe(400);
    expect((await pay(undefined)).status).toBe(400);
  });

  it('takes JSON only', async () => {
    const answer = await gateway.post('/dev/lightning/pay', 'paymentRequest=x', null, { 'content-type': 'text/plain' });
    expect(answer.status).toBe(415);
  });

  /** As `fetch` would not send it. */
  const raw = (headers: Record<string, string>, paymentRequest: unknown) =>
    new Promise<number>((resolve, reject) => {
      const sent = request(
        `${gateway.url}/dev/lightning/pay`,
        { method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
        (res) => resolve(res.resume().statusCode ?? 0),
      );
      sent.on('error', reject).end(JSON.stringify({ paymentRequest }));
    });

  it.each<[string, Record<string, string>]>([
    ['of another site', { 'sec-fetch-site': 'cross-site' }],
    ['of another host of the same site', { 'sec-fetch-site': 'same-site' }],
    ['with a foreign origin', { origin: 'https://evil.example' }],
    ['with no origin to speak of', { origin: 'null' }],
    ['to a foreign host name', { host: 'evil.example:8402' }],
    ['to a name that only looks like loopback', { host: '127.0.0.1.evil.example' }],
  ])('refuses a request %s', async (_name, headers) => {
    const { body } = await fund({ amount: 500 });
    expect(await raw(headers, body['paymentRequest'])).toBe(403);
    expect((await statusOf(body['invoiceId'])).body['status']).toBe('pending');
    await pay(body['paymentRequest']);
  });

  it('takes requests of its own pages', async () => {
    const { body } = await fund({ amount: 500 });
    expect(await raw({ origin: gateway.url, 'sec-fetch-site': 'same-origin' }, body['paymentRequest'])).toBe(200);
  });
});
