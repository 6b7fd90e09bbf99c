import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { foreignInvoice } from '../../support/foreign-invoice.ts';
import { ownerOf } from '../../support/funded.ts';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';

const PATH = '/api/wallet/withdraw';
let gateway: TestGateway;
let owner: TestKey;
let uses = 0;

beforeAll(async () => {
  gateway = await startGateway({ env: { WITHDRAWALS: 'true' } });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
});
beforeEach(async () => {
  owner = await gateway.newKey();
  await gateway.fund(owner, 1_000);
});

interface Answered {
  status: number;
  replayed: string | null;
  body: { withdrawalId: string; status: string; amountMsat: number; feeMsat: number | null; error?: Record<string, unknown> };
}

async function withdraw(body: unknown, { key = owner, idempotencyKey = `use ${++uses}` as string | null } = {}): Promise<Answered> {
  const headers: Record<string, string> = idempotencyKey === null ? {} : { 'idempotency-key': idempotencyKey };
  return read(await gateway.post(PATH, body, key, headers));
}

async function read(answer: Response): Promise<Answered> {
  const { status, headers } = answer;
  return { status, replayed: headers.get('idempotency-replayed'), body: (await answer.json()) as Answered['body'] };
}

const income = async () => (await gateway.get('/api/income', owner)).json();
const transactions = async () =>
  ((await (await gateway.get('/api/wallet/transactions', owner)).json()) as { transactions: object[] }).transactions;
const balance = async () => (await gateway.get('/api/wallet/balance', owner)).json();

