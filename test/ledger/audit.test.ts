import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { transaction, type Pool } from '../../src/db/postgres.ts';
import { msat } from '../../src/ledger/amount.ts';
import { lockAccount, postDeposit } from '../../src/ledger/deposit.ts';
import { refundCharge } from '../../src/ledger/refund.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPayer, admission, auditOf, openLedger, settlement, type Payer, type TestLedger } from '../support/holds.ts';

const PROJECT_DIR = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

let database: TestDatabase;
let ledger: TestLedger;
let payer: Payer;

/** A ledger in which everything has happened once, and an account beside it. */
beforeEach(async () => {
  database = await createTestDatabase();
  ledger = openLedger(database);
  payer = await addPayer(database.pool, { balanceMsat: 1_000n, freeLimit: 2 });
  const { holds } = ledger;
  const settleOne = async (chargeMsat?: bigint) => {
    const request = admission(payer);
    await holds.settle(settlement(request, await holds.admit(request), chargeMsat));
    return request.requestId;
  };
  await settleOne(7n);
  await holds.admit(admission(payer, { stream: true }));
  await settleOne(5n);
  await refundCharge(database.pool, payer.accountId, await settleOne(6n));
  await settleOne();
  await holds.admit(admission(payer));
  await addPayer(database.pool, { balanceMsat: 500n });
});

afterEach(async () => {
  await ledger.close();
  await database.drop();
});

async function brokenInvariants(pool: Pool): Promise<number[]> {
  const violations = await auditOf(pool);
  return [...new Set(violations.map(({ invariant }) => invariant))].toSorted((a, b) => a - b);
}

const EDITABLE = 'drop trigger transfers_append_only on transfers;';
const REFUNDED = `(select request_id from transfers where kind = 'refund')`;
const CHARGED = `(select request_id from transfers where kind = 'charge' order by id limit 1)`;
const transfer = (kind: string, debit: string, credit: string, request: string) =>
  `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, request_id)
   select 'extra', id, '${kind}', '${debit}', '${credit}', 6, posted_msat ${credit === 'wallet' ? '+' : '-'} 6, ${request}
   from accounts where held_msat > 0;
   update accounts set posted_msat = posted_msat ${credit === 'wallet' ? '+' : '-'} 6 where held_msat > 0;`;

describe('the audit', () => {
  it('finds nothing wrong with a ledger in which everything has happened', async () => {
    expect(await auditOf(database.pool)).toEqual([]);
  });

  it.each<[string, number[], string]>([
    ['a balance that no transfer explains', [1], 'update accounts set posted_msat = posted_msat + 1 where held_msat > 0'],
    [
      'a transfer that tells a wrong balance',
      [1],
      `${EDITABLE} update transfers set balance_after_msat = balance_after_msat + 1 where kind = 'deposit'`,
    ],
    ['a transfer that is gone', [1, 7], `${EDITABLE} delete from transfers where request_id = ${CHARGED}`],
    [
      'a transfer of no account',
      [1],
      `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat)
       values ('stray', gen_random_uuid(), 'adjustment', 'revenue', 'wallet', 5, 5)`,
    ],
    ['a reserve without a hold', [2], 'update accounts set held_msat = held_msat + 1 where held_msat > 0'],
    ['a hold without its reserve', [2], 'update accounts set held_msat = 0'],
    [
      'a reserve above the balance',
      [2, 3],
      'alter table accounts drop constraint accounts_check; update accounts set held_msat = posted_msat + 1 where held_msat > 0',
    ],
    ['a free request that was not counted', [4], 'update accounts set free_used = free_used - 1 where free_used > 0'],
    ['a free request counted twice', [4], 'update accounts set free_used = free_used + 1 where free_used > 0'],
    ['a free stream that is not running', [4], 'update accounts set free_streams = free_streams + 1 where free_used > 0'],
    ['a budget that reserves too much', [5], 'update budget_days set reserved_pico_usd = reserved_pico_usd + 1'],
    ['a budget that spent too little', [5], 'update budget_days set spent_pico_usd = spent_pico_usd - 1'],
    ['a budget that is gone', [5], 'delete from budget_days'],
    ['a free day that reserves too little', [5], 'update free_days set reserved_pico_usd = reserved_pico_usd - 1'],
    ['a free day that is gone', [5], 'delete from free_days'],
    [
      'a hold that moved to another day',
      [5],
      `update holds set budget_day = budget_day + 1 where state = 'pending' and funding = 'wallet'`,
    ],
    ['a deposit of another amount than was received', [6], 'update invoices set received_msat = received_msat + 1'],
    ['a deposit whose invoice is unpaid', [6], `update invoices set state = 'open', transfer_id = null, received_msat = null`],
    [
      'a deposit on another account than its invoice',
      [6],
      'update invoices set account_id = (select id from accounts where id <> account_id limit 1)',
    ],
    ['a deposit of another payment', [6], `update invoices set payment_hash = decode(md5(id::text), 'hex')`],
    ['an invoice that is gone', [6], 'delete from invoices'],
    ['a charge of another amount than the hold', [7], 'update holds set posted_msat = posted_msat - 1 where posted_msat > 0'],
    [
      'a charge of a hold that was voided',
      [5, 7],
      `update holds set state = 'voided', posted_msat = 0, posted_pico_usd = 0 where posted_msat > 0`,
    ],
    ['a second charge of one request', [7], transfer('charge', 'wallet', 'revenue', CHARGED)],
    ['a charge without a hold', [7], transfer('charge', 'wallet', 'revenue', 'gen_random_uuid()')],
    ['a second refund of one request', [7], transfer('refund', 'revenue', 'wallet', REFUNDED)],
    ['a refund of more than was charged', [7], transfer('refund', 'revenue', 'wallet', CHARGED)],
    ['a refund without a charge', [7], transfer('refund', 'revenue', 'wallet', 'gen_random_uuid()')],
    ['a hold that nobody settled', [8], `update holds set created_at = now() - interval '3601 seconds' where state = 'pending'`],
    ['a balance whose owner keys are revoked', [12], 'update api_keys set revoked_at = now()'],
    ['a balance whose owner keys have expired', [12], `update api_keys set expires_at = now() - interval '1 s'`],
    ['a balance with an inference key only', [12], `update api_keys set role = 'inference'`],
    [
      'an open invoice that nobody could spend the payment of',
      [12],
      `with account as (insert into accounts (id, answer_salt) values (gen_random_uuid(), '') returning id)
       insert into invoices (id, account_id, backend, node_id, network, payment_hash, bolt11, amount_sat, state, expires_at)
       select gen_random_uuid(), id, 'simulated', 'node', 'simulated', 'hash', 'lnbcrt1', 1, 'open', now() + interval '1 h' from account`,
    ],
  ])('finds %s', async (_, invariants, sabotage) => {
    await database.pool.query(sabotage);
    expect(await brokenInvariants(database.pool)).toEqual(invariants);
  });
});

