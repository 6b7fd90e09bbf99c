import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createPool, isConnectionLost, NotConnectedError, queryConnected, transaction, type Pool } from '../../src/db/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;
let pool: Pool;

beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool({ connectionString: database.connectionString });
});

afterEach(async () => {
  await pool.end();
  await database.drop();
});

describe('a connection that breaks in use', () => {
  it('fails its transaction, and neither the process nor the pool', async () => {
    const broken = transaction(pool, async (client) => {
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      await database.pool.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
      await client.query('select 1');
    });
    expect(await broken.catch(isConnectionLost)).toBe(true);
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('fails its statement, which may have been carried out', async () => {
    const suicide = queryConnected(pool, { text: 'select pg_terminate_backend(pg_backend_pid())' });
    expect(await suicide.catch(isConnectionLost)).toBe(true);
    expect((await queryConnected(pool, { text: 'select 1 as one' })).rows).toEqual([{ one: 1 }]);
  });
});

describe('a database that cannot be reached', () => {
  it('is told apart from one that broke off: the statement never left', async () => {
    const nowhere = createPool({ connectionString: 'postgres://nobody@127.0.0.1:1/none' });
    await expect(queryConnected(nowhere, { text: 'select 1' })).rejects.toBeInstanceOf(NotConnectedError);
    await nowhere.end();
  });
});
