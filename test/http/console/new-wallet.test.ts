import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startApi, type TestApi } from '../../support/api.ts';
import { authWallet, codeOn } from '../../support/auth-wallet.ts';
import { CookieBrowser } from '../../support/cookie-browser.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startApi({ env: { RATE_LIMIT_RPM: '100000' } });
});
afterAll(() => api.close());

let wallets = 0;
const newWallet = () => authWallet(`signature ${wallets++}`);
const newBrowser = () => new CookieBrowser(api.origin);

describe('a wallet that is new here', () => {
  const REGISTER = '/console/sign-in/wallet/register';
  const SECRET = /pura_[\w-]{43}/;
  const accounts = async () => {
    const { rows } = await api.pool.query<{ count: number }>('select count(*)::integer as count from accounts');
    return rows[0]?.count ?? NaN;
  };
  /** What a press without a second signature shows: a code, which this wallet signs. */
  async function confirm(browser: CookieBrowser, wallet: ReturnType<typeof newWallet>): Promise<void> {
    await wallet.scan(codeOn((await browser.ask(REGISTER, {})).html));
  }
  const show = async (browser: CookieBrowser) => codeOn((await browser.ask('/console/sign-in/wallet', {})).html);

  it('gets an account with a key once it has confirmed: one for all who press at the same time', async () => {
    const [browser, wallet] = [newBrowser(), newWallet()];
    const { cookies } = browser;
    await wallet.scan(await show(browser));
    expect((await browser.ask('/console/sign-in/wallet/claim', {})).html).toContain('Make an account');
    const before = await accounts();
    await confirm(browser, wallet);
    // Each press is as the first: with the cookie of the code alone.
    const presses = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const each = newBrowser();
        for (const [name, value] of cookies) each.cookies.set(name, value);
        return { each, ...(await each.ask(REGISTER, {})) };
      }),
    );
    expect((await accounts()) - before).toBe(1);
    const [made, ...more] = presses.filter(({ html }) => SECRET.test(html));
    expect(more).toEqual([]);
    expect(made?.html).toContain('Your wallet is linked to the new account');
    expect(presses.filter(({ html }) => html.includes('No wallet has confirmed yet'))).toHaveLength(7);
    // A reload makes none; the key, and the wallet in any browser, sign in to the account that there is.
    expect((await made?.each.ask(REGISTER, {}))?.status).toBe(409);
    const byKey = await newBrowser().signIn(SECRET.exec(made?.html ?? '')?.[0] ?? '');
    expect((await byKey.ask('/console/wallets')).html).toContain('Sign-ins by wallet in the last 7 days');
    const byWallet = newBrowser();
    await wallet.scan(await show(byWallet));
    expect((await byWallet.ask('/console/sign-in/wallet/claim', {})).location).toBe('/console');
    expect((await accounts()) - before).toBe(1);
  });

  it('gets one account, from whatever browsers it signed; the others are signed in to it', async () => {
    const wallet = newWallet();
    const browsers = Array.from({ length: 6 }, () => newBrowser());
    for (const browser of browsers) await wallet.scan(await show(browser));
    for (const browser of browsers) await confirm(browser, wallet);
    const before = await accounts();
    const presses = await Promise.all(browsers.map((browser) => browser.ask(REGISTER, {})));
    expect((await accounts()) - before).toBe(1);
    expect(presses.filter(({ html }) => SECRET.test(html))).toHaveLength(1);
    expect(presses.filter(({ location }) => location === '/console')).toHaveLength(5);
  });

  it('gets none without its signature', async () => {
    const browser = newBrowser();
    const before = await accounts();
    expect((await browser.ask(REGISTER, {})).html).toContain('No wallet has confirmed yet');
    await show(browser);
    expect((await browser.ask(REGISTER, {})).html).toContain('No wallet has confirmed yet');
    const other = newBrowser();
    await newWallet().scan(await show(other));
    expect((await browser.ask(REGISTER, {})).html).toContain('No wallet has confirmed yet');
    expect(await accounts()).toBe(before);
  });

  // Another site can show the code of a login and have the wallet's owner sign it: that must not yield a key.
  it.each<[string, (browser: CookieBrowser, wallet: ReturnType<typeof newWallet>) => Promise<unknown>]>([
    ['one signature alone', async () => {}],
    ['two for logins', async (browser, wallet) => wallet.scan(await show(browser))],
    ['another wallet’s second one', (browser) => confirm(browser, newWallet())],
    [
      'a second one that another browser had',
      async (_browser, wallet) => {
        const other = newBrowser();
        await wallet.scan(await show(other));
        await confirm(other, wallet);
      },
    ],
  ])('gets none by %s', async (_what, signs) => {
    const [browser, wallet] = [newBrowser(), newWallet()];
    await wallet.scan(await show(browser));
    await signs(browser, wallet);
    const before = await accounts();
    const { status, html } = await browser.ask(REGISTER, { confirmed: 'yes' });
    expect([status, SECRET.test(html), html.includes('No wallet has confirmed yet')]).toEqual([200, false, true]);
    expect(await accounts()).toBe(before);
  });

  it('is told who can take money out, wherever money comes in, until it has confirmed', async () => {
    const [maker, wallet, browser] = [newBrowser(), newWallet(), newBrowser()];
    await wallet.scan(await show(maker));
    await confirm(maker, wallet);
    const key = SECRET.exec((await maker.ask(REGISTER, {})).html)?.[0] ?? '';
    await wallet.scan(await show(browser));
    await browser.ask('/console/sign-in/wallet/claim', {});
    const said = '1 owner key and 1 linked wallet can take out what is paid in here.';
    const pages = (who: CookieBrowser) =>
      Promise.all(['/console', '/console/top-up', '/console/wallets'].map(async (path) => (await who.ask(path)).html.includes(said)));
    expect(await pages(browser)).toEqual([true, true, true]);
    expect(await pages(maker)).toEqual([false, false, false]);
    expect((await browser.ask('/console/wallets/link', { confirm_key: key })).status).toBe(200);
    expect(await pages(browser)).toEqual([false, false, false]);
  });

  it('gets none above the limit of its address, and is told so', async () => {
    const limited = await startApi({ env: { KEYS_PER_IP_PER_HOUR: '1' } });
    try {
      const browser = new CookieBrowser(limited.origin);
      const wallet = newWallet();
      await limited.newAccount();
      await wallet.scan(await show(browser));
      const { status, html } = await browser.ask(REGISTER, {});
      expect([status, html]).toEqual([429, expect.stringContaining('1 new accounts an hour from one address')]);
      expect(html).toContain('Make an account');
      const { rows } = await limited.pool.query('select from linked_wallets');
      expect(rows).toEqual([]);
    } finally {
      await limited.close();
    }
  });
});