describe('a mistake in very many rows', () => {
  it('is told by its first hundred', async () => {
    await database.pool.query(
      `with account as (
         insert into accounts (id, posted_msat, answer_salt) select gen_random_uuid(), 1, '' from generate_series(1, 150) returning id)
       insert into api_keys (id, account_id, secret_hash, secret_id, prefix, role, daily_budget_pico_usd)
       select id, id, id::text::bytea, '0', '', 'owner', 0 from account`,
    );
    expect((await auditOf(database.pool)).map(({ expected, found }) => `${found} for ${expected}`)).toEqual(Array(100).fill('1 for 0'));
  });
});

describe('a mutant of the ledger', () => {
  /** Settles twice what may be settled once, in every order of outcomes. */
  async function settleTwice(): Promise<void> {
    for (const [first, second] of [
      [0n, 0n],
      [undefined, undefined],
      [7n, undefined],
      [undefined, 7n],
    ]) {
      const twice = await addPayer(database.pool, { balanceMsat: 100n });
      // A hold beside it, without which the account's own CHECKs would refuse to release too much.
      await ledger.holds.admit(admission(twice));
      const request = admission(twice);
      const hold = await ledger.holds.admit(request);
      await ledger.holds.settle(settlement(request, hold, first));
      await ledger.holds.settle(settlement(request, hold, second));
    }
  }

  it('that resolves a hold without its guard is caught, and the real one is not', async () => {
    await settleTwice();
    expect(await auditOf(database.pool)).toEqual([]);
    const { rows } = await database.pool.query<{ sql: string }>(`select pg_get_functiondef('ledger_commit'::regproc) as sql`);
    const guard = `h.account_id = p_accounts[i.account] and h.resolved_at is null`;
    const [before, after, ...more] = (rows[0]?.sql ?? '').split(guard);
    expect(more).toEqual([]);
    await database.pool.query(`${before}h.account_id = p_accounts[i.account]${after}`);
    await settleTwice();
    expect(await brokenInvariants(database.pool)).toEqual(expect.arrayContaining([2, 5, 7]));
  });

  it('that credits a deposit without its guards is caught', async () => {
    const invoiceId = randomUUID();
    const paymentHash = randomBytes(32);
    const { accountId } = payer;
    await database.pool.query('alter table transfers drop constraint transfers_idempotency_key_key');
    await database.pool.query(
      `insert into invoices (id, account_id, backend, node_id, network, payment_hash, bolt11, amount_sat, state, expires_at)
       values ($1, $2, 'simulated', 'node', 'simulated', $3, 'lnbcrt1', 1, 'open', now())`,
      [invoiceId, accountId, paymentHash],
    );
    const credit = () =>
      transaction(database.pool, async (client) => {
        await lockAccount(client, accountId);
        const { transferId } = await postDeposit(client, { accountId, invoiceId, paymentHash, receivedMsat: msat(1_000n) });
        await client.query(`update invoices set state = 'paid', received_msat = 1000, transfer_id = $2 where id = $1`, [
          invoiceId,
          transferId,
        ]);
      });
    await credit();
    expect(await auditOf(database.pool)).toEqual([]);
    await Promise.all(Array.from({ length: 5 }, credit));
    expect(await brokenInvariants(database.pool)).toEqual([6]);
  });
});

describe('npm run audit', () => {
  it('exits with 0 on a sound ledger, and with 1 on a broken one, naming what is broken', async () => {
    const { scripts } = JSON.parse(readFileSync(path.join(PROJECT_DIR, 'package.json'), 'utf8')) as { scripts: { audit: string } };
    const [program, ...args] = scripts.audit.split(' ');
    expect(program).toBe('node');
    const audit = () =>
      run(process.execPath, args, {
        cwd: PROJECT_DIR,
        env: { DATABASE_URL: database.connectionString, SECRET_KEY: randomBytes(32).toString('hex') },
      });
    expect(await audit()).toMatchObject({ stdout: 'The ledger is sound: every invariant holds.\n' });
    await database.pool.query('update accounts set posted_msat = posted_msat + 1 where id = $1', [payer.accountId]);
    const broken = await audit().catch((error: { code: number; stderr: string }) => error);
    expect(broken).toMatchObject({ code: 1, stderr: expect.stringMatching(new RegExp(`^invariant 1, .*${payer.accountId} should be `)) });
  });
});
