import { Fetch402InterruptedError, type PaidResponse } from '@getalby/lightning-tools/402';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { chat, errorOf } from '../support/chat.ts';
import { readStream } from '../support/chat-stream.ts';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf } from '../support/ledger.ts';
import { CLIENTS, PayerWallet } from '../support/payer.ts';

let upstream: FakeProvider;
let gateway: TestGateway;

/** 10 and 20 dollars a million tokens: an answer costs 200 msat, and two sats pay for a few. */
const PRICES = { input: 10, output: 20 };
const ANSWER_MSAT = 200n;
const TOPUP_MSAT = 2_000n;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({ deployments: [upstream.deployment({ prices: PRICES })], env: { FREE_TIER_REQUESTS: '0' } });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  await upstream.close();
});

/** The two surfaces: with the key of an account, and with none. */
const SURFACES = [
  { surface: 'a key', path: '/v1/chat/completions', keyed: true },
  { surface: 'no key', path: '/l402/v1/chat/completions', keyed: false },
];
const CASES = CLIENTS.flatMap((client) => SURFACES.map((surface) => ({ ...client, ...surface })));

function request(
  key: TestKey | null,
  { headers = {}, body = chat({ max_tokens: 5 }) }: { headers?: Record<string, string>; body?: object } = {},
): RequestInit {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key.secret}` }), ...headers },
    body: JSON.stringify(body),
  };
}

async function accountPaidWith(invoice: string): Promise<string> {
  const { rows } = await gateway.pool.query<{ account_id: string }>('select account_id from invoices where bolt11 = $1', [invoice]);
  return rows[0]?.account_id ?? '';
}

/** A paid request's credential. */
function credentialOf(answer: PaidResponse): { header: string; value: string } {
  if (!answer.payment) throw new Error('nothing was paid');
  return answer.payment.credentials;
}

describe.each(CASES)('$name with $surface', ({ name, fetch: payingFetch, headers, path, keyed }) => {
  const sats = { ...headers, 'x-pura-topup-sats': '2' };

  it('pays a 402 and gets its answer, charged to who was refused, until the money is spent', async () => {
    const key = keyed ? await gateway.newKey() : null;
    const wallet = new PayerWallet(gateway);
    const answer = await payingFetch(gateway.url + path, request(key, { headers: sats }), { wallet });
    expect(answer.status).toBe(200);
    expect(answer.payment).toMatchObject({ paid: true, amountSat: 2 });
    expect(((await answer.json()) as { choices: unknown[] }).choices).toHaveLength(1);
    expect([answer.headers.get('x-pura-funding'), answer.headers.get('x-pura-charged-msat')]).toEqual(['wallet', String(ANSWER_MSAT)]);

    const account = await accountPaidWith(wallet.paid[0]?.invoice ?? '');
    expect(account).toBe(key?.accountId ?? account);
    expect(await accountOf(gateway.pool, account)).toMatchObject({ posted_msat: TOPUP_MSAT - ANSWER_MSAT, held_msat: 0n, free_used: 0 });

    // The credential goes on paying while anything is left; then there is a 402 with another invoice, and the client pays no more.
    const credentials = credentialOf(answer);
    let again: PaidResponse = answer;
    let answers = 1;
    for (; again.status === 200 && answers < 20; answers++) {
      const beside = key && name === 'fetchWithX402' ? key : null;
      again = await payingFetch(gateway.url + path, request(beside, { headers: sats }), { wallet, credentials });
    }
    expect(answers).toBeGreaterThan(2);
    expect(wallet.paid).toHaveLength(1);
    const error = await errorOf(again);
    expect([again.status, error.code]).toEqual([402, 'insufficient_balance']);
    expect(error.funding?.paymentRequest).not.toBe(wallet.paid[0]?.invoice);
    expect(again.headers.get('cache-control')).toBe('no-store');

    // What is paid next comes to the same account.
    const sender = key ? {} : { [credentials.header]: credentials.value };
    const next = await payingFetch(gateway.url + path, request(key, { headers: { ...sats, ...sender } }), { wallet });
    expect([next.status, wallet.paid.length]).toEqual([200, 2]);
    expect(await accountPaidWith(wallet.paid[1]?.invoice ?? '')).toBe(account);
  });

  it('never pays twice for an answer that was lost: it resumes with the preimage', async () => {
    const key = keyed ? await gateway.newKey() : null;
    const wallet = new PayerWallet(gateway);
    wallet.loseAnswers = true;
    const interrupted = await payingFetch(gateway.url + path, request(key, { headers: sats }), { wallet }).catch((error: unknown) => error);
    expect(interrupted).toBeInstanceOf(Fetch402InterruptedError);
    const { paid, pendingPayment } = interrupted as Fetch402InterruptedError;
    expect([paid, wallet.paid.length]).toEqual([false, 1]);
    const resume = { pendingPayment, preimage: wallet.paid[0]?.preimage ?? '' };
    const answer = await payingFetch(gateway.url + path, request(key, { headers: sats }), { wallet, resume });
    expect([answer.status, wallet.paid.length]).toEqual([200, 1]);
    const account = await accountPaidWith(wallet.paid[0]?.invoice ?? '');
    expect((await accountOf(gateway.pool, account)).posted_msat).toBe(TOPUP_MSAT - ANSWER_MSAT);
  });

  it('streams', async () => {
    const key = keyed ? await gateway.newKey() : null;
    const body = chat({ max_tokens: 5, stream: true });
    const answer = await payingFetch(gateway.url + path, request(key, { headers: sats, body }), { wallet: new PayerWallet(gateway) });
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const { done, content, settled } = await readStream(answer);
    expect(done).toBe(true);
    expect(content).not.toBe('');
    expect(settled).toMatchObject({ funding: 'wallet', charged_msat: Number(ANSWER_MSAT) });
  });
});

describe('what MPP answers with', () => {
  it('is a receipt that names the payment, on what was paid for and not on a refusal', async () => {
    const wallet = new PayerWallet(gateway);
    const mpp = CLIENTS.find(({ name }) => name === 'fetchWithMpp');
    if (!mpp) throw new Error('no such client');
    const url = `${gateway.url}/l402/v1/chat/completions`;
    const answer = await mpp.fetch(url, request(null, { headers: { ...mpp.headers, 'x-pura-topup-sats': '2' } }), { wallet });
    const receipt = JSON.parse(Buffer.from(answer.headers.get('payment-receipt') ?? '', 'base64url').toString()) as Record<string, string>;
    expect(Object.keys(receipt)).toEqual(['challengeId', 'method', 'reference', 'status', 'timestamp']);
    const { rows } = await gateway.pool.query<{ paid_at: Date; payment_hash: Buffer }>('select * from invoices where bolt11 = $1', [
      wallet.paid[0]?.invoice,
    ]);
    expect(receipt).toMatchObject({
      method: 'lightning',
      status: 'success',
      reference: rows[0]?.payment_hash.toString('hex'),
      timestamp: rows[0]?.paid_at.toISOString(),
    });
    const refused = await mpp.fetch(url, request(null, { body: { messages: 'none' } }), { wallet, credentials: credentialOf(answer) });
    expect([refused.status, refused.headers.get('payment-receipt')]).toEqual([400, null]);
  });
});
