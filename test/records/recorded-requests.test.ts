import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readRequests } from '../../src/records/recorded-requests.ts';
import { readMeanCharge } from '../../src/ledger/balance.ts';
import { readSpend } from '../../src/ledger/spend.ts';
import { readMovements, readStatement } from '../../src/ledger/statement.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addKey, addPayer, type Payer } from '../support/holds.ts';

const REQUESTS = 40_000;
/** A request each five minutes: 288 of them a day. */
const SECONDS_APART = 300;
/** Where a crash took the usage record. */
const LOST = [3, 40, 20_000];
/** The requests of another key of the account: few, long ago, and one of them without a record. */
const RARE = [30_000, 30_001, 39_000];
const RARE_LOST = 30_001;
const HOUR_MS = 3_600_000;

let database: TestDatabase;
let payer: Payer;
let rareKeyId: string;

beforeAll(async () => {
  database = await createTestDatabase({ max: 1 });
  const { pool } = database;
  payer = await addPayer(pool, { balanceMsat: 1_000_000_000n });
  rareKeyId = await addKey(pool, payer.accountId);
  const values = [payer.accountId, payer.keyId, REQUESTS, SECONDS_APART];
  const made = `(select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid as id, n, now() - make_interval(secs => ($3 - n) * $4) as at
    from generate_series(1, $3::integer) n order by n) made`;
  await pool.query(
    `insert into holds (request_id, account_id, key_id, funding, state, amount_msat, posted_msat, amount_pico_usd, posted_pico_usd, budget_day,
       pico_usd_per_msat, price_version, stream, idempotent, instance_id, lease_until, created_at, resolved_at)
     select id, $1, $2, 'wallet', 'posted', 100, 20, 100000000, 20000000, at::date, 1000000, 1, false, false, id, at, at, at from ${made}`,
    values,
  );
  await pool.query(
    `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, request_id, created_at)
     select 'charge:' || id, $1, 'charge', 'wallet', 'revenue', 20, 1000000000 - 20 * n, id, at from ${made} where $2::uuid is not null`,
    values,
  );
  await pool.query(
    `insert into requests (id, account_id, key_id, created_at, path, model, provider, stream, outcome, status)
     select id, $1, $2, at, '/v1/chat/completions', 'model', 'provider', false, 'ok', 200 from ${made} where $3 - n <> all ($5::integer[])`,
    [...values, [...LOST, RARE_LOST]],
  );
  const ofRareKey = (column: string) => `update ${column} = any (array(select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid
    from unnest($1::integer[]) n))`;
  const rare = RARE.map((ago) => REQUESTS - ago);
  for (const table of ['holds set key_id = $2 where request_id', 'requests set key_id = $2 where id'])
    await pool.query(ofRareKey(table), [rare, rareKeyId]);
  // Half of all charges, those of the rare key among them, are from before charges named their key.
  await pool.query(`alter table transfers disable trigger transfers_append_only`);
  await pool.query('update transfers set key_id = $1 where id > $2', [payer.keyId, REQUESTS / 2]);
  await pool.query(`alter table transfers enable trigger transfers_append_only`);
  await pool.query('vacuum analyze');
});

afterAll(() => database.drop());

/** How often the tables that grow with every request were read whole while `work` ran. */
async function wholeReads(work: () => Promise<unknown>): Promise<number> {
  const { pool } = database;
  const count = async () => {
    await pool.query('select pg_stat_force_next_flush()');
    const { rows } = await pool.query<{ scans: bigint }>(
      `select sum(seq_scan)::bigint as scans from pg_stat_user_tables where relname in ('holds', 'transfers', 'requests')`,
    );
    return rows[0]?.scans ?? -1n;
  };
  const before = await count();
  await work();
  return Number((await count()) - before);
}

