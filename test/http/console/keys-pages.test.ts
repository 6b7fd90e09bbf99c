import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';
import { signedIn, type SignedIn } from '../../support/signed-in.ts';

const SECRET = /pura_[\w-]{43}/;
const secretIn = (html: string) => SECRET.exec(html)?.[0] ?? '';
const field = (html: string, name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(html)?.[1] ?? '';
const rowsOf = (html: string) =>
  [...html.matchAll(/<th scope="row"><a href="\/console\/keys\/([^"]+)">([^<]+)/g)].map(([, id, label]) => ({ id, label }));

let gateway: TestGateway;
let key: TestKey;
let person: SignedIn;

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
});
beforeEach(async () => {
  key = await gateway.newKey({ label: 'laptop' });
  person = await signedIn(gateway.url, key.secret);
});

const works = async (secret: string) =>
  (await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${secret}` } })).status === 200;
const keysOf = async () => {
  const { rows } = await gateway.pool.query<{
    id: string;
    label: string;
    role: string;
    daily_budget_pico_usd: bigint;
    rate_limit_rpm: number | null;
  }>('select id, label, role, daily_budget_pico_usd, rate_limit_rpm from api_keys where account_id = $1 order by created_at', [
    key.accountId,
  ]);
  return rows;
};
/** Nobody has shown a key of this account for an hour. */
const grownOld = () =>
  gateway.pool.query(`update sessions set confirmed_at = now() - interval '1 hour' where account_id = $1`, [key.accountId]);

describe('making a key', () => {
  it('shows it once: the same form again makes none', async () => {
    const { html } = await person.ask('/console/keys/new?label=Phone&budget=1');
    expect([field(html, 'label'), field(html, 'budget')]).toEqual(['', '']);
    expect(html).toContain('value="Phone"');
    const form = { nonce: field(html, 'nonce'), label: 'Phone', budget: '1', rpm: '30', role: 'inference' };
    const made = await person.ask('/console/keys', form);
    expect(made.status).toBe(200);
    expect(made.headers.get('cache-control')).toBe('no-store');
    expect(await works(secretIn(made.html))).toBe(true);
    const again = await Promise.all(Array.from({ length: 4 }, () => person.ask('/console/keys', form)));
    expect(again.map(({ status }) => status)).toEqual([409, 409, 409, 409]);
    expect(again.filter(({ html: page }) => SECRET.test(page))).toEqual([]);
    expect(await keysOf()).toMatchObject([
      { label: 'laptop' },
      { label: 'Phone', role: 'inference', daily_budget_pico_usd: 1_000_000_000_000n, rate_limit_rpm: 30 },
    ]);
  });

  it('by one form in parallel is one key', async () => {
    const nonce = field((await person.ask('/console/keys/new')).html, 'nonce');
    const answers = await Promise.all(Array.from({ length: 6 }, () => person.ask('/console/keys', { nonce, label: 'once' })));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409, 409, 409, 409, 409]);
    expect((await keysOf()).filter(({ label }) => label === 'once')).toHaveLength(1);
  });

  it.each<[Record<string, string>, RegExp]>([
    [{ budget: 'ten' }, /daily budget is a number of US dollars/],
    [{ budget: '-1' }, /daily budget is a number of US dollars/],
    [{ rpm: '0' }, /Requests a minute are a whole number/],
    [{ tpm: '1.5' }, /Tokens a minute are a whole number/],
    [{ which: 'some' }, /Choose from 1 to 100 models/],
    [{ expires: '2020-01-01T00:00' }, /moment in the future/],
    [{ label: 'x'.repeat(201) }, /up to 200 characters/],
  ])('says what is wrong, keeps what was typed, and makes none: %j', async (form, sentence) => {
    const answer = await person.ask('/console/keys', { label: 'kept', ...form });
    expect(answer.status).toBe(400);
    expect(answer.html).toMatch(sentence);
    for (const value of Object.values(form)) expect(answer.html).toContain(value);
    expect(await keysOf()).toHaveLength(1);
  });

  it('of an owner needs a key that was shown a short while ago, and keeps the form', async () => {
    await grownOld();
    const form = { nonce: 'n1', label: 'second owner', role: 'owner' };
    const asked = await person.ask('/console/keys', form);
    expect(asked.html).toContain('value="second owner"');
    expect(await keysOf()).toHaveLength(1);
    expect((await person.ask('/console/keys', { ...form, confirm_key: 'pura_wrong' })).status).toBe(401);
    const made = await person.ask('/console/keys', { ...form, confirm_key: key.secret });
    expect(await works(secretIn(made.html))).toBe(true);
    expect(await keysOf()).toMatchObject([{ role: 'owner' }, { role: 'owner', label: 'second owner' }]);
  });

  it('is for owners alone', async () => {
    const { key: secret } = (await (await gateway.post('/api/keys', {}, key)).json()) as { key: string };
    const bot = await signedIn(gateway.url, secret);
    for (const path of ['/console/keys', '/console/keys/new', `/console/keys/${key.id}`]) expect((await bot.ask(path)).status).toBe(403);
    expect((await bot.ask('/console/keys', { label: 'mine' })).status).toBe(403);
    expect((await bot.ask('/console')).html).not.toContain('/console/keys"');
  });
});

describe('the list', () => {
  it('finds a key among very many by its label or its prefix, a page at a time', async () => {
    await gateway.pool.query(
      `insert into api_keys (id, account_id, secret_hash, secret_id, prefix, role, label, daily_budget_pico_usd, revoked_at)
       select gen_random_uuid(), $1::uuid, decode(md5($1::uuid::text || n) || md5(n::text), 'hex'), k.secret_id, 'pura_' || lpad(n::text, 4, '0'), 'inference', 'bot ' || n, 0, now()
       from generate_series(1, 10000) n, (select secret_id from api_keys where id = $2) k`,
      [key.accountId, key.id],
    );
    const all = await person.ask('/console/keys?state=all');
    expect(rowsOf(all.html)).toHaveLength(50);
    const way = (html: string, name: string) =>
      new RegExp(`href="(/console/keys[^"]*)">${name}<`).exec(html)?.[1]?.replaceAll('&amp;', '&') ?? null;
    const pages = [all.html];
    for (const _ of [2, 3]) pages.push((await person.ask(way(pages.at(-1) ?? '', 'Newer keys') ?? '')).html);
    const idsOf = (html: string) => rowsOf(html).map(({ id }) => id);
    expect(new Set(pages.flatMap(idsOf)).size).toBe(150);
    // The same pages on the way back; the first one has no page before it.
    const back = (await person.ask(way(pages[2] ?? '', 'Older keys') ?? '')).html;
    expect(idsOf(back)).toEqual(idsOf(pages[1] ?? ''));
    const first = (await person.ask(way(back, 'Older keys') ?? '')).html;
    expect([idsOf(first), way(first, 'Older keys')]).toEqual([idsOf(all.html), null]);
    expect(idsOf((await person.ask(way(pages[2] ?? '', 'First page') ?? '')).html)).toEqual(idsOf(all.html));
    expect((await person.ask('/console/keys?before=nonsense')).status).toBe(400);
    expect(rowsOf((await person.ask('/console/keys?state=all&q=BOT+9999')).html)).toMatchObject([{ label: 'bot 9999' }]);
    expect(rowsOf((await person.ask('/console/keys?state=all&q=pura_0042')).html)).toMatchObject([{ label: 'bot 42' }]);
    expect(rowsOf((await person.ask('/console/keys')).html)).toMatchObject([{ label: 'laptop' }]);
    expect(rowsOf((await person.ask('/console/keys?q=nobody')).html)).toEqual([]);
  });
});

