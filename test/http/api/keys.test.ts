import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startApi, text, type TestApi } from '../../support/api.ts';
import { admission, openLedger, type TestLedger } from '../../support/holds.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startApi({ env: { FREE_TIER_REQUESTS: '3' } });
});
afterAll(() => api.close());

const AN_ID = '0197b1c5-0000-7000-8000-000000000000';

async function giveBalance(accountId: string): Promise<void> {
  await api.pool.query('update accounts set posted_msat = 5000 where id = $1', [accountId]);
}

describe('POST /api/keys', () => {
  it('without a credential makes an account whose key works at once', async () => {
    const { status, headers, body } = await api.call('POST', '/api/keys', { body: { label: 'my-agent' } });
    expect(status).toBe(201);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(Object.keys(body).toSorted()).toEqual(
      ['accountId', 'createdAt', 'dailyBudgetUsd', 'freeRequestsRemaining', 'id', 'key', 'label', 'message', 'prefix'].toSorted(),
    );
    expect(body).toMatchObject({ label: 'my-agent', dailyBudgetUsd: 10, freeRequestsRemaining: 3 });
    expect(body['key']).toMatch(/^pura_[A-Za-z0-9_-]{43}$/);
    expect(text(body['key']).startsWith(text(body['prefix']))).toBe(true);
    const { body: listed } = await api.call('GET', '/api/keys', { key: text(body['key']) });
    expect(listed['keys']).toMatchObject([{ id: body['id'], role: 'owner', revokedAt: null }]);
  });

  it('takes no body at all', async () => {
    const response = await fetch(`${api.origin}/api/keys`, { method: 'POST' });
    expect(response.status).toBe(201);
    expect(await response.json()).toMatchObject({ label: null });
  });

  it('is refused to pages of other sites, which would spend their visitors’ accounts, and not to their programs with a key', async () => {
    const count = async () => (await api.pool.query('select from accounts')).rowCount;
    const before = await count();
    const headers = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
    for (const body of [{}, undefined]) {
      const refused = await api.call('POST', '/api/keys', { headers, body });
      expect([refused.status, refused.body['error']?.['code']]).toEqual([403, 'not_permitted']);
    }
    expect(await count()).toBe(before);
    const { secret } = await api.newAccount();
    expect((await api.call('POST', '/api/keys', { key: secret, headers, body: {} })).status).toBe(201);
  });

  it('stores nothing that could be used as a key', async () => {
    const { secret } = await api.newAccount();
    const { rows } = await api.pool.query<{ dump: string }>('select string_agg(k::text, chr(10)) as dump from api_keys k');
    expect(rows[0]?.dump).not.toContain(secret.slice('pura_'.length + 6));
  });

  it("with an owner's key makes an inference key of the same account, or an owner key where asked for", async () => {
    const { secret, accountId } = await api.newAccount();
    const { status, body } = await api.call('POST', '/api/keys', { key: secret, body: { label: 'second' } });
    expect(status).toBe(201);
    expect(body['accountId']).toBe(accountId);
    await api.newKey(secret, { role: 'owner' });
    const { body: listed } = await api.call('GET', '/api/keys', { key: secret });
    expect((listed['keys'] as unknown as { role: string }[]).map(({ role }) => role)).toEqual(['owner', 'inference', 'owner']);
  });

  it('refuses an inference key: a leaked one can make no others', async () => {
    const { secret } = await api.newAccount();
    const worker = await api.newKey(secret);
    const { status, body } = await api.call('POST', '/api/keys', { key: worker.secret, body: {} });
    expect([status, body['error']?.['code']]).toEqual([403, 'not_permitted']);
  });

  it.each([
    ['unknown', { authorization: `Bearer pura_${'x'.repeat(43)}` }],
    ['malformed', { authorization: 'Bearer ' }],
    ['of another scheme', { authorization: 'Basic abc' }],
    ['of a later scheme', { authorization: 'L402 abc:def' }],
    ['in x-api-key and unknown', { 'x-api-key': 'nonsense' }],
    ['in x-api-key and empty', { 'x-api-key': '' }],
  ])('never makes an account for a credential that is %s', async (_name, headers) => {
    const count = async (): Promise<unknown> => (await api.pool.query('select count(*) from accounts')).rows;
    const before = await count();
    const { status, body } = await api.call('POST', '/api/keys', { body: {}, headers });
    expect([status, body['error']?.['code']]).toEqual([401, 'invalid_api_key']);
    expect(await count()).toEqual(before);
  });

  it.each([
    ['label', { label: 7 }],
    ['label', { label: 'a\u0000b' }],
    ['label', { label: '' }],
    ['dailyBudgetUsd', { dailyBudgetUsd: -1 }],
    ['dailyBudgetUsd', { dailyBudgetUsd: '10' }],
    ['dailyBudgetUsd', { dailyBudgetUsd: 1e300 }],
    ['rateLimitRpm', { rateLimitRpm: 0 }],
    ['rateLimitRpm', { rateLimitRpm: 2 ** 40 }],
    ['rateLimitTpm', { rateLimitTpm: 1.5 }],
    ['allowedModels', { allowedModels: 'gpt-4o' }],
    ['allowedModels.1', { allowedModels: ['a', 5] }],
    ['expiresAt', { expiresAt: 'tomorrow' }],
    ['expiresAt', { expiresAt: '2020-01-01T00:00:00Z' }],
    ['role', { role: 'god' }],
    ['role', { role: 'inference' }],
    ['posted_msat', { posted_msat: 5 }],
    ['__proto__', '{"__proto__":{"role":"owner"}}'],
    ['constructor', '{"constructor":{"prototype":{}}}'],
    [null, '[]'],
    [null, 'null'],
    [null, '{"label":'],
    [null, '"\\ud800"'],
  ])('names %s when it is wrong: %j', async (param, body) => {
    const answer = await api.call('POST', '/api/keys', { body });
    expect(answer.status).toBe(400);
    expect(answer.body['error']).toMatchObject({ type: 'invalid_request_error', code: 'invalid_request', param });
  });

  it('takes JSON only, and not much of it', async () => {
    const headers = { 'content-type': 'text/plain' };
    expect((await api.call('POST', '/api/keys', { body: '{}', headers })).body['error']?.['code']).toBe('unsupported_media_type');
    const zipped = { 'content-encoding': 'gzip' };
    expect((await api.call('POST', '/api/keys', { body: '{}', headers: zipped })).status).toBe(415);
    const { status, body } = await api.call('POST', '/api/keys', { body: { label: 'x'.repeat(100_000) } });
    expect([status, body['error']?.['code']]).toEqual([413, 'request_too_large']);
  });

  it('keeps all that the owner chose', async () => {
    const { secret } = await api.newAccount();
    const chosen = {
      label: 'all of it',
      dailyBudgetUsd: 0.25,
      rateLimitRpm: 7,
      rateLimitTpm: 1000,
      allowedModels: ['demo-cheap'],
      expiresAt: '2999-01-01T02:00:00+02:00',
    };
    const { keyId } = await api.newKey(secret, chosen);
    const { body } = await api.call('GET', '/api/keys', { key: secret });
    const row = (body['keys'] as unknown as { id: string }[]).find(({ id }) => id === keyId);
    expect(row).toMatchObject({ ...chosen, expiresAt: '2999-01-01T00:00:00.000Z', role: 'inference', lastUsedAt: null });
  });

  it('makes at most 100 live keys of an account', async () => {
    const { secret, accountId } = await api.newAccount();
    await api.pool.query(
      `insert into api_keys (id, account_id, secret_hash, secret_id, prefix, role, daily_budget_pico_usd)
       select gen_random_uuid(), $1, gen_random_uuid()::text::bytea, '0', '', 'inference', 0 from generate_series(1, 98)`,
      [accountId],
    );
    const both = await Promise.all([1, 2, 3].map(() => api.call('POST', '/api/keys', { key: secret, body: {} })));
    expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 403, 403]);
  });
});

