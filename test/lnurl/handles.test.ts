import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Handles } from '../../src/lnurl/handles.ts';
import { isReservedHandle } from '../../src/lnurl/reserved-handles.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addAccount, addOwner } from '../support/funded.ts';
import { until } from '../support/until.ts';

let database: TestDatabase;
let handles: Handles;
beforeAll(async () => {
  database = await createTestDatabase();
  handles = new Handles(database.pool);
});
afterAll(() => database.drop());

const settledWith = <T>(results: PromiseSettledResult<T>[]) => results.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));

describe('a handle', () => {
  it('is drawn once for an account, however many ask at the same time, and leads back to it', async () => {
    const accountId = await addAccount(database.pool);
    const drawn = new Set(await Promise.all(Array.from({ length: 10 }, () => handles.of(accountId))));
    expect([...drawn]).toEqual([expect.stringMatching(/^[a-z2-9]{10}$/)]);
    expect(await handles.accountOf([...drawn][0] ?? '')).toBe(accountId);
  });

  it('may be chosen while the first one is drawn', async () => {
    const [owner, other] = [await addOwner(database.pool), await addOwner(database.pool)];
    const locker = await database.pool.connect();
    const waiting = async (): Promise<number> => {
      const { rows } = await database.pool.query<{ count: number }>(
        `select count(*)::integer as count from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return rows[0]?.count ?? 0;
    };
    try {
      // Between its look at the account's handles and its own, the change waits for somebody who may take the same one.
      await locker.query('begin');
      await locker.query(`insert into lightning_handles (handle, account_id) values ('first-choice', $1)`, [other.accountId]);
      const chosen = handles.change(owner, 'first-choice');
      await until(async () => (await waiting()) === 1);
      let drawn: string | undefined;
      const drawing = handles.of(owner.accountId).then((handle) => (drawn = handle));
      await until(async () => drawn !== undefined || (await waiting()) === 2);
      await locker.query('rollback');
      expect(await Promise.all([chosen, drawing])).toEqual(['first-choice', 'first-choice']);
    } finally {
      locker.release();
    }
  });

  it("is one account's, however many choose it at the same time", async () => {
    const owners = await Promise.all(Array.from({ length: 8 }, () => addOwner(database.pool)));
    const chosen = await Promise.allSettled(owners.map((owner) => handles.change(owner, 'wanted-by-all')));
    expect(settledWith(chosen)).toEqual(['wanted-by-all']);
    const winner = owners[chosen.findIndex(({ status }) => status === 'fulfilled')];
    expect(await handles.accountOf('wanted-by-all')).toBe(winner?.accountId);
  });

  it('that was given up stops at once, and is never given to another account, but back to its own', async () => {
    const [owner, other] = [await addOwner(database.pool), await addOwner(database.pool)];
    const drawn = await handles.of(owner.accountId);
    expect(await handles.change(owner, ' Alice.B ')).toBe('alice.b');
    expect(await handles.change(owner, 'alice.b')).toBe('alice.b');
    expect([await handles.accountOf(drawn), await handles.accountOf('alice.b')]).toEqual([undefined, owner.accountId]);
    await handles.change(owner, 'alice-c');
    expect(await handles.accountOf('alice.b')).toBeUndefined();
    for (const taken of [drawn, 'alice.b', 'alice-c']) {
      await expect(handles.change(other, taken)).rejects.toMatchObject({ code: 'invalid_request', detail: { param: 'handle' } });
    }
    expect(await handles.change(owner, 'alice.b')).toBe('alice.b');
    expect(await handles.of(owner.accountId)).toBe('alice.b');
  });

  it('can be changed a few times only, so that nobody takes all names', async () => {
    const owner = await addOwner(database.pool);
    for (let turn = 0; turn < 10; turn++) await handles.change(owner, `greedy-${turn}`);
    await expect(handles.change(owner, 'greedy-more')).rejects.toMatchObject({ code: 'not_permitted' });
    expect(await handles.of(owner.accountId)).toBe('greedy-9');
  });

  it('is changed by an owner key that may still act, and by no other', async () => {
    const owner = await addOwner(database.pool);
    await database.pool.query(`update api_keys set revoked_at = now() where id = $1`, [owner.id]);
    await expect(handles.change(owner, 'too-late')).rejects.toMatchObject({ code: 'invalid_api_key' });
    const user = await addOwner(database.pool);
    await database.pool.query(`update api_keys set role = 'inference' where id = $1`, [user.id]);
    await expect(handles.change(user, 'too-small')).rejects.toMatchObject({ code: 'not_permitted' });
  });

  it.each([
    ...['ab', 'a'.repeat(33), '.alice', 'alice-', 'al..ice', 'al ice', 'älice', 'alice@host', 'al\u0000ice', '', '--------'],
    ...['admin', 'Admin-1', 'sup.port', 'satoshi_21', 'pura', 'pura-team', 'www'],
  ])('is not %j', async (wanted) => {
    const owner = await addOwner(database.pool);
    await expect(handles.change(owner, wanted)).rejects.toMatchObject({ code: 'invalid_request', detail: { param: 'handle' } });
  });

  it.each(['abc', 'a.b', 'a-b_c', 'x'.repeat(32), '007', 'helper', 'nulla'])('may be %j', async (wanted) => {
    expect(isReservedHandle(wanted)).toBe(false);
    expect(await handles.change(await addOwner(database.pool), wanted)).toBe(wanted);
  });
});
