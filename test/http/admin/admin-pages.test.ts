import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { launchBrowser } from '../../support/browser.ts';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';
import { OperatorClient } from '../../support/operator-client.ts';
import { checkPages } from '../../support/page-checks.ts';
import { until } from '../../support/until.ts';

const TOKEN = 'a-token-of-the-operator';
const CHAT = { model: 'demo-cheap', max_tokens: 5, messages: [{ role: 'user', content: 'hi' }] };

let gateway: TestGateway;
let browser: Browser;
let client: OperatorClient;
let key: TestKey;
beforeAll(async () => {
  gateway = await startGateway({ env: { ADMIN_TOKEN: TOKEN, WITHDRAWALS: 'true', FREE_TIER_REQUESTS: '1' } });
  browser = await launchBrowser();
  client = new OperatorClient(gateway.url);
  await client.signIn({ token: TOKEN });
  key = await gateway.newKey({ label: 'laptop' });
  await gateway.fund(key, 2000);
  for (let i = 0; i < 3; i++) await (await gateway.post('/v1/chat/completions', CHAT, key)).text();
});
afterAll(async () => {
  await browser.close();
  await gateway.close();
});

const ofAccount = (path = '') => `/admin/accounts/${key.accountId}${path}`;

describe('money', () => {
  it('says what is owed, what the node can pay, and that the ledger adds up', async () => {
    const { rows } = await gateway.pool.query<{ owed: bigint }>('select sum(posted_msat)::bigint as owed from accounts');
    const owed = rows[0]?.owed ?? 0n;
    const { html } = await client.ask('/admin');
    expect(html).toContain('The ledger adds up ✓');
    expect(html).toMatch(
      new RegExp(
        `2,000\\.000 in − [\\d.]+ spent − 0\\.000 paid out \\+ 0\\.000 adjusted = ${(owed / 1000n).toLocaleString('en-US')}\\.${String(owed % 1000n).padStart(3, '0')} owed`,
      ),
    );
    expect(html).toContain('of what is owed');
  });

  it('says so where the ledger does not add up', async () => {
    await gateway.pool.query('update accounts set posted_msat = posted_msat + 5 where id = $1', [key.accountId]);
    try {
      const { html } = await client.ask('/admin');
      expect(html).toContain('The ledger does not add up');
      expect(html).toContain('href="/admin/audit"');
    } finally {
      await gateway.pool.query('update accounts set posted_msat = posted_msat - 5 where id = $1', [key.accountId]);
    }
  });
});

describe('accounts', () => {
  it('are found by whatever names them, and no key stands in an address', async () => {
    const { rows } = await gateway.pool.query<{ invoice: string; hash: string; request: string }>(
      `select i.id as invoice, encode(payment_hash, 'hex') as hash, (select id from requests where account_id = $1 limit 1) as request
       from invoices i where account_id = $1 and state = 'paid'`,
      [key.accountId],
    );
    const [found] = rows;
    for (const q of [key.accountId, key.id, key.secret, key.secret.slice(0, 11), found?.invoice, found?.hash, found?.request]) {
      const { status, headers } = await client.ask('/admin/accounts', { q: ` ${q} ` });
      expect([q, status, headers.get('location')]).toEqual([q, 303, ofAccount()]);
    }
    const nothing = await client.ask('/admin/accounts', { q: `pura_${'z'.repeat(30)}` });
    expect(nothing.headers.get('location')).toBe('/admin/accounts?q=pura_zzzzzz');
    expect((await client.ask('/admin/accounts?q=pura_zzzzzz')).html).toContain('Nothing has this id');
  });

  it('come 50 a page', async () => {
    await gateway.pool.query(`insert into accounts (id, answer_salt) select gen_random_uuid(), '\\x00' from generate_series(1, 60)`);
    const seen = new Set<string>();
    for (let path: string | undefined = '/admin/accounts'; path !== undefined;) {
      const { html }: { html: string } = await client.ask(path);
      const ids = [...html.matchAll(/href="\/admin\/accounts\/([0-9a-f-]{36})"/g)].map(([, id]) => String(id));
      expect(ids.length).toBeLessThanOrEqual(50);
      for (const id of ids) seen.add(id);
      path = /href="([^"]*cursor=[^"]*)"/.exec(html)?.[1]?.replaceAll('&amp;', '&');
    }
    const { rows } = await gateway.pool.query<{ count: bigint }>('select count(*) from accounts');
    expect(BigInt(seen.size)).toBe(rows[0]?.count);
  });

  it.each(['/admin/accounts/nobody', '/admin/accounts/00000000-0000-4000-8000-000000000000', '/admin/nowhere'])(
    '%s is not there',
    async (path) => {
      const { status, html } = await client.ask(path);
      expect([status, html.includes('class="problem"')]).toEqual([404, true]);
    },
  );

  it('show no secret', async () => {
    const { html } = await client.ask(ofAccount());
    expect(html).toContain('laptop');
    expect(html).not.toContain(key.secret);
  });
});

