import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes, randomUUID } from 'node:crypto';
import type { Browser } from 'playwright-core';
import { WALLET_PREFIX } from '../../../src/accounts/api-key.ts';
import { Sessions } from '../../../src/accounts/sessions.ts';
import { msat } from '../../../src/amount.ts';
import { satsExact } from '../../../src/http/pages/format.ts';
import { findChromium, launchBrowser } from '../../support/browser.ts';
import { startFakeProvider, type FakeProvider } from '../../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';
import { checkPage, DESKTOP, PHONE, takePicture, watchedPage, type WatchedPage } from '../../support/page-checks.ts';
import { signedIn, type SignedIn } from '../../support/signed-in.ts';
import { until } from '../../support/until.ts';

const PATH = '/console/playground';
const MODEL = 'pureai/fake';
const QUESTION = 'a question that nobody keeps';

let upstream: FakeProvider;
let gateway: TestGateway;
let key: TestKey;
let person: SignedIn;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({ deployments: [upstream.deployment()], env: { FREE_TIER_REQUESTS: '0' } });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  await upstream.close();
});
beforeEach(async () => {
  key = await gateway.newKey();
  person = await signedIn(gateway.url, key.secret);
});

const cookieOf = ({ cookies }: SignedIn) => ({ cookie: cookies.map(({ name, value }) => `${name}=${value}`).join('; ') });
const chargedMsat = async () => {
  const { rows } = await gateway.pool.query<{ sum: bigint | null; count: number }>(
    `select sum(amount_msat)::bigint as sum, count(*)::integer as count from transfers where account_id = $1 and kind = 'charge'`,
    [key.accountId],
  );
  return { sum: rows[0]?.sum ?? 0n, count: rows[0]?.count ?? 0 };
};
const body = { model: MODEL, messages: [{ role: 'user', content: QUESTION }], stream: false };

describe('a question of the playground', () => {
  it('is charged to the key of the session, within its limits', async () => {
    await gateway.fund(key, 1_000);
    const answer = await gateway.post(`${PATH}/chat`, body, null, cookieOf(person));
    expect(answer.status).toBe(200);
    const charged = BigInt(answer.headers.get('x-pura-charged-msat') ?? 0);
    expect(charged).toBeGreaterThan(0n);
    expect(await chargedMsat()).toEqual({ sum: charged, count: 1 });
    await gateway.patchKey(key, { allowedModels: ['another'] });
    expect((await gateway.post(`${PATH}/chat`, body, null, cookieOf(person))).status).toBe(403);
  });

  it.each<[string, () => Record<string, string>]>([
    ['another site', () => ({ ...cookieOf(person), origin: 'https://evil.example' })],
    ['another site, as the browser says', () => ({ ...cookieOf(person), 'sec-fetch-site': 'cross-site' })],
    ['nobody', () => ({})],
    ['a key, which is no session', () => ({ authorization: `Bearer ${key.secret}` })],
  ])('is none of %s', async (_name, headers) => {
    await gateway.fund(key, 1_000);
    const heard = upstream.requests.length;
    for (const path of ['chat', 'estimate']) {
      const answer = await gateway.post(`${PATH}/${path}`, body, null, headers());
      expect([401, 403]).toContain(answer.status);
      expect(answer.headers.get('content-type')).toMatch(/json/);
    }
    expect(upstream.requests).toHaveLength(heard);
    expect(await chargedMsat()).toEqual({ sum: 0n, count: 0 });
  });

  it('is answered no more once the key is revoked', async () => {
    await gateway.pool.query('update api_keys set revoked_at = now(), version = version + 1 where id = $1', [key.id]);
    expect((await gateway.post(`${PATH}/chat`, body, null, cookieOf(person))).status).toBe(401);
  });

  it('is priced for free', async () => {
    const answer = await gateway.post(`${PATH}/estimate`, body, null, cookieOf(person));
    expect(await answer.json()).toMatchObject({ model: MODEL, estimatedCostMsat: expect.any(Number) });
    expect(await chargedMsat()).toEqual({ sum: 0n, count: 0 });
  });
});

