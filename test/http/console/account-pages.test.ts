import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { findChromium, launchBrowser } from '../../support/browser.ts';
import { readPaymentRequest } from '../../../src/lightning/payment-request.ts';
import { foreignInvoice } from '../../support/foreign-invoice.ts';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';
import { checkPages, watchedPage } from '../../support/page-checks.ts';
import { signedIn, type SignedIn } from '../../support/signed-in.ts';

let gateway: TestGateway;
let key: TestKey;
let person: SignedIn;
let ids: string[];
beforeAll(async () => {
  gateway = await startGateway({ env: { FREE_TIER_REQUESTS: '1', WITHDRAWALS: 'true', MARKUP_PERCENT: '7' } });
  key = await gateway.newKey({ label: '=1+1' });
  await gateway.fund(key, 5_000);
  ids = [];
  for (const model of ['demo-cheap', 'demo-mid', 'demo-premium', 'demo-mid']) {
    const body = { model, messages: [{ role: 'user', content: 'Tell me of sats, please, at some length.' }], max_tokens: 300 };
    const answer = await gateway.post('/v1/chat/completions', body, key);
    expect(answer.status).toBe(200);
    ids.push(answer.headers.get('x-pura-request-id') ?? '');
  }
  person = await signedIn(gateway.url, key.secret);
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
});

const invoiceOf = (sats: number) => foreignInvoice({ amountMsat: BigInt(sats) * 1000n }).paymentRequest;
const json = async <T>(path: string): Promise<T> => (await (await gateway.get(path, key)).json()) as T;
const sats = (msat: number) => `${Math.trunc(msat / 1000).toLocaleString('en-US')}.${String(Math.abs(msat % 1000)).padStart(3, '0')}`;

describe('usage', () => {
  it('shows the same total as the report, the sum of its tables and the CSV, to the msat', async () => {
    const report = await json<{ totalChargedMsat: number; perModel: Record<string, { chargedMsat: number }> }>('/api/report');
    const { html } = await person.ask('/console/usage');
    expect(html).toContain(`${sats(report.totalChargedMsat)} sats</p>`);
    const feet = [...html.matchAll(/<caption>By (\w+)<\/caption>.*?(<tfoot>.*?<\/tfoot>)/gs)];
    const total = `>${sats(report.totalChargedMsat)}<`;
    expect(feet.map(([, name, foot = '']) => [name, foot.includes(total)])).toEqual([
      ['model', true],
      ['key', true],
      ['provider', true],
    ]);
    const csv = await person.ask('/console/usage.csv?period=24h');
    expect(csv.headers.get('content-type')).toMatch(/^text\/csv/);
    const [head = '', ...rows] = csv.html.trim().split('\r\n');
    const column = head.split(',').indexOf('charged_msat');
    const charged = rows.map((row) => Number(row.split(',')[column]));
    expect(charged.reduce((sum, each) => sum + each, 0)).toBe(report.totalChargedMsat);
    expect(rows).toHaveLength(4);
    expect(csv.html).toContain(",'=1+1,");
  });

  it('narrows by what is asked for, and names what cannot be', async () => {
    const { html } = await person.ask('/console/usage?model=demo-mid&period=7d&outcome=&funding=wallet');
    expect(html).toContain('charged for 2 requests');
    expect((await person.ask('/console/usage?period=1y')).status).toBe(400);
    expect((await person.ask('/console/usage?key=00000000-0000-4000-8000-000000000000')).status).toBe(404);
    expect((await person.ask('/console/usage?cursor=x')).status).toBe(400);
  });

  it('shows an inference key its own figures alone', async () => {
    const small = (await (await gateway.post('/api/keys', { role: 'inference' }, key)).json()) as { key: string; id: string };
    const other = await signedIn(gateway.url, small.key);
    for (const query of ['', `?key=${small.id}`, `?key=${ids[0]}`]) {
      expect((await other.ask(`/console/usage${query}`)).html).not.toContain('name="key"');
    }
    expect((await other.ask('/console/usage')).html).toContain('Nothing was asked in this period');
    expect((await other.ask(`/console/requests/${ids[0]}`)).status).toBe(404);
    for (const path of ['/console/statement', '/console/withdraw', '/console/wallets', '/console/statement.csv']) {
      expect((await other.ask(path)).status).toBe(403);
    }
  });
});

