import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { mintMacaroon, parseMacaroon } from '../../../src/challenges/macaroon.ts';
import { deriveKey } from '../../../src/secrets.ts';
import { challengeOf, lend, type Challenge } from '../../support/challenge.ts';
import { chat, errorOf } from '../../support/chat.ts';
import { startFakeProvider, type FakeProvider } from '../../support/fake-provider.ts';
import { foreignInvoice } from '../../support/foreign-invoice.ts';
import { TEST_ROOT } from '../../support/funded.ts';
import { startGateway, type TestGateway } from '../../support/gateway.ts';
import { withhold } from '../../support/withheld.ts';

const PATH = '/l402/v1/chat/completions';
const env = { WITHDRAWALS: 'true', L402_TOKEN_DAYS: '30', KEYLESS_INVOICES_PER_IP_PER_HOUR: '1000' };
const soon = (): string => `expires_at=${Math.floor(Date.now() / 1000) + 3_600}`;

let upstream: FakeProvider;
let gateway: TestGateway;
let challenge: Challenge;
let preimage: string;
/** The key row that the token stands for. */
let keyId: string;

beforeAll(async () => {
  upstream = await startFakeProvider();
  const deployments = [upstream.deployment({ prices: { input: 10, output: 20 } })];
  gateway = await startGateway({ deployments, env });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  await upstream.close();
});
beforeEach(async () => {
  challenge = challengeOf(await gateway.post(PATH, chat({ max_tokens: 5 }), null, { 'x-pura-topup-sats': '300' }));
  preimage = (await gateway.pay(challenge.invoice)).toString('hex');
  keyId = (await keysOf(challenge.l402(preimage)))[0]?.id ?? '';
});
afterEach(() => {
  jest.restoreAllMocks();
});

async function keysOf(headers: Record<string, string>): Promise<{ id: string }[]> {
  const answer = await fetch(`${gateway.url}/api/keys`, { headers });
  return ((await answer.json()) as { keys: { id: string }[] }).keys;
}