describe('acts', () => {
  it('freeze, and let go on again', async () => {
    const { status, headers } = await client.act(ofAccount('/freeze'), { reason: 'looks stolen' });
    expect(status).toBe(303);
    expect((await client.ask(headers.get('location') ?? '')).html).toContain('The account is frozen. It is on record.');
    expect((await gateway.post('/v1/chat/completions', CHAT, key)).status).toBe(403);
    await client.act(ofAccount('/unfreeze'), { reason: 'it was not' });
    await until(async () => (await gateway.post('/v1/chat/completions', CHAT, key)).ok);
  });

  it('adjust, once they have shown what comes of it', async () => {
    const balance = async () =>
      (await gateway.pool.query<{ posted_msat: bigint }>('select posted_msat from accounts where id = $1', [key.accountId])).rows[0]
        ?.posted_msat ?? 0n;
    const before = await balance();
    const page = await client.ask(ofAccount('/adjust'));
    const form = { act_id: /name="act_id" value="([^"]*)"/.exec(page.html)?.[1] ?? '', change: '-100.5', reason: 'charged in error' };
    const preview = await client.ask(ofAccount('/adjust'), form);
    expect([preview.status, preview.html.includes('−100.500 sats')]).toEqual([200, true]);
    expect(await balance()).toBe(before);
    for (let times = 0; times < 2; times++)
      expect((await client.ask(ofAccount('/adjust'), { ...form, confirmed: 'yes' })).status).toBe(303);
    expect(await balance()).toBe(before - 100_500n);
  });

  it.each([
    ['/adjust', { change: '-9999999', reason: 'too much of it' }, 'more than can be taken now'],
    ['/adjust', { change: 'all', reason: 'what is that' }, 'Write the change in sats'],
    ['/adjust', { change: '0', reason: 'nothing at all', confirmed: 'yes' }, 'not nothing'],
    ['/freeze', { reason: ' ' }, 'Say why'],
  ])('%s with %j stay where they are, and say why', async (path, fields, message) => {
    const { status, html } = await client.act(ofAccount(path), fields);
    expect([status, html.includes(message)]).toEqual([400, true]);
    expect(html).toContain('data-focus');
  });

  it('are all on record, as a page and as CSV', async () => {
    await client.act(ofAccount('/freeze'), { reason: '=1+1' });
    await client.act(ofAccount('/unfreeze'), { reason: 'said "no", twice' });
    const { html } = await client.ask('/admin/acts');
    expect(html).toContain('looks stolen');
    const { html: csv, headers } = await client.ask('/admin/acts.csv');
    expect(headers.get('content-type')).toBe('text/csv; charset=utf-8');
    const lines = csv.trim().split('\r\n');
    const { rows } = await gateway.pool.query<{ count: bigint }>('select count(*) from admin_acts');
    expect(BigInt(lines.length - 1)).toBe(rows[0]?.count);
    expect(csv).toContain(`"'=1+1"`);
    expect(csv).toContain('"said ""no"", twice"');
  });

  it('leave the ledger sound', async () => {
    expect(await gateway.audit()).toEqual([]);
  });
});

it('every page is fit to be seen, on a phone and a desktop, in light and dark', async () => {
  const [name = '', value = ''] = client.cookie?.split('=') ?? [];
  const pages = {
    money: '/admin',
    accounts: '/admin/accounts',
    account: ofAccount(),
    adjust: ofAccount('/adjust'),
    acts: '/admin/acts',
  };
  await checkPages(browser, gateway.url, pages, { cookies: [{ name, value }] });
  await checkPages(browser, gateway.url, { 'sign-in': '/admin/sign-in' });
}, 120_000);
