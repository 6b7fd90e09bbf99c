import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startApi, type TestApi } from '../../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

/** Asks as a browser would, which follows nothing by itself here. */
async function ask(
  path: string,
  { form, cookie, headers = {} }: { form?: Record<string, string>; cookie?: string; headers?: Record<string, string> } = {},
) {
  const response = await fetch(api.origin + path, {
    method: form ? 'POST' : 'GET',
    redirect: 'manual',
    headers: { ...(cookie !== undefined && { cookie }), ...headers },
    ...(form && { body: new URLSearchParams(form) }),
  });
  return { status: response.status, headers: response.headers, html: await response.text(), cookie: cookieIn(response.headers) };
}

function cookieIn(headers: Headers): string | undefined {
  return headers.getSetCookie()[0]?.split(';')[0];
}

const signIn = (key: string, next = '/console') => ask('/console/sign-in', { form: { key, next } });

describe('signing in with a key', () => {
  it('gives a cookie that no script and no other site gets, and leads on', async () => {
    const { secret } = await api.newAccount();
    const { status, headers } = await signIn(secret, '/console/keys?state=live');
    expect(status).toBe(303);
    expect(headers.get('location')).toBe('/console/keys?state=live');
    const [cookie] = headers.getSetCookie();
    expect(cookie).toMatch(/^pura_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200$/);
    expect(cookie).not.toContain(secret);
  });

  it('binds the cookie to the host on https', async () => {
    const api2 = await startApi({ env: { PUBLIC_URL: 'https://pura.example' } });
    try {
      const { secret } = await api2.newAccount();
      const response = await fetch(`${api2.origin}/console/sign-in`, {
        method: 'POST',
        redirect: 'manual',
        body: new URLSearchParams({ key: secret }),
      });
      expect(response.headers.getSetCookie()[0]).toMatch(/^__Host-pura_session=.*; Secure$/);
    } finally {
      await api2.close();
    }
  });

  it.each(['//evil.example/', 'https://evil.example', '/\\evil.example', 'javascript:alert(1)', ''])(
    'leads nowhere else: %p',
    async (next) => {
      const { secret } = await api.newAccount();
      expect((await signIn(secret, next)).headers.get('location')).toBe('/console');
    },
  );

  it('says one and the same of missing, unknown and revoked keys', async () => {
    const { secret, keyId } = await api.newAccount();
    await api.call('DELETE', `/api/keys/${keyId}`, { key: secret });
    const pages = await Promise.all(['', 'x', `pura_${'a'.repeat(32)}`, secret].map((key) => signIn(key)));
    expect(new Set(pages.map(({ status }) => status))).toEqual(new Set([401]));
    expect(new Set(pages.map(({ html }) => html)).size).toBe(1);
    expect(pages[0]?.html).toContain('does not sign in anywhere');
  });

  it.each<Record<string, string>>([
    { origin: 'https://evil.example' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ])('takes no form of another site: %p', async (headers) => {
    expect((await ask('/console/sign-in', { form: { key: 'x' }, headers })).status).toBe(403);
  });
});

describe('the console', () => {
  it('sends who is not signed in to the sign-in page, and back afterwards', async () => {
    const { status, headers } = await ask('/console?period=7d');
    expect([status, headers.get('location')]).toEqual([303, '/console/sign-in?next=%2Fconsole%3Fperiod%3D7d']);
  });

  it('loads itself once more where a link from elsewhere came without the cookie', async () => {
    const { status, html } = await ask('/console?period=7d', { headers: { 'sec-fetch-site': 'cross-site' } });
    expect(status).toBe(200);
    expect(html).toContain('<meta http-equiv="refresh" content="0;url=/console?period=7d">');
  });

  it('shows the account, in no cache and with the policy of pages', async () => {
    const { secret } = await api.newAccount();
    const { cookie } = await signIn(secret);
    const { status, html, headers } = await ask('/console', { cookie: cookie ?? '' });
    expect(status).toBe(200);
    expect(html).toContain('You can spend');
    expect(html).not.toContain(secret);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('content-security-policy')).toMatch(/^default-src 'none';/);
    expect(headers.get('access-control-allow-origin')).toBeNull();
  });

  it('signs out whose key was revoked, and says so', async () => {
    const { secret, keyId } = await api.newAccount();
    const { cookie } = await signIn(secret);
    await api.call('DELETE', `/api/keys/${keyId}`, { key: secret });
    const { headers } = await ask('/console', { cookie: cookie ?? '' });
    expect(headers.get('location')).toBe('/console/sign-in?next=%2Fconsole&reason=revoked');
    expect(headers.getSetCookie()[0]).toMatch(/^pura_session=; .*Max-Age=0/);
    expect((await ask('/console/sign-in?reason=revoked')).html).toContain('the key you signed in with was revoked');
  });

  it('ends the session at sign-out', async () => {
    const { secret } = await api.newAccount();
    const { cookie = '' } = await signIn(secret);
    expect((await ask('/console/sign-out', { form: {}, cookie })).status).toBe(303);
    expect((await ask('/console', { cookie })).status).toBe(303);
  });

  it('tells errors by a page', async () => {
    const { status, html, headers } = await ask('/console/nowhere');
    expect(status).toBe(404);
    expect(headers.get('content-type')).toMatch(/html/);
    expect(html).toContain('There is no such page');
    expect((await ask('/console', { form: {} })).status).toBe(405);
  });
});

describe('guessing', () => {
  it('lets nobody guess on and on', async () => {
    const guesses = [];
    for (let i = 0; i < 12; i++) guesses.push((await signIn(`pura_${String(i).padStart(32, 'b')}`)).status);
    expect(guesses.at(-1)).toBe(429);
  });
});
