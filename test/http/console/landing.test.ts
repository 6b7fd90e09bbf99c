import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import type { Browser, Page } from 'playwright-core';
import { findChromium, launchBrowser } from '../../support/browser.ts';
import { startGateway, type TestGateway } from '../../support/gateway.ts';
import { PHONE, watchedPage } from '../../support/page-checks.ts';
import { readQr } from '../../support/read-qr.ts';
import { withCookies } from '../../support/signed-in.ts';

const SECRET = /pura_[\w-]{43}/;
const HTML = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

let gateway: TestGateway;
const logged: string[] = [];
beforeAll(async () => {
  const stream = new Writable({
    write(chunk, _encoding, done) {
      logged.push(String(chunk));
      done();
    },
  });
  gateway = await startGateway({ log: pino({ level: 'trace' }, stream) });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
});

const start = (form: Record<string, string> = {}, headers: Record<string, string> = {}) =>
  fetch(`${gateway.url}/console/start`, { method: 'POST', redirect: 'manual', headers, body: new URLSearchParams(form) });
const accounts = async () => {
  const { rows } = await gateway.pool.query<{ count: number }>('select count(*)::integer as count from accounts');
  return rows[0]?.count ?? NaN;
};
const secretIn = (html: string) => SECRET.exec(html)?.[0] ?? '';

describe('the landing page', () => {
  it.each([[{}], [{ accept: '*/*' }], [{ accept: 'application/json' }]])('is links for programs: %j', async (headers) => {
    const answer = await fetch(`${gateway.url}/`, { headers });
    expect(answer.headers.get('content-type')).toMatch(/json/);
    expect(answer.headers.get('vary')).toContain('Accept');
    expect(answer.headers.get('cache-control')).toBe('public, max-age=60');
    const { links, simulated } = (await answer.json()) as { links: Record<string, string>; simulated: boolean };
    expect(simulated).toBe(true);
    expect(links['openaiBaseUrl']).toBe(`${gateway.url}/v1`);
    for (const path of ['/.well-known/l402', '/api/status', '/openapi.json']) {
      expect(Object.values(links)).toContain(gateway.url + path);
      expect((await fetch(gateway.url + path)).status).toBe(200);
    }
  });

  it('is a page for browsers, which may be found and kept for a minute', async () => {
    const answer = await fetch(`${gateway.url}/`, { headers: HTML });
    expect(answer.headers.get('vary')).toContain('Accept');
    expect(answer.headers.get('cache-control')).toBe('public, max-age=60');
    expect(answer.headers.get('x-robots-tag')).toBeNull();
    const html = await answer.text();
    expect(html).toContain('Make a key');
    expect(html).toContain(`${gateway.url}/v1/chat/completions`);
    expect(html).toContain('demo, not a real model');
    expect(html).not.toContain('noindex');
  });

  it('lists what the price list of programs has, filtered where asked', async () => {
    const key = await gateway.newKey();
    const { data } = (await (await gateway.get('/v1/pricing/models', key)).json()) as {
      data: { id: string; pricing: { input: number } }[];
    };
    const rows = async (path: string) => {
      const html = await (await fetch(gateway.url + path, { headers: HTML })).text();
      return [...html.matchAll(/<th scope="row"><span class="mono">([^<]+)</g)].map(([, id]) => id);
    };
    expect(await rows('/')).toEqual(data.map(({ id }) => id));
    expect(await rows('/models')).toEqual(data.map(({ id }) => id));
    expect(await rows('/?q=DEMO-cheap')).toEqual(data.map(({ id }) => id).filter((id) => id.includes('demo-cheap')));
    expect(await rows('/?q=%3Cscript%3E')).toEqual([]);
  });
});

describe('a path that is none', () => {
  it.each<[string, string, RegExp]>([
    ['/nowhere', HTML.accept, /text\/html/],
    ['/invoice', HTML.accept, /text\/html/],
    ['/nowhere', '*/*', /json/],
    ['/v1/nowhere', HTML.accept, /json/],
    ['/api/nowhere', HTML.accept, /json/],
  ])('%s is told as it is asked for: %s', async (path, accept, type) => {
    const answer = await fetch(gateway.url + path, { headers: { accept } });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([404, expect.stringMatching(type)]);
    expect((await answer.text()).includes('There is no such page')).toBe(type.test('text/html'));
  });
});

