import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { PNG } from 'pngjs';
import { request as rawRequest } from 'undici';
import type { Invoice } from '../../../src/invoices/invoice.ts';
import { findChromium, launchBrowser } from '../../support/browser.ts';
import { ownerOf } from '../../support/funded.ts';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';
import { readQr } from '../../support/read-qr.ts';

const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 1, hasTouch: true };
const DESKTOP = { viewport: { width: 1280, height: 800 } };

let gateway: TestGateway;
let key: TestKey;
let invoice: Invoice;

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(async () => {
  await gateway.close();
});
beforeEach(async () => {
  key = await gateway.newKey();
  invoice = (await gateway.server.funding.fund(await ownerOf(gateway.pool, key), { amountSat: 1234 })).invoice;
});

const pageUrl = (id = invoice.id) => `${gateway.url}/invoice/${id}`;
const pay = () => gateway.pay(invoice.bolt11);
const expire = () => gateway.pool.query(`update invoices set expires_at = now() - interval '1 minute' where id = $1`, [invoice.id]);

/** A terminal's picture of the text: each character two modules high, black on white. */
function drawn(text: string): Buffer {
  const lines = text
    .split('\n')
    .filter(Boolean)
    .map((line) => line.slice(line.indexOf('m') + 1, line.lastIndexOf('\u001b')));
  const [scale, columns] = [3, lines[0]?.length ?? 0];
  const png = new PNG({ width: columns * scale, height: lines.length * 2 * scale });
  for (let y = 0; y < png.height; y++) {
    for (let x = 0; x < png.width; x++) {
      const module = Math.floor(y / scale);
      const character = lines[Math.floor(module / 2)]?.[Math.floor(x / scale)] ?? ' ';
      const black = character === '█' || character === (module % 2 ? '▄' : '▀');
      png.data.fill(black ? 0 : 255, (y * png.width + x) * 4, (y * png.width + x) * 4 + 3);
      png.data[(y * png.width + x) * 4 + 3] = 255;
    }
  }
  return PNG.sync.write(png);
}