describe('a receipt', () => {
  it('can be reckoned again by hand, and is the charge', async () => {
    for (const id of ids) {
      const receipt = await json<{
        items: { tokens: Record<string, number>; rates: Record<string, number> }[];
        markupPercent: number;
        btcUsd: number;
        costMsat: number;
        chargedMsat: number;
      }>(`/api/requests/${id}`);
      const picoUsd = receipt.items.reduce(
        (sum, { tokens, rates }) =>
          sum +
          ['input', 'cacheRead', 'cacheWrite', 'cacheWriteLong', 'output'].reduce(
            (all, kind) => all + (tokens[kind] ?? 0) * (rates[kind] ?? 0) * 1e6,
            0,
          ),
        0,
      );
      const msat = Math.ceil(Math.ceil(Math.round(picoUsd * (100 + receipt.markupPercent)) / 100) / (receipt.btcUsd * 10));
      expect(receipt.costMsat).toBe(msat);
      const { html } = await person.ask(`/console/requests/${id}`);
      expect(html).toContain(`${sats(receipt.chargedMsat)} sats charged`);
      expect(html).toContain('of 7%');
      expect(html).toContain('What was said is not kept.');
    }
  });

  it('of a free request is worth something and costs nothing', async () => {
    const { html } = await person.ask(`/console/requests/${ids[0]}`);
    expect(html).toContain('0.000 sats charged');
    expect(html).toContain('a free request');
  });

  it.each(['00000000-0000-4000-8000-000000000000', 'x'])('of %s does not exist', async (id) => {
    expect((await person.ask(`/console/requests/${id}`)).status).toBe(404);
  });
});

describe('the statement', () => {
  it('adds up: opening and rows make the closing balance, which is the balance', async () => {
    const { html } = await person.ask('/console/statement');
    const balance = await json<{ balanceMsat: number }>('/api/wallet/balance');
    expect(html).toContain('Opening balance <strong class="figure">0.000</strong>');
    expect(html).toContain(`closing balance <strong class="figure">${sats(balance.balanceMsat)}</strong>`);
    const csv = (await person.ask('/console/statement.csv')).html.trim().split('\r\n').slice(1);
    const amounts = csv.map((row) => Number(row.split(',')[3]));
    expect(amounts.reduce((sum, each) => sum + each, 0)).toBe(balance.balanceMsat);
    expect(html).toContain('+5,000.000');
  });

  it('narrows by kind and day, and names what cannot be', async () => {
    const { html } = await person.ask('/console/statement?kind=deposit');
    expect(html).toContain('Top-up');
    expect(html).not.toContain('/console/requests/');
    expect((await person.ask('/console/statement?from=2020-01-01&to=2020-02-01')).html).toContain('Nothing moved');
    expect((await person.ask('/console/statement?from=yesterday')).status).toBe(400);
    expect((await person.ask('/console/statement?from=2026-02-01&to=2026-01-01')).status).toBe(400);
  });
});

