import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import bolt11 from 'bolt11';
import fc from 'fast-check';
import { ERRORS } from '../../../src/errors.ts';
import { ownerOf } from '../../support/funded.ts';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';
import { lightningAddressClient } from '../../support/lightning-address-client.ts';
import { until } from '../../support/until.ts';

const SEED = Number(process.env['PURA_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

interface Answer {
  status?: string;
  reason?: string;
  tag?: string;
  callback: string;
  metadata: string;
  pr: string;
  verify: string;
  routes?: unknown[];
  settled?: boolean;
  preimage?: string | null;
}

let gateway: TestGateway;
let key: TestKey;
let handle: string;
beforeAll(async () => {
  gateway = await startGateway({ env: { KEYLESS_INVOICES_PER_IP_PER_HOUR: '100000', WITHDRAWALS: 'true' } });
  ({ key, handle } = await newAddress());
});
afterAll(() => gateway.close());

/** A new account with a handle. */
async function newAddress(): Promise<{ key: TestKey; handle: string }> {
  const made = await gateway.newKey();
  const response = await gateway.pool.query<{ handle: string }>(
    `insert into lightning_handles (handle, account_id) values ('h' || left(md5(random()::text), 12), $1) returning handle`,
    [made.accountId],
  );
  return { key: made, handle: response.rows[0]?.handle ?? '' };
}

/** What a wallet gets: always 200, JSON, and readable for pages of all origins. */
async function ask(url: string): Promise<Answer> {
  const answer = await fetch(url.startsWith('http') ? url : gateway.url + url);
  const { status, headers } = answer;
  expect({ status, type: headers.get('content-type'), open: headers.get('access-control-allow-origin') }).toEqual({
    status: 200,
    type: 'application/json; charset=utf-8',
    open: '*',
  });
  expect(headers.get('set-cookie')).toBeNull();
  return (await answer.json()) as Answer;
}
const payTo = (name: string, amountMsat: bigint | number, comment?: string) =>
  ask(`/lnurl/pay/${name}?amount=${amountMsat}${comment === undefined ? '' : `&comment=${encodeURIComponent(comment)}`}`);
const balanceOf = async ({ accountId }: TestKey) =>
  (await gateway.pool.query<{ posted_msat: bigint }>('select posted_msat from accounts where id = $1', [accountId])).rows[0]?.posted_msat;
const violations = () => gateway.audit();

describe('a payment to a Lightning Address', () => {
  it('is an invoice for exactly the amount with the hash of what the wallet was shown, and credited to the account', async () => {
    const host = new URL(gateway.url).host;
    const shown = await ask(`/.well-known/lnurlp/${handle.toUpperCase()}`);
    expect(shown).toEqual({
      tag: 'payRequest',
      callback: `${gateway.url}/lnurl/pay/${handle}`,
      minSendable: 1_000,
      maxSendable: 1_000_000_000,
      metadata: `[["text/plain","Pura top-up for ${handle}@${host}"],["text/identifier","${handle}@${host}"]]`,
      commentAllowed: 140,
    });
    const { pr, routes, verify } = await ask(`${shown.callback}?amount=21000&comment=${encodeURIComponent('for the bot\u0000\u202e ⚡')}`);
    expect(routes).toEqual([]);
    const { millisatoshis, tagsObject } = bolt11.decode(pr);
    expect({ millisatoshis, h: tagsObject.purpose_commit_hash, expiry: tagsObject.expire_time, d: tagsObject.description }).toEqual({
      millisatoshis: '21000',
      h: createHash('sha256').update(shown.metadata).digest('hex'),
      expiry: 600,
      d: undefined,
    });
    expect(await ask(verify)).toEqual({ status: 'OK', settled: false, preimage: null, pr });
    const preimage = await gateway.pay(pr);
    expect(await until(async () => (await ask(verify)).settled && ask(verify))).toEqual({
      ...{ status: 'OK', settled: true, preimage: preimage.toString('hex'), pr },
    });
    expect(await balanceOf(key)).toBe(21_000n);
    const { rows } = await gateway.pool.query(`select state, payer_comment, address_metadata from invoices where handle = $1`, [handle]);
    expect(rows).toEqual([{ state: 'paid', payer_comment: 'for the bot ⚡', address_metadata: shown.metadata }]);
    const statement = await (await gateway.get('/api/wallet/transactions', key)).json();
    expect(statement).toMatchObject({ transactions: [{ kind: 'deposit', via: 'address', note: 'for the bot ⚡' }] });
    expect(await violations()).toEqual([]);
  });

  it("goes through a payer's client as it is", async () => {
    const { key: paid, handle: name } = await newAddress();
    const client = lightningAddressClient(gateway.url, name);
    await client.fetch();
    const invoice = await client.requestInvoice({ satoshi: 1_000, comment: 'thanks' });
    expect({ sat: invoice.satoshi, hash: client.lnurlpData?.metadataHash }).toEqual({
      sat: 1_000,
      hash: bolt11.decode(invoice.paymentRequest).tagsObject.purpose_commit_hash,
    });
    expect(await invoice.isPaid()).toBe(false);
    await gateway.pay(invoice.paymentRequest);
    await until(() => invoice.verifyPayment());
    expect(invoice.validatePreimage(invoice.preimage ?? '')).toBe(true);
    expect(await balanceOf(paid)).toBe(1_000_000n);
  });

  it('is credited once each, many at the same time', async () => {
    const { key: paid, handle: name } = await newAddress();
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => payTo(name, 1_000 * (index + 1), `#${index}`)));
    await Promise.all(answers.map(({ pr }) => gateway.pay(pr)));
    await until(async () => (await Promise.all(answers.map(({ verify }) => ask(verify)))).every(({ settled }) => settled));
    expect(await balanceOf(paid)).toBe(210_000n);
    expect(await violations()).toEqual([]);
  });

  it('is one of 20 that may be open, which count for nothing else', async () => {
    const { key: paid, handle: name } = await newAddress();
    const answers = await Promise.all(Array.from({ length: 30 }, () => payTo(name, 5_000_000)));
    expect(answers.filter(({ pr }) => pr)).toHaveLength(20);
    expect(answers.find(({ status }) => status === 'ERROR')?.reason).toMatch(/^Too many payments to this address are open/);
    // Neither do they use up the account's own five, nor is one of them offered where the account lacks money.
    const owner = await ownerOf(gateway.pool, paid);
    const offered = await gateway.server.funding.offer(owner, { shortfallMsat: 1_000_000n as never, topupSats: 5_000 });
    expect(answers.map(({ pr }) => pr)).not.toContain(offered.bolt11);
    for (let made = 0; made < 4; made++) expect((await gateway.post('/api/wallet/fund', { amount: 5_000 }, paid)).status).toBe(201);
    expect((await gateway.post('/api/wallet/fund', { amount: 5_000 }, paid)).status).toBe(429);
  });

  it.each<[string, string, RegExp]>([
    ['no amount', '/lnurl/pay/HANDLE', /number of millisats/],
    ['no number', '/lnurl/pay/HANDLE?amount=many', /number of millisats/],
    ['two amounts', '/lnurl/pay/HANDLE?amount=1000&amount=2000', /number of millisats/],
    ['an exponent', '/lnurl/pay/HANDLE?amount=1e6', /number of millisats/],
    ['a negative amount', '/lnurl/pay/HANDLE?amount=-1000', /number of millisats/],
    ['more than 2^53', '/lnurl/pay/HANDLE?amount=9007199254740993000', /number of millisats/],
    ['less than a sat', '/lnurl/pay/HANDLE?amount=999', /from 1 to 1000000 sats/],
    ['more than a top-up', '/lnurl/pay/HANDLE?amount=1000001000', /from 1 to 1000000 sats/],
    ['what a float made of it', '/lnurl/pay/HANDLE?amount=13244032', /whole sats/],
    ['a long comment', `/lnurl/pay/HANDLE?amount=1000&comment=${'%F0%9F%9A%80'.repeat(141)}`, /longer than 140/],
    ['an unknown address', '/.well-known/lnurlp/nobody-has-this', /^No such address\.$/],
    ['a name that none can have', '/.well-known/lnurlp/%00%0a', /^No such address\.$/],
    ['a name that cannot be read', '/.well-known/lnurlp/%ff', /not valid/],
    ['an unknown address to pay', '/lnurl/pay/nobody-has-this?amount=1000', /^No such address\.$/],
    ['an unknown payment', `/lnurl/verify/${'00'.repeat(32)}`, /^Not found$/],
    ['no payment hash', '/lnurl/verify/x', /^Not found$/],
    ['a code without its secret', '/lnurl/withdraw', /^This code is not good any more/],
    ['an unknown code', `/lnurl/withdraw?k1=${'00'.repeat(32)}`, /^This code is not good any more/],
    ['an unknown code to be paid', `/lnurl/withdraw/pay?k1=${'00'.repeat(32)}&pr=lnbcrt1`, /^This code is not good any more/],
    ['a code without an invoice', `/lnurl/withdraw/pay?k1=${'00'.repeat(32)}`, /pr is missing/],
  ])('that asks for %s is refused with a reason', async (_what, path, reason) => {
    const { status, reason: told } = await ask(path.replace('HANDLE', handle));
    expect({ status, told }).toEqual({ status: 'ERROR', told: expect.stringMatching(reason) });
  });

  it('may have a comment of 140 characters that take four bytes each', async () => {
    expect((await payTo(handle, 1_000, '🚀'.repeat(140))).pr).toMatch(/^lnbcrt/);
  });

  it('tells nothing of invoices that were not asked for at an address', async () => {
    const { paymentRequest, paymentHash } = (await (await gateway.post('/api/wallet/fund', { amount: 100 }, key)).json()) as Record<
      string,
      string
    >;
    await gateway.pay(paymentRequest ?? '');
    expect(await ask(`/lnurl/verify/${paymentHash}`)).toEqual({ status: 'ERROR', reason: 'Not found' });
  });

  it(`is never an error of the server, whatever is asked (seed ${SEED})`, async () => {
    const path = fc.constantFrom(
      '/.well-known/lnurlp/',
      `/.well-known/lnurlp/${handle}`,
      '/lnurl/pay/',
      `/lnurl/pay/${handle}`,
      '/lnurl/verify/',
      '/lnurl/withdraw',
      '/lnurl/withdraw/pay',
    );
    const name = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('amount', 'comment', 'k1', 'pr', 'nonce', '__proto__', 'amount[]', ''),
    );
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.bigInt().map(String),
      fc.constantFrom('%00', '%', 'NaN', '1000', '[object Object]', '00'.repeat(32), 'lnbcrt10u1p'),
    );
    const encoded = (text: string) => encodeURIComponent(text.toWellFormed());
    const asked = fc.tuple(
      path,
      fc.oneof(fc.constant(''), fc.string({ unit: 'binary', maxLength: 12 })),
      fc.array(fc.tuple(name, value), { maxLength: 5 }),
    );
    const isAnswered = async ([base, rest, query]: [string, string, [string, string][]]): Promise<void> => {
      const search = query.map(([one, other]) => `${encoded(one)}=${encoded(other)}`).join('&');
      const answer = await fetch(`${gateway.url}${base}${encoded(rest)}?${search}`);
      expect([200, 404]).toContain(answer.status);
      expect(answer.headers.get('access-control-allow-origin')).toBe('*');
      const body = (await answer.json()) as Answer & { error?: { code: string } };
      expect(answer.status === 404 ? body.error?.code : body.tag || body.pr || body.reason).toBeTruthy();
      expect(body.reason).not.toBe(ERRORS.internal_error.message);
    };
    await fc.assert(fc.asyncProperty(asked, isAnswered), { seed: SEED, numRuns: 100 });
  });
});

describe('the paths of wallets', () => {
  it.each(['/.well-known/lnurlp/nobody', '/lnurl/nothing', '/lnurl'])('are open to pages of all origins: %s', async (path) => {
    const asked = await fetch(gateway.url + path, { method: 'OPTIONS', headers: { origin: 'https://wallet.example' } });
    expect({ status: asked.status, open: asked.headers.get('access-control-allow-origin') }).toEqual({ status: 204, open: '*' });
    const posted = await fetch(gateway.url + path, { method: 'POST' });
    expect({ of: [404, 405].includes(posted.status), open: posted.headers.get('access-control-allow-origin') }).toEqual({
      of: true,
      open: '*',
    });
  });

  it('offer no play money where others reach the gateway, and nothing without https', async () => {
    const request = get(`${gateway.url}/.well-known/lnurlp/${handle}`, { headers: { host: 'pura.example' } });
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    expect(await json(answer)).toEqual({ status: 'ERROR', reason: expect.stringMatching(/play money/) });
  });
});
