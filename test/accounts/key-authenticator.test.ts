import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { ApiKeys, type IssuedKey, type KeySettings } from '../../src/accounts/api-keys.ts';
import { KeyAuthenticator } from '../../src/accounts/key-authenticator.ts';
import { createKeySecrets } from '../../src/accounts/key-secret.ts';
import { olderSecrets } from '../../src/accounts/older-secrets.ts';
import type { RootSecret } from '../../src/config/secret-keys.ts';
import type { Notifications } from '../../src/db/notify.ts';
import { picoUsd } from '../../src/amount.ts';
import { createLog } from '../../src/log.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

const log = createLog('silent');
const root = (id: string): RootSecret => ({ id, secret: randomBytes(32) });
const SETTINGS: KeySettings = {
  label: null,
  dailyBudgetPicoUsd: picoUsd(1n),
  rateLimitRpm: null,
  rateLimitTpm: null,
  allowedModels: null,
  expiresAt: null,
};
const HOME = (): string => '192.0.2.1';

/** A listener in the test's hands: connected or not, and told of a change or not. */
class FakeNotifications implements Notifications {
  connected = true;
  #onMessage: (payload: string) => void = () => {};
  #onGap: () => void = () => {};

  listen(_channel: string, onMessage: (payload: string) => void, onGap: () => void = () => {}): () => void {
    this.#onMessage = onMessage;
    this.#onGap = onGap;
    onGap();
    return () => {};
  }
  announce(keyId: string): void {
    this.#onMessage(keyId);
  }
  reconnect(): void {
    this.connected = true;
    this.#onGap();
  }
  notify(): Promise<void> {
    return Promise.resolve();
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

let database: TestDatabase;
let clock: number;
let queries: number;
/** Called when a lookup is under way. */
let onQuery: () => void;
/** What the answers of lookups wait for. */
let held: Promise<unknown> | undefined;
const roots = [root('1')];
const authenticators: KeyAuthenticator[] = [];

beforeEach(async () => {
  database = await createTestDatabase();
  clock = 0;
  queries = 0;
  onQuery = () => {};
  held = undefined;
});
afterEach(async () => {
  // Else what one test's authenticator still has to write is counted in a later test.
  await Promise.all(authenticators.splice(0).map((authenticator) => authenticator.close()));
  await database.drop();
});

/** One gateway's authenticator, whose lookups are counted, and the keys as another gateway changes them. */
function gateway(notifications = new FakeNotifications(), secretKeys = roots) {
  const secrets = createKeySecrets(secretKeys);
  const counted = Object.create(database.pool) as typeof database.pool;
  counted.query = ((...args: Parameters<typeof database.pool.query>) => {
    queries++;
    const gate = held;
    const result = database.pool.query(...args) as unknown as Promise<unknown>;
    onQuery();
    return gate ? result.then((answer) => gate.then(() => answer)) : result;
  }) as typeof database.pool.query;
  const authenticator = new KeyAuthenticator({ pool: counted, secrets, notifications, log, now: () => clock, unknownKeysPerMinute: 5 });
  authenticators.push(authenticator);
  const apiKeys = new ApiKeys({ pool: database.pool, secrets, authenticator, log });
  return { authenticator, apiKeys, notifications };
}

/** An account whose key another gateway made, so that nothing of it is cached here. */
function issue(): Promise<IssuedKey> {
  return gateway().apiKeys.createAccount(SETTINGS);
}

const elsewhere = () => gateway().apiKeys;
const refused = expect.objectContaining({ code: 'invalid_api_key' }) as unknown as Error;

describe('KeyAuthenticator', () => {
  it('asks the database once for requests that come at once, and once in 5 seconds', async () => {
    const { secret, key } = await issue();
    const { authenticator } = gateway();
    const found = await Promise.all(Array.from({ length: 50 }, () => authenticator.authenticate(secret, HOME)));
    expect(new Set(found.map(({ id }) => id))).toEqual(new Set([key.id]));
    clock = 4_999;
    await authenticator.authenticate(secret, HOME);
    expect(queries).toBe(1);
    clock = 5_000;
    await authenticator.authenticate(secret, HOME);
    expect(queries).toBe(2);
  });

  it('drops a key when its change is announced', async () => {
    const { secret, key } = await issue();
    const { authenticator, notifications } = gateway();
    await authenticator.authenticate(secret, HOME);
    await elsewhere().revoke(key, key.id);
    notifications.announce(key.id);
    await expect(authenticator.authenticate(secret, HOME)).rejects.toEqual(refused);
  });

  it('lets no revoked key live longer than 5 seconds where the announcement was lost', async () => {
    const { secret, key } = await issue();
    const { authenticator } = gateway();
    await authenticator.authenticate(secret, HOME);
    await elsewhere().revoke(key, key.id);
    clock = 5_000;
    await expect(authenticator.authenticate(secret, HOME)).rejects.toEqual(refused);
  });

  it('caches nothing while the listener is down, and starts afresh when it is back', async () => {
    const { secret, key } = await issue();
    const { authenticator, notifications } = gateway();
    await authenticator.authenticate(secret, HOME);
    notifications.connected = false;
    await elsewhere().revoke(key, key.id);
    await expect(authenticator.authenticate(secret, HOME)).rejects.toEqual(refused);
    const other = await issue();
    await authenticator.authenticate(other.secret, HOME);
    await elsewhere().revoke(other.key, other.key.id);
    notifications.reconnect();
    await expect(authenticator.authenticate(other.secret, HOME)).rejects.toEqual(refused);
  });

  it('does not keep a row that was read before a change was announced', async () => {
    const { secret, key } = await issue();
    const { authenticator, notifications } = gateway();
    onQuery = () => notifications.announce(key.id);
    await authenticator.authenticate(secret, HOME);
    onQuery = () => {};
    await authenticator.authenticate(secret, HOME);
    expect(queries).toBe(2);
  });

  it.each<[string, (gateway: { authenticator: KeyAuthenticator; notifications: FakeNotifications }, keyId: string) => void]>([
    ['this gateway made', ({ authenticator }, keyId) => authenticator.forget(keyId)],
    ['another one announced', ({ notifications }, keyId) => notifications.announce(keyId)],
    ['the listener may have missed', ({ notifications }) => notifications.reconnect()],
  ])('shares no lookup that began before a change that %s', async (_name, tell) => {
    const { secret, key } = await issue();
    const one = gateway();
    let release = (): void => {};
    held = new Promise<void>((resolve) => (release = resolve));
    const before = one.authenticator.authenticate(secret, HOME);
    await until(() => queries === 1);
    held = undefined;
    await elsewhere().revoke(key, key.id);
    tell(one, key.id);
    await expect(one.authenticator.authenticate(secret, HOME)).rejects.toEqual(refused);
    release();
    await before.catch(() => {});
    await expect(one.authenticator.authenticate(secret, HOME)).rejects.toEqual(refused);
  });

  it('refuses an expired key, cached or not', async () => {
    const { secret, key } = await issue();
    await elsewhere().change(key, key.id, { expiresAt: new Date(Date.now() - 1) });
    const { authenticator } = gateway();
    await expect(authenticator.authenticate(secret, HOME)).rejects.toEqual(refused);
    await expect(authenticator.authenticate(secret, HOME)).rejects.toEqual(refused);
    expect(queries).toBe(1);
  });

  it('knows keys made under every root secret, and makes new ones under the newest', async () => {
    const [oldRoot, newRoot] = [root('1'), root('2')];
    const old = await gateway(undefined, [oldRoot]).apiKeys.createAccount(SETTINGS);
    const { authenticator, apiKeys } = gateway(undefined, [newRoot, oldRoot]);
    expect(await authenticator.authenticate(old.secret, HOME)).toMatchObject({ id: old.key.id });
    const fresh = await apiKeys.create(old.key, 'inference', SETTINGS);
    expect(await gateway(undefined, [newRoot]).authenticator.authenticate(fresh.secret, HOME)).toMatchObject({ id: fresh.key.id });
    await expect(gateway(undefined, [newRoot]).authenticator.authenticate(old.secret, HOME)).rejects.toEqual(refused);
  });

  it('renews the hash of a key that is used under the newest root secret, so that the older one can go', async () => {
    const [oldRoot, newRoot] = [root('1'), root('2')];
    const old = await gateway(undefined, [oldRoot]).apiKeys.createAccount(SETTINGS);
    const unused = await gateway(undefined, [oldRoot]).apiKeys.createAccount(SETTINGS);
    const gone = await gateway(undefined, [root('0')]).apiKeys.createAccount(SETTINGS);
    const both = [newRoot, oldRoot];
    const hanging = () => olderSecrets(database.pool, both);
    expect(await hanging()).toEqual([
      { secretId: '0', keys: 1, known: false },
      { secretId: '1', keys: 2, known: true },
    ]);
    const gateways = [gateway(undefined, both), gateway(undefined, both)];
    await Promise.all(gateways.map(({ authenticator }) => authenticator.authenticate(old.secret, HOME)));
    await Promise.all(gateways.map(({ authenticator }) => authenticator.close()));
    expect(await hanging()).toEqual([
      { secretId: '0', keys: 1, known: false },
      { secretId: '1', keys: 1, known: true },
    ]);
    const after = gateway(undefined, [newRoot]).authenticator;
    // The secret is the same: no cached copy of the key is out of date.
    expect(await after.authenticate(old.secret, HOME)).toMatchObject({ id: old.key.id, version: old.key.version });
    // As does a gateway that knows the new secret, but does not make anything with it yet.
    expect(await gateway(undefined, [oldRoot, newRoot]).authenticator.authenticate(old.secret, HOME)).toMatchObject({ id: old.key.id });
    for (const { secret } of [unused, gone]) await expect(after.authenticate(secret, HOME)).rejects.toEqual(refused);
    await expect(gateway(undefined, [oldRoot]).authenticator.authenticate(old.secret, HOME)).rejects.toEqual(refused);
  });

  it('renews no hash of a secret that was replaced meanwhile, nor one that is new', async () => {
    const [oldRoot, newRoot] = [root('1'), root('2')];
    const { key, secret } = await gateway(undefined, [oldRoot]).apiKeys.createAccount(SETTINGS);
    const { authenticator, apiKeys } = gateway(undefined, [newRoot, oldRoot]);
    await authenticator.authenticate(secret, HOME);
    const rotated = await gateway(undefined, [oldRoot]).apiKeys.rotate(key, key.id);
    await authenticator.close();
    expect(await olderSecrets(database.pool, [newRoot, oldRoot])).toMatchObject([{ secretId: '1', keys: 1 }]);
    const fresh = await apiKeys.createAccount(SETTINGS);
    const asked = queries;
    await authenticator.authenticate(fresh.secret, HOME);
    await authenticator.close();
    // The lookup, and when the key was last used.
    expect(queries).toBe(asked + 2);
    expect(await gateway(undefined, [oldRoot]).authenticator.authenticate(rotated.secret, HOME)).toMatchObject({ id: key.id });
  });

  it('asks once for a secret that is nobody’s, and never for what cannot be one', async () => {
    const { authenticator } = gateway();
    const unknown = `pura_${'x'.repeat(43)}`;
    for (let i = 0; i < 20; i++) await expect(authenticator.authenticate(unknown, HOME)).rejects.toEqual(refused);
    expect(queries).toBe(1);
    for (const nonsense of ['', 'pura_', 'sk-123', `pura_${'x'.repeat(500)}`, "pura_' or 1=1 --"]) {
      await expect(authenticator.authenticate(nonsense, HOME)).rejects.toEqual(refused);
    }
    expect(queries).toBe(1);
  });

  it('stops asking for an address that guesses, and goes on for the others and for known keys', async () => {
    const { secret } = await issue();
    const { authenticator } = gateway();
    await authenticator.authenticate(secret, HOME);
    const guess = (): Promise<unknown> => authenticator.authenticate(`pura_${randomBytes(32).toString('base64url')}`, HOME);
    for (let i = 0; i < 5; i++) await expect(guess()).rejects.toEqual(refused);
    const asked = queries;
    await expect(guess()).rejects.toMatchObject({ code: 'rate_limit_exceeded', detail: { retryAfter: expect.any(Number) } });
    expect(queries).toBe(asked);
    clock = 6_000;
    await authenticator.authenticate(secret, HOME);
    await expect(authenticator.authenticate((await issue()).secret, () => '192.0.2.2')).resolves.toBeDefined();
  });

  it('writes when a key was last used, at most once a minute, without changing its version', async () => {
    const { secret, key } = await issue();
    const { authenticator } = gateway();
    await authenticator.authenticate(secret, HOME);
    await authenticator.close();
    const used = (await elsewhere().find(key.accountId, key.id)).lastUsedAt;
    expect(used).toBeInstanceOf(Date);
    await authenticator.authenticate(secret, HOME);
    await authenticator.close();
    expect(await elsewhere().find(key.accountId, key.id)).toMatchObject({ lastUsedAt: used, version: key.version });
  });
});
