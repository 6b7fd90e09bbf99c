import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Writable } from 'node:stream';
import { bech32 } from '@scure/base';
import { pino } from 'pino';
import type { Browser, Page } from 'playwright-core';
import { msat } from '../../../src/amount.ts';
import { satsExact, satsMoved } from '../../../src/http/pages/format.ts';
import { authWallet } from '../../support/auth-wallet.ts';
import { findChromium, launchBrowser } from '../../support/browser.ts';
import { startFakeProvider, type FakeProvider } from '../../support/fake-provider.ts';
import { foreignInvoice } from '../../support/foreign-invoice.ts';
import { startGateway, type TestGateway } from '../../support/gateway.ts';
import { lightningAddressClient } from '../../support/lightning-address-client.ts';
import { DESKTOP, watchedPage, type WatchedPage } from '../../support/page-checks.ts';
import { readQr } from '../../support/read-qr.ts';
import { until } from '../../support/until.ts';

const MODEL = 'pureai/fake';
const COMMENT = 'from a reader, with thanks';
const QUESTIONS = ['first of all, what is a sat?', 'and who pays for it?', 'how much is left of it?'];

const inBrowser = findChromium() ? describe : describe.skip;
if (!findChromium()) console.warn('No Chromium found: the story is not told. Install one, or set CHROMIUM_PATH.');

