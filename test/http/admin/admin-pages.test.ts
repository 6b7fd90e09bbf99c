import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { msat } from '../../../src/amount.ts';
import { noteOrphan } from '../../../src/invoices/orphans.ts';
import { launchBrowser } from '../../support/browser.ts';
import { foreignInvoice } from '../../support/foreign-invoice.ts';
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
    // What names nothing may be a key that was typed wrongly.
    for (const q of [`pura_${'z'.repeat(30)}`, `ura_${'z'.repeat(43)}`, 'a'.repeat(64), 'x'.repeat(500), '']) {
      const nothing = await client.ask('/admin/accounts', { q });
      expect(nothing.headers.get('location')).toBe('/admin/accounts?found=nothing');
    }
    expect((await client.ask('/admin/accounts?found=nothing')).html).toContain('Nothing has this id');
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

describe('invoices and withdrawals', () => {
  it('are listed, and the node is asked about one when an operator says so', async () => {
    const { invoiceId, paymentRequest } = (await (await gateway.post('/api/wallet/fund', { amount: 700 }, key)).json()) as Record<
      string,
      string
    >;
    const list = await client.ask('/admin/invoices?show=open');
    expect(list.html).toContain(invoiceId);
    await gateway.pay(String(paymentRequest));
    const { status } = await client.act(`/admin/invoices/${invoiceId}/ask`, { reason: 'the payer says so' });
    expect(status).toBe(303);
    expect((await client.ask('/admin/invoices?show=paid')).html).toContain(invoiceId);
    expect((await client.ask('/admin/acts')).html).toContain('status paid');
  });

  it('show what is under way for long', async () => {
    const invoice = foreignInvoice();
    await gateway.post('/api/wallet/withdraw', { paymentRequest: invoice.paymentRequest }, key, { 'idempotency-key': 'one' });
    await until(async () => (await client.ask('/admin/withdrawals')).html.includes('>paid<'));
    expect((await client.ask('/admin/withdrawals')).html).toContain('None is under way.');
  });
});

describe('orphans', () => {
  const note = async (paymentHash: Buffer, bolt11: string) =>
    noteOrphan(gateway.pool, gateway.server.wallet.nodeId, {
      ...{ direction: 'received', paymentHash, amountMsat: msat(10_000n), feeMsat: msat(0n), pending: false },
      ...{ bolt11, description: 'a payment from before', happenedAt: new Date() },
    });

  it('are credited to an account once, with the record, or set aside', async () => {
    const [credited, aside] = [foreignInvoice(), foreignInvoice()];
    for (const { paymentHash, paymentRequest } of [credited, aside]) await note(paymentHash, paymentRequest);
    const path = ({ paymentHash }: { paymentHash: Buffer }) => `/admin/orphans/received/${paymentHash.toString('hex')}`;
    expect((await client.ask('/admin/orphans')).html).toContain(credited.paymentHash.toString('hex').slice(0, 16));
    const wrong = await client.act(`${path(credited)}/assign`, { reason: 'it is theirs', account: 'nobody' });
    expect([wrong.status, wrong.html.includes('not the id of an account')]).toEqual([400, true]);
    const forms = await Promise.all(
      Array.from({ length: 6 }, () => client.act(`${path(credited)}/assign`, { reason: 'it is theirs', account: key.accountId })),
    );
    expect(forms.filter(({ status }) => status === 303)).toHaveLength(1);
    expect((await client.act(`${path(aside)}/dismiss`, { reason: 'it is ours' })).status).toBe(303);
    expect((await client.ask('/admin/orphans')).html).toContain('The ledger knows all');
    const { rows } = await gateway.pool.query(`select act from admin_acts where subject_kind = 'orphan' order by seq`);
    expect(rows).toEqual([{ act: 'credit_orphan' }, { act: 'dismiss_orphan' }]);
    expect(await gateway.audit()).toEqual([]);
  });
});