describe('the limit of new accounts per address', () => {
  let limited: TestApi;
  beforeAll(async () => {
    limited = await startApi({ env: { KEYS_PER_IP_PER_HOUR: '2', TRUSTED_PROXIES: 'loopback' } });
  });
  afterAll(() => limited.close());
  const create = (forwarded: string, options = {}) =>
    limited.call('POST', '/api/keys', { body: {}, headers: { 'x-forwarded-for': forwarded }, ...options });

  it('holds for an IPv4 address, whatever is tried in parallel', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => create('192.0.2.1')));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(2);
    const refused = answers.find(({ status }) => status === 429);
    expect(refused?.body['error']?.['code']).toBe('rate_limit_exceeded');
    expect(Number(refused?.headers.get('retry-after'))).toBeGreaterThan(3000);
    expect(refused?.headers.get('retry_after')).toBe(refused?.headers.get('retry-after'));
    expect((await create('192.0.2.2')).status).toBe(201);
  });

  it('holds for a /64 of IPv6', async () => {
    expect((await create('2001:db8:1:2::1')).status).toBe(201);
    expect((await create('2001:db8:1:2:ffff::9')).status).toBe(201);
    expect((await create('2001:db8:1:2:0:0:0:5')).status).toBe(429);
    expect((await create('2001:db8:1:3::1')).status).toBe(201);
  });

  it('does not count what was refused, nor keys of an account', async () => {
    for (let i = 0; i < 5; i++) {
      const body = { label: 5 };
      expect((await create('192.0.2.3', { body, headers: { 'x-forwarded-for': '192.0.2.3' } })).status).toBe(400);
    }
    const { body } = await create('192.0.2.3');
    const key = text(body['key']);
    for (let i = 0; i < 4; i++) {
      expect((await limited.call('POST', '/api/keys', { key, body: {}, headers: { 'x-forwarded-for': '192.0.2.3' } })).status).toBe(201);
    }
  });
});

