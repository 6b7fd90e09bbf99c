import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Pipeline } from '../../src/db/pipeline.ts';
import { createPool, isConnectionLost, NotConnectedError, type Pool } from '../../src/db/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

let database: TestDatabase;
let pool: Pool;
let pipeline: Pipeline;

beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool({ connectionString: database.connectionString, pipeline: true });
  pipeline = new Pipeline(pool);
});

afterEach(async () => {
  await pool.end();
  await database.drop();
});

const one = async (text: string) => (await pipeline.query<{ value: number }>({ text: `select ${text} as value` })).rows[0]?.value;

/** The one connection is in the pool again. */
const allGivenBack = () => until(() => pool.totalCount === 1 && pool.idleCount === 1);

describe('Pipeline', () => {
  it('carries its statements out in order on one connection, and gives that back', async () => {
    expect(await Promise.all([one('1'), one('2'), one('3')])).toEqual([1, 2, 3]);
    expect(await one('4')).toBe(4);
    await allGivenBack();
  });

  it('keeps the connection for what follows at once, and gives it back once', async () => {
    let released = 0;
    pool.on('release', () => released++);
    for (const value of ['1', '2', '3']) await one(value);
    expect(released).toBe(0);
    await allGivenBack();
    expect(released).toBe(1);
  });

  it('has the next statement at the database before the one before it is answered', async () => {
    let socket: Socket | undefined;
    pool.on('connect', (client) => ({ stream: socket } = (client as unknown as { connection: { stream: Socket } }).connection));
    const locker = await database.pool.connect();
    await locker.query('select pg_advisory_lock(1)');
    const waiting = [one('(select 1 from pg_advisory_lock(1))'), pipeline.query({ name: 'named', text: 'select 2 as value' }), one('3')];
    await until(async () => (await database.pool.query(`select from pg_stat_activity where wait_event_type = 'Lock'`)).rowCount === 1);
    const sent = socket?.bytesWritten;
    expect(sent).toBeGreaterThan(0);
    await locker.query('select pg_advisory_unlock(1)');
    locker.release();
    expect(await Promise.all(waiting)).toMatchObject([1, { rows: [{ value: 2 }] }, 3]);
    expect(socket?.bytesWritten).toBe(sent);
  });

  it('lets a statement that fails touch no other', async () => {
    const ends = await Promise.allSettled([one('1'), one('1 / 0'), one('3')]);
    expect(ends).toMatchObject([{ value: 1 }, { reason: { code: '22012' } }, { value: 3 }]);
    await allGivenBack();
  });

  it('fails all that was under way where the connection breaks, and goes on with another', async () => {
    const ends = await Promise.allSettled([one('1'), one('pg_terminate_backend(pg_backend_pid())'), one('3')]);
    expect(ends[0]).toMatchObject({ value: 1 });
    for (const end of ends.slice(1)) expect(end.status === 'rejected' && isConnectionLost(end.reason)).toBe(true);
    expect(await one('4')).toBe(4);
    await allGivenBack();
  });

  it('tells where a statement never left, to each of them', async () => {
    const nowhere = createPool({ connectionString: 'postgres://nobody@127.0.0.1:1/none', pipeline: true });
    const lost = new Pipeline(nowhere);
    const ends = await Promise.allSettled([lost.query({ text: 'select 1' }), lost.query({ text: 'select 2' })]);
    for (const end of ends) expect(end.status === 'rejected' && end.reason).toBeInstanceOf(NotConnectedError);
    await nowhere.end();
  });
});
