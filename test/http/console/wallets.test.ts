import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startApi, type TestApi } from '../../support/api.ts';
import { authWallet, codeOn } from '../../support/auth-wallet.ts';
import { CookieBrowser } from '../../support/cookie-browser.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startApi({ env: { RATE_LIMIT_RPM: '100000' } });
});
afterAll(() => api.close());

const ACTIONS = '/console/wallets';
let wallets = 0;
const newBrowser = () => new CookieBrowser(api.origin);
const newWallet = () => authWallet(`signature ${wallets++}`);

/** An account with a linked wallet. */
async function linked() {
  const { secret, accountId } = await api.newAccount();
  const wallet = newWallet();
  const browser = await newBrowser().signIn(secret);
  await wallet.scan(codeOn((await browser.ask(`${ACTIONS}/link`, {})).html));
  expect(await browser.ask(`${ACTIONS}/claim`, {})).toMatchObject({ status: 303, location: `${ACTIONS}?done=linked` });
  return { secret, accountId, wallet, browser };
}

/** Another browser that has signed in with the wallet. */
async function signedInWith(wallet: ReturnType<typeof newWallet>): Promise<CookieBrowser> {
  const browser = newBrowser();
  await wallet.scan(codeOn((await browser.ask('/console/sign-in/wallet', {})).html));
  expect(await browser.ask('/console/sign-in/wallet/claim', {})).toMatchObject({ status: 303, location: '/console' });
  return browser;
}

/** What a browser that shows a code to sign in with is told. */
function eventsOf({ cookies }: CookieBrowser): Promise<Response> {
  const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  return fetch(`${api.origin}/console/sign-in/wallet/events?action=login`, { headers: { cookie } });
}

/** The first piece of a stream, which is left then. */
async function firstOf({ body }: Response): Promise<string> {
  const reader = body?.getReader();
  const piece = await reader?.read();
  await reader?.cancel();
  return new TextDecoder().decode(piece?.value);
}

/** Sets the clock of an account's proofs back. */
async function letGoStale(accountId: string): Promise<void> {
  await api.pool.query(`update sessions set confirmed_at = now() - interval '16 minutes' where account_id = $1`, [accountId]);
}

