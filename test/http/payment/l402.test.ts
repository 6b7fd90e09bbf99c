import { connect } from 'node:net';
import { Writable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { GatewayError } from '../../../src/errors.ts';
import { ERRORS, type ErrorCode } from '../../../src/errors.ts';
import { createLog } from '../../../src/log.ts';
import { mintToken } from '../../../src/challenges/payment-token.ts';
import { challengeOf, FOREIGN_PREIMAGE, preimageOf, settleSilently, type Challenge } from '../../support/challenge.ts';
import { chat, errorOf } from '../../support/chat.ts';
import { startFakeProvider, type FakeProvider } from '../../support/fake-provider.ts';
import { depositsOf } from '../../support/funded.ts';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';

const PATH = '/v1/chat/completions';
/** Of accounts with no free requests, 10 and 20 dollars a million tokens: 200 msat an answer. */
const env = { FREE_TIER_REQUESTS: '0' };
const prices = { input: 10, output: 20 };

let upstream: FakeProvider;
let gateway: TestGateway;
let key: TestKey;
const logged: string[] = [];

beforeAll(async () => {
  upstream = await startFakeProvider();
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      logged.push(chunk.toString());
      done();
    },
  });
  gateway = await startGateway({ deployments: [upstream.deployment({ prices })], env, log: createLog('trace', destination) });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  await upstream.close();
});
beforeEach(async () => {
  key = await gateway.newKey();
});
afterEach(() => {
  jest.restoreAllMocks();
});

const body = chat({ max_tokens: 5 });
const ask = (headers: Record<string, string>, as: TestKey | null = null) => gateway.post(PATH, body, as, headers);

/** What a key's refused request is offered. */
async function refused(as: TestKey = key, headers: Record<string, string> = {}): Promise<Challenge> {
  const answer = await ask({ 'x-pura-topup-sats': '2', ...headers }, as);
  expect(answer.status).toBe(402);
  return challengeOf(answer);
}

async function expectUnauthorized(answer: Response): Promise<void> {
  expect(await answer.json()).toEqual({
    error: { message: 'Missing or invalid API key.', type: 'authentication_error', code: 'invalid_api_key', param: null },
  });
  expect([answer.status, answer.headers.get('www-authenticate'), answer.headers.get('payment-required')]).toEqual([401, null, null]);
}

const tampered = (token: string): string => {
  const bytes = Buffer.from(token, 'base64');
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  return bytes.toString('base64');
};

describe('a 402', () => {
  it('offers one invoice, the one of its body, in two WWW-Authenticate lines and x402, never cached nor retried', async () => {
    const answer = await ask({}, key);
    const { funding } = await errorOf(answer);
    const challenge = challengeOf(answer);
    expect([challenge.invoice, challenge.amount]).toEqual([funding?.paymentRequest, funding?.amount]);
    expect([answer.headers.get('cache-control'), answer.headers.get('x-should-retry')]).toEqual(['no-store', 'false']);
    expect(answer.headers.get('www-authenticate')).toMatch(
      /^L402 macaroon="[^"]+", invoice="[^"]+", version="0", token="[^"]+", Payment id="/,
    );
    const mppFirst = await ask({ 'accept-payment': 'lightning/charge' }, key);
    expect(mppFirst.headers.get('www-authenticate')).toMatch(/^Payment id="[^"]+".*, L402 macaroon="/);
  });

  it.each([
    ['2', '2 sats'],
    ['777', '777 sats'],
  ])('says in its message what to pay and, last of all, where: %s', async (topup, amount) => {
    const { message, code, funding } = await errorOf(await ask({ 'x-pura-topup-sats': topup }, await gateway.newKey()));
    expect(funding?.invoiceUrl).toBe(`${gateway.url}/invoice/${funding?.invoiceId}`);
    expect(message).toBe(`${ERRORS[code as ErrorCode].message} Pay ${amount} to go on: ${funding?.invoiceUrl}`);
  });

  it('shares the invoice with the next one, but no token and no challenge', async () => {
    const [one, other] = [await refused(), await refused()];
    expect(one.invoice).toBe(other.invoice);
    expect(one.token).not.toBe(other.token);
    expect(one.mppId).not.toBe(other.mppId);
    const preimage = (await gateway.pay(one.invoice)).toString('hex');
    expect((await ask(one.l402(preimage))).status).toBe(200);
    expect((await ask(other.mpp(preimage))).status).toBe(200);
  });

  it('that no payment would help has no challenge', async () => {
    const answer = await ask({ 'x-pura-max-cost-sats': '0' }, key);
    expect([answer.status, answer.headers.get('www-authenticate'), answer.headers.get('payment-required')]).toEqual([402, null, null]);
  });
});