describe('providers', () => {
  it('are asked for nothing while they are off, in every gateway and over restarts', async () => {
    const other = await startGateway({ database: gateway.database });
    try {
      await client.act('/admin/providers/demo/off', { reason: 'their prices are wrong' });
      expect((await gateway.post('/v1/chat/completions', CHAT, key)).status).toBe(503);
      await until(async () => (await other.post('/v1/chat/completions', CHAT, key)).status === 503);
      const third = await startGateway({ database: gateway.database });
      expect((await third.post('/v1/chat/completions', CHAT, key)).status).toBe(503);
      await third.close();
      expect((await client.ask('/admin/providers')).html).toContain('>off<');
    } finally {
      await client.act('/admin/providers/demo/on', { reason: 'they are right again' });
      await until(async () => (await other.post('/v1/chat/completions', CHAT, key)).ok);
      await other.close();
    }
    expect((await gateway.post('/v1/chat/completions', CHAT, key)).status).toBe(200);
    expect((await client.ask('/admin/providers/nobody/off')).status).toBe(404);
  });
});

describe('the audit', () => {
  /** The page once no audit is running any more: its result is there a moment before. */
  const whenAudited = () =>
    until(async () => {
      const { html } = await client.ask('/admin/audit');
      return !html.includes('is running') && html;
    });

  it('is run when an operator says so, and its result is kept', async () => {
    expect((await client.act('/admin/audit/run', { reason: 'before the upgrade' })).status).toBe(303);
    const html = await whenAudited();
    for (const text of ['the whole history', '>admin<', 'sound']) expect(html).toContain(text);
  });

  it('shows what breaks a rule, and whose it is', async () => {
    await gateway.pool.query('update accounts set free_used = free_used + 1 where id = $1', [key.accountId]);
    try {
      expect((await client.act('/admin/audit/run', { reason: 'something is odd' })).status).toBe(303);
      const html = await whenAudited();
      expect(html).toContain('violations.');
      expect(html).toContain('free requests used are the pending and posted free holds');
      expect(html).toContain(`q=${key.accountId}`);
    } finally {
      await gateway.pool.query('update accounts set free_used = free_used - 1 where id = $1', [key.accountId]);
      await client.act('/admin/audit/run', { reason: 'is it mended' });
      await whenAudited();
    }
  });
});

describe('the system', () => {
  it('tells versions, gateways and configuration, and the value of no secret', async () => {
    const { html } = await client.ask('/admin/system');
    for (const text of ['SECRET_KEY', 'ADMIN_TOKEN', 'simulated on simulated']) expect(html).toContain(text);
    expect(html).toMatch(/the newest \d{4}_\w+\.sql/);
    expect(html).not.toContain(TOKEN);
  });

  it('sets the log level, and gives it back', async () => {
    await client.act('/admin/system/log-level', { reason: 'to see more', level: 'debug' });
    expect((await client.ask('/admin/system')).html).toContain('>debug<');
    await client.act('/admin/system/log-level', { reason: 'seen enough', level: 'as configured' });
    expect((await client.ask('/admin/system')).html).not.toContain('>debug<');
    expect((await client.act('/admin/system/log-level', { reason: 'a typing error', level: 'loud' })).status).toBe(400);
  });
});

it('the free tier tells what is left of the day, and who took it', async () => {
  const { html } = await client.ask('/admin/free-tier');
  expect(html).toContain('of $100.00');
  expect(html).toContain(key.accountId);
});

it('every page is fit to be seen, on a phone and a desktop, in light and dark', async () => {
  const [name = '', value = ''] = client.cookie?.split('=') ?? [];
  const pages = {
    money: '/admin',
    account: ofAccount(),
    adjust: ofAccount('/adjust'),
    providers: '/admin/providers',
    'free-tier': '/admin/free-tier',
    invoices: '/admin/invoices?show=paid',
    withdrawals: '/admin/withdrawals',
    orphans: '/admin/orphans',
    audit: '/admin/audit',
    system: '/admin/system',
    acts: '/admin/acts',
  };
  await checkPages(browser, gateway.url, pages, { cookies: [{ name, value }] });
  await checkPages(browser, gateway.url, { 'sign-in': '/admin/sign-in' });
});
