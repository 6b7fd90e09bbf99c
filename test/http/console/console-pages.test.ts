import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { findChromium, launchBrowser } from '../../support/browser.ts';
import { ownerOf } from '../../support/funded.ts';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';
import { authWallet, codeOn } from '../../support/auth-wallet.ts';
import { checkPage, checkPages, LOOKS, takePicture, watchedPage } from '../../support/page-checks.ts';
import { signedIn } from '../../support/signed-in.ts';

const inBrowser = findChromium() ? describe : describe.skip;
if (!findChromium()) console.warn('No Chromium found: the console is not tested in a browser. Install one, or set CHROMIUM_PATH.');

/** Axe alone takes a second a page. */
const PATIENCE_MS = 120_000;

inBrowser('every page of the console', () => {
  let gateway: TestGateway;
  let browser: Browser;
  let key: TestKey;

  beforeAll(async () => {
    gateway = await startGateway();
    browser = await launchBrowser();
    key = await gateway.newKey({ label: 'laptop' });
  });
  afterAll(async () => {
    await browser.close();
    expect(await gateway.audit()).toEqual([]);
    await gateway.close();
  });

  it(
    'is for everybody, without a session too',
    async () => {
      await checkPages(browser, gateway.url, { landing: '/', 'landing-filtered': '/?q=cheap', models: '/models' }, { sameTitles: true });
    },
    PATIENCE_MS,
  );

  it(
    'is for everybody: by eye, ear and keyboard, in all sizes and colours',
    async () => {
      const { cookies } = await signedIn(gateway.url, key.secret);
      const pages = { newcomer: '/console', 'sign-in': '/console/sign-in', 'new-key': '/console/keys/new', 'top-up': '/console/top-up' };
      await checkPages(browser, gateway.url, pages, { cookies });
    },
    PATIENCE_MS,
  );

  it.each(LOOKS.filter(({ checked }) => checked))(
    'is for everybody where a form leads to it: $name',
    async ({ name, options }) => {
      const { page, context, complaints, close } = await watchedPage(browser, gateway.url, options, { expected: /\b404\b/ });
      const press = (label: string) => page.getByRole('button', { name: label, exact: true }).click();
      await page.goto(gateway.url);
      await press('Make a key');
      await page.getByRole('heading', { name: 'Your key' }).waitFor();
      await checkPage(page);
      await context.clearCookies();
      const { cookies } = await signedIn(gateway.url, key.secret);
      await context.addCookies(cookies.map((cookie) => ({ ...cookie, url: gateway.url })));
      await gateway.pool.query(`update sessions set confirmed_at = now() - interval '1 hour'`);
      await page.goto(`${gateway.url}/console/keys/new`);
      await page.getByLabel('Owner').check();
      await press('Make the key');
      await page.getByRole('heading', { level: 1, name: 'Confirm' }).waitFor();
      await takePicture(page, `confirm-${name}`);
      await checkPage(page);
      await context.clearCookies();
      await page.goto(`${gateway.url}/console/sign-in`);
      await page.getByRole('textbox', { name: 'Key' }).fill('pura_typed');
      await press('Show the key');
      expect(await page.getByRole('textbox', { name: 'Key' }).getAttribute('type')).toBe('text');
      await press('Show a code');
      await authWallet(name).scan(codeOn(await page.content()));
      await page.getByRole('heading', { level: 1, name: 'This wallet is new here' }).waitFor();
      await takePicture(page, `new-wallet-${name}`);
      await checkPage(page);
      expect(complaints).toEqual([]);
      await close();
    },
    PATIENCE_MS,
  );

  it(
    'is for everybody where there is much to be shown',
    async () => {
      await gateway.post('/api/keys', { label: 'a bot with a rather long name, as they are given', dailyBudgetUsd: 1 }, key);
      await gateway.fund(key, 12_480);
      await gateway.server.funding.fund(await ownerOf(gateway.pool, key), { amountSat: 5_000 });
      for (const model of ['demo-cheap', 'demo-mid', 'demo-premium', 'auto']) {
        await (
          await gateway.post('/v1/chat/completions', { model, messages: [{ role: 'user', content: 'Tell me a story.' }] }, key)
        ).text();
      }
      const { cookies } = await signedIn(gateway.url, key.secret);
      const of = (path = '') => `/console/keys/${key.id}${path}`;
      const pages = {
        overview: '/console?period=24h',
        keys: '/console/keys',
        key: of(),
        successor: of('/successor'),
        rotate: of('/rotate'),
        revoke: of('/revoke'),
        'top-up-open': '/console/top-up',
      };
      await checkPages(browser, gateway.url, pages, { cookies });
    },
    PATIENCE_MS,
  );
});