describe(`on an account with ${REQUESTS} requests`, () => {
  const page = () => ({ accountId: payer.accountId, keyId: null, after: null, limit: 50 });

  /** How many rows were looked at while `work` ran. */
  async function rowsRead(work: () => Promise<unknown>): Promise<number> {
    const { pool } = database;
    const count = async () => {
      await pool.query('select pg_stat_force_next_flush()');
      const { rows } = await pool.query<{ rows: bigint }>(
        `select sum(coalesce(idx_tup_fetch, 0) + seq_tup_read)::bigint as rows from pg_stat_user_tables
         where relname in ('holds', 'transfers', 'requests')`,
      );
      return rows[0]?.rows ?? 0n;
    };
    const before = await count();
    await work();
    return Number((await count()) - before);
  }

  it.each<[what: string, read: (keyId: string, at: number) => Promise<unknown>]>([
    [
      'requests',
      (keyId, at) => {
        const id = `00000000-0000-7000-8000-${String(at).padStart(12, '0')}`;
        const atMicros = BigInt(Math.round((Date.now() - (REQUESTS - at) * SECONDS_APART * 1_000) * 1_000));
        return readRequests(database.pool, { ...page(), keyId, after: at === REQUESTS ? null : { atMicros, id } });
      },
    ],
    [
      'the statement',
      (keyId, at) =>
        readStatement(database.pool, { accountId: payer.accountId, keyId, before: at === REQUESTS ? null : BigInt(at), limit: 50 }),
    ],
  ])('a page of %s of a busy key reads about a page, wherever it stands', async (_what, read) => {
    for (const at of [REQUESTS, REQUESTS - 10_000]) expect(await rowsRead(() => read(payer.keyId, at))).toBeLessThan(500);
  });

  it('a page of a key that is hardly used reads a few rows, once charges name their key', async () => {
    const newKey = await addKey(database.pool, payer.accountId);
    const { pool } = database;
    await pool.query('alter table transfers disable trigger transfers_append_only');
    await pool.query('update transfers t set key_id = h.key_id from holds h where h.request_id = t.request_id and t.key_id is null');
    await pool.query('update transfers set key_id = $1 where id = 7', [newKey]);
    await pool.query('alter table transfers enable trigger transfers_append_only');
    await pool.query('update holds set key_id = $1 where request_id = (select request_id from transfers where id = 7)', [newKey]);
    await pool.query('vacuum analyze');
    const request = { ...page(), keyId: newKey };
    expect(await rowsRead(() => readRequests(pool, request))).toBeLessThan(50);
    expect(await rowsRead(() => readStatement(pool, { accountId: payer.accountId, keyId: newKey, before: null, limit: 50 }))).toBeLessThan(
      50,
    );
    expect((await readStatement(pool, { accountId: payer.accountId, keyId: newKey, before: null, limit: 50 })).map(({ id }) => id)).toEqual(
      [7n],
    );
  });

  it.each<[what: string, read: () => Promise<unknown>]>([
    ['a page of requests', () => readRequests(database.pool, page())],
    ["a page of a key's requests", () => readRequests(database.pool, { ...page(), keyId: payer.keyId })],
    ['a page of the statement', () => readStatement(database.pool, { accountId: payer.accountId, keyId: null, before: null, limit: 50 })],
    ['the spend of an hour', () => readSpend(database.pool, { accountId: payer.accountId, keyId: null, hours: 1 })],
    ['the movements of a month', () => readMovements(database.pool, payer.accountId, new Date(Date.now() - 30 * 24 * HOUR_MS))],
    ['the mean charge', () => readMeanCharge(database.pool, payer.accountId)],
  ])('%s reads no table whole', async (_what, read) => {
    expect(await wholeReads(read)).toBe(0);
  });

  it('requests are listed newest first, those without a record in their place', async () => {
    const first = await readRequests(database.pool, page());
    const last = first.at(-1);
    const second = await readRequests(database.pool, { ...page(), after: last?.position ?? null });
    expect([...first, ...second].map(({ id }) => REQUESTS - Number(id.slice(24)))).toEqual(Array.from({ length: 100 }, (_, n) => n));
    const unnamed = [...first, ...second].filter(({ model }) => model === 'unrecorded').map(({ id }) => REQUESTS - Number(id.slice(24)));
    expect(unnamed).toEqual([3, 40]);
    expect([...first, ...second].every(({ chargedMsat }) => chargedMsat === 20n)).toBe(true);
  });

  it('all that one key was charged is listed and on its statement, also from before charges named their key', async () => {
    const listed = await readRequests(database.pool, { ...page(), keyId: rareKeyId });
    expect(listed.map(({ id }) => REQUESTS - Number(id.slice(24)))).toEqual(RARE);
    expect(listed.map(({ model }) => model)).toEqual(['model', 'unrecorded', 'model']);
    const statement = (before: bigint | null, limit: number) =>
      readStatement(database.pool, { accountId: payer.accountId, keyId: rareKeyId, before, limit });
    const lines = await statement(null, 50);
    expect(lines.map(({ requestId }) => REQUESTS - Number(requestId?.slice(24)))).toEqual(RARE);
    expect(await statement(lines[0]?.id ?? null, 1)).toEqual(lines.slice(1, 2));
  });
});