describe('the invoice page, as served', () => {
  it('may load nothing from elsewhere, is kept nowhere and found by nobody', async () => {
    const { status, headers } = await fetch(pageUrl());
    expect(status).toBe(200);
    expect(headers.get('content-security-policy')).toMatch(/^default-src 'none';(?!.*(unsafe|https?:|\*))/);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('x-robots-tag')).toContain('noindex');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('shows the payment and nothing of the account', async () => {
    const html = await (await fetch(pageUrl())).text();
    expect(html).toContain('1,234');
    expect(html).toContain('≈ $1.23');
    expect(html).toContain(`lightning:${invoice.bolt11}`);
    for (const secret of [key.accountId, key.id, key.secret, key.secret.slice(0, 12)]) expect(html).not.toContain(secret);
  });

  it.each(['nonsense', '00000000-0000-4000-8000-000000000000', '%3Cscript%3E'])(
    'is a page that says so where there is no invoice: %s',
    async (id) => {
      const answer = await fetch(`${gateway.url}/invoice/${id}`);
      expect([answer.status, answer.headers.get('content-type')]).toEqual([404, 'text/html; charset=utf-8']);
      expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'");
      for (const part of ['qr.svg', 'qr.png', 'qr.txt', 'events'])
        expect((await fetch(`${gateway.url}/invoice/${id}/${part}`)).status).toBe(404);
    },
  );

  it('has the code as an image, as a drawing and for a terminal', async () => {
    const png = await fetch(`${pageUrl()}/qr.png`);
    expect(png.headers.get('content-type')).toBe('image/png');
    expect(png.headers.get('cache-control')).toBe('no-store');
    expect(readQr(Buffer.from(await png.arrayBuffer()))).toBe(`LIGHTNING:${invoice.bolt11.toUpperCase()}`);
    const svg = await fetch(`${pageUrl()}/qr.svg`);
    expect(svg.headers.get('content-type')).toContain('image/svg+xml');
    expect(await svg.text()).toMatch(/^<svg /);
    const text = await fetch(`${pageUrl()}/qr.txt`);
    expect(text.headers.get('content-type')).toContain('text/plain');
    expect(readQr(drawn(await text.text()))).toBe(`LIGHTNING:${invoice.bolt11.toUpperCase()}`);
  });

  it('serves its files so that they can be kept until they change', async () => {
    const html = await (await fetch(pageUrl())).text();
    const files = [...html.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map(([, file]) => file);
    expect(files).toHaveLength(3);
    for (const file of files) {
      const answer = await fetch(gateway.url + file);
      expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'public, max-age=31536000, immutable']);
      const again = await rawRequest(gateway.url + file, { headers: { 'if-none-match': answer.headers.get('etag') ?? '' } });
      expect(again.statusCode).toBe(304);
    }
    expect((await fetch(`${gateway.url}/assets/invoice.eta`)).status).toBe(404);
    expect((await fetch(`${gateway.url}/assets/..%2Fpackage.json`)).status).toBe(404);
  });

  it('tells of the payment in a stream of events that ends with it', async () => {
    const answer = await fetch(`${pageUrl()}/events`);
    expect(answer.headers.get('content-type')).toContain('text/event-stream');
    const paid = pay();
    const events = (await answer.text()).split('\n\n').filter((event) => event.startsWith('event:'));
    await paid;
    expect(events).toEqual([
      'event: status\ndata: {"status":"pending","receivedSats":null}',
      'event: status\ndata: {"status":"paid","receivedSats":1234}',
    ]);
  });

  it('leads back to the console for whoever came from there, also once it was paid', async () => {
    expect(await (await fetch(pageUrl())).text()).not.toContain('/console');
    const html = await (await fetch(`${pageUrl()}?from=console`)).text();
    expect(html).toContain('<a href="/console">Back to the console</a>');
    expect(html).toContain(`action="/invoice/${invoice.id}/pay?from=console"`);
    const paid = await fetch(`${pageUrl()}/pay?from=console`, { method: 'POST', redirect: 'manual' });
    expect(paid.headers.get('location')).toBe(`/invoice/${invoice.id}?from=console`);
  });

  it('warns of the time in the last quarter alone', async () => {
    const soon = async () => (await (await fetch(pageUrl())).text()).includes('class="time soon"');
    expect(await soon()).toBe(false);
    await gateway.pool.query(
      `update invoices set created_at = now() - interval '50 minutes', expires_at = now() + interval '10 minutes' where id = $1`,
      [invoice.id],
    );
    expect(await soon()).toBe(true);
  });

  it('does not pay for another site', async () => {
    const answer = await fetch(`${pageUrl()}/pay`, { method: 'POST', headers: { 'sec-fetch-site': 'cross-site' }, redirect: 'manual' });
    expect(answer.status).toBe(403);
    expect(await gateway.server.funding.peek(invoice.id)).toMatchObject({ status: 'pending' });
  });
});

const inBrowser = findChromium() ? describe : describe.skip;
if (!findChromium()) console.warn('No Chromium found: the invoice page is not tested in a browser. Install one, or set CHROMIUM_PATH.');