describe('X-Forwarded-For', () => {
  it('is not believed unless a proxy is trusted', async () => {
    const direct = await startApi({ env: { KEYS_PER_IP_PER_HOUR: '1' } });
    try {
      const statuses = [];
      for (const address of ['192.0.2.1', '192.0.2.2']) {
        statuses.push((await direct.call('POST', '/api/keys', { body: {}, headers: { 'x-forwarded-for': address } })).status);
      }
      expect(statuses).toEqual([201, 429]);
    } finally {
      await direct.close();
    }
  });
});

describe('GET /api/keys', () => {
  it("shows an owner all keys of the account, and an inference key only itself; never another account's", async () => {
    const { secret } = await api.newAccount();
    const worker = await api.newKey(secret);
    await api.newAccount();
    const all = await api.call('GET', '/api/keys', { key: secret });
    expect(all.body['keys']).toHaveLength(2);
    expect(JSON.stringify(all.body)).not.toContain('"key"');
    const own = await api.call('GET', '/api/keys', { key: worker.secret });
    expect(own.body['keys']).toMatchObject([{ id: worker.keyId }]);
  });
});

describe('the keys of an account that has made many', () => {
  it('are listed in pages, each once, revoked ones too', async () => {
    const { secret, accountId } = await api.newAccount();
    await api.pool.query(
      `insert into api_keys (id, account_id, secret_hash, secret_id, prefix, role, daily_budget_pico_usd, revoked_at)
       select gen_random_uuid(), $1, sha256(($2 || n)::bytea), 0, 'pura_old', 'inference', 0, now() from generate_series(1, 450) n`,
      [accountId, accountId],
    );
    const seen: string[] = [];
    let cursor: string | null = '';
    for (let pages = 0; cursor !== null; pages++) {
      const path: string = `/api/keys?limit=200${cursor && `&cursor=${cursor}`}`;
      const { body } = await api.call('GET', path, { key: secret });
      const page = body['keys'] as unknown as { id: string }[];
      expect(page.length).toBeLessThanOrEqual(200);
      seen.push(...page.map(({ id }) => id));
      cursor = body['nextCursor'] as unknown as string | null;
    }
    expect(new Set(seen).size).toBe(451);
    expect(seen).toHaveLength(451);
    const first = await api.call('GET', '/api/keys', { key: secret });
    expect((first.body['keys'] as unknown as unknown[]).length).toBe(200);
    expect((await api.call('GET', '/api/keys?cursor=nonsense', { key: secret })).status).toBe(400);
  });

  describe('that are changed so often an hour', () => {
    const MISSING = '/api/keys/00000000-0000-4000-8000-000000000000';

    /** Asks 510 times. */
    async function exhaust(call: () => Promise<{ status: number }>, limited: number): Promise<void> {
      const statuses: number[] = [];
      for (let batch = 0; batch < 51; batch++) {
        statuses.push(...(await Promise.all(Array.from({ length: 10 }, call))).map(({ status }) => status));
      }
      expect(statuses.filter((status) => status === 429)).toHaveLength(limited);
    }

    it('are made and rotated no oftener, and can be revoked all the same', async () => {
      const { secret } = await api.newAccount();
      const leaked = await api.newKey(secret);
      // The leaked one is the first.
      await exhaust(() => api.call('POST', `${MISSING}/rotate`, { key: secret }), 11);
      const made = await api.call('POST', '/api/keys', { key: secret, body: {} });
      expect([made.status, made.headers.get('retry-after') !== null]).toEqual([429, true]);
      expect((await api.call('GET', '/api/keys', { key: secret })).status).toBe(200);
      expect((await api.call('DELETE', `/api/keys/${leaked.keyId}`, { key: secret })).status).toBe(204);
    });

    it('are revoked no oftener', async () => {
      const { secret } = await api.newAccount();
      await exhaust(() => api.call('DELETE', MISSING, { key: secret }), 10);
      expect((await api.call('POST', '/api/keys', { key: secret, body: {} })).status).toBe(201);
    });
  });
});

