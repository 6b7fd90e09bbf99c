import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiKey } from '../../src/accounts/api-key.ts';
import { readSpend } from '../../src/ledger/spend.ts';
import { readStatement } from '../../src/ledger/statement.ts';
import { statementCsv } from '../../src/records/statement-csv.ts';
import { usageCsv } from '../../src/records/usage-csv.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPayer, deposit, type Payer } from '../support/holds.ts';

const CHARGES = 2_500;

let database: TestDatabase;
let payer: Payer;

beforeAll(async () => {
  database = await createTestDatabase({ max: 1 });
  const { pool } = database;
  payer = await addPayer(pool);
  await deposit(pool, payer.accountId, 10_000_000n);
  await pool.query(
    `with made as materialized (select gen_random_uuid() as id, n from generate_series(1, $3::int) n), held as (
       insert into holds (request_id, account_id, key_id, funding, state, amount_msat, posted_msat, amount_pico_usd, posted_pico_usd, budget_day,
         pico_usd_per_msat, price_version, stream, idempotent, instance_id, lease_until, resolved_at)
       select id, $1, $2, 'wallet', 'posted', n, n, n * 1000, n * 1000, current_date, 1000, 1, false, false, $4, now(), clock_timestamp() from made
     ), moved as (
       insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, request_id, key_id)
       select 'charge:' || id, $1, 'charge', 'wallet', 'revenue', n, 10000000 - n * (n + 1) / 2, id, $2 from made order by n
     )
     insert into requests (id, account_id, key_id, path, model, provider, stream, outcome, status)
     select id, $1, $2, '/v1/chat/completions', '=1+1', 'p', false, 'ok', 200 from made`,
    [payer.accountId, payer.keyId, CHARGES, randomUUID()],
  );
});
afterAll(() => database.drop());

const named = (_accountId: string, ids: readonly string[]) =>
  Promise.resolve(new Map(ids.map((id) => [id, { label: '@agent, "one"', prefix: 'pura_x' } as ApiKey])));
const deps = () => ({ pool: database.pool, apiKeys: { named } });

async function linesOf(pieces: AsyncIterable<string>): Promise<string[]> {
  let text = '';
  for await (const piece of pieces) text += piece;
  return text.split('\r\n').slice(0, -1);
}

describe('as CSV', () => {
  const more = (): string => 'there is more';

  it('a statement has every line once, and its charges are those of the report', async () => {
    const all = { accountId: payer.accountId, keyId: null };
    const [head, ...lines] = await linesOf(statementCsv(deps(), all, { most: 100_000, more }));
    expect(head).toBe('time_utc,id,kind,amount_msat,balance_after_msat,btc_usd,usd,model,key,request_id,invoice_id,comment');
    expect(lines).toHaveLength(CHARGES + 1);
    const amounts = lines.map((line) => BigInt(line.split(',')[3] ?? ''));
    expect(amounts.reduce((sum, amount) => sum + amount, 0n)).toBe(BigInt(lines[0]?.split(',')[4] ?? ''));
    const { total } = await readSpend(database.pool, { ...all, hours: 24 });
    expect(amounts.filter((amount) => amount < 0n).reduce((sum, amount) => sum - amount, 0n)).toBe(total.chargedMsat);
    expect(lines[0]).toContain(`,charge,-${CHARGES},`);
    expect(lines[0]).toContain(`,100,-0.0000025,'=1+1,"'@agent, ""one""",`);
  });

  it('usage has every request once, and the same sum', async () => {
    const all = { accountId: payer.accountId, keyId: null };
    const [head, ...lines] = await linesOf(usageCsv(deps(), all, { most: 100_000, more }));
    const place = head?.split(',').indexOf('charged_msat') ?? -1;
    expect(new Set(lines.map((line) => line.split(',')[1])).size).toBe(CHARGES);
    // The key's name has a comma of its own.
    const charged = lines.reduce((sum, line) => sum + BigInt(line.split(',')[place + 1] ?? ''), 0n);
    expect(charged).toBe((await readSpend(database.pool, { ...all, hours: 24 })).total.chargedMsat);
  });

  it.each([1, 999, 1_000, 1_001, 2_500])('ends after %i rows with where to go on, where there are more', async (most) => {
    const all = { accountId: payer.accountId, keyId: null };
    const { length } = await readStatement(database.pool, { ...all, before: null, limit: 10_000 });
    const lines = await linesOf(statementCsv(deps(), all, { most, more: (id) => `more before ${id}` }));
    expect(lines).toHaveLength(most + 2);
    const [, lastId] = lines.at(-2)?.split(',') ?? [];
    expect(lines.at(-1)).toBe(`more before ${lastId}`);
    const rest = await linesOf(statementCsv(deps(), { ...all, before: BigInt(lastId ?? 0) }, { most: 100_000, more }));
    expect(rest).toHaveLength(length - most + 1);
  });
});
