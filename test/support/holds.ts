import { randomBytes, randomUUID } from 'node:crypto';
import { createPool, transaction, type Pool, type PoolClient } from '../../src/db/postgres.ts';
import { msat, picoUsd, type PicoUsdPerMsat } from '../../src/amount.ts';
import { auditLedger, type Violation } from '../../src/ledger/audit.ts';
import { lockAccount, postDeposit } from '../../src/ledger/deposit.ts';
import type { Admission, HoldLimits, HoldVerdict, Settlement } from '../../src/ledger/hold.ts';
import { Holds } from '../../src/ledger/holds.ts';
import type { TestDatabase } from './database.ts';
import { addAccount } from './funded.ts';

/** 1 msat is 1,000 pico-dollars in these tests, so that costs are easy to read. */
export const RATE = 1000n as PicoUsdPerMsat;

export const LIMITS: HoldLimits = {
  freeRequests: 3,
  freeDayPicoUsd: picoUsd(10n ** 15n),
  freeSharePicoUsd: picoUsd(10n ** 15n),
  freeStreams: 4,
  freeAtOnce: 1_000,
  answerBytes: 10_000_000,
  freeAnswerBytes: 10_000_000,
  leaseSeconds: 30,
  instanceId: randomUUID(),
};

/** The ledger as one gateway process sees it: a pool and holds of its own. */
export interface TestLedger {
  readonly pool: Pool;
  readonly holds: Holds;
  close(): Promise<void>;
}

export function openLedger(
  { connectionString }: Pick<TestDatabase, 'connectionString'>,
  limits: Partial<HoldLimits> = {},
  { max = 6 } = {},
): TestLedger {
  const pool = createPool({ connectionString, max, pipeline: true });
  const holds = new Holds(pool, { ...LIMITS, instanceId: randomUUID(), ...limits });
  return {
    pool,
    holds,
    async close() {
      await holds.drained();
      await pool.end();
    },
  };
}

export interface Payer {
  accountId: string;
  keyId: string;
}

export interface PayerSettings {
  balanceMsat?: bigint;
  freeLimit?: number | null;
  budgetPicoUsd?: bigint;
}

/** An account with one key; by default without money or free requests, and with more budget than any test spends. */
export async function addPayer(pool: Pool, { balanceMsat = 0n, freeLimit = 0, budgetPicoUsd }: PayerSettings = {}): Promise<Payer> {
  const accountId = await addAccount(pool);
  await pool.query('update accounts set free_limit = $2 where id = $1', [accountId, freeLimit]);
  const keyId = await addKey(pool, accountId, budgetPicoUsd);
  if (balanceMsat > 0n) await deposit(pool, accountId, balanceMsat);
  return { accountId, keyId };
}

export async function addKey(pool: Pool, accountId: string, budgetPicoUsd = 10n ** 18n): Promise<string> {
  const keyId = randomUUID();
  await pool.query(
    `insert into api_keys (id, account_id, secret_hash, secret_id, prefix, role, daily_budget_pico_usd) values ($1, $2, $3, '0', 'pura_test', 'owner', $4)`,
    [keyId, accountId, randomBytes(32), budgetPicoUsd],
  );
  return keyId;
}

/** A paid invoice and its deposit, as a settled payment leaves them. */
export async function deposit(pool: Pool, accountId: string, receivedMsat: bigint, network = 'simulated'): Promise<void> {
  await transaction(pool, (client) => depositIn(client, accountId, receivedMsat, network));
}

/** The same in the caller's transaction. */
export async function depositIn(client: PoolClient, accountId: string, receivedMsat: bigint, network = 'simulated'): Promise<void> {
  const invoiceId = randomUUID();
  const paymentHash = randomBytes(32);
  await lockAccount(client, accountId);
  const { transferId } = await postDeposit(client, { accountId, invoiceId, paymentHash, receivedMsat: msat(receivedMsat) });
  await client.query(
    `insert into invoices (id, account_id, backend, node_id, network, payment_hash, bolt11, amount_sat, state, received_msat, transfer_id, expires_at, credited_at)
     values ($1, $2, 'simulated', 'node', $6, $3, 'lnbcrt1', 1, 'paid', $4, $5, now(), clock_timestamp())`,
    [invoiceId, accountId, paymentHash, receivedMsat, transferId, network],
  );
}

/** A request for 10 tokens at 1,000 pico-dollars (1 msat) each, with a prompt for 10 msat more: 20 msat in all. */
export function admission(payer: Payer, overrides: Partial<Admission> = {}): Admission {
  return {
    kind: 'admission',
    requestId: randomUUID(),
    ...payer,
    keyVersion: 1,
    basePicoUsd: picoUsd(10_000n),
    perTokenPicoUsd: picoUsd(1_000n),
    leastTokens: 10,
    mostTokens: 10,
    freeMaxPicoUsd: picoUsd(10n ** 12n),
    picoUsdPerMsat: RATE,
    priceVersion: 1,
    stream: false,
    ...overrides,
  };
}

/**
 * What settles an admitted request at `chargeMsat` and the same in pico-dollars, or voids it without. Under the caller's own provider key
 * that is the cost alone, and the fee is charged with any.
 */
export function settlement({ requestId, accountId }: Admission, hold: HoldVerdict, chargeMsat?: bigint): Settlement {
  return {
    kind: 'settlement',
    requestId,
    accountId,
    void: chargeMsat === undefined,
    chargeMsat: hold.funding === 'byok' && chargeMsat ? hold.heldMsat : msat(chargeMsat ?? 0n),
    costPicoUsd: picoUsd((chargeMsat ?? 0n) * RATE),
    freeDay: hold.funding === 'free' ? hold.budgetDay : null,
  };
}

/** The ledger's violations; no hold of a test is too old. */
export function auditOf(pool: Pool): Promise<Violation[]> {
  return auditLedger(pool, { oldestHoldSeconds: 3_600 });
}

/** A key's budget of all days, and the free spending of all days. */
export async function reservedAndSpent(pool: Pool, keyId: string): Promise<{ budget: [bigint, bigint]; freeDay: [bigint, bigint] }> {
  const { rows } = await pool.query<{ b: bigint; s: bigint; fb: bigint; fs: bigint }>(
    `select (select coalesce(sum(reserved_pico_usd), 0)::bigint from budget_days where key_id = $1) as b,
       (select coalesce(sum(spent_pico_usd), 0)::bigint from budget_days where key_id = $1) as s,
       (select coalesce(sum(reserved_pico_usd), 0)::bigint from free_days) as fb,
       (select coalesce(sum(spent_pico_usd), 0)::bigint from free_days) as fs`,
    [keyId],
  );
  const [row] = rows;
  if (!row) throw new Error('no sums');
  return { budget: [row.b, row.s], freeDay: [row.fb, row.fs] };
}