describe('a paid credential', () => {
  it.each([
    ['L402', ({ l402 }: Challenge, preimage: string) => l402(preimage)],
    ['LSAT', ({ token }: Challenge, preimage: string) => ({ authorization: `LSAT ${token}:${preimage}` })],
    ['L402, its preimage in capitals', ({ l402 }: Challenge, preimage: string) => l402(preimage.toUpperCase())],
    [
      'L402, its preimage in base64url',
      ({ l402 }: Challenge, preimage: string) => l402(Buffer.from(preimage, 'hex').toString('base64url')),
    ],
    ['MPP', ({ mpp }: Challenge, preimage: string) => mpp(preimage)],
    ['x402', ({ x402 }: Challenge) => x402()],
    ["x402 beside the account's key", ({ x402 }: Challenge) => ({ ...x402(), authorization: `Bearer ${key.secret}` })],
    ["x402 beside the account's key as x-api-key", ({ x402 }: Challenge) => ({ ...x402(), 'x-api-key': key.secret })],
  ])('is taken as %s, wherever a key is', async (_name, credential) => {
    const challenge = await refused();
    const preimage = (await gateway.pay(challenge.invoice)).toString('hex');
    const headers = credential(challenge, preimage) as Record<string, string>;
    expect((await ask(headers)).status).toBe(200);
    const balance = await fetch(`${gateway.url}/api/wallet/balance`, { headers });
    expect(await balance.json()).toMatchObject({ balanceMsat: 1_800 });
    expect(await depositsOf(gateway.pool, key.accountId)).toMatchObject({ deposits: [2_000n] });
  });

  it('is taken in an LSAT and an L402 line at once, and refused where they differ', async () => {
    const challenge = await refused();
    const preimage = (await gateway.pay(challenge.invoice)).toString('hex');
    const good = `${challenge.token}:${preimage}`;
    expect(await rawStatus([`Authorization: LSAT ${good}`, `Authorization: L402 ${good}`])).toBe(200);
    expect(await rawStatus([`Authorization: LSAT ${good}`, `Authorization: L402 ${challenge.token}:${FOREIGN_PREIMAGE}`])).toBe(400);
  });

  it('runs under the limits of the key that was refused, and may what that key may', async () => {
    const answer = await gateway.post('/api/keys', { allowedModels: ['other'] }, key);
    const limited = (await answer.json()) as { id: string; key: string };
    const challenge = await refused();
    const preimage = (await gateway.pay(challenge.invoice)).toString('hex');
    const theirs = mintToken([{ id: '0', secret: Buffer.alloc(32, 7) }], {
      paymentHash: Buffer.from(await hashOf(challenge.invoice), 'hex'),
      grant: { keyId: limited.id, keyPrefix: limited.key.slice(0, 11), idleDays: null },
    });
    const as = { authorization: `L402 ${theirs}:${preimage}` };
    expect((await errorOf(await ask(as))).code).toBe('model_not_allowed');
    const another = await fetch(`${gateway.url}/api/keys`, { method: 'POST', headers: as });
    expect((await errorOf(another)).code).toBe('not_permitted');
  });

  it('dies with its key row, when that is revoked or has another secret', async () => {
    const second = (await (await gateway.post('/api/keys', {}, key)).json()) as { id: string; key: string; accountId: string };
    const challenge = await refused({ ...second, secret: second.key });
    const preimage = (await gateway.pay(challenge.invoice)).toString('hex');
    expect((await ask(challenge.l402(preimage))).status).toBe(200);
    await fetch(`${gateway.url}/api/keys/${second.id}`, { method: 'DELETE', headers: { authorization: `Bearer ${key.secret}` } });
    for (const headers of [challenge.l402(preimage), challenge.mpp(preimage), challenge.x402()])
      await expectUnauthorized(await ask(headers));

    const other = await gateway.newKey();
    const own = await refused(other);
    const paid = (await gateway.pay(own.invoice)).toString('hex');
    expect((await ask(own.l402(paid))).status).toBe(200);
    const rotated = await gateway.post(`/api/keys/${other.id}/rotate`, {}, other);
    expect(rotated.status).toBe(200);
    await expectUnauthorized(await ask(own.l402(paid)));
  });

  it('gets the answer of its Idempotency-Key again, and pays for it once', async () => {
    const challenge = await refused();
    const preimage = (await gateway.pay(challenge.invoice)).toString('hex');
    const headers = { ...challenge.mpp(preimage), 'idempotency-key': 'once' };
    const [first, second] = [await ask(headers), await ask(headers)];
    expect([first.status, second.status, second.headers.get('idempotency-replayed')]).toEqual([200, 200, 'true']);
    expect(await first.text()).toBe(await second.text());
    expect((await depositsOf(gateway.pool, key.accountId)).postedMsat).toBe(1_800n);
  });
});

