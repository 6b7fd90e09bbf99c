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

describe('the key that pays', () => {
  const askedBy = (who: SignedIn, keyId: string, path = 'chat') => gateway.post(`${PATH}/${path}?key=${keyId}`, body, null, cookieOf(who));
  const another = async (settings: object) =>
    (await (await gateway.post('/api/keys', { role: 'inference', ...settings }, key)).json()) as {
      id: string;
      key: string;
      prefix: string;
    };
  const chargedKeys = async () => {
    const { rows } = await gateway.pool.query<{ key_id: string }>(
      `select h.key_id from transfers t join holds h on h.request_id = t.request_id where t.account_id = $1 and t.kind = 'charge' order by t.id`,
      [key.accountId],
    );
    return rows.map(({ key_id: id }) => id);
  };

  it('is any live one of the account for an owner, within its own limits, and its own for everybody else', async () => {
    await gateway.fund(key, 1_000);
    const [free, bound] = [await another({ label: 'bot <1>' }), await another({ label: 'other', allowedModels: ['another'] })];
    expect((await askedBy(person, free.id)).status).toBe(200);
    expect((await askedBy(person, key.id)).status).toBe(200);
    expect((await askedBy(person, bound.id)).status).toBe(403);
    const asking = await signedIn(gateway.url, free.key);
    expect((await askedBy(asking, free.id)).status).toBe(200);
    for (const path of ['chat', 'estimate']) expect((await askedBy(asking, key.id, path)).status).toBe(403);
    expect((await asking.ask(PATH, { model: MODEL, message: QUESTION, key: key.id })).status).toBe(403);
    expect(await chargedKeys()).toEqual([free.id, key.id, free.id]);
  });

  it('is none that is revoked, expired, of another account, or no key', async () => {
    await gateway.fund(key, 1_000);
    const [revoked, expired, stranger] = [await another({}), await another({}), await gateway.newKey()];
    await gateway.pool.query(`update api_keys set revoked_at = now(), version = version + 1 where id = $1`, [revoked.id]);
    await gateway.pool.query(`update api_keys set expires_at = now(), version = version + 1 where id = $1`, [expired.id]);
    for (const id of [revoked.id, expired.id, stranger.id, randomUUID(), 'x', `${key.id}&key=${key.id}`]) {
      expect([id, (await askedBy(person, id)).status]).toEqual([id, 404]);
    }
    expect((await person.ask(PATH, { model: MODEL, message: QUESTION, key: stranger.id })).status).toBe(404);
    expect(await chargedMsat()).toEqual({ sum: 0n, count: 0 });
  });

  it('is chosen by its label, and its secret is nowhere', async () => {
    await gateway.fund(key, 1_000);
    const bot = await another({ label: 'bot <1>', dailyBudgetUsd: 2 });
    const stranger = await gateway.newKey();
    const page = await person.ask(`${PATH}?key=${bot.id}`);
    expect(page.html).toMatch(new RegExp(`<option value="${bot.id}" selected>bot &lt;1&gt;: \\$2.00 a day</option>`));
    for (const hidden of [bot.key, key.secret, stranger.id]) expect(page.html).not.toContain(hidden);
    const asking = await signedIn(gateway.url, bot.key);
    expect((await asking.ask(PATH)).html).not.toContain(key.id);
    await person.ask(PATH, { model: MODEL, message: QUESTION, key: bot.id });
    expect(await chargedKeys()).toEqual([bot.id]);
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
    // Another site can have had the signature of the sign-in: no other key, and no page that has it choose.
    for (const path of ['chat', 'estimate'])
      expect((await gateway.post(`${PATH}/${path}?key=${key.id}`, body, null, cookie)).status).toBe(403);
    expect(await (await fetch(gateway.url + PATH, { headers: cookie })).text()).not.toContain(key.id);
    await gateway.pool.query('update sessions set confirmed_at = now() where wallet_id = $1', [id]);
    expect((await gateway.post(`${PATH}/chat?key=${key.id}`, body, null, cookie)).status).toBe(200);
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

  it('a question may be priced first: the most that is reserved, here and elsewhere, for nothing', async () => {
    await gateway.fund(key, 1_000);
    const heard = upstream.requests.length;
    const { status, html } = await person.ask(PATH, { model: MODEL, message: QUESTION, act: 'price' });
    expect(status).toBe(200);
    const told = (await (await gateway.post(`${PATH}/estimate`, body, null, cookieOf(person))).json()) as { maxCostMsat: number };
    expect(html).toContain(`at most ${satsExact(msat(BigInt(told.maxCostMsat)))} sats reserved`);
    expect(html).toContain(QUESTION);
    expect(upstream.requests).toHaveLength(heard);
    expect(await chargedMsat()).toEqual({ sum: 0n, count: 0 });
    const unknown = await person.ask(PATH, { model: 'nothing', message: 'x', act: 'price' });
    expect(unknown.html).toContain('<dt>nothing</dt>');
  });

  it('an answer is given up when its asker leaves', async () => {
    await gateway.fund(key, 1_000);
    const held = upstream.hold();
    const leaving = new AbortController();
    const asked = fetch(`${gateway.url}${PATH}`, {
      method: 'POST',
      headers: { ...cookieOf(person), 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ model: MODEL, message: QUESTION }),
      signal: leaving.signal,
    });
    const exchange = await held;
    leaving.abort();
    await expect(asked).rejects.toThrow();
    await exchange.clientGone;
    const latest = async () => {
      const answer = await gateway.get('/api/requests?limit=1', key);
      return ((await answer.json()) as { requests: { outcome: string }[] }).requests[0]?.outcome;
    };
    await until(async () => (await latest()) === 'client_gone');
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
    expect(await page.locator('.said:not(.mine) .soft').innerText()).toMatch(/^about [\d.]+ sats so far, at most [\d.]+ sats reserved$/);
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
    // Said before anything is sent, once typing has paused.
    await page.locator('#price', { hasText: /at most [\d.]+ sats reserved/ }).waitFor();
    await page.getByRole('button', { name: 'Same question elsewhere' }).click();
    await page.getByText('Asked for free.').waitFor();
    expect(await page.locator('#estimates dd').first().innerText()).toMatch(/about [\d.]+ sats · \$/);
    expect(upstream.requests).toHaveLength(heard);
  });

  it('offers the models of the key that is chosen', async () => {
    await gateway.post('/api/keys', { role: 'inference', label: 'bound', allowedModels: ['another'] }, key);
    const page = await open();
    const model = page.getByLabel('Model', { exact: true });
    expect(await model.locator('option:enabled').count()).toBeGreaterThan(0);
    await page.getByLabel('Key that pays').selectOption({ label: 'bound: $10.00 a day' });
    expect(await model.locator('option:enabled').count()).toBe(0);
    expect(watched.complaints).toEqual([]);
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
