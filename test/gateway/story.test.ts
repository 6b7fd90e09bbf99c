import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decode } from 'bolt11';
import { errorOf } from '../support/chat.ts';
import { readStream } from '../support/chat-stream.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { accountOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

interface Report {
  totalSpendUsd: number;
  totalSpendMsat: number;
  totalChargedMsat: number;
  requestCount: number;
}

interface Statement {
  transactions: { kind: string; amountMsat: number; balanceAfterMsat: number; requestId?: string; invoiceId?: string; model?: string }[];
}

interface Balance {
  balance: number;
  availableMsat: number;
  reservedMsat: number;
  freeRequestsRemaining: number;
}

let database: TestDatabase;
let gateway: TestGateway;

/** As `FREE_TIER_REQUESTS=3 npm start` has it: no provider but the demo. */
const start = () => startGateway({ database, env: { FREE_TIER_REQUESTS: '3' } });

beforeAll(async () => {
  database = await createTestDatabase();
  gateway = await start();
});

afterAll(async () => {
  await gateway.close();
  await database.drop();
});

describe('the main story', () => {
  it('key, free chats, 402, payment, a streamed chat, figures that agree to the msat, and a restart that changes none', async () => {
    const key = await gateway.newKey();
    const ask = (members: object = {}) =>
      gateway.post('/v1/chat/completions', { messages: [{ role: 'user', content: 'Tell me of sats.' }], max_tokens: 200, ...members }, key);
    const read = async <T>(path: string): Promise<T> => (await (await gateway.get(path, key)).json()) as T;

    let freeMsat = 0;
    for (const left of ['2', '1', '0']) {
      const answer = await ask();
      expect([answer.status, answer.headers.get('x-pura-funding'), answer.headers.get('x-pura-free-remaining')]).toEqual([
        200,
        'free',
        left,
      ]);
      freeMsat += Number(answer.headers.get('x-pura-cost-msat'));
    }

    const refusal = await ask();
    expect(refusal.status).toBe(402);
    // A 402 that named the Bearer scheme would break deployed L402 clients.
    expect(refusal.headers.get('www-authenticate') ?? '').not.toMatch(/bearer/i);
    expect(Object.fromEntries(refusal.headers)).toMatchObject({ 'cache-control': 'no-store', 'x-should-retry': 'false' });
    const { funding, ...error } = await errorOf(refusal);
    expect(error).toMatchObject({ type: 'insufficient_funds', code: 'free_tier_exceeded', reason: 'used_up' });
    expect(funding).toMatchObject({
      amount: 1000,
      unit: 'sats',
      status: 'pending',
      rail: 'lightning',
      statusUrl: expect.stringContaining(gateway.url),
    });
    const invoice = funding?.paymentRequest ?? '';
    expect(decode(invoice, { bech32: 'bcrt', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] })).toMatchObject({
      millisatoshis: '1000000',
    });

    const paid = await gateway.post('/dev/lightning/pay', { paymentRequest: invoice });
    expect(await paid.json()).toEqual({ preimage: expect.stringMatching(/^[0-9a-f]{64}$/) });
    // Nobody asks for the invoice's status: the gateway credits it by itself.
    await until(async () => (await accountOf(database.pool, key.accountId)).posted_msat === 1_000_000n, 1_000);

    const status = await read(`/api/wallet/status?invoiceId=${funding?.invoiceId}`);
    expect(status).toMatchObject({ status: 'paid', receivedMsat: 1_000_000, balance: 1000 });

    const answer = await ask({ stream: true });
    expect([answer.status, answer.headers.get('x-pura-funding')]).toEqual([200, 'wallet']);
    const { settled, done, content } = await readStream(answer);
    expect(done).toBe(true);
    expect(content).toContain('Tell me of sats.');
    const charged = settled?.charged_msat ?? 0;
    expect(charged).toBeGreaterThan(0);
    expect(settled).toMatchObject({ cost_msat: charged, funding: 'wallet', balance_sats: Math.floor((1_000_000 - charged) / 1000) });

    const report = await read<Report>('/api/report');
    expect(report).toMatchObject({ requestCount: 4, totalChargedMsat: charged, totalSpendMsat: freeMsat + charged });
    const statement = await read<Statement>('/api/wallet/transactions');
    expect(statement.transactions).toMatchObject([
      {
        kind: 'charge',
        amountMsat: -charged,
        balanceAfterMsat: 1_000_000 - charged,
        requestId: settled?.request_id,
        model: answer.headers.get('x-pura-model'),
      },
      { kind: 'deposit', amountMsat: 1_000_000, balanceAfterMsat: 1_000_000, invoiceId: funding?.invoiceId },
    ]);
    const balance = await read<Balance>('/api/wallet/balance');
    expect(balance).toMatchObject({
      availableMsat: 1_000_000 - charged,
      reservedMsat: 0,
      freeRequestsRemaining: 0,
      balance: settled?.balance_sats,
    });
    expect(await gateway.audit()).toEqual([]);

    await gateway.close();
    gateway = await start();
    expect(await read<Balance>('/api/wallet/balance')).toEqual(balance);
    expect(await read<Report>('/api/report')).toEqual({ ...report, windowStart: expect.any(String) });
    expect((await ask()).headers.get('x-pura-funding')).toBe('wallet');
    expect(await gateway.audit()).toEqual([]);
  });

  it('a funded account that has too little is offered an invoice of the size that it lacks', async () => {
    const key = await gateway.newKey();
    await gateway.fund(key, 100);
    await database.pool.query('update accounts set free_limit = 0 where id = $1', [key.accountId]);
    const body = { model: 'demo-premium', messages: [{ role: 'user', content: 'hi' }], max_tokens: 16_000 };
    const answer = await gateway.post('/v1/chat/completions', body, key);
    const { code, reason, funding } = await errorOf(answer);
    expect([answer.status, code, reason]).toEqual([402, 'insufficient_balance', undefined]);

    await gateway.pay(funding?.paymentRequest ?? '');
    await until(async () => (await accountOf(database.pool, key.accountId)).posted_msat > 100_000n);
    expect((await gateway.post('/v1/chat/completions', body, key)).status).toBe(200);
    expect(await gateway.audit()).toEqual([]);
  });

  it('a request too dear to be free is refused as such while free requests are left', async () => {
    const key = await gateway.newKey();
    const dear = { model: 'demo-premium', messages: [{ role: 'user', content: 'hi' }], max_tokens: 16_000 };
    expect(await errorOf(await gateway.post('/v1/chat/completions', dear, key))).toMatchObject({
      code: 'free_tier_exceeded',
      reason: 'too_costly',
    });
    expect((await gateway.post('/v1/chat/completions', { ...dear, max_tokens: 10 }, key)).status).toBe(200);
  });

  it('free requests end for everybody with the day’s ceiling, and funded accounts go on', async () => {
    const own = await startGateway({ env: { FREE_TIER_GLOBAL_DAILY_USD: '0.0005' } });
    const body = { model: 'demo-cheap', messages: [{ role: 'user', content: 'hi' }], max_tokens: 1_000 };
    const key = await own.newKey();
    let answer = await own.post('/v1/chat/completions', body, key);
    for (let round = 0; answer.status === 200 && round < 100; round++) answer = await own.post('/v1/chat/completions', body, key);
    expect(await errorOf(answer)).toMatchObject({ code: 'free_tier_exceeded', reason: 'daily_ceiling' });

    const funded = await own.newKey();
    await own.fund(funded, 1000);
    expect((await own.post('/v1/chat/completions', body, funded)).headers.get('x-pura-funding')).toBe('wallet');
    expect(await own.audit()).toEqual([]);
    await own.close();
  });

  it.each(['1', '5000'])('X-Pura-Topup-Sats: %s names the amount of the invoice', async (sats) => {
    const key = await gateway.newKey();
    await database.pool.query('update accounts set free_limit = 0 where id = $1', [key.accountId]);
    const body = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 1 };
    const answer = await gateway.post('/v1/chat/completions', body, key, { 'x-pura-topup-sats': sats });
    expect((await errorOf(answer)).funding?.amount).toBe(Number(sats));
  });
});