describe('POST /api/wallet/withdraw', () => {
  it('pays an invoice from the balance, and is on the statement, in the income and in the balance', async () => {
    const { paymentRequest, paymentHash } = foreignInvoice({ amountMsat: 500_000n });
    const { status, body } = await withdraw({ paymentRequest });
    expect(status).toBe(202);
    expect(body).toEqual({
      withdrawalId: expect.any(String),
      status: 'paid',
      amountMsat: 500_000,
      feeMsat: 1_000,
      maxFeeMsat: 5_000,
      paymentHash: paymentHash.toString('hex'),
      failure: null,
      createdAt: expect.any(String),
    });
    expect(await read(await gateway.get(`${PATH}?withdrawalId=${body.withdrawalId}`, owner))).toMatchObject({ status: 200, body });
    expect(await transactions()).toMatchObject([
      { kind: 'withdrawal', amountMsat: -501_000, balanceAfterMsat: 499_000 },
      { kind: 'deposit' },
    ]);
    expect(await income()).toMatchObject({ depositsMsat: 1_000_000, withdrawalsMsat: 501_000, netMsat: 499_000 });
    expect(await balance()).toMatchObject({ balanceMsat: 499_000, reservedMsat: 0, availableMsat: 499_000 });
  });

  it('answers a repeat with the same withdrawal, and refuses the key for another body', async () => {
    const asked = { paymentRequest: foreignInvoice().paymentRequest, maxFeeSats: 1 };
    const first = await withdraw(asked, { idempotencyKey: 'once' });
    const repeat = await withdraw(asked, { idempotencyKey: 'once' });
    expect(repeat).toEqual({ ...first, replayed: 'true' });
    expect(first.replayed).toBeNull();
    expect(await withdraw({ ...asked, maxFeeSats: 2 }, { idempotencyKey: 'once' })).toMatchObject({
      status: 409,
      body: { error: { code: 'idempotency_conflict' } },
    });
    expect(await transactions()).toHaveLength(2);
  });

  it('tells of a failed one, which costs nothing', async () => {
    const { body } = await withdraw({ paymentRequest: foreignInvoice().paymentRequest, maxFeeSats: 0 });
    expect(body).toMatchObject({ status: 'failed', feeMsat: null, failure: 'no_route' });
    expect(await balance()).toMatchObject({ balanceMsat: 1_000_000, reservedMsat: 0 });
  });

  it('needs an Idempotency-Key', async () => {
    const { paymentRequest } = foreignInvoice();
    expect(await withdraw({ paymentRequest }, { idempotencyKey: null })).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid_request', param: 'idempotency-key' } },
    });
  });

  it.each<[string, unknown, number, string]>([
    ['no invoice', {}, 400, 'paymentRequest'],
    ['an unknown field', { paymentRequest: 'lnbcrt1', amount: 5 }, 400, ''],
    ['a negative fee', { paymentRequest: 'lnbcrt1', maxFeeSats: -1 }, 400, 'maxFeeSats'],
    ['what is no invoice', { paymentRequest: 'lnbcrt1' }, 400, 'paymentRequest'],
  ])('refuses %s', async (_what, body, status, param) => {
    expect(await withdraw(body)).toMatchObject({ status, body: { error: param ? { param } : {} } });
  });

  it('refuses what the balance does not cover, and the key is free for another try', async () => {
    const { paymentRequest } = foreignInvoice({ amountMsat: 1_000_000n });
    expect(await withdraw({ paymentRequest }, { idempotencyKey: 'broke' })).toMatchObject({
      status: 402,
      body: { error: { code: 'insufficient_balance', needed_msat: 1_010_000 } },
    });
    await gateway.fund(owner, 100);
    expect(await withdraw({ paymentRequest }, { idempotencyKey: 'broke' })).toMatchObject({ status: 202, replayed: null });
  });

  it("refuses an invoice of the gateway's own node", async () => {
    const { invoice } = await gateway.server.funding.fund(await ownerOf(gateway.pool, owner), { amountSat: 100 });
    expect(await withdraw({ paymentRequest: invoice.bolt11 })).toMatchObject({ status: 400, body: { error: { param: 'paymentRequest' } } });
  });

  it('is for owners: another key of the account may neither withdraw nor look', async () => {
    const answer = await gateway.post('/api/keys', {}, owner);
    const inference = { ...owner, secret: ((await answer.json()) as { key: string }).key };
    const { paymentRequest } = foreignInvoice();
    expect(await withdraw({ paymentRequest }, { key: inference })).toMatchObject({
      status: 403,
      body: { error: { code: 'not_permitted' } },
    });
    expect((await gateway.get(`${PATH}?withdrawalId=x`, inference)).status).toBe(403);
    expect((await gateway.post(PATH, { paymentRequest }, null)).status).toBe(401);
  });

  it('is no longer for a key that was revoked a moment ago', async () => {
    const answer = await gateway.post('/api/keys', { role: 'owner' }, owner);
    const { id, key: secret } = (await answer.json()) as { id: string; key: string };
    const revoked = { ...owner, id, secret };
    // Seen by nobody's cache: only the row itself tells.
    await gateway.get('/api/wallet/balance', revoked);
    await gateway.pool.query(`update api_keys set revoked_at = now() where id = $1`, [id]);
    expect(await withdraw({ paymentRequest: foreignInvoice().paymentRequest }, { key: revoked })).toMatchObject({ status: 401 });
  });
});

describe('GET /api/wallet/withdraw', () => {
  it("is a 404 for another account's withdrawal, for none and for no id", async () => {
    const { body } = await withdraw({ paymentRequest: foreignInvoice().paymentRequest });
    const other = await gateway.newKey();
    const answers = await Promise.all(
      [body.withdrawalId, '00000000-0000-4000-8000-000000000000', 'none'].map(async (id) =>
        read(await gateway.get(`${PATH}?withdrawalId=${id}`, other)),
      ),
    );
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(answers[0]).toMatchObject({ status: 404, body: { error: { code: 'not_found' } } });
    expect((await gateway.get(PATH, other)).status).toBe(400);
  });
});

describe('a gateway whose operator says nothing of withdrawals', () => {
  it('makes none', async () => {
    const closed = await startGateway();
    try {
      const key = await closed.newKey();
      const { paymentRequest } = foreignInvoice();
      const answer = await read(await closed.post(PATH, { paymentRequest }, key, { 'idempotency-key': 'k' }));
      expect(answer).toMatchObject({
        status: 403,
        body: { error: { code: 'not_permitted', message: expect.stringContaining('Withdrawals are off') } },
      });
    } finally {
      await closed.close();
    }
  });
});
