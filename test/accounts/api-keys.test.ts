import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { ApiKeys, type KeySettings } from '../../src/accounts/api-keys.ts';
import { KeyAuthenticator } from '../../src/accounts/key-authenticator.ts';
import { createKeySecrets } from '../../src/accounts/key-secret.ts';
import { createNotifications } from '../../src/db/notify.ts';
import { picoUsd } from '../../src/amount.ts';
import { createLog } from '../../src/log.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

const log = createLog('silent');
const roots = [{ id: '0', secret: randomBytes(32) }];
const address = (): string => '192.0.2.1';
const SETTINGS: KeySettings = {
  label: null,
  dailyBudgetPicoUsd: picoUsd(1n),
  rateLimitRpm: null,
  rateLimitTpm: null,
  allowedModels: null,
  expiresAt: null,
};

/** One of several gateways on the database, with a listener of its own. Its clock stands still: nothing expires. */
function startGateway({ pool, connectionString }: TestDatabase) {
  const notifications = createNotifications(connectionString);
  const secrets = createKeySecrets(roots);
  const authenticator = new KeyAuthenticator({ pool, secrets, notifications, log, now: () => 0 });
  const apiKeys = new ApiKeys({ pool, secrets, authenticator, log });
  const accepts = (secret: string): Promise<boolean> =>
    authenticator.authenticate(secret, address).then(
      () => true,
      () => false,
    );
  const close = async (): Promise<void> => {
    await authenticator.close();
    await notifications.close();
  };
  return { authenticator, apiKeys, notifications, accepts, close };
}

let database: TestDatabase;
let one: ReturnType<typeof startGateway>;
let other: ReturnType<typeof startGateway>;
beforeAll(async () => {
  database = await createTestDatabase();
  one = startGateway(database);
  other = startGateway(database);
  await until(() => one.notifications.connected && other.notifications.connected);
});
afterAll(async () => {
  await Promise.all([one.close(), other.close()]);
  await database.drop();
});

describe('two gateways on one database', () => {
  it('tell each other of a revoked key: the other’s cached copy dies with it', async () => {
    const { key, secret } = await one.apiKeys.createAccount(SETTINGS);
    expect(await other.accepts(secret)).toBe(true);
    await one.apiKeys.revoke(key, key.id);
    expect(await one.accepts(secret)).toBe(false);
    await until(async () => !(await other.accepts(secret)));
  });

  it('tell each other of a rotated and of a changed key', async () => {
    const { key, secret } = await one.apiKeys.createAccount(SETTINGS);
    expect(await other.accepts(secret)).toBe(true);
    const rotated = await one.apiKeys.rotate(key, key.id);
    await until(async () => !(await other.accepts(secret)));
    expect(await other.accepts(rotated.secret)).toBe(true);
    await one.apiKeys.change(rotated.key, key.id, { rateLimitRpm: 5 });
    await until(async () => (await other.authenticator.authenticate(rotated.secret, address)).rateLimitRpm === 5);
  });

  it('refuse a revoked key although their listeners were cut off', async () => {
    const { key, secret } = await one.apiKeys.createAccount(SETTINGS);
    expect(await other.accepts(secret)).toBe(true);
    await database.pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'pura-gateway listener'`,
    );
    await one.apiKeys.revoke(key, key.id);
    await until(async () => !(await other.accepts(secret)));
    await until(() => one.notifications.connected && other.notifications.connected);
    expect(await other.accepts(secret)).toBe(false);
  });
});

describe('an account', () => {
  it('is made with its owner key or not at all', async () => {
    const count = async (): Promise<unknown> => (await database.pool.query('select count(*) from accounts')).rows;
    const before = await count();
    await expect(one.apiKeys.createAccount({ ...SETTINGS, dailyBudgetPicoUsd: picoUsd(-1n) })).rejects.toThrow();
    expect(await count()).toEqual(before);
  });
});