describe('the first key', () => {
  it('comes in one press, with a session, and is shown this once', async () => {
    const answer = await start({ label: ' laptop ' });
    const html = await answer.text();
    const secret = secretIn(html);
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store']);
    expect(answer.headers.get('x-robots-tag')).toContain('noindex');
    expect((await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${secret}` } })).status).toBe(200);
    expect(html).toContain('“laptop”');

    const before = await accounts();
    const { ask } = withCookies(gateway.url, answer.headers);
    const again = await ask('/console/start', { label: 'laptop' });
    expect(again.status).toBe(409);
    expect(again.html).not.toMatch(SECRET);
    expect(again.html).toContain('was made');
    expect(await accounts()).toBe(before);
    expect((await ask('/console')).html).toContain('You can spend');
    expect(logged.join('')).not.toContain(secret);
  });

  it.each([
    ['a label that is too long', { label: 'x'.repeat(201) }, 400, /label/],
    ['control characters', { label: 'a\u0007b' }, 400, /control characters/],
  ])('is refused with what was typed: %s', async (_name, form, status, reason) => {
    const before = await accounts();
    const answer = await start(form);
    const html = await answer.text();
    expect(answer.status).toBe(status);
    expect(html).toMatch(reason);
    expect(html).toContain(form.label);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(await accounts()).toBe(before);
  });

  it.each<Record<string, string>>([{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }])(
    'is made for no other site: %p',
    async (headers) => {
      const before = await accounts();
      expect((await start({}, headers)).status).toBe(403);
      expect(await accounts()).toBe(before);
    },
  );

  it('counts with those of /api/keys: the sixth of an hour is refused, and says when', async () => {
    const limited = await startGateway({ env: { KEYS_PER_IP_PER_HOUR: '5' } });
    try {
      for (let made = 0; made < 2; made++) await limited.newKey();
      const press = () => fetch(`${limited.url}/console/start`, { method: 'POST', body: new URLSearchParams({ label: 'kept' }) });
      for (let made = 0; made < 3; made++) expect((await press()).status).toBe(200);
      const refused = await press();
      const html = await refused.text();
      expect(refused.status).toBe(429);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(3500);
      expect(html).toContain('5 new accounts an hour from one address. Wait 1 h');
      expect(html).toContain('value="kept"');
      expect((await limited.post('/api/keys', {})).status).toBe(429);
    } finally {
      await limited.close();
    }
  });
});

const inBrowser = findChromium() ? describe : describe.skip;
if (!findChromium()) console.warn('No Chromium found: the landing page is not tested in a browser. Install one, or set CHROMIUM_PATH.');

inBrowser('the secret page, in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(() => browser.close());

  const read = async (page: Page, summary: string) => {
    await page.getByText(summary).click();
    return readQr(await page.locator('details[open] .qr').last().screenshot());
  };

  it.each([true, false])('shows the key in one press, and codes that phones read (script: %p)', async (javaScriptEnabled) => {
    const watched = await watchedPage(browser, gateway.url, { ...PHONE, javaScriptEnabled });
    const { page, requested, complaints } = watched;
    await page.goto(gateway.url);
    await page.getByRole('button', { name: 'Make a key' }).click();
    const secret = await page.getByRole('textbox', { name: 'Key' }).inputValue();
    expect(secret).toMatch(SECRET);
    expect(await read(page, 'Code with the URL and the key')).toBe(`${gateway.url}/v1\n${secret}`);
    const app = (await read(page, 'Code for apps that scan')) ?? '';
    expect(app).toMatch(/^ai-provider:v1:/);
    expect(JSON.parse(Buffer.from(app.slice('ai-provider:v1:'.length), 'base64').toString())).toEqual({
      type: 'openai',
      name: 'Pura',
      apiKey: secret,
      baseUrl: `${gateway.url}/v1`,
    });
    await page.getByRole('link', { name: 'Done' }).click();
    expect(page.url()).toBe(`${gateway.url}/console`);
    // Kept nowhere: there is nothing to go back to.
    await page.goBack().catch(() => {});
    await page.waitForLoadState();
    expect(await page.locator('html').innerHTML()).not.toContain(secret);
    expect(requested.join()).not.toContain('pura_');
    expect(complaints.filter((complaint) => !/409|ERR_CACHE_MISS/.test(complaint))).toEqual([]);
    await watched.close();
  });

  it('prints a card with the key, the URL and the label, on one page', async () => {
    const watched = await watchedPage(browser, gateway.url);
    const { page } = watched;
    await page.goto(gateway.url);
    await page.getByLabel('Label').fill('for paper');
    await page.getByRole('button', { name: 'Make a key' }).click();
    const secret = await page.getByRole('textbox', { name: 'Key' }).inputValue();
    await page.emulateMedia({ media: 'print' });
    const seen = (await page.locator('body').innerText()).replaceAll(/\s+/g, ' ');
    for (const text of [secret, `${gateway.url}/v1`, 'for paper']) expect(seen).toContain(text);
    expect(seen).not.toContain('curl');
    const pdf = await page.pdf({ format: 'A4' });
    expect(pdf.toString('latin1').match(/\/Type\s*\/Page\b/g)).toHaveLength(1);
    await watched.close();
  });

  it('asks before it is left where the key was not kept', async () => {
    const watched = await watchedPage(browser, gateway.url);
    const { page } = watched;
    const asked: string[] = [];
    page.on('dialog', (dialog) => {
      asked.push(dialog.type());
      void dialog.accept();
    });
    await page.goto(gateway.url);
    await page.getByRole('button', { name: 'Make a key' }).click();
    await page.getByRole('link', { name: 'Done' }).click();
    await page.waitForURL('**/console');
    expect(asked).toEqual(['beforeunload']);
    await watched.close();
  });
});
