import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createPool, transaction, type Pool } from '../../src/db/postgres.ts';
import { msat } from '../../src/amount.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { lockAccount, postDeposit } from '../../src/ledger/deposit.ts';
import { costOfUsage } from '../../src/pricing/cost.ts';
import { ZERO_USAGE } from '../../src/wires/usage.ts';
import { randomFrom } from '../support/random.ts';
import { copyOf, createTestDatabase, type TestDatabase } from '../support/database.ts';
import { cardOf } from '../support/deployment.ts';
import { addPrices, everythingHappened } from '../support/history.ts';
import { addPayer, admission, auditOf, openLedger, settlement, type Payer, type TestLedger } from '../support/holds.ts';

/** Another run: `PURA_SEED=7 npm test -- audit`. */
const SEED = Number(process.env['PURA_SEED'] ?? 11);
const PROJECT_DIR = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

/** A ledger in which everything has happened: each test has a copy. */
let history: TestDatabase;
let payer: Payer;
let database: TestDatabase;
let ledger: TestLedger;

beforeAll(async () => {
  history = await createTestDatabase();
  const past = openLedger(history);
  payer = await everythingHappened(history.pool, past);
  await past.close();
});
afterAll(() => history.drop());

beforeEach(async () => {
  database = await copyOf(history);
  ledger = openLedger(database);
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
const REFUNDED = `(select request_id from transfers where kind = 'refund' order by id limit 1)`;
const CHARGED = `(select request_id from transfers where kind = 'charge' order by id limit 1)`;
const OTHER_KEY = `(select id from api_keys order by created_at limit 1)`;
const transfer = (kind: string, debit: string, credit: string, request: string) =>
  `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, request_id)
   select 'extra', id, '${kind}', '${debit}', '${credit}', 6, posted_msat ${credit === 'wallet' ? '+' : '-'} 6, ${request}
   from accounts where held_msat > 0;
   update accounts set posted_msat = posted_msat ${credit === 'wallet' ? '+' : '-'} 6 where held_msat > 0;`;

/** What an audit of the new alone does not see: counts and sums over all that there was. */
const ONLY_IN_THE_WHOLE = new Set([
  'a free request that was not counted',
  'a free request counted twice',
  'a budget that reserves too much',
  'a budget that spent too little',
  'a budget that is gone',
  'a free day that reserves too little',
  'a free day that is gone',
  'a hold that moved to another day',
  'a write-off of more than its adjustments',
  'a refunded request that still counts as spent',
]);

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
      [1, 11],
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
    ['a deposit whose invoice is unpaid', [6, 11], `update invoices set state = 'open', transfer_id = null, received_msat = null`],
    [
      'a deposit on another account than its invoice',
      [6],
      'update invoices set account_id = (select id from accounts where id <> account_id limit 1)',
    ],
    ['a deposit of another payment', [6], `update invoices set payment_hash = decode(md5(id::text), 'hex')`],
    ['an invoice that is gone', [6], 'delete from invoices'],
    [
      "a part of the fee under the caller's own provider key",
      [7, 10],
      `update holds set posted_msat = posted_msat - 1 where funding = 'byok' and posted_msat > 0`,
    ],
    ['a charge of another amount than the hold', [7, 10], 'update holds set posted_msat = posted_msat - 1 where posted_msat > 0'],
    [
      'a charge of a hold that was voided',
      [5, 7, 10],
      `update holds set state = 'voided', posted_msat = 0, posted_pico_usd = 0 where posted_msat > 0`,
    ],
    ['a second charge of one request', [7], transfer('charge', 'wallet', 'revenue', CHARGED)],
    ['a charge without a hold', [7], transfer('charge', 'wallet', 'revenue', 'gen_random_uuid()')],
    ['a second refund of one request', [7], transfer('refund', 'revenue', 'wallet', REFUNDED)],
    ['a refund of more than was charged', [7], transfer('refund', 'revenue', 'wallet', CHARGED)],
    ['a refund without a charge', [7], transfer('refund', 'revenue', 'wallet', 'gen_random_uuid()')],
    ['a refunded charge that was not given back', [1, 7], `${EDITABLE} delete from transfers where kind = 'refund'`],
    [
      'a refunded request that still counts as spent',
      [5],
      'update budget_days set spent_pico_usd = spent_pico_usd + 6000 where spent_pico_usd > 0',
    ],
    ['a hold that nobody settled', [8], `update holds set created_at = now() - interval '3601 seconds' where state = 'pending'`],
    ['a balance whose owner keys are revoked', [12], 'update api_keys set revoked_at = now()'],
    ['a balance whose owner keys have expired', [12], `update api_keys set expires_at = now() - interval '1 s'`],
    ['a balance with an inference key only', [12], `update api_keys set role = 'inference'`],
    [
      'an open invoice that nobody could spend the payment of',
      [12],
      `with account as (insert into accounts (id, answer_salt) values (gen_random_uuid(), '') returning id)
       insert into invoices (id, account_id, backend, node_id, network, payment_hash, bolt11, amount_sat, state, expires_at, next_check_at)
       select gen_random_uuid(), id, 'simulated', 'node', 'simulated', 'hash', 'lnbcrt1', 1, 'open', now() + interval '1 h', now() from account`,
    ],
    [
      'a deposit gone with its invoice',
      [6],
      `${EDITABLE} delete from invoices where received_msat = 500; delete from transfers where amount_msat = 500; update accounts set posted_msat = 0 where posted_msat = 500`,
    ],
    ['a balance of an account that was never funded', [6], 'update accounts set funded_at = null where posted_msat = 500'],
    ['more free requests than everybody has', [4], 'update accounts set free_limit = 1e9::integer where free_used > 0'],
    ['free requests of an account born of a payment', [4], 'update accounts set free_limit = 1 where posted_msat = 700'],
    ["a hold on another account's key", [5, 10], `update holds set key_id = ${OTHER_KEY} where request_id = ${REFUNDED}`],
    [
      'money out of nothing, by an adjustment',
      [11],
      `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat)
         select 'gift', id, 'adjustment', 'write_off', 'wallet', 50000000, posted_msat + 50000000 from accounts where posted_msat = 500;
       update accounts set posted_msat = posted_msat + 50000000 where posted_msat = 500`,
    ],
    [
      'an adjustment of a write-off that never was',
      [11],
      `insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat)
         select 'write-off:7:' || id, id, 'adjustment', 'wallet', 'write_off', 500, 0 from accounts where posted_msat = 500;
       update accounts set posted_msat = 0 where posted_msat = 500`,
    ],
    ['a write-off of more than its adjustments', [11], 'update write_offs set written_off_msat = written_off_msat + 1'],
    ['a withdrawal of another fee than was taken', [7], `update withdrawals set fee_msat = fee_msat + 1 where state = 'paid'`],
    [
      'a withdrawal that was paid and counts as failed',
      [7],
      `update withdrawals set state = 'failed', failure = 'no_route', transfer_id = null, fee_msat = null where state = 'paid'`,
    ],
    ['a withdrawal under way for a year', [11], `update withdrawals set expires_at = expires_at - interval '1 year' where state = 'sent'`],
    ['a withdrawal that nobody asks about', [11], `update withdrawals set next_check_at = 'infinity' where state = 'sent'`],
    ['an open invoice off the schedule', [11], `update invoices set next_check_at = null where state = 'open'`],
    ['an invoice whose creation nobody finishes', [11], `update invoices set next_check_at = null where state = 'creating'`],
    [
      'an invoice that may be paid late and is not asked about',
      [11],
      `update invoices set next_check_at = null where state in ('expired', 'canceled')`,
    ],
    [
      'an open invoice that is asked about next year',
      [11],
      `update invoices set next_check_at = now() + interval '1 year' where state = 'open'`,
    ],
    ['an Idempotency-Key that runs for ever', [11], `update idempotency set state = 'running', answer = null where state = 'done'`],
    ['a request that its Idempotency-Key does not know of', [11], `delete from idempotency where state = 'running'`],
    [
      'a rate a hundred times as high, of what is held',
      [10],
      `update holds set pico_usd_per_msat = pico_usd_per_msat * 100 where state = 'pending'`,
    ],
    [
      'a rate a hundred times as high, of what was charged',
      [10],
      `update holds set pico_usd_per_msat = pico_usd_per_msat * 100 where posted_msat > 0`,
    ],
    [
      'a rate a hundred times as high, of free requests',
      [10],
      `update holds set pico_usd_per_msat = pico_usd_per_msat * 100 where funding = 'free'`,
    ],
    [
      'a rate that was never in force, all the way',
      [10],
      `update exchange_rate_days set least_pico_usd_per_msat = least_pico_usd_per_msat * 100, most_pico_usd_per_msat = most_pico_usd_per_msat * 100`,
    ],
    ['a charge that its record does not tell', [10], 'update requests set charged_msat = charged_msat + 1 where charged_msat > 0'],
    ['a cost that its record does not tell', [10], 'update requests set cost_pico_usd = cost_pico_usd - 1, cost_msat = cost_msat'],
    ["a record on another account's behalf", [10], `update requests set key_id = ${OTHER_KEY}`],
    ['a request for one token more than was paid', [10], 'update requests set completion_tokens = completion_tokens + 1'],
    ['a request whose tokens of the cache were not', [10], 'update requests set cached_tokens = 0'],
    [
      'a long prompt at the price of a short one',
      [10],
      'update requests set prompt_tokens = prompt_tokens + 100, cached_tokens = cached_tokens + 100, completion_tokens = 0',
    ],
    ['a markup that was not taken', [10], 'update requests set markup_basis_points = 5000'],
    ['a price that its version does not have', [10], `update requests set priced_as = 'fake/unpriced'`],
  ])('finds %s', async (what, invariants, sabotage) => {
    await database.pool.query(sabotage);
    expect(await brokenInvariants(database.pool)).toEqual(invariants);
    const ofNew = await auditLedger(database.pool, { oldestHoldSeconds: 3_600 }, { transferId: 0n, soundAt: new Date(0) });
    expect([what, ofNew.length > 0]).toEqual([what, !ONLY_IN_THE_WHOLE.has(what)]);
  });
});