describe('a search', () => {
  it.each([
    ['lap', 'lap'],
    ['pura_0042', 'pura_0042'],
    [' my laptop ', 'my laptop'],
    [`pura_${'a'.repeat(43)}`, 'pura_aaaaaa'],
    [`ura_${'a'.repeat(43)}`, 'ura_aaaaaaa'],
    [`Bearer pura_${'a'.repeat(43)} x`, 'Bearer pura_aaaaaa'],
  ])('puts no secret into an address: %s', async (q, shown) => {
    const { status, headers } = await person.ask('/console/keys/find', { q, state: 'all' });
    expect([status, headers.get('location')]).toEqual([303, `/console/keys?${new URLSearchParams({ q: shown, state: 'all' }).toString()}`]);
  });
});

describe('one key', () => {
  it('of another account is not there', async () => {
    const other = await gateway.newKey();
    for (const path of ['', '/rotate', '/revoke', '/successor']) {
      expect((await person.ask(`/console/keys/${other.id}${path}`)).status).toBe(404);
      expect((await person.ask(`/console/keys/${other.id}${path}`, { label: 'x' })).status).toBe(404);
    }
    expect(await works(other.secret)).toBe(true);
  });

  it('gets other limits, which are shown as they were saved', async () => {
    const saved = await person.ask(`/console/keys/${key.id}`, { label: 'desk', budget: '1,234.5', rpm: '7', which: 'all' });
    expect([saved.status, saved.headers.get('location')]).toEqual([303, `/console/keys/${key.id}?done=saved`]);
    const { html } = await person.ask(`/console/keys/${key.id}?done=saved`);
    expect(html).toContain('The limits are saved.');
    expect(html).toContain('value="1234.5"');
    expect(await keysOf()).toMatchObject([{ label: 'desk', rate_limit_rpm: 7 }]);
  });

  it('gets a successor with the same limits, and both work', async () => {
    await person.ask(`/console/keys/${key.id}`, { label: 'desk', budget: '3', rpm: '7', which: 'some', models: 'demo-cheap' });
    const nonce = field((await person.ask(`/console/keys/${key.id}/successor`)).html, 'nonce');
    const made = await person.ask(`/console/keys/${key.id}/successor`, { nonce });
    expect([await works(secretIn(made.html)), await works(key.secret)]).toEqual([true, true]);
    expect((await person.ask(`/console/keys/${key.id}/successor`, { nonce })).status).toBe(409);
    const [old, successor, ...more] = await keysOf();
    expect(more).toEqual([]);
    expect(successor).toEqual({ ...old, id: successor?.id });
  });

  it('is rotated once by one form, and whose session it is stays signed in', async () => {
    const prefix = field((await person.ask(`/console/keys/${key.id}/rotate`)).html, 'prefix');
    const rotated = await person.ask(`/console/keys/${key.id}/rotate`, { prefix });
    const secret = secretIn(rotated.html);
    expect([await works(secret), await works(key.secret)]).toEqual([true, false]);
    const again = await person.ask(`/console/keys/${key.id}/rotate`, { prefix });
    expect([again.status, SECRET.test(again.html), await works(secret)]).toEqual([409, false, true]);
    expect((await person.ask('/console')).status).toBe(200);
  });

  it('is asked for before an owner key is rotated or succeeded, where it was not shown lately', async () => {
    await grownOld();
    for (const act of ['rotate', 'successor']) {
      const { html } = await person.ask(`/console/keys/${key.id}/${act}`, { prefix: key.secret.slice(0, 9), nonce: 'n' });
      expect([html.includes('confirm_key'), SECRET.test(html)]).toEqual([true, false]);
    }
    expect(await works(key.secret)).toBe(true);
  });

  it('is revoked, and says so from then on', async () => {
    const { id, key: secret } = (await (await gateway.post('/api/keys', { label: 'bot' }, key)).json()) as { id: string; key: string };
    expect((await person.ask(`/console/keys/${id}/revoke`)).html).toContain('stops for good');
    expect((await person.ask(`/console/keys/${id}/revoke`, {})).headers.get('location')).toBe(`/console/keys/${id}?done=revoked`);
    expect(await works(secret)).toBe(false);
    expect((await person.ask(`/console/keys/${id}`)).html).toContain('It works nowhere any more');
    for (const act of ['rotate', 'successor']) {
      const answer = await person.ask(`/console/keys/${id}/${act}`, {});
      expect([answer.status, SECRET.test(answer.html)]).toEqual([409, false]);
      expect(answer.html).toContain('This key was revoked');
    }
    expect((await person.ask(`/console/keys/${id}`, { label: 'again' })).html).toContain('This key was revoked');
  });

  it('that is the last way to the money cannot be revoked, and says why', async () => {
    await gateway.fund(key, 1_000);
    for (const path of [`/console/keys/${key.id}`, `/console/keys/${key.id}/revoke`]) {
      const { html } = await person.ask(path);
      expect(html).toContain('it is the last owner key without an expiry');
      expect(html).not.toMatch(/>Revoke(…)?<\/(a|button)>/);
    }
    const refused = await person.ask(`/console/keys/${key.id}/revoke`, {});
    expect(refused.status).toBe(409);
    expect(await works(key.secret)).toBe(true);
  });
});