inBrowser('the invoice page, in a browser', () => {
  let browser: Browser;
  let context: BrowserContext | undefined;
  let requested: string[];
  let complaints: string[];

  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser.close();
  });
  afterEach(async () => {
    await context?.close();
    // Whatever a test did: the page asked nobody else, and broke no rule of its own.
    expect(requested.filter((url) => new URL(url).origin !== gateway.url)).toEqual([]);
    expect(complaints).toEqual([]);
  });

  async function open(options: BrowserContextOptions = PHONE, prepare?: (page: Page) => Promise<unknown>): Promise<Page> {
    requested = [];
    complaints = [];
    context = await browser.newContext(options);
    const page = await context.newPage();
    page.on('request', (request) => requested.push(request.url()));
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    await prepare?.(page);
    await page.goto(pageUrl());
    return page;
  }

  it.each([
    ['phone, light', { ...PHONE, colorScheme: 'light' }],
    ['phone, dark', { ...PHONE, colorScheme: 'dark' }],
    ['desktop, light', { ...DESKTOP, colorScheme: 'light' }],
    ['desktop, dark', { ...DESKTOP, colorScheme: 'dark' }],
  ] as const)('shows a code that a camera reads, without scrolling: %s', async (_name, options) => {
    const page = await open(options);
    expect(readQr(await page.screenshot())).toBe(`LIGHTNING:${invoice.bolt11.toUpperCase()}`);
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  });

  it('turns to paid by itself within a second of the payment', async () => {
    let listening: Promise<unknown> | undefined;
    const page = await open(PHONE, async (opened) => {
      listening = opened.waitForResponse((response) => response.url().endsWith('/events'));
    });
    await page.getByText('Waiting for payment').waitFor();
    await listening;
    const paidAt = performance.now();
    await pay();
    await page.getByText('Paid ✓', { exact: true }).waitFor();
    expect(performance.now() - paidAt).toBeLessThan(1_000);
    expect(await page.getByText('1,234 sats received').isVisible()).toBe(true);
    expect(await page.locator('.qr').isVisible()).toBe(false);
    expect(await page.title()).toBe('Paid ✓ · Pura');
  });

  it('works without JavaScript: it refreshes, and its button pays', async () => {
    const page = await open({ ...PHONE, javaScriptEnabled: false });
    expect(await page.locator('noscript meta[http-equiv="refresh"]').count()).toBe(1);
    expect(await page.getByRole('button', { name: 'Copy invoice' }).isVisible()).toBe(false);
    expect(await page.locator('#bolt11').inputValue()).toBe(invoice.bolt11);
    await pay();
    await page.getByText('Paid ✓', { exact: true }).waitFor({ timeout: 15_000 });
    await context?.close();

    invoice = (await gateway.server.funding.fund(await ownerOf(gateway.pool, key), { amountSat: 500 })).invoice;
    const second = await open({ ...PHONE, javaScriptEnabled: false });
    await second.getByRole('button', { name: 'Pay (simulated)' }).click();
    await second.getByText('500 sats received').waitFor();
    expect(second.url()).toBe(pageUrl());
  });

  it('pays with play money at a click, with JavaScript too', async () => {
    const page = await open();
    await page.getByRole('button', { name: 'Pay (simulated)' }).click();
    await page.getByText('1,234 sats received').waitFor();
  });

  it('opens a wallet on the device, and copies the invoice', async () => {
    const page = await open({ ...DESKTOP, permissions: ['clipboard-read', 'clipboard-write'] });
    expect(await page.getByRole('link', { name: 'Open in wallet' }).getAttribute('href')).toBe(`lightning:${invoice.bolt11}`);
    await page.getByRole('button', { name: 'Copy invoice' }).click();
    await page.getByText('Copied ✓').waitFor();
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(invoice.bolt11);
  });

  it('can be used by keyboard alone, and says what it is to a screen reader', async () => {
    const page = await open(DESKTOP);
    const reached: (string | null)[] = [];
    for (let step = 0; step < 5; step++) {
      await page.keyboard.press('Tab');
      reached.push(await page.evaluate('document.activeElement.id || document.activeElement.className'));
    }
    expect(reached).toEqual(['qr', 'open', 'copy', 'pay-simulated', 'bolt11']);
    await expect(page.locator('#status').getAttribute('aria-live')).resolves.toBe('polite');
    await expect(page.getByRole('heading', { level: 1 }).innerText()).resolves.toMatch(/1,234\s+sats/);
  });

  it('offers the wallet of the browser only where there is one, and pays with it', async () => {
    const without = await open();
    expect(await without.locator('#pay-webln').isVisible()).toBe(false);
    await context?.close();
    const page = await open(PHONE, (opened) =>
      opened.addInitScript('window.webln = { enable: async () => {}, sendPayment: async (text) => { window.sent = text; } }'),
    );
    await page.locator('#pay-webln').click();
    await page.getByText('Waiting for it to arrive').waitFor();
    expect(await page.evaluate('window.sent')).toBe(invoice.bolt11);
  });

  it('counts the time down, and says that it is over without losing a late payment', async () => {
    await gateway.pool.query(`update invoices set expires_at = now() + interval '2 seconds' where id = $1`, [invoice.id]);
    const page = await open();
    await page.getByText('This invoice has expired').waitFor();
    expect(await page.locator('.qr').isVisible()).toBe(false);
    await pay();
    await page.getByText('Paid ✓', { exact: true }).waitFor();
  });

  it('says that an invoice has expired, and offers no way to pay it', async () => {
    await expire();
    const page = await open();
    await page.getByText('This invoice has expired').waitFor();
    await page.getByText('Do not pay it any more. If you already did, it will be credited when it arrives').waitFor();
    await page.getByText('Ask for a new one where you got this link.').first().waitFor();
    expect(await page.getByRole('button').count()).toBe(0);
    await page.goto(`${page.url()}?from=console`);
    expect(await page.getByRole('link', { name: 'New one' }).getAttribute('href')).toBe('/console/top-up');
  });
});