describe('a linked wallet', () => {
  it('signs in from any browser, as an owner of the account', async () => {
    const { wallet, accountId } = await linked();
    const browser = await signedInWith(wallet);
    expect(await browser.isSignedIn()).toBe(true);
    const { html } = await browser.ask(ACTIONS);
    expect(html).toContain('Sign-ins by wallet in the last 7 days');
    expect(html).toContain('127.0.0.0/24');
    const { rows } = await api.pool.query('select from sessions where account_id = $1 and wallet_id is not null', [accountId]);
    expect(rows).toHaveLength(1);
  });

  it('may tell more than once, also at the same time: the page is claimed once', async () => {
    const { wallet } = await linked();
    const browser = newBrowser();
    const code = codeOn((await browser.ask('/console/sign-in/wallet', {})).html);
    const answers = await Promise.all(Array.from({ length: 8 }, () => wallet.scan(code)));
    expect(answers).toEqual(Array.from({ length: 8 }, () => ({ status: 'OK', event: 'LOGGEDIN' })));
    const claims = await Promise.all(Array.from({ length: 8 }, () => browser.ask('/console/sign-in/wallet/claim', {})));
    expect(claims.filter(({ location }) => location === '/console')).toHaveLength(1);
    expect(claims.filter(({ html }) => html.includes('No wallet has confirmed yet'))).toHaveLength(7);
  });

  it('lets nobody in but the browser that showed the code', async () => {
    const { wallet } = await linked();
    const [shown, other] = [newBrowser(), newBrowser()];
    await other.ask('/console/sign-in/wallet', {});
    await wallet.scan(codeOn((await shown.ask('/console/sign-in/wallet', {})).html));
    expect((await other.ask('/console/sign-in/wallet/claim', {})).html).toContain('No wallet has confirmed yet');
    expect((await newBrowser().ask('/console/sign-in/wallet/claim', {})).html).toContain('No wallet has confirmed yet');
    expect((await shown.ask('/console/sign-in/wallet/claim', {})).location).toBe('/console');
  });

  it('that is linked to nobody signs in to nothing, and the page says what to do', async () => {
    const browser = newBrowser();
    await newWallet().scan(codeOn((await browser.ask('/console/sign-in/wallet', {})).html));
    const { status, html } = await browser.ask('/console/sign-in/wallet/claim', {});
    expect(status).toBe(404);
    expect(html).toContain('linked to no account');
    expect(await browser.isSignedIn()).toBe(false);
    // Another wallet can be tried: its page does not go on by itself for the signature of before.
    await browser.ask('/console/sign-in/wallet', {});
    expect(await firstOf(await eventsOf(browser))).toBe(': ping\n\n');
  });

  it('belongs to one account', async () => {
    const { wallet } = await linked();
    const { secret } = await api.newAccount();
    const browser = await newBrowser().signIn(secret);
    await wallet.scan(codeOn((await browser.ask(`${ACTIONS}/link`, {})).html));
    const { status, html } = await browser.ask(`${ACTIONS}/claim`, {});
    expect(status).toBe(403);
    expect(html).toContain('linked to another account');
  });

  it('is linked once, however many ask at the same time', async () => {
    const wallet = newWallet();
    const browsers = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const { secret } = await api.newAccount();
        const browser = await newBrowser().signIn(secret);
        await wallet.scan(codeOn((await browser.ask(`${ACTIONS}/link`, {})).html));
        return browser;
      }),
    );
    const claims = await Promise.all(browsers.map((browser) => browser.ask(`${ACTIONS}/claim`, {})));
    expect(claims.filter(({ status }) => status === 303)).toHaveLength(1);
    expect(claims.filter(({ status }) => status === 403)).toHaveLength(5);
  });

  it('is named by its owner, as text', async () => {
    const { browser, accountId } = await linked();
    const { rows } = await api.pool.query<{ id: string }>('select id from linked_wallets where account_id = $1', [accountId]);
    const id = rows[0]?.id ?? '';
    expect((await browser.ask(`${ACTIONS}/${id}/rename`, { name: '<b>phone</b>' })).status).toBe(303);
    expect((await browser.ask(ACTIONS)).html).toContain('&lt;b&gt;phone&lt;/b&gt;');
    expect((await browser.ask(`${ACTIONS}/${id}/rename`, { name: 'x'.repeat(61) })).status).toBe(400);
    const { secret } = await api.newAccount();
    const stranger = await newBrowser().signIn(secret);
    expect((await stranger.ask(`${ACTIONS}/${id}/rename`, { name: 'mine' })).status).toBe(404);
    expect((await stranger.ask(`${ACTIONS}/${id}/unlink`, {})).status).toBe(404);
  });

  it('is unlinked by an owner key alone, and its sessions end', async () => {
    const { browser, wallet, accountId, secret } = await linked();
    const other = await signedInWith(wallet);
    const { rows } = await api.pool.query<{ id: string }>('select id from linked_wallets where account_id = $1', [accountId]);
    const id = rows[0]?.id ?? '';
    expect((await other.ask(`${ACTIONS}/${id}/unlink`, { confirm_key: secret })).status).toBe(403);
    expect((await browser.ask(`${ACTIONS}/${id}/unlink`)).html).toContain('It is the only linked wallet');
    expect((await browser.ask(`${ACTIONS}/${id}/unlink`, {})).location).toBe(`${ACTIONS}?done=unlinked`);
    expect(await other.isSignedIn()).toBe(false);
    const again = newBrowser();
    await wallet.scan(codeOn((await again.ask('/console/sign-in/wallet', {})).html));
    expect((await again.ask('/console/sign-in/wallet/claim', {})).status).toBe(404);
  });
});

describe('a second proof', () => {
  it('is asked for in place once the first is a quarter of an hour old: by a key of the account', async () => {
    const { browser, secret, accountId } = await linked();
    await letGoStale(accountId);
    expect((await browser.ask(`${ACTIONS}/link`, {})).html).toContain('Confirm: link a wallet');
    const { secret: strange } = await api.newAccount();
    expect((await browser.ask(`${ACTIONS}/link`, { confirm_key: strange })).status).toBe(401);
    const { secret: small } = await api.newKey(secret, { role: 'inference' });
    expect((await browser.ask(`${ACTIONS}/link`, { confirm_key: small })).status).toBe(401);
    const { html } = await browser.ask(`${ACTIONS}/link`, { confirm_key: secret });
    expect(html).toContain('Link a wallet');
    expect(html).not.toContain(secret);
  });

  it('is a signature of a wallet of the account, for this browser and session, once', async () => {
    const { wallet, accountId } = await linked();
    const { wallet: strange } = await linked();
    // The sign-in itself is none: another site may have shown its visitor our code.
    const browser = await signedInWith(wallet);
    const ask = (form: Record<string, string> = {}) => browser.ask(`${ACTIONS}/link`, form);
    await strange.scan(codeOn((await ask()).html));
    expect((await ask({ confirm_wallet: 'yes' })).status).toBe(401);
    const { rows: waiting } = await api.pool.query(
      'select from wallet_sign_ins where account_id = $1 and signed_at is not null and claimed_at is null',
      [accountId],
    );
    expect(waiting).toEqual([]);
    await wallet.scan(codeOn((await ask()).html));
    const others = await signedInWith(wallet);
    expect((await others.ask(`${ACTIONS}/link`, { confirm_wallet: 'yes' })).status).toBe(401);
    expect((await ask({ confirm_wallet: 'yes' })).html).toContain('Link a wallet');
    await letGoStale(accountId);
    expect((await ask({ confirm_wallet: 'yes' })).status).toBe(401);
  });
});

