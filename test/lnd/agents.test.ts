import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { startLndGateway, type LndGateway } from '../regtest/lnd-gateway.ts';
import { startRegtest, type Regtest } from '../regtest/regtest.ts';
import { challengeOf } from '../support/challenge.ts';
import { readStream } from '../support/chat-stream.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { CLIENTS } from '../support/payer.ts';

let regtest: Regtest;
let database: TestDatabase;
let gateway: LndGateway;

beforeAll(async () => {
  [regtest, database] = await Promise.all([startRegtest(), createTestDatabase({ max: 20 })]);
  gateway = await startLndGateway(regtest.gateway, { database, env: { FREE_TIER_REQUESTS: '0' } });
});
afterAll(async () => {
  await gateway?.close();
  await database?.drop();
  await regtest?.close();
});
afterEach(async () => {
  expect(await gateway.audit()).toEqual([]);
});

/** An agent's wallet on the payer's own node. */
const wallet = { payInvoice: async ({ invoice }: { invoice: string }) => ({ preimage: await regtest.pay(invoice) }) };
const body = { model: 'demo-cheap', messages: [{ role: 'user', content: 'Tell me of sats.' }], max_tokens: 200, stream: true };

const SURFACES = [
  { surface: 'a key', path: '/v1/chat/completions', keyed: true },
  { surface: 'no key', path: '/l402/v1/chat/completions', keyed: false },
];

describe.each(CLIENTS.flatMap((client) => SURFACES.map((surface) => ({ ...client, ...surface }))))(
  '$name with $surface',
  ({ fetch: payingFetch, headers, path, keyed }) => {
    it('pays over a real channel for a streamed answer, and its credential pays for the next', async () => {
      const key = keyed ? await gateway.newKey() : null;
      const request = (): RequestInit => ({
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key.secret}` }), ...headers },
        body: JSON.stringify(body),
      });
      const answer = await payingFetch(gateway.url + path, request(), { wallet });
      expect([answer.status, answer.payment]).toMatchObject([200, { paid: true, amountSat: 1000 }]);
      const { done, settled } = await readStream(answer);
      expect(done).toBe(true);
      expect(settled).toMatchObject({ funding: 'wallet' });
      const again = await payingFetch(gateway.url + path, request(), { wallet, credentials: answer.payment?.credentials });
      expect([again.status, again.payment]).toMatchObject([200, { paid: false }]);
      expect((await readStream(again)).done).toBe(true);
    });
  },
);

describe('a credential while the node is frozen', () => {
  it('is a 503 where its payment is not known yet, and good once the node is back', async () => {
    const post = (headers: Record<string, string> = {}) =>
      gateway.post('/l402/v1/chat/completions', { ...body, stream: false }, null, headers);
    const paid = challengeOf(await post());
    const known = paid.l402(await regtest.pay(paid.invoice));
    expect((await post(known)).status).toBe(200);
    const open = challengeOf(await post());
    regtest.gateway.freeze();
    try {
      const [unknown, funded] = await Promise.all([post(open.x402()), post(known)]);
      expect([unknown.status, unknown.headers.get('www-authenticate'), funded.status]).toEqual([503, null, 200]);
    } finally {
      regtest.gateway.thaw();
    }
    await regtest.reconnected();
    const preimage = await regtest.pay(open.invoice);
    expect((await post(open.l402(preimage))).status).toBe(200);
  });
});
