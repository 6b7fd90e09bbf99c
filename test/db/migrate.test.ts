import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { migrate, MigrationError } from '../../src/db/migrate.ts';
import { migrationNames } from '../../src/db/migration-names.ts';
import { createPool, type Pool } from '../../src/db/postgres.ts';
import { createTestDatabase, withDatabase, type TestDatabase } from '../support/database.ts';

describe('migrate', () => {
  let home: TestDatabase;
  let directory: string;
  let url: string;
  let pool: Pool;

  beforeEach(async () => {
    home = await createTestDatabase({ max: 1 });
    const name = `${new URL(home.connectionString).pathname.slice(1)}_empty`;
    await home.pool.query(`create database ${name}`);
    url = withDatabase(home.connectionString, name);
    pool = createPool({ connectionString: url, max: 2 });
    directory = mkdtempSync(path.join(tmpdir(), 'pura-migrations-'));
  });

  afterEach(async () => {
    await pool.end();
    await home.pool.query(`drop database ${new URL(url).pathname.slice(1)} with (force)`);
    await home.drop();
    rmSync(directory, { recursive: true });
  });

  const write = (name: string, sql: string) => writeFileSync(path.join(directory, name), sql);

  it('brings an empty database up to date, and finds nothing to do the second time', async () => {
    expect(await migrate(url)).toEqual({ applied: await migrationNames() });
    expect(await migrate(url)).toEqual({ applied: [] });
  });

  it('applies each migration once when 12 migrators start at the same moment', async () => {
    const results = await Promise.all(Array.from({ length: 12 }, () => migrate(url)));
    expect(results.flatMap(({ applied }) => applied)).toEqual(await migrationNames());
  });

  it('is not held up by the lock of a migrator that was killed', async () => {
    await migrate(url);
    await pool.query('update schema_migrations_lock set is_locked = 1');
    expect(await migrate(url)).toEqual({ applied: [] });
  });

  it('refuses a database that is newer than the code, and leaves it as it is', async () => {
    write('0001_first.sql', 'create table first ()');
    await migrate(url, directory);
    await pool.query("insert into schema_migrations (name, batch, migration_time) values ('0002_of_tomorrow.sql', 2, now())");
    write('0003_other.sql', 'create table other ()');
    await expect(migrate(url, directory)).rejects.toThrow(MigrationError);
    await expect(migrate(url, directory)).rejects.toThrow(/newer than this version.*0002_of_tomorrow\.sql/);
    expect((await pool.query("select to_regclass('other') as found")).rows).toEqual([{ found: null }]);
  });

  it('applies all that is due or nothing', async () => {
    write('0001_good.sql', 'create table good ()');
    write('0002_bad.sql', 'create table half (); select 1 / 0');
    await expect(migrate(url, directory)).rejects.toThrow('division by zero');
    const { rows } = await pool.query("select to_regclass('good') as good, to_regclass('half') as half");
    expect(rows).toEqual([{ good: null, half: null }]);
    write('0002_bad.sql', 'create table half ()');
    expect(await migrate(url, directory)).toEqual({ applied: ['0001_good.sql', '0002_bad.sql'] });
  });

  it('passes question marks, casts and dollar quotes on as they are', async () => {
    write('0001_odd.sql', `create view odd as select 'what? \\? :name'::text as text, '{"a":1}'::jsonb ? 'a' as has; do $$ begin end $$;`);
    await migrate(url, directory);
    expect((await pool.query('select * from odd')).rows).toEqual([{ text: String.raw`what? \? :name`, has: true }]);
  });
});