describe('what wallets send', () => {
  const answer = async (path: string): Promise<unknown> => {
    const response = await fetch(api.origin + path);
    expect(response.status).toBe(200);
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    return response.json();
  };

  it('is refused with a sentence where it is not a genuine signature of a code that is open', async () => {
    const browser = newBrowser();
    const url = newWallet().signedUrl(codeOn((await browser.ask('/console/sign-in/wallet', {})).html));
    const changedBy = (changes: Record<string, string>) => {
      const changed = new URL(url);
      for (const [name, value] of Object.entries(changes)) changed.searchParams.set(name, value);
      return changed.pathname + changed.search;
    };
    const key = url.searchParams.get('key') ?? '';
    const table: [Record<string, string>, RegExp][] = [
      [{ sig: '' }, /sent no signature/],
      [{ key: '' }, /sent no signature/],
      [{ sig: 'ff'.repeat(70) }, /not valid/],
      [{ sig: 'zz' }, /not valid/],
      [{ key: `02${'00'.repeat(32)}` }, /not valid/],
      [{ key: newWallet().linkingKey('127.0.0.1') }, /not valid/],
      [{ key: `04${key.slice(2)}` }, /not valid/],
      [{ k1: 'ab'.repeat(32) }, /not valid/],
      [{ k1: 'ab' }, /not a code/],
      [{ action: 'link' }, /not valid any more/],
      [{ action: 'auth' }, /not valid any more/],
      [{ action: 'toString' }, /not a code/],
    ];
    for (const [changes, reason] of table) {
      expect(await answer(changedBy(changes))).toEqual({ status: 'ERROR', reason: expect.stringMatching(reason) });
    }
    expect(await answer('/lnurl/auth')).toMatchObject({ status: 'ERROR' });
    expect(await answer(changedBy({}))).toEqual({ status: 'OK', event: 'LOGGEDIN' });
  });

  it('signs nothing where only the head of the answer is asked for', async () => {
    const { wallet } = await linked();
    const browser = newBrowser();
    const url = wallet.signedUrl(codeOn((await browser.ask('/console/sign-in/wallet', {})).html));
    const { status, headers } = await fetch(url, { method: 'HEAD' });
    expect([status, headers.get('content-type')]).toEqual([200, expect.stringMatching(/json/)]);
    expect((await browser.ask('/console/sign-in/wallet/claim', {})).html).toContain('No wallet has confirmed yet');
    expect(await (await fetch(url)).json()).toEqual({ status: 'OK', event: 'LOGGEDIN' });
  });

  it('is taken from one wallet, however many sign a code at the same time', async () => {
    const code = codeOn((await newBrowser().ask('/console/sign-in/wallet', {})).html);
    const answers = await Promise.all(Array.from({ length: 6 }, () => newWallet().scan(code)));
    expect(answers.filter(({ status }) => status === 'OK')).toHaveLength(1);
  });

  it('is refused five minutes later, and from another wallet once one has signed', async () => {
    const browser = newBrowser();
    const code = codeOn((await browser.ask('/console/sign-in/wallet', {})).html);
    await newWallet().scan(code);
    expect(await newWallet().scan(code)).toMatchObject({ status: 'ERROR' });
    const old = codeOn((await browser.ask('/console/sign-in/wallet', {})).html);
    await api.pool.query(`update wallet_sign_ins set created_at = now() - interval '301 seconds'`);
    expect(await newWallet().scan(old)).toMatchObject({ status: 'ERROR' });
  });

  it('tells the page that waits', async () => {
    const { wallet } = await linked();
    const browser = newBrowser();
    const code = codeOn((await browser.ask('/console/sign-in/wallet', {})).html);
    const events = await eventsOf(browser);
    const text = events.text();
    await wallet.scan(code);
    expect(await text).toContain('event: signed');
  });

  it('is waited for by no browser that shows no code', async () => {
    const cookie = `pura_browser=${'x'.repeat(43)}`;
    const events = await fetch(`${api.origin}/console/sign-in/wallet/events?action=login`, { headers: { cookie } });
    expect(events.status).toBe(404);
  });
});

it('there are no codes where wallets could not use them', async () => {
  const other = await startApi({ env: { PUBLIC_URL: 'http://pura.example' } });
  try {
    const page = await fetch(`${other.origin}/console/sign-in`);
    expect(await page.text()).not.toContain('Show a code');
    const response = await fetch(`${other.origin}/console/sign-in/wallet`, { method: 'POST', body: new URLSearchParams() });
    expect(response.status).toBe(403);
  } finally {
    await other.close();
  }
});
