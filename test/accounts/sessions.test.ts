import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 as uuid } from 'uuid';
import { lockAccountAs, requireLive } from '../../src/accounts/acting-key.ts';
import { WALLET_PREFIX } from '../../src/accounts/api-key.ts';
import { endSessionsOfWallet, isFresh, Sessions, walletStandIn, type Session } from '../../src/accounts/sessions.ts';
import { transaction } from '../../src/db/postgres.ts';
import { startApi, text, type TestApi } from '../support/api.ts';

let api: TestApi;
let sessions: Sessions;
beforeAll(async () => {
  api = await startApi();
  sessions = new Sessions(api.pool);
});
afterAll(() => api.close());

async function newKey() {
  const { secret } = await api.newAccount();
  return { secret, key: await api.authenticator.authenticate(secret, () => '192.0.2.1') };
}

async function linkedWallet(accountId: string) {
  const id = uuid();
  await api.pool.query(`insert into linked_wallets (id, account_id, linking_key, host, name) values ($1, $2, $3, 'a.example', 'phone')`, [
    id,
    accountId,
    Buffer.from(id.replaceAll('-', '').padEnd(66, '0'), 'hex'),
  ]);
  return walletStandIn({ id, accountId, name: 'phone' });
}

async function signedIn(token: string): Promise<Session> {
  const found = await sessions.find(token);
  if (typeof found === 'string') throw new Error(found);
  return found;
}

describe('a session of a key', () => {
  it('finds the key as it is now, and keeps only the hash of its token', async () => {
    const { key } = await newKey();
    const token = await sessions.start(key, '192.0.2.0/24');
    const session = await signedIn(token);
    expect(session).toMatchObject({ accountId: key.accountId, how: 'key', network: '192.0.2.0/24', key: { id: key.id, role: 'owner' } });
    expect(session.key.createdAt).toEqual(key.createdAt);
    expect(isFresh(session)).toBe(true);
    expect(isFresh(session, session.confirmedAt.getTime() + 15 * 60_000)).toBe(false);
    const { rows } = await api.pool.query('select * from sessions');
    expect(JSON.stringify(rows)).not.toContain(token);
  });

  it.each([undefined, '', 'a', 'x'.repeat(43), `${'x'.repeat(42)}'`])('does not know the token %p', async (token) => {
    expect(await sessions.find(token)).toBe('unknown');
  });

  it('ends after 12 hours, and is forgotten then', async () => {
    const { key } = await newKey();
    const token = await sessions.start(key, 'here');
    const { id } = await signedIn(token);
    await api.pool.query(`update sessions set created_at = now() - interval '12 hours 1 second' where token_sha256 = $1`, [id]);
    expect(await sessions.find(token)).toBe('unknown');
    await sessions.forget();
    expect((await api.pool.query('select from sessions where token_sha256 = $1', [id])).rowCount).toBe(0);
  });

  it.each([
    ['is revoked', 'revoked_at = now()'],
    ['expires', `expires_at = now() - interval '1 second'`],
    ['gets another secret', `prefix = 'pura_other'`],
  ])('dies when its key %s', async (_, change) => {
    const { key } = await newKey();
    const token = await sessions.start(key, 'here');
    await api.pool.query(`update api_keys set ${change} where id = $1`, [key.id]);
    expect(await sessions.find(token)).toBe('revoked');
  });

  it('goes on under the new secret of its own key', async () => {
    const { key, secret } = await newKey();
    const token = await sessions.start(key, 'here');
    const { body } = await api.call('POST', `/api/keys/${key.id}/rotate`, { key: secret });
    expect(await sessions.find(token)).toBe('revoked');
    await sessions.follow({ id: await rowOf(key.id) } as Session, { ...key, prefix: text(body['prefix']) });
    expect((await signedIn(token)).key.prefix).toBe(body['prefix']);
  });

  it('is gone once ended', async () => {
    const { key } = await newKey();
    const token = await sessions.start(key, 'here');
    await sessions.end(await signedIn(token));
    expect(await sessions.find(token)).toBe('unknown');
  });
});

describe('a session of a linked wallet', () => {
  it('acts as an owner until the wallet is unlinked, which ends it', async () => {
    const { key } = await newKey();
    const wallet = await linkedWallet(key.accountId);
    const token = await sessions.start(wallet, 'here');
    const session = await signedIn(token);
    expect(session).toMatchObject({
      how: 'wallet',
      accountId: key.accountId,
      key: { prefix: WALLET_PREFIX, role: 'owner', label: 'phone' },
    });
    await transaction(api.pool, (client) => lockAccountAs(client, session.key, 'owner'));
    await requireLive(api.pool, session.key);
    await api.pool.query('update linked_wallets set unlinked_at = now() where id = $1', [wallet.id]);
    expect(await sessions.find(token)).toBe('revoked');
    await expect(transaction(api.pool, (client) => lockAccountAs(client, session.key, 'inference'))).rejects.toMatchObject({
      code: 'invalid_api_key',
    });
    await expect(requireLive(api.pool, session.key)).rejects.toMatchObject({ code: 'invalid_api_key' });
    await transaction(api.pool, (client) => endSessionsOfWallet(client, wallet.id));
    expect(await sessions.find(token)).toBe('unknown');
  });

  it('is of no other account', async () => {
    const [one, other] = [await newKey(), await newKey()];
    const wallet = await linkedWallet(one.key.accountId);
    await expect(requireLive(api.pool, { ...wallet, accountId: other.key.accountId })).rejects.toMatchObject({ code: 'invalid_api_key' });
  });
});

async function rowOf(keyId: string): Promise<Buffer> {
  const { rows } = await api.pool.query<{ token_sha256: Buffer }>('select token_sha256 from sessions where key_id = $1', [keyId]);
  return rows[0]?.token_sha256 ?? Buffer.alloc(0);
}
