import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createNotifications } from '../../src/db/notify.ts';
import { openCuttable } from '../regtest/cuttable.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});

describe('notifications', () => {
  it('reach every listener of the channel and no other', async () => {
    const [sender, receiver] = [createNotifications(database.connectionString), createNotifications(database.connectionString)];
    const seen: string[] = [];
    receiver.listen('one', (payload) => seen.push(`one ${payload}`));
    receiver.listen('two', (payload) => seen.push(`two ${payload}`));
    await until(() => sender.connected && receiver.connected);
    await sender.notify('other', 'x');
    await sender.notify('two', 'b');
    await sender.notify('one', 'a');
    await until(() => seen.length === 2);
    expect(seen).toEqual(['two b', 'one a']);
    await Promise.all([sender.close(), receiver.close()]);
  });

  it('say that some may be lost while the connection is away, and come again when it is back', async () => {
    const notifications = createNotifications(database.connectionString);
    const seen: string[] = [];
    let gaps = 0;
    notifications.listen(
      'one',
      (payload) => seen.push(payload),
      () => gaps++,
    );
    await until(() => notifications.connected && gaps === 1);
    await database.pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'pura-gateway listener'`,
    );
    await until(() => !notifications.connected);
    await expect(notifications.notify('one', 'lost')).rejects.toThrow();
    await until(() => notifications.connected);
    expect(gaps).toBe(2);
    await notifications.notify('one', 'back');
    await until(() => seen.length > 0);
    expect(seen).toEqual(['back']);
    await notifications.close();
  });

  it('can be listened to on a channel that is added later, and no longer after it is left', async () => {
    const notifications = createNotifications(database.connectionString);
    await until(() => notifications.connected);
    const seen: string[] = [];
    let ready = false;
    const leave = notifications.listen(
      'late',
      (payload) => seen.push(payload),
      () => (ready = true),
    );
    await until(() => ready);
    await notifications.notify('late', 'a');
    await until(() => seen.length === 1);
    leave();
    let other = '';
    notifications.listen('end', (payload) => (other = payload));
    await notifications.notify('late', 'b');
    await notifications.notify('end', 'z');
    await until(() => other === 'z');
    expect(seen).toEqual(['a']);
    await notifications.close();
  });

  it('come back as soon each time, however often the connection was lost before', async () => {
    const timers = jest.spyOn(globalThis, 'setTimeout');
    const notifications = createNotifications(database.connectionString);
    let gaps = 0;
    notifications.listen(
      'one',
      () => {},
      () => gaps++,
    );
    for (let loss = 1; loss <= 4; loss++) {
      await until(() => notifications.connected && gaps === loss);
      await database.pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'pura-gateway listener'`,
      );
      await until(() => !notifications.connected);
    }
    await until(() => notifications.connected);
    const pauses = timers.mock.calls.map(([, ms]) => ms ?? 0).filter((ms) => [100, 200, 400, 800, 1_600, 3_200].includes(ms));
    expect(pauses).toEqual([100, 100, 100, 100]);
    timers.mockRestore();
    await notifications.close();
  });

  it('say that some may be lost where the connection is only half open, and look for another one', async () => {
    const url = new URL(database.connectionString);
    const way = await openCuttable(url.host);
    url.host = way.socket;
    const notifications = createNotifications(url.href);
    await until(() => notifications.connected);
    // Nothing comes through any more, and nothing ends.
    way.mute();
    await until(() => !notifications.connected);
    way.restore();
    await until(() => notifications.connected);
    await notifications.close();
    await way.close();
  });
});