const send = (method: string, path: string, body: object | undefined, headers: Record<string, string>) =>
  fetch(gateway.url + path, {
    method,
    headers: { 'idempotency-key': randomUUID(), ...headers, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  });

const OWNERS: [string, string, string, object?][] = [
  ['makes an owner key', 'POST', '/api/keys', {}],
  ['makes a key', 'POST', '/api/keys', { role: 'inference' }],
  ['changes a key', 'PATCH', '/api/keys/:id', { dailyBudgetUsd: 0 }],
  ['rotates a key', 'POST', '/api/keys/:id/rotate'],
  ['revokes a key', 'DELETE', '/api/keys/:id'],
  ['withdraws', 'POST', '/api/wallet/withdraw', { paymentRequest: foreignInvoice().paymentRequest }],
  ['asks for a withdrawal', 'GET', `/api/wallet/withdraw?withdrawalId=${randomUUID()}`],
];
const DIALECTS: [string, (token: string) => Record<string, string>][] = [
  ['L402', (token) => ({ authorization: `L402 ${token}:${preimage}` })],
  ['x402', (token) => challenge.x402({ token })],
];
const CAVEATS: [string, () => string[]][] = [
  ['an expiry', () => [soon()]],
  ['fewer idle days', () => ['idle_days=1']],
  ['its own key once more', () => [`key=${keyId}`]],
  ['several', () => ['prefix=l402', 'idle_days=365', soon()]],
];

describe('a token that its holder restricted', () => {
  it.each(
    OWNERS.flatMap(([does, ...route]) =>
      DIALECTS.flatMap(([dialect, credential]) => CAVEATS.map(([name, caveats]) => ({ does, route, dialect, credential, name, caveats }))),
    ),
  )('never $does: $dialect, $name', async ({ route: [method, path, body], credential, caveats }) => {
    const answer = await send(method, path.replace(':id', keyId), body, credential(lend(challenge.token, ...caveats())));
    expect([answer.status, (await errorOf(answer)).code]).toEqual([403, 'not_permitted']);
    expect(await keysOf(challenge.l402(preimage))).toHaveLength(1);
  });

  it.each(DIALECTS)('makes requests, tops up and sees its own figures: %s', async (_name, credential) => {
    const lent = credential(lend(challenge.token, soon()));
    expect((await send('POST', PATH, chat({ max_tokens: 5 }), lent)).status).toBe(200);
    expect((await send('POST', '/api/wallet/fund', { amount: 100 }, lent)).status).toBe(201);
    expect((await send('GET', '/api/report', undefined, lent)).status).toBe(200);
    await send('POST', '/api/keys', { role: 'owner' }, challenge.l402(preimage));
    expect(await keysOf(challenge.l402(preimage))).toHaveLength(2);
    expect(await keysOf(lent)).toMatchObject([{ id: keyId }]);
  });

  it.each(DIALECTS)('is offered nothing that goes further than itself: %s', async (_name, credential) => {
    const caveats = [soon(), 'idle_days=2'];
    const lent = credential(lend(challenge.token, ...caveats));
    const answer = await send('POST', PATH, chat({ max_tokens: 16_000 }), lent);
    expect(answer.status).toBe(402);
    expect(answer.headers.get('www-authenticate')).not.toContain('Payment ');
    const { token, invoice } = offered(answer);
    expect(parseMacaroon(Buffer.from(token, 'base64'))?.caveats.slice(-2)).toEqual(caveats);
    const paid = (await gateway.pay(invoice)).toString('hex');
    const authorization = `L402 ${token}:${paid}`;
    expect((await send('POST', PATH, chat({ max_tokens: 5 }), { authorization })).status).toBe(200);
    expect((await send('POST', '/api/keys', {}, { authorization })).status).toBe(403);
  });

  it('is offered nothing that goes further before it is paid for either', async () => {
    const unpaid = challengeOf(await gateway.post(PATH, chat({ max_tokens: 5 }), null));
    const lent = unpaid.x402({ token: lend(unpaid.token, soon()) });
    const { token, invoice } = offered(await send('POST', PATH, chat({ max_tokens: 5 }), lent));
    expect(invoice).toBe(unpaid.invoice);
    const paid = (await gateway.pay(invoice)).toString('hex');
    expect((await send('POST', '/api/keys', {}, { authorization: `L402 ${token}:${paid}` })).status).toBe(403);
    expect((await send('POST', '/api/keys', {}, unpaid.l402(paid))).status).toBe(201);
  });

  it.each([
    ['POST', PATH, chat({ max_tokens: 5 })],
    ['POST', '/api/wallet/fund', { amount: 1_000 }],
  ])('acts no more once it has expired, though its request began before: %s %s', async (method, path, body) => {
    const [, credential] = DIALECTS[0] as (typeof DIALECTS)[number];
    const headers = credential(lend(challenge.token, soon()));
    const withheld = await withhold(gateway.url, { method, path, body: JSON.stringify(body), headers });
    const later = Date.now() + 3_601_000;
    jest.spyOn(Date, 'now').mockReturnValue(later);
    expect((await withheld.finish()).status).toBe(401);
  });
});

describe('a token as the gateway made it', () => {
  it('does what an owner may, also one of the version before, which began with its key', async () => {
    const { identifier } = parseMacaroon(Buffer.from(challenge.token, 'base64')) ?? {};
    if (!identifier) throw new Error('no token');
    const caveats = [`key=${keyId}`, 'prefix=l402', 'idle_days=30'];
    for (const count of [2, 3]) {
      const former = mintMacaroon(deriveKey(TEST_ROOT, 'macaroon'), identifier, caveats.slice(0, count)).toString('base64');
      const authorization = `L402 ${former}:${preimage}`;
      expect((await send('POST', '/api/keys', {}, { authorization })).status).toBe(201);
      const restricted = { authorization: `L402 ${lend(former, soon())}:${preimage}` };
      expect((await send('POST', '/api/keys', {}, restricted)).status).toBe(403);
    }
  });
});

/** The one offer of a 402 to who holds a lent token. */
function offered({ headers }: Response): { token: string; invoice: string } {
  const [, token = '', invoice = ''] = /token="([^"]+)", invoice="([^"]+)"|$/.exec(reordered(headers.get('www-authenticate') ?? '')) ?? [];
  const { accepts } = JSON.parse(Buffer.from(headers.get('payment-required') ?? '', 'base64').toString()) as {
    accepts: [{ extra: { invoice: string; token: string } }];
  };
  expect(accepts[0].extra).toMatchObject({ token, invoice });
  return { token, invoice };
}

const reordered = (header: string): string => header.replace(/^L402 macaroon=/, 'token=');
