import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { findChromium, launchBrowser } from '../../support/browser.ts';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';
import { checkPages } from '../../support/page-checks.ts';
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
      await checkPages(browser, gateway.url, { overview: '/console', 'sign-in': '/console/sign-in' }, { cookies });
    },
    PATIENCE_MS,
  );
});