describe('a server far from Greenwich', () => {
  it.each(['Etc/GMT+12', 'Pacific/Kiritimati'])('has days of UTC all the same: %s', async (zone) => {
    // At either end of the day by which a free request counts.
    for (const time of ['00:00:01', '23:59:59']) {
      await database.pool.query(
        `update holds set resolved_at = (budget_day + $1::time) at time zone 'utc' where state = 'posted' and funding = 'free'`,
        [time],
      );
      const there = createPool({ connectionString: `${database.connectionString}&options=-c%20timezone%3D${encodeURIComponent(zone)}` });
      try {
        expect((await there.query<{ TimeZone: string }>('show timezone')).rows[0]?.TimeZone).toBe(zone);
        expect(await auditOf(there)).toEqual([]);
      } finally {
        await there.end();
      }
    }
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
  /** Changes the one place of the ledger's function that reads so. */
  async function rewrite(from: string, to: string): Promise<void> {
    const { rows } = await database.pool.query<{ sql: string }>(`select pg_get_functiondef('ledger_commit'::regproc) as sql`);
    const [before, after, ...more] = (rows[0]?.sql ?? '').split(from);
    expect([after === undefined, more]).toEqual([false, []]);
    await database.pool.query(`${before}${to}${after}`);
  }

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
    await rewrite('h.account_id = p_accounts[i.account] and h.resolved_at is null', 'h.account_id = p_accounts[i.account]');
    await settleTwice();
    expect(await brokenInvariants(database.pool)).toEqual(expect.arrayContaining([2, 5, 7]));
  });

  it.each([
    ['charges nothing', 'least(i.charge, h.amount_msat)', '0'],
    ['charges a msat less', 'least(i.charge, h.amount_msat)', 'greatest(0, least(i.charge, h.amount_msat) - 1)'],
    ['holds at another rate than it writes down', 'h.held, h.cost, today', 'h.held * 2, h.cost, today'],
  ])('that %s is caught', async (_what, from, to) => {
    await rewrite(from, to);
    const request = admission(payer);
    const hold = await ledger.holds.admit(request);
    await ledger.holds.settle(settlement(request, hold, 7n));
    expect(await brokenInvariants(database.pool)).toContain(10);
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

describe("a request's cost, worked out again", () => {
  const random = randomFrom(SEED);
  const upTo = (most: number) => Math.floor(random() * (most + 1));

  it(`is that of the bill for any tokens, prices, steps and markup, and not a pico-dollar else (seed ${SEED})`, async () => {
    const { pool } = database;
    const { accountId, keyId } = payer;
    const rates = () => ({ input: upTo(5_000), output: upTo(9_000), cacheRead: upTo(2_000), cacheWrite: upTo(7_000) });
    const price = () => ({ ...rates(), steps: [10, 200].map((fromTokens) => ({ fromTokens, ...rates() })) });
    const prices = Object.fromEntries(['a/0', 'a/1', 'a/2'].map((name) => [name, price()]));
    const version = await addPrices(pool, prices);
    for (let row = 0; row < 300; row++) {
      const promptTokens = [upTo(9), 9, 10, 11, 199, 200, 201, upTo(9_000)][row % 8] ?? 0;
      const cachedTokens = upTo(promptTokens);
      const cacheWriteTokens = upTo(promptTokens - cachedTokens);
      const completionTokens = upTo(500);
      const usage = {
        ...ZERO_USAGE,
        input: promptTokens - cachedTokens - cacheWriteTokens,
        cacheRead: cachedTokens,
        cacheWrite: cacheWriteTokens,
        output: completionTokens,
      };
      const markup = [0, 1, 1_250, upTo(100_000)][row % 4] ?? 0;
      const pricedAs = `a/${row % 3}`;
      const { totalPicoUsd } = costOfUsage(usage, cardOf(prices[pricedAs] ?? price(), version), BigInt(markup));
      const held = row % 5 === 0 ? totalPicoUsd - totalPicoUsd / 3n : totalPicoUsd + 1n;
      const cost = totalPicoUsd < held ? totalPicoUsd : held;
      const id = randomUUID();
      await pool.query(
        `insert into holds (request_id, account_id, key_id, funding, state, amount_msat, amount_pico_usd, posted_pico_usd, budget_day,
           pico_usd_per_msat, price_version, stream, idempotent, instance_id, lease_until, resolved_at)
         values ($1, $2, $3, 'byok', 'posted', 0, $4, $5, now(), 1000, $6, false, false, $1, now(), now())`,
        [id, accountId, keyId, held, cost, version],
      );
      await pool.query(
        `insert into requests (id, account_id, key_id, path, stream, outcome, status, funding, prompt_tokens, completion_tokens, cached_tokens,
           cache_write_tokens, cost_pico_usd, cost_msat, pico_usd_per_msat, price_version, priced_as, markup_basis_points)
         values ($1, $2, $3, '/', false, 'ok', 200, 'byok', $4, $5, $6, $7, $8, ($8::bigint + 999) / 1000, 1000, $9, $10, $11)`,
        [id, accountId, keyId, promptTokens, completionTokens, cachedTokens, cacheWriteTokens, cost, version, pricedAs, markup],
      );
    }
    expect(await auditOf(pool)).toEqual([]);
    for (const change of ['+ 1', '- 1']) {
      await pool.query(`update requests set cost_pico_usd = cost_pico_usd ${change} where price_version = $1`, [version]);
      const found = (await auditOf(pool)).filter(({ rule }) => rule.startsWith("a request's cost"));
      expect(found).toHaveLength(100);
      await pool.query(`update requests set cost_pico_usd = cost_pico_usd - (0 ${change}) where price_version = $1`, [version]);
    }
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
    const sound =
      'The ledger is sound: every invariant holds. Not audited: 5 invoices and 2 withdrawals that are open with another node.\n';
    expect(await audit()).toMatchObject({ stdout: sound });
    await database.pool.query('update accounts set posted_msat = posted_msat + 1 where id = $1', [payer.accountId]);
    const broken = await audit().catch((error: { code: number; stderr: string }) => error);
    expect(broken).toMatchObject({ code: 1, stderr: expect.stringMatching(new RegExp(`^invariant 1, .*${payer.accountId} should be `)) });
  });
});