describe('PATCH /api/keys/:id', () => {
  it('changes what is named and nothing else', async () => {
    const { secret, keyId } = await api.newAccount({ label: 'before', rateLimitRpm: 5 });
    const { status, body } = await api.call('PATCH', `/api/keys/${keyId}`, { key: secret, body: { label: 'after', dailyBudgetUsd: 2 } });
    expect(status).toBe(200);
    expect(body).toMatchObject({ id: keyId, label: 'after', dailyBudgetUsd: 2, rateLimitRpm: 5 });
    const { body: cleared } = await api.call('PATCH', `/api/keys/${keyId}`, { key: secret, body: { rateLimitRpm: null } });
    expect(cleared).toMatchObject({ rateLimitRpm: null, label: 'after' });
  });

  it('lets no key raise its own limits, but an owner', async () => {
    const { secret } = await api.newAccount();
    const worker = await api.newKey(secret, { rateLimitRpm: 1 });
    const { status } = await api.call('PATCH', `/api/keys/${worker.keyId}`, { key: worker.secret, body: { rateLimitRpm: 100 } });
    expect(status).toBe(403);
  });

  it("changes a key's role", async () => {
    const { secret, keyId } = await api.newAccount();
    const worker = await api.newKey(secret);
    expect((await api.call('PATCH', `/api/keys/${worker.keyId}`, { key: secret, body: { role: 'owner' } })).body).toMatchObject({
      role: 'owner',
    });
    const demoted = await api.call('PATCH', `/api/keys/${keyId}`, { key: worker.secret, body: { role: 'inference' } });
    expect([demoted.status, demoted.body['role']]).toEqual([200, 'inference']);
    expect((await api.call('POST', '/api/keys', { key: secret, body: {} })).status).toBe(403);
    const unknown = await api.call('PATCH', `/api/keys/${keyId}`, { key: worker.secret, body: { role: 'god' } });
    expect([unknown.status, unknown.body['error']?.['param']]).toEqual([400, 'role']);
  });
});

describe('an admission on a copy of a key', () => {
  let ledger: TestLedger;
  beforeAll(() => {
    ledger = openLedger(api);
  });
  afterAll(() => ledger.close());

  it.each<[string, string, (path: string) => [string, string, unknown?]]>([
    ['key_changed', 'changed', (path) => ['PATCH', path, { label: 'x' }]],
    ['key_changed', 'given a role', (path) => ['PATCH', path, { role: 'owner' }]],
    ['key_changed', 'rotated', (path) => ['POST', `${path}/rotate`]],
    ['key_gone', 'revoked', (path) => ['DELETE', path]],
  ])('is refused with %s once the key was %s', async (verdict, _name, request) => {
    const { secret, accountId } = await api.newAccount();
    const { keyId } = await api.newKey(secret);
    const { rows } = await api.pool.query<{ version: number }>('select version from api_keys where id = $1', [keyId]);
    const admit = () => ledger.holds.admit(admission({ accountId, keyId }, { keyVersion: rows[0]?.version ?? 0 }));
    expect(await admit()).toMatchObject({ verdict: 'admitted' });
    const [method, path, body] = request(`/api/keys/${keyId}`);
    expect((await api.call(method, path, { key: secret, body })).status).toBeLessThan(300);
    expect(await admit()).toMatchObject({ verdict });
  });
});