describe('withdrawing', () => {
  it('reads the invoice back, and pays once however often the form is sent', async () => {
    const invoice = invoiceOf(100);
    const review = await person.ask('/console/withdraw/review', { invoice });
    expect(review.html).toContain('Withdraw 100.000 sats?');
    const once = /name="once" value="([^"]+)"/.exec(review.html)?.[1] ?? '';
    const answers = await Promise.all(Array.from({ length: 5 }, () => person.ask('/console/withdraw', { invoice, once })));
    const places = new Set(answers.map(({ headers }) => headers.get('location')));
    expect(places.size).toBe(1);
    const [place = ''] = places;
    expect((await person.ask(place ?? '')).html).toMatch(/100\.000 sats were paid|still looking for a route/);
    const { transactions } = await json<{ transactions: unknown[] }>('/api/wallet/transactions?kind=withdrawal');
    expect(transactions.length).toBeLessThanOrEqual(1);
  });

  it.each([
    ['nonsense', 'invoice'],
    ['', 'invoice'],
  ])('says what is wrong with %p, and keeps it', async (invoice) => {
    const { status, html } = await person.ask('/console/withdraw/review', { invoice });
    expect(status).toBe(400);
    expect(html).toContain('role="alert"');
    expect(html).toContain(`${invoice}</textarea>`);
  });

  it('pays no more than there is', async () => {
    const invoice = invoiceOf(900_000);
    const review = await person.ask('/console/withdraw/review', { invoice });
    expect(review.html).toContain('more than what is available');
    const once = /name="once" value="([^"]+)"/.exec(review.html)?.[1] ?? '';
    const { status, html } = await person.ask('/console/withdraw', { invoice, once });
    expect(status).toBe(400);
    expect(html).toContain('role="alert"');
  });

  it('shows a code on demand alone, and never again', async () => {
    expect((await person.ask('/console/withdraw')).html).not.toContain('LNURL1');
    const shown = await person.ask('/console/withdraw/code', {});
    expect(shown.html).toContain('lightning:LNURL1');
    expect(shown.headers.get('cache-control')).toBe('no-store');
    const state = await person.ask('/console/withdraw/code');
    expect(state.html).toContain('No wallet has used the code yet');
    expect(state.html).not.toContain('LNURL1');
    const asked = await person.ask('/console/withdraw/code', undefined, { accept: 'application/json' });
    expect(JSON.parse(asked.html)).toEqual({ state: 'waiting', href: null });
    // A script that has been signed out is told, and not shown a page to sign in.
    const other = await signedIn(gateway.url, key.secret);
    await other.ask('/console/sign-out', {});
    expect((await other.ask('/console/withdraw/code', undefined, { accept: 'application/json' })).status).toBe(401);
    expect((await other.ask('/console/withdraw/code')).status).toBe(303);
  });

  it('asks for a proof a quarter of an hour after the last one, and keeps the form', async () => {
    await gateway.pool.query(`update sessions set confirmed_at = now() - interval '16 minutes'`);
    const invoice = invoiceOf(100);
    const { html } = await person.ask('/console/withdraw', { invoice, once: '00000000-0000-4000-8000-000000000000' });
    expect(html).toContain('Confirm: withdraw');
    // What is confirmed is named: how much, and to whom.
    const { payee } = readPaymentRequest(invoice, 'simulated');
    for (const fact of ['<dd>100.000 sats</dd>', '<dd>1.000 sats</dd>', 'theirs', invoice.slice(-12), payee]) expect(html).toContain(fact);
    const code = await person.ask('/console/withdraw/code', {});
    expect(code.html).toContain('Confirm: show a code to withdraw');
    expect(code.html).toMatch(/up to [\d,.]+ sats.*the first wallet that scans the code/s);
    expect(html).toContain(`value="${invoice}"`);
    const done = await person.ask('/console/withdraw', { invoice, once: '00000000-0000-4000-8000-000000000000', confirm_key: key.secret });
    expect(done.status).toBe(303);
  });
});

describe('the Wallets page', () => {
  it('changes the address, and says what is wrong with one', async () => {
    expect((await person.ask('/console/wallets/address', { handle: 'My.Bot' })).status).toBe(303);
    expect((await person.ask('/console/wallets')).html).toContain('my.bot@');
    const { status, html } = await person.ask('/console/wallets/address', { handle: 'admin' });
    expect(status).toBe(400);
    expect(html).toContain('role="alert"');
    expect((await person.ask('/console/wallets/poster')).html).toContain('<svg');
  });

  it('takes no connection that is none, and shows none again', async () => {
    const amounts = { thresholdSats: '500', topupSats: '1000', dailyLimitSats: '5000' };
    const { status, html } = await person.ask('/console/wallets/autopay', { ...amounts, nwcUrl: 'nostr+walletconnect://canary' });
    expect(status).toBe(400);
    expect(html).not.toContain('canary');
    expect(html).toContain('value="5000"');
    expect((await person.ask('/console/wallets/autopay', { ...amounts, topupSats: 'ten' })).html).toContain('topupSats');
  });
});

const inBrowser = findChromium() ? describe : describe.skip;
if (!findChromium()) console.warn('No Chromium found: the account pages are not tested in a browser. Install one, or set CHROMIUM_PATH.');

inBrowser('every page of usage and money', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(() => browser.close());

  it('is for everybody: by eye, ear and keyboard, in all sizes and colours', async () => {
    const pages = {
      usage: '/console/usage',
      receipt: `/console/requests/${ids[1]}`,
      statement: '/console/statement',
      withdraw: '/console/withdraw',
      'withdraw-code': '/console/withdraw/code',
      wallets: '/console/wallets',
      handle: '/console/wallets/address',
      autopay: '/console/wallets/autopay',
      playground: '/console/playground',
    };
    await checkPages(browser, gateway.url, pages, { cookies: person.cookies });
  });

  it('a code to withdraw looks no further once its owner is signed out, and says so', async () => {
    const other = await signedIn(gateway.url, key.secret);
    const { page, context, complaints, close } = await watchedPage(browser, gateway.url, {}, { expected: /401/ });
    await context.addCookies(other.cookies.map((cookie) => ({ ...cookie, url: gateway.url })));
    await page.goto(`${gateway.url}/console/withdraw`);
    await page.getByRole('button', { name: 'Show code' }).click();
    await page.getByText('Scan it with the wallet').waitFor();
    await other.ask('/console/sign-out', {});
    await page.getByText('You are signed out').waitFor();
    expect(complaints).toEqual([]);
    await close();
  });
});