describe('a linked wallet', () => {
  it('asks by a key of its own, of $1 a day, which is made once', async () => {
    await gateway.fund(key, 1_000);
    const id = randomUUID();
    await gateway.pool.query('insert into linked_wallets (id, account_id, linking_key, host) values ($1, $2, $3, $4)', [
      ...[id, key.accountId, randomBytes(33), 'localhost'],
    ]);
    const token = await new Sessions(gateway.pool).start({ id, accountId: key.accountId, prefix: WALLET_PREFIX }, 'a network');
    const cookie = { cookie: `pura_session=${token}` };
    const answers = await Promise.all(Array.from({ length: 6 }, () => gateway.post(`${PATH}/chat`, body, null, cookie)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => 200));
    const made = async () => {
      const { rows } = await gateway.pool.query<{ id: string }>(
        `select id, label, role, daily_budget_pico_usd as budget from api_keys where account_id = $1 and id <> $2 order by created_at`,
        [key.accountId, key.id],
      );
      return rows;
    };
    const [first] = await made();
    expect(await made()).toEqual([{ id: first?.id, label: 'Playground', role: 'inference', budget: 1_000_000_000_000n }]);
    expect((await chargedMsat()).count).toBe(6);
    // Revoked by its owner: another one is made.
    await gateway.pool.query('update api_keys set revoked_at = now(), version = version + 1 where id = $1', [first?.id]);
    expect((await gateway.post(`${PATH}/chat`, body, null, cookie)).status).toBe(200);
    expect(await made()).toHaveLength(2);
    await gateway.pool.query('update linked_wallets set unlinked_at = now() where id = $1', [id]);
    expect((await gateway.post(`${PATH}/chat`, body, null, cookie)).status).toBe(401);
  });
});

describe('without a script', () => {
  it('one question is one answer and one charge', async () => {
    await gateway.fund(key, 1_000);
    const { status, html } = await person.ask(PATH, { model: MODEL, message: QUESTION, most: '500' });
    expect(status).toBe(200);
    const { sum, count } = await chargedMsat();
    expect(count).toBe(1);
    expect(html).toContain('Hello.');
    expect(html).toContain(`${satsExact(msat(sum))} sats · `);
    expect(html).toMatch(/href="\/console\/requests\/[0-9a-f-]{36}">receipt/);
  });

  it('a refusal keeps the question and offers the invoice', async () => {
    const { status, html } = await person.ask(PATH, { model: MODEL, message: QUESTION });
    expect(status).toBe(402);
    expect(html).toContain(QUESTION);
    expect(html).toMatch(/href="\/invoice\/[0-9a-f-]{36}\?from=console"/);
    expect((await person.ask(PATH, { model: MODEL, message: ' ' })).status).toBe(400);
    expect((await person.ask(PATH, { model: 'nothing', message: 'x' })).status).toBe(404);
  });
});

const inBrowser = findChromium() ? describe : describe.skip;
if (!findChromium()) console.warn('No Chromium found: the playground is not tested in a browser. Install one, or set CHROMIUM_PATH.');

