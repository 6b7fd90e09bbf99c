import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPayer } from '../support/holds.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await addPayer(database.pool, { balanceMsat: 100n });
});

afterAll(() => database.drop());

describe('the database itself', () => {
  it.each([
    ['change a transfer', 'update transfers set amount_msat = amount_msat + 1'],
    ['delete a transfer', 'delete from transfers'],
    ['empty the transfers', 'truncate transfers cascade'],
    ['delete an account', 'delete from accounts'],
  ])('refuses to %s', async (_, statement) => {
    await expect(database.pool.query(statement)).rejects.toMatchObject({
      message: expect.stringMatching(/^(transfers|accounts) is append-only$/),
    });
    const { rows } = await database.pool.query(
      'select (select count(*) from transfers) as transfers, (select count(*) from accounts) as accounts',
    );
    expect(rows).toEqual([{ transfers: 1n, accounts: 1n }]);
  });

  it.each([
    ['a negative balance', 'update accounts set posted_msat = -1'],
    ['a reserve above the balance', 'update accounts set held_msat = posted_msat + 1'],
    ['a negative reserve', 'update accounts set held_msat = -1'],
    ['a negative count of free requests', 'update accounts set free_used = -1'],
    [
      'a transfer of nothing',
      `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat)
       select 'nothing', id, 'adjustment', 'revenue', 'wallet', 0, posted_msat from accounts`,
    ],
    [
      'a transfer from wallet to wallet',
      `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat)
       select 'within', id, 'adjustment', 'wallet', 'wallet', 1, posted_msat from accounts`,
    ],
    ['a paid invoice without a deposit', `update invoices set transfer_id = null`],
    [
      'a second deposit of one payment',
      `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, invoice_id)
       select idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, invoice_id from transfers`,
    ],
  ])('refuses %s', async (_, statement) => {
    await expect(database.pool.query(statement)).rejects.toMatchObject({ code: expect.stringMatching(/^23(514|505)$/) });
  });
});
