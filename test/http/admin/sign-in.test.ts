import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startApi, type TestApi } from '../../support/api.ts';
import { OperatorClient } from '../../support/operator-client.ts';

const ALICE = { name: 'alice', token: 'a-token-of-alice-0001' };
const BOB = { name: 'bob', token: 'a-token-of-bob-000002' };
const BOTH = `${ALICE.name}:${ALICE.token},${BOB.name}:${BOB.token}`;

let api: TestApi;
beforeAll(async () => {
  api = await startApi({ env: { ADMIN_TOKEN: BOTH } });
});
afterAll(() => api.close());

async function signedIn(who = ALICE): Promise<OperatorClient> {
  const client = new OperatorClient(api.origin);
  expect((await client.signIn(who)).status).toBe(303);
  return client;
}

describe('signing in', () => {
  it('gives a cookie of its own, and shows who it is', async () => {
    const client = new OperatorClient(api.origin);
    const { headers } = await client.signIn({ ...ALICE, next: '/admin/acts' });
    expect(headers.get('location')).toBe('/admin/acts');
    expect(headers.getSetCookie()).toEqual([
      expect.stringMatching(/^pura_operator=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200$/),
    ]);
    const page = await client.ask('/admin');
    expect([page.status, page.headers.get('cache-control'), page.headers.get('access-control-allow-origin')]).toEqual([
      200,
      'no-store',
      null,
    ]);
    expect(page.html).toContain('>alice</p>');
    expect(page.html).not.toContain(ALICE.token);
  });

  it.each(['//evil.example', 'https://evil.example', '/console', '/admin/../console', '/admin/sign-out', '/adminx'])(
    'leads nowhere but to its own pages: %p',
    async (next) => {
      const { headers } = await new OperatorClient(api.origin).signIn({ ...ALICE, next });
      expect(new URL(headers.get('location') ?? '', api.origin).pathname).toMatch(/^\/(admin|console)$/);
      expect(headers.get('location')?.startsWith('/admin')).toBe(true);
    },
  );

  it('ends with its sign-out, and when its time is over', async () => {
    const [client, idle, old] = [await signedIn(), await signedIn(), await signedIn()];
    await client.ask('/admin/sign-out', {});
    expect((await client.ask('/admin')).status).toBe(401);
    const { rowCount } = await api.pool.query(
      `update admin_sessions set last_seen_at = last_seen_at - interval '61 minutes'
       where token_sha256 = sha256($1::bytea)`,
      [idle.cookie?.split('=')[1]],
    );
    expect(rowCount).toBe(1);
    expect((await idle.ask('/admin')).status).toBe(401);
    await api.pool.query(`update admin_sessions set created_at = created_at - interval '12 hours' where token_sha256 = sha256($1::bytea)`, [
      old.cookie?.split('=')[1],
    ]);
    expect((await old.ask('/admin')).status).toBe(401);
  });

  it('dies with the token that it was begun with', async () => {
    const client = await signedIn(BOB);
    const { origin } = api;
    expect(origin).toBeTruthy();
    await api.pool.query(`update admin_sessions set proof = sha256('another token') where token_sha256 = sha256($1::bytea)`, [
      client.cookie?.split('=')[1],
    ]);
    expect((await client.ask('/admin')).status).toBe(401);
  });
});

describe('who is not signed in', () => {
  const PATHS = ['/admin', '/admin/accounts', '/admin/acts.csv', '/admin/nowhere', '/admin/accounts/00000000-0000-4000-8000-000000000000'];

  it('gets one and the same page at every address, whether there is something or not', async () => {
    const client = new OperatorClient(api.origin);
    const pages = await Promise.all(PATHS.map((path) => client.ask(path)));
    expect(pages.map(({ status }) => status)).toEqual(PATHS.map(() => 401));
    expect(new Set(pages.map(({ html }) => html.replace(/name="next" value="[^"]*"/, ''))).size).toBe(1);
    const forms = await Promise.all(PATHS.map((path) => client.ask(path, { reason: 'none at all' })));
    expect(forms.map(({ status }) => status)).toEqual(PATHS.map(() => 401));
  });

  it.each([
    ['a wrong token', { ...ALICE, token: BOB.token }],
    ['a wrong name', { ...ALICE, name: 'carol' }],
    ['nothing', {}],
  ])('is told the same for %s', async (_, form) => {
    const { status, html } = await new OperatorClient(api.origin).signIn(form);
    expect([status, html.includes('That is not the name and token of an operator.')]).toEqual([401, true]);
  });

  it('is not let in by a form of another site', async () => {
    expect((await new OperatorClient(api.origin).ask('/admin/sign-in', ALICE, { origin: 'https://evil.example' })).status).toBe(403);
    const client = await signedIn();
    expect((await client.ask('/admin/sign-out', {}, { 'sec-fetch-site': 'cross-site' })).status).toBe(403);
  });

  it('is not let in by the cookie of the console', async () => {
    const { secret } = await api.newAccount();
    const client = new OperatorClient(api.origin);
    const signIn = await client.ask('/console/sign-in', { key: secret });
    client.cookie = signIn.headers.getSetCookie()[0]?.split(';')[0]?.replace('pura_session', 'pura_operator');
    expect((await client.ask('/admin')).status).toBe(401);
  });
});

it('is all a 404 without an ADMIN_TOKEN', async () => {
  const without = await startApi();
  try {
    const client = new OperatorClient(without.origin);
    for (const path of ['/admin', '/admin/sign-in', '/admin/accounts']) {
      expect((await client.ask(path)).status).toBe(404);
      expect((await client.ask(path, {})).status).toBe(404);
    }
  } finally {
    await without.close();
  }
});

it('asks for no name where there is one operator', async () => {
  const one = await startApi({ env: { ADMIN_TOKEN: ALICE.token } });
  try {
    const client = new OperatorClient(one.origin);
    expect((await client.ask('/admin')).html).not.toContain('id="name"');
    await client.signIn({ token: ALICE.token });
    expect((await client.ask('/admin')).html).toContain('>admin</p>');
  } finally {
    await one.close();
  }
});

it('lets nobody guess on and on', async () => {
  const tries = [];
  for (let i = 0; i < 12; i++) tries.push((await new OperatorClient(api.origin).signIn({ ...ALICE, token: `guess-${i}` })).status);
  expect(tries.at(-1)).toBe(429);
  expect((await new OperatorClient(api.origin).signIn(ALICE)).status).toBe(429);
});
