import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { tellAccountChanged } from '../../../src/accounts/account-changes.ts';
import { createNotifications, type Notifications } from '../../../src/db/notify.ts';
import { findChromium, launchBrowser } from '../../support/browser.ts';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';
import { watchedPage } from '../../support/page-checks.ts';
import { signedIn } from '../../support/signed-in.ts';
import { until } from '../../support/until.ts';

let gateway: TestGateway;
let notifications: Notifications;
beforeAll(async () => {
  gateway = await startGateway();
  notifications = createNotifications(gateway.database.connectionString);
  await until(() => notifications.connected);
});
afterAll(async () => {
  await notifications.close();
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
});

/** A reader of `/console/events`. */
class Reader {
  readonly events: { name: string; data: Record<string, unknown> }[] = [];
  hasEnded = false;
  readonly #leaving = new AbortController();

  static async open(secret: string): Promise<Reader> {
    const { cookies } = await signedIn(gateway.url, secret);
    const reader = new Reader();
    await reader.#listen(cookies.map(({ name, value }) => `${name}=${value}`).join('; '));
    return reader;
  }

  names(): string[] {
    return this.events.map(({ name }) => name);
  }

  leave(): void {
    this.#leaving.abort();
  }

  async #listen(cookie: string): Promise<void> {
    const answer = await fetch(`${gateway.url}/console/events`, { headers: { cookie }, redirect: 'manual', signal: this.#leaving.signal });
    if (answer.status !== 200 || !answer.body) throw new Error(String(answer.status));
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    void this.#read(answer.body).catch(() => {});
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    let text = '';
    const decoder = new TextDecoder();
    for await (const piece of body) {
      text += decoder.decode(piece, { stream: true });
      const whole = text.split('\n\n');
      text = whole.pop() ?? '';
      for (const event of whole) {
        const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(event) ?? [];
        if (name !== undefined && data !== undefined) this.events.push({ name, data: JSON.parse(data) as Record<string, unknown> });
      }
    }
    this.hasEnded = true;
  }
}

const readers: Reader[] = [];
afterEach(() => readers.splice(0).forEach((reader) => reader.leave()));

async function reading(secret: string): Promise<Reader> {
  const reader = await Reader.open(secret);
  readers.push(reader);
  await until(() => reader.events.length > 0);
  return reader;
}

/** Another key of the account, which may only ask. */
async function askingKey(owner: TestKey): Promise<string> {
  const answer = await gateway.post('/api/keys', { role: 'inference' }, owner);
  return ((await answer.json()) as { key: string }).key;
}

const autopay = (accountId: string) =>
  gateway.pool.query(
    `insert into autopay (account_id, connection, relay_hosts, threshold_sat, topup_sat, daily_limit_sat) values ($1, 'x', '{relay}', 1, 100, 100)`,
    [accountId],
  );

describe('/console/events', () => {
  it('tells the balance, and what is paid in as it comes, to no other account', async () => {
    const [key, other] = [await gateway.newKey(), await gateway.newKey()];
    const [reader, stranger] = [await reading(key.secret), await reading(other.secret)];
    await gateway.fund(key, 1_000);
    await until(() => reader.events.length >= 3);
    expect(reader.events).toEqual([
      { name: 'balance', data: { availableSats: 0 } },
      { name: 'balance', data: { availableSats: 1_000 } },
      { name: 'invoice', data: { invoiceId: expect.any(String), status: 'paid', receivedSats: 1_000 } },
    ]);
    expect(stranger.names()).toEqual(['balance']);
  });

  it('tells owners of withdrawals and autopay, and other keys nothing of them', async () => {
    const key = await gateway.newKey();
    await gateway.fund(key, 1_000);
    const [owner, asking] = [await reading(key.secret), await reading(await askingKey(key))];
    await autopay(key.accountId);
    await tellAccountChanged(notifications, key.accountId);
    await until(() => owner.events.length >= 2);
    expect(owner.events[1]).toEqual({ name: 'autopay', data: { state: 'on' } });
    await gateway.fund(key, 500);
    await until(() => asking.names().includes('invoice'));
    expect(asking.names()).toEqual(['balance', 'balance', 'invoice']);
  });

  it('ends with the session', async () => {
    const key = await gateway.newKey();
    const secret = await askingKey(key);
    const [reader, owner] = [await reading(secret), await reading(key.secret)];
    await gateway.pool.query(`update api_keys set revoked_at = now() where account_id = $1 and role = 'inference'`, [key.accountId]);
    await tellAccountChanged(notifications, key.accountId);
    await until(() => reader.hasEnded);
    expect(owner.hasEnded).toBe(false);
  });

  it('is bounded for each account, and a reader who leaves makes room', async () => {
    const [key, other] = [await gateway.newKey(), await gateway.newKey()];
    const open: Reader[] = [];
    for (let count = 0; count < 10; count++) open.push(await reading(key.secret));
    await expect(reading(key.secret)).rejects.toThrow('503');
    await reading(other.secret);
    open[0]?.leave();
    await until(() =>
      reading(key.secret).then(
        () => true,
        () => false,
      ),
    );
  });

  it('is for people who are signed in', async () => {
    const answer = await fetch(`${gateway.url}/console/events`, { redirect: 'manual' });
    expect([answer.status, answer.headers.get('location')]).toEqual([303, '/console/sign-in?next=%2Fconsole%2Fevents']);
  });
});

const inBrowser = findChromium() ? describe : describe.skip;

inBrowser('the overview, live', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(() => browser.close());

  it('shows a payment by itself, and says so once', async () => {
    const key = await gateway.newKey();
    const { cookies } = await signedIn(gateway.url, key.secret);
    const watched = await watchedPage(browser, gateway.url);
    await watched.context.addCookies(cookies.map((cookie) => ({ ...cookie, url: gateway.url })));
    const { page } = watched;
    page.setDefaultTimeout(10_000);
    await page.goto(`${gateway.url}/console`);
    await page.locator('#corner', { hasText: '0 sats' }).waitFor();
    await until(() => watched.requested.includes('/console/events'));
    await page.locator('html[data-live]').waitFor();
    await gateway.fund(key, 2_100);
    await page.locator('.live', { hasText: '2,100 sats arrived.' }).waitFor();
    expect(await page.locator('#corner').textContent()).toBe('2,100 sats');
    await page.locator('#available', { hasText: '2,100 sats' }).waitFor();
    expect(watched.complaints).toEqual([]);
    await watched.close();
  });
});