it('a session by wallet makes and changes keys after a second signature alone: another site can have had the first', async () => {
  const [browser, wallet] = [newBrowser(), newWallet()];
  const { secret, accountId } = await api.newAccount();
  const linking = await newBrowser().signIn(secret);
  await wallet.scan(codeOn((await linking.ask('/console/wallets/link', {})).html));
  await linking.ask('/console/wallets/claim', {});
  await wallet.scan(codeOn((await browser.ask('/console/sign-in/wallet', {})).html));
  await browser.ask('/console/sign-in/wallet/claim', {});
  const { keyId } = await api.newKey(secret, { role: 'inference' });
  const keys = async () => {
    const { rows } = await api.pool.query('select id, prefix, label, revoked_at from api_keys where account_id = $1 order by id', [
      accountId,
    ]);
    return rows;
  };
  const acts: [string, Record<string, string>][] = [
    ['', { role: 'inference', label: 'made' }],
    [`/${keyId}`, { label: 'raised', budget: '1000' }],
    [`/${keyId}/successor`, {}],
    [`/${keyId}/rotate`, {}],
    [`/${keyId}/revoke`, {}],
  ];
  for (const [path, form] of acts) {
    const before = await keys();
    const { html } = await browser.ask(`/console/keys${path}`, form);
    expect(html).toContain('Confirm: make or change a key');
    expect(await keys()).toEqual(before);
    await wallet.scan(codeOn(html));
    expect((await browser.ask(`/console/keys${path}`, { ...form, confirm_wallet: 'yes' })).html).not.toContain('Confirm:');
    expect(await keys()).not.toEqual(before);
    await api.pool.query(`update sessions set confirmed_at = now() - interval '16 minutes' where wallet_id is not null`);
  }
});

it('a browser has ten open codes at most', async () => {
  const browser = newBrowser();
  const codes = [];
  for (let i = 0; i < 11; i++) codes.push((await browser.ask('/console/sign-in/wallet', {})).status);
  expect(codes).toEqual([...Array.from({ length: 10 }, () => 200), 429]);
});