describe('a credential that is not genuine is a 401 without a challenge', () => {
  let challenge: Challenge;
  let preimage: string;
  beforeEach(async () => {
    challenge = await refused();
    preimage = (await gateway.pay(challenge.invoice)).toString('hex');
  });

  it.each([
    ['a preimage of nothing', () => challenge.l402(FOREIGN_PREIMAGE)],
    ['no preimage', () => challenge.l402('')],
    ['a token alone', () => ({ authorization: `L402 ${challenge.token}` })],
    ['a preimage too short', () => challenge.l402(preimage.slice(2))],
    ['a preimage too long', () => challenge.l402(`${preimage}00`)],
    ['a tampered macaroon', () => ({ authorization: `L402 ${tampered(challenge.token)}:${preimage}` })],
    ['two macaroons', () => ({ authorization: `L402 ${challenge.token},${challenge.token}:${preimage}` })],
    ["another gateway's macaroon", () => ({ authorization: `L402 ${foreignToken(challenge)}:${preimage}` })],
    ['a paid invoice in place of a token', () => ({ authorization: `L402 ${challenge.invoice}:${preimage}` })],
    ['the preimage as a key', () => ({ authorization: `Bearer ${preimage}` })],
    ['an MPP preimage of nothing', () => challenge.mpp(FOREIGN_PREIMAGE)],
    ['an MPP credential that is none', () => ({ authorization: 'Payment e30' })],
    ['x402 with the invoice alone', () => challenge.x402({ token: '' })],
    ['x402 with a tampered token', () => challenge.x402({ token: tampered(challenge.token) })],
    ['x402 that is no base64', () => ({ 'payment-signature': '{}' })],
    ['x402 beside a wrong key', () => ({ ...challenge.x402(), authorization: 'Bearer pura_wrong' })],
  ])('%s', async (_name, headers) => {
    await expectUnauthorized(await ask(headers()));
  });

  it("another account's: its preimage under our token, its token's invoice, its key beside our payment", async () => {
    const other = await gateway.newKey();
    const theirs = await refused(other);
    const theirPreimage = (await gateway.pay(theirs.invoice)).toString('hex');
    await expectUnauthorized(await ask(challenge.l402(theirPreimage)));
    await expectUnauthorized(await ask(challenge.x402({ invoice: theirs.invoice })));
    await expectUnauthorized(await ask(challenge.x402({ token: theirs.token })));
    await expectUnauthorized(await ask(challenge.x402(), other));
    expect((await ask(theirs.l402(theirPreimage))).status).toBe(200);
    expect((await depositsOf(gateway.pool, key.accountId)).postedMsat).toBe(2_000n);
  });
});