inBrowser('a person, with a browser and a wallet on the phone beside it', () => {
  let upstream: FakeProvider;
  let gateway: TestGateway;
  let browser: Browser;
  let watched: WatchedPage;
  let page: Page;
  /** The key, and what stands for it or for money later: none may be in an address or in the log. */
  const secrets: string[] = [];
  let key = '';
  const logged: string[] = [];
  const phone = authWallet('the phone beside the screen');

  beforeAll(async () => {
    const stream = new Writable({ write: (chunk, _encoding, done) => (logged.push(String(chunk)), done()) });
    [browser, upstream] = await Promise.all([launchBrowser(), startFakeProvider()]);
    gateway = await startGateway({
      deployments: [upstream.deployment()],
      env: { FREE_TIER_REQUESTS: '1', WITHDRAWALS: 'true', MARKUP_PERCENT: '7' },
      log: pino({ level: 'trace' }, stream),
    });
    // The 402 is part of the story: the browser says so in its console.
    watched = await watchedPage(browser, gateway.url, { ...DESKTOP, colorScheme: 'light' }, { expected: /\b402\b/ });
    page = watched.page;
  });
  afterAll(async () => {
    await browser.close();
    await gateway.close();
    await upstream.close();
  });

  const press = (name: string) => page.getByRole('button', { name, exact: true }).click();
  const goTo = (section: string) => page.getByRole('navigation', { name: 'Console' }).getByRole('link', { name: section }).click();
  const heading = (name: string) => page.getByRole('heading', { level: 1, name }).waitFor();
  const text = () => page.locator('main').innerText();
  const told = async <T>(path: string): Promise<T> =>
    (await (await fetch(gateway.url + path, { headers: { authorization: `Bearer ${key}` } })).json()) as T;
  const charges = async () => {
    const { rows } = await gateway.pool.query<{ id: string; amount: bigint }>(
      `select request_id as id, amount_msat as amount from transfers where kind = 'charge' order by id`,
    );
    return rows;
  };
  const balanceMsat = async () => (await told<{ balanceMsat: number }>('/api/wallet/balance')).balanceMsat;
  const exact = (amount: number) => satsExact(msat(BigInt(amount)));

  /** The phone's camera is held to the code on the screen. */
  async function scan(): Promise<string> {
    const code = page.locator('.qr:visible').last();
    return (await until(async () => readQr(await code.screenshot()))).replace(/^LIGHTNING:/, '');
  }
  const pay = async (invoice: string) => void secrets.push((await gateway.pay(invoice.toLowerCase())).toString('hex'));

  async function makesAKey(): Promise<void> {
    await page.goto(gateway.url);
    await press('Make a key');
    key = await page.getByRole('textbox', { name: 'Key' }).inputValue();
    secrets.push(key);
    await page.getByText('Code with the URL and the key').click();
    expect(await scan()).toBe(`${gateway.url}/v1\n${key}`);
    await page.getByRole('link', { name: 'Done' }).click();
    await heading('Overview');
    await noteCookies();
  }

  async function noteCookies(): Promise<void> {
    secrets.push(...(await watched.context.cookies()).map(({ value }) => value));
  }

  async function chats(): Promise<void> {
    await goTo('Playground');
    await page.getByLabel('Model').selectOption(MODEL);
    const lines = page.locator('.said:not(.mine) .soft');
    const receipts = page.getByRole('link', { name: 'receipt' });
    await asks(0);
    await receipts.first().waitFor();
    expect(await lines.first().innerText()).toMatch(/^free · /);
    expect(await charges()).toEqual([]);
    // No free request is left: the next one shows an invoice in its place, and goes on once that is paid.
    await asks(1);
    await page.getByRole('img', { name: /QR code of an invoice/ }).waitFor();
    await pay(await scan());
    await receipts.nth(1).waitFor();
    await asks(2);
    await receipts.nth(2).waitFor();
    const charged = await charges();
    const shown = (await lines.allInnerTexts()).filter((line) => line.includes('receipt')).map((line) => line.split(' · ')[0]);
    expect(shown).toEqual(['free', ...charged.map(({ amount }) => `${satsExact(msat(amount))} sats`)]);
    expect(charged).toHaveLength(2);
    const links = await receipts.evaluateAll((all) => all.map((link) => link.getAttribute('href')?.split('/').at(-1)));
    expect(links.slice(1)).toEqual(charged.map(({ id }) => id));
    expect(upstream.requests).toHaveLength(QUESTIONS.length);
  }

  async function asks(nth: number): Promise<void> {
    await page.getByLabel('Message').fill(QUESTIONS[nth] ?? '');
    await page.keyboard.press('Enter');
  }

  async function topsUp(): Promise<string> {
    await goTo('Top up');
    const address = await page.locator('#address-text').innerText();
    await page.getByLabel('1,000 sats', { exact: false }).first().check();
    await press('Make an invoice');
    const before = await balanceMsat();
    await pay(await scan());
    await page.getByText('sats received').waitFor();
    expect((await balanceMsat()) - before).toBe(1_000_000);
    await page.getByRole('link', { name: 'Back to the console' }).click();
    return address;
  }

  /** Somebody else's wallet, who was given the address and nothing else. */
  async function isGivenSats(address: string): Promise<void> {
    await heading('Overview');
    await page.locator('html[data-live]').waitFor();
    const client = lightningAddressClient(gateway.url, address.split('@')[0] ?? '');
    await client.fetch();
    const invoice = await client.requestInvoice({ satoshi: 210, comment: COMMENT });
    await pay(invoice.paymentRequest);
    await page.getByText('210 sats arrived.').waitFor();
    expect(await invoice.verifyPayment()).toBe(true);
  }

  it('gets from the landing page to a withdrawal, and every figure is the ledger’s', async () => {
    await makesAKey();
    await chats();
    const address = await topsUp();
    await isGivenSats(address);
    await checksUsage();
    await checksReceipts();
    await checksStatement();
    await linksAWallet();
    await signsInByIt();
    await withdraws();
    await checksStatement();
    expect(await gateway.audit()).toEqual([]);
    expect(watched.complaints).toEqual([]);
    for (const secret of secrets) {
      expect(watched.requested.filter((url) => url.includes(secret))).toEqual([]);
      expect(logged.filter((line) => line.includes(secret))).toEqual([]);
    }
    expect(logged.length).toBeGreaterThan(QUESTIONS.length);
    for (const question of QUESTIONS) expect(logged.join('')).not.toContain(question);
  }, 120_000);

  async function checksUsage(): Promise<void> {
    await goTo('Usage');
    const report = await told<{ totalChargedMsat: number; requestCount: number; perModel: Record<string, { chargedMsat: number }> }>(
      '/api/report',
    );
    const sum = (await charges()).reduce((total, { amount }) => total - amount, 0n);
    expect(BigInt(report.totalChargedMsat)).toBe(sum < 0n ? -sum : sum);
    expect(await page.locator('p.big').innerText()).toBe(`${exact(report.totalChargedMsat)} sats`);
    expect(await text()).toContain(`charged for ${report.requestCount} requests`);
    const [charged] = await page
      .getByRole('table', { name: 'By model' })
      .getByRole('row', { name: MODEL })
      .getByRole('cell')
      .allInnerTexts()
      .then((cells) => cells.slice(4));
    expect(charged).toBe(exact(report.perModel[MODEL]?.chargedMsat ?? NaN));
  }

  async function checksReceipts(): Promise<void> {
    const { requests } = await told<{ requests: { id: string; model: string }[] }>('/api/requests');
    for (const { id } of requests) {
      const receipt = await told<{ chargedMsat: number; costMsat: number; reservedMsat: number }>(`/api/requests/${id}`);
      await goTo('Usage');
      await page.locator(`a[href="/console/requests/${id}"]`).click();
      await heading('Receipt');
      expect(await page.locator('p.big').innerText()).toBe(`${exact(receipt.chargedMsat)} sats charged`);
      const rows = page.getByRole('table', { name: 'From dollars to sats' });
      expect(await rows.getByRole('row', { name: 'Worth in sats' }).getByRole('cell').innerText()).toBe(exact(receipt.costMsat));
      expect(await rows.getByRole('row', { name: 'Reserved before' }).getByRole('cell').innerText()).toBe(exact(receipt.reservedMsat));
    }
  }

  async function checksStatement(): Promise<void> {
    await goTo('Statement');
    const { transactions } = await told<{ transactions: { amountMsat: number; balanceAfterMsat: number; note?: string }[] }>(
      '/api/wallet/transactions',
    );
    const closing = await balanceMsat();
    const rows = await page
      .locator('tbody tr')
      .evaluateAll((all) => all.map((row) => [...row.querySelectorAll('.n')].map((cell) => cell.textContent)));
    expect(rows).toEqual(
      transactions.map(({ amountMsat, balanceAfterMsat }) => [satsMoved(msat(BigInt(amountMsat))), exact(balanceAfterMsat)]),
    );
    expect(transactions.reduce((sum, { amountMsat }) => sum + amountMsat, 0)).toBe(closing);
    expect(await text()).toContain(`Opening balance 0.000, closing balance ${exact(closing)} sats`);
    expect(transactions.map(({ note }) => note)).toContain(COMMENT);
    expect(await text()).toContain(`“${COMMENT}”`);
  }

  async function linksAWallet(): Promise<void> {
    await goTo('Wallets');
    await press('Link a wallet');
    await signs('LINKED');
    await page.getByText('Wallets that may sign in').waitFor();
  }

  /** Scans the code on the page, and confirms in the wallet: the page goes on by itself. */
  async function signs(event: string): Promise<void> {
    const code = await scan();
    secrets.push(phone.signedUrl(code).searchParams.get('k1') ?? '');
    expect(await phone.scan(code)).toEqual({ status: 'OK', event });
  }

  async function signsInByIt(): Promise<void> {
    await goTo('Overview');
    await press('Sign out');
    await heading('Sign in');
    await press('Show a code');
    await signs('LOGGEDIN');
    await heading('Overview');
    await noteCookies();
  }

  async function withdraws(): Promise<void> {
    await goTo('Withdraw');
    await press('Show code');
    // Whoever signed in by a wallet confirms by it once more.
    await heading('Confirm:');
    await signs('AUTHED');
    await heading('Withdraw by a code');
    const { words } = bech32.decode((await scan()).toLowerCase() as `${string}1${string}`, false);
    const asked = (await (await fetch(Buffer.from(bech32.fromWords(words)).toString())).json()) as {
      callback: string;
      k1: string;
      maxWithdrawable: number;
    };
    secrets.push(asked.k1);
    expect(await text()).toContain(`up to ${Math.floor(asked.maxWithdrawable / 1000).toLocaleString('en-US')} sats`);
    const { paymentRequest } = foreignInvoice({ amountMsat: 1_000_000n });
    const answer = await fetch(`${asked.callback}?k1=${asked.k1}&pr=${paymentRequest}`);
    expect(await answer.json()).toEqual({ status: 'OK' });
    await heading('Withdrawn');
    expect(await text()).toContain('1,000.000 sats were paid, with a fee of 1.000 sats.');
  }
});