describe('DELETE /api/keys/:id', () => {
  it('ends a key at once and for good', async () => {
    const { secret } = await api.newAccount();
    const worker = await api.newKey(secret);
    expect((await api.call('GET', '/api/keys', { key: worker.secret })).status).toBe(200);
    expect((await api.call('DELETE', `/api/keys/${worker.keyId}`, { key: secret })).status).toBe(204);
    expect((await api.call('GET', '/api/keys', { key: worker.secret })).status).toBe(401);
    expect((await api.call('DELETE', `/api/keys/${worker.keyId}`, { key: secret })).status).toBe(204);
    expect((await api.call('PATCH', `/api/keys/${worker.keyId}`, { key: secret, body: {} })).status).toBe(404);
    expect((await api.call('POST', `/api/keys/${worker.keyId}/rotate`, { key: secret })).status).toBe(404);
  });

  it('never strands a balance: the last owner key stays, also when two are revoked at once', async () => {
    const { secret, keyId, accountId } = await api.newAccount();
    await giveBalance(accountId);
    const last = await api.call('DELETE', `/api/keys/${keyId}`, { key: secret });
    expect([last.status, last.body['error']?.['code']]).toEqual([409, 'last_owner_key']);
    const second = await api.newKey(secret, { role: 'owner' });
    const both = await Promise.all([keyId, second.keyId].map((id) => api.call('DELETE', `/api/keys/${id}`, { key: secret })));
    expect(both.filter(({ status }) => status === 204)).toHaveLength(1);
  });

  it('does not count an expired owner key as another one', async () => {
    const { secret, keyId, accountId } = await api.newAccount();
    const second = await api.newKey(secret, { role: 'owner' });
    await api.pool.query('update api_keys set expires_at = now() - interval $$1 s$$ where id = $1', [second.keyId]);
    await giveBalance(accountId);
    expect((await api.call('DELETE', `/api/keys/${keyId}`, { key: secret })).status).toBe(409);
  });

  it('may end the last key of an account that has nothing', async () => {
    const { secret, keyId } = await api.newAccount();
    expect((await api.call('DELETE', `/api/keys/${keyId}`, { key: secret })).status).toBe(204);
    expect((await api.call('GET', '/api/keys', { key: secret })).status).toBe(401);
  });
});

describe('POST /api/keys/:id/rotate', () => {
  it('replaces the secret of the same key; the old one is dead at once', async () => {
    const { secret, keyId, accountId } = await api.newAccount({ label: 'keep me' });
    await giveBalance(accountId);
    const { status, body } = await api.call('POST', `/api/keys/${keyId}/rotate`, { key: secret });
    expect(status).toBe(200);
    expect(body).toMatchObject({ id: keyId, label: 'keep me', role: 'owner' });
    expect((await api.call('GET', '/api/keys', { key: secret })).status).toBe(401);
    expect((await api.call('GET', '/api/keys', { key: text(body['key']) })).status).toBe(200);
  });
});

describe('ownership', () => {
  it.each([
    ['PATCH', ''],
    ['DELETE', ''],
    ['POST', '/rotate'],
  ])("makes another account's key the same 404 as none: %s", async (method, suffix) => {
    const { secret } = await api.newAccount();
    const other = await api.newAccount();
    const worker = await api.newKey(secret);
    const body = method === 'PATCH' ? { label: 'mine now' } : undefined;
    const answers = [];
    for (const id of [other.keyId, AN_ID, 'not-an-id', '%00'])
      answers.push(await api.call(method, `/api/keys/${id}${suffix}`, { key: secret, body }));
    for (const answer of answers) {
      expect(answer.status).toBe(404);
      expect(answer.body).toEqual(answers[0]?.body);
    }
    expect((await api.call('GET', '/api/keys', { key: other.secret })).status).toBe(200);
    expect((await api.call(method, `/api/keys/${other.keyId}${suffix}`, { key: worker.secret, body })).status).toBe(403);
  });
});

describe('a search through keys', () => {
  it('finds a label by its beginning, a prefix as a whole, and tells what each spent today', async () => {
    const { secret, keyId, accountId } = await api.newAccount();
    for (const label of ['Agent one', 'agent 100%', 'other agent']) await api.newKey(secret, { label });
    const { keyId: gone } = await api.newKey(secret, { label: 'agent gone' });
    await api.call('DELETE', `/api/keys/${gone}`, { key: secret });
    await api.pool.query(
      `insert into budget_days (key_id, day, account_id, spent_pico_usd) values ($1, (clock_timestamp() at time zone 'utc')::date, $2, 250000000000)`,
      [keyId, accountId],
    );
    const found = async (query: string) =>
      (await api.call('GET', `/api/keys${query}`, { key: secret })).body['keys'] as unknown as {
        label: string | null;
        todaySpendUsd: number;
        prefix: string;
      }[];
    const labels = async (query: string) => (await found(query)).map(({ label }) => label);
    expect(await labels('?q=AGENT')).toEqual(['Agent one', 'agent 100%', 'agent gone']);
    expect(await labels('?q=agent&state=live')).toEqual(['Agent one', 'agent 100%']);
    expect(await labels('?state=revoked')).toEqual(['agent gone']);
    expect(await labels('?q=agent%20100%25')).toEqual(['agent 100%']);
    expect(await labels('?q=%25')).toEqual([]);
    const [owner] = await found('');
    expect(owner).toMatchObject({ todaySpendUsd: 0.25 });
    expect(await labels(`?q=${owner?.prefix}`)).toEqual([owner?.label]);
  });
});