inBrowser('the playground, in a browser', () => {
  let browser: Browser;
  let watched: WatchedPage;
  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(() => browser.close());
  afterEach(() => watched.close());

  async function open(options = {}, expected?: RegExp) {
    watched = await watchedPage(browser, gateway.url, options, expected && { expected });
    await watched.context.addCookies(person.cookies.map((cookie) => ({ ...cookie, url: gateway.url })));
    await watched.page.goto(`${gateway.url}${PATH}?model=${encodeURIComponent(MODEL)}`);
    return watched.page;
  }

  it('shows under each answer what the ledger charged, and the sum', async () => {
    await gateway.fund(key, 1_000);
    const page = await open();
    for (const nth of [1, 2]) {
      await page.getByLabel('Message').fill(QUESTION);
      await page.keyboard.press('Enter');
      await page
        .getByRole('link', { name: 'receipt' })
        .nth(nth - 1)
        .waitFor();
    }
    const { sum } = await chargedMsat();
    expect(await page.locator('#sum').innerText()).toBe(`${satsExact(msat(sum))} sats`);
    const { rows } = await gateway.pool.query<{ request_id: string; msat: bigint }>(
      `select request_id, amount_msat as msat from transfers where account_id = $1 and kind = 'charge' order by id`,
      [key.accountId],
    );
    const lines = await page.locator('.said:not(.mine) .soft').allInnerTexts();
    expect(lines.map((line) => line.split(' · ')[0])).toEqual(rows.map(({ msat: each }) => `${satsExact(msat(each))} sats`));
    const links = await page.getByRole('link', { name: 'receipt' }).evaluateAll((all) => all.map((link) => link.getAttribute('href')));
    expect(links).toEqual(rows.map(({ request_id: id }) => `/console/requests/${id}`));
    // The talk so far goes with the next question, and stays in the page alone.
    expect(upstream.requests.at(-1)?.body).toMatchObject({ messages: [{}, {}, { content: QUESTION }] });
    expect(await page.evaluate('localStorage.length + sessionStorage.length')).toBe(0);
    expect(watched.requested.join()).not.toContain('question');
    expect(watched.complaints).toEqual([]);
    await page.reload();
    expect(await page.getByText(QUESTION).count()).toBe(0);
  });

  it('stops by Escape, and says what that cost', async () => {
    await gateway.fund(key, 1_000);
    const page = await open();
    const held = upstream.hold();
    await page.getByLabel('Message').fill('stop me');
    await page.getByRole('button', { name: 'Send' }).click();
    const exchange = await held;
    exchange.startStream();
    await exchange.content('This much has come');
    await page.getByText('This much has come').waitFor();
    await page.keyboard.press('Escape');
    await exchange.clientGone;
    await page.getByText('Stopped: you pay for what came.').waitFor();
    const { sum, count } = await chargedMsat();
    expect(count).toBe(1);
    expect(await page.locator('.said:not(.mine) .soft').innerText()).toContain(`${satsExact(msat(sum))} sats`);
    expect(await page.locator('#sum').innerText()).toBe(`${satsExact(msat(sum))} sats`);
  });

  it('shows an invoice where money is missing, and goes on once it is paid', async () => {
    const page = await open({}, /402/);
    await page.getByLabel('Message').fill(QUESTION);
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByRole('img', { name: /QR code of an invoice/ }).waitFor();
    const { rows } = await gateway.pool.query<{ bolt11: string }>('select bolt11 from invoices where account_id = $1', [key.accountId]);
    await gateway.pay(rows[0]?.bolt11 ?? '');
    await page.getByRole('link', { name: 'receipt' }).waitFor();
    await until(async () => (await chargedMsat()).count === 1);
    expect(watched.complaints).toEqual([]);
  });

  it('tells what the question would cost elsewhere, and asks nobody', async () => {
    const page = await open();
    const heard = upstream.requests.length;
    await page.getByLabel('Message').fill(QUESTION);
    await page.getByRole('button', { name: 'Same question elsewhere' }).click();
    await page.getByText('Asked for free.').waitFor();
    expect(await page.locator('#estimates dd').first().innerText()).toMatch(/about [\d.]+ sats · \$/);
    expect(upstream.requests).toHaveLength(heard);
  });

  it.each([
    ['phone', { ...PHONE, colorScheme: 'light' }],
    ['desktop', { ...DESKTOP, colorScheme: 'dark' }],
  ] as const)('is for everybody: %s', async (name, options) => {
    await gateway.fund(key, 1_000);
    const page = await open(options);
    await page.getByLabel('Message').fill(QUESTION);
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'receipt' }).waitFor();
    await takePicture(page, `playground-${name}`);
    await checkPage(page);
    expect(watched.complaints).toEqual([]);
  });
});