describe('a genuine credential whose payment has not come', () => {
  it.each([
    ['L402', ({ l402 }: Challenge, preimage: string) => l402(preimage)],
    ['MPP', ({ mpp }: Challenge, preimage: string) => mpp(preimage)],
    ['x402', ({ x402 }: Challenge) => x402()],
    ["x402 beside the account's key", ({ x402 }: Challenge) => ({ ...x402(), authorization: `Bearer ${key.secret}` })],
  ])('is a 402 that offers the invoice again, and credits nothing, also with the right preimage: %s', async (_name, credential) => {
    const challenge = await refused();
    const headers = credential(challenge, await preimageOf(gateway.pool, challenge.invoice)) as Record<string, string>;
    const answer = await ask({ 'x-pura-topup-sats': '2', ...headers });
    expect(answer.status).toBe(402);
    expect(challengeOf(answer).invoice).toBe(challenge.invoice);
    const elsewhere = await fetch(`${gateway.url}/api/wallet/balance`, { headers });
    expect([elsewhere.status, elsewhere.headers.get('www-authenticate') !== null]).toEqual([402, true]);
    expect(await depositsOf(gateway.pool, key.accountId)).toEqual({ postedMsat: 0n, deposits: [], funded: false });
  });

  it('but is under way is looked up at the node in the same request, and credited once however many come with it', async () => {
    const challenge = await refused(key, { 'x-pura-topup-sats': '20' });
    const preimage = await settleSilently(gateway.pool, challenge.invoice);
    const dialects = [challenge.l402(preimage), challenge.mpp(preimage), challenge.x402()];
    const answers = await Promise.all(Array.from({ length: 6 }, (_, index) => ask(dialects[index % 3] ?? {})));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(await depositsOf(gateway.pool, key.accountId)).toMatchObject({ deposits: [20_000n], postedMsat: 18_800n });
  });

  it('while the node cannot be asked is a 503, and as good as before once it can', async () => {
    const challenge = await refused();
    const preimage = await settleSilently(gateway.pool, challenge.invoice);
    const lookup = jest.spyOn(gateway.server.wallet, 'lookupInvoice').mockRejectedValue(new GatewayError('lightning_unavailable'));
    const answer = await ask(challenge.l402(preimage));
    expect([answer.status, (await errorOf(answer)).code]).toEqual([503, 'lightning_unavailable']);
    expect(answer.headers.get('www-authenticate')).toBeNull();
    const funded = await gateway.newKey();
    lookup.mockRestore();
    await gateway.fund(funded, 10);
    jest.spyOn(gateway.server.wallet, 'lookupInvoice').mockRejectedValue(new GatewayError('lightning_unavailable'));
    expect((await ask({}, funded)).status).toBe(200);
    jest.restoreAllMocks();
    expect((await ask(challenge.l402(preimage))).status).toBe(200);
  });

  it('is never told to pay because the node was asked too often', async () => {
    const challenge = await refused();
    const answers = await Promise.all(Array.from({ length: 15 }, () => ask(challenge.x402())));
    const preimage = await settleSilently(gateway.pool, challenge.invoice);
    const late = await ask(challenge.l402(preimage));
    expect(answers.map(({ status }) => status)).toContain(503);
    expect([200, 503]).toContain(late.status);
  });

  it('of a key that is revoked is a 401: nobody is to pay for it', async () => {
    const second = (await (await gateway.post('/api/keys', {}, key)).json()) as { id: string; key: string; accountId: string };
    const challenge = await refused({ ...second, secret: second.key });
    await fetch(`${gateway.url}/api/keys/${second.id}`, { method: 'DELETE', headers: { authorization: `Bearer ${key.secret}` } });
    await expectUnauthorized(await ask(challenge.x402()));
  });

  it('counts against the limits of its key, as any 402 does', async () => {
    await gateway.patchKey(key, { rateLimitRpm: 3 });
    const challenge = await refused();
    const statuses: number[] = [];
    for (let count = 0; count < 3; count++) statuses.push((await ask(challenge.x402())).status);
    expect(statuses).toEqual([402, 402, 429]);
  });
});

describe('the log', () => {
  it('holds no token, no preimage, no challenge and no credential', async () => {
    const challenge = await refused();
    const preimage = await settleSilently(gateway.pool, challenge.invoice);
    jest.spyOn(gateway.server.wallet, 'lookupInvoice').mockRejectedValue(new GatewayError('lightning_unavailable'));
    for (const headers of [challenge.l402(preimage), challenge.mpp(preimage), challenge.x402()])
      expect((await ask(headers)).status).toBe(503);
    jest.restoreAllMocks();
    for (const headers of [challenge.l402(preimage), challenge.mpp(preimage), challenge.x402()])
      expect((await ask(headers)).status).toBe(200);
    const log = logged.join('');
    expect(log).toContain('credited a payment');
    const secrets = [
      challenge.token,
      preimage,
      challenge.mppId,
      ...Object.values(challenge.mpp(preimage)),
      ...Object.values(challenge.x402()),
    ];
    for (const secret of secrets) expect(log).not.toContain(secret);
  });
});

function foreignToken({ token }: Challenge): string {
  const bytes = Buffer.from(token, 'base64');
  const paymentHash = bytes.subarray(5, 37);
  return mintToken([{ id: '0', secret: Buffer.alloc(32, 8) }], {
    paymentHash,
    grant: { keyId: key.id, keyPrefix: key.secret.slice(0, 11), idleDays: null },
  });
}

async function hashOf(invoice: string): Promise<string> {
  const { rows } = await gateway.pool.query<{ payment_hash: Buffer }>('select payment_hash from invoices where bolt11 = $1', [invoice]);
  return rows[0]?.payment_hash.toString('hex') ?? '';
}

/** The status of a request whose header lines are sent exactly as given, which no HTTP client does. */
function rawStatus(lines: string[]): Promise<number> {
  const { hostname, port } = new URL(gateway.url);
  const text = JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk.toString()));
    socket.on('error', reject);
    socket.on('close', () => resolve(Number(answer.split(' ')[1])));
    const head = [`POST ${PATH} HTTP/1.1`, 'Host: test', 'Connection: close', 'Content-Type: application/json', ...lines];
    socket.write([...head, `Content-Length: ${Buffer.byteLength(text)}`, '', text].join('\r\n'));
  });
}
