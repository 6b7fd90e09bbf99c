import { randomBytes, randomUUID } from 'node:crypto';
import type { ActingKey } from '../../src/accounts/acting-key.ts';
import { createNotifications } from '../../src/db/notify.ts';
import type { Pool } from '../../src/db/postgres.ts';
import { Funding, type FundingOptions } from '../../src/funding.ts';
import { picoUsdFromUsd } from '../../src/amount.ts';
import type { Wallet } from '../../src/lightning/wallet.ts';
import { createLog } from '../../src/log.ts';
import type { TestDatabase } from './database.ts';
import { FakeWallet } from './fake-wallet.ts';

export const TEST_ROOT = { id: '0', secret: Buffer.alloc(32, 7) };

/** An account without keys or money; gives its id. */
export async function addAccount(pool: Pool): Promise<string> {
  const id = randomUUID();
  await pool.query(`insert into accounts (id, answer_salt) values ($1, $2)`, [id, randomBytes(16)]);
  return id;
}

/** An account with an owner key and nothing else: who acts for it. */
export async function addOwner(pool: Pool): Promise<ActingKey> {
  return addOwnerKey(pool, await addAccount(pool));
}

/** An owner key of an account, which nobody has the secret of. */
export async function addOwnerKey(pool: Pool, accountId: string): Promise<ActingKey> {
  const key = { id: randomUUID(), accountId, prefix: 'pura_owner' };
  await pool.query(
    `insert into api_keys (id, account_id, secret_hash, secret_id, prefix, role, daily_budget_pico_usd) values ($1, $2, $3, '0', $4, 'owner', 0)`,
    [key.id, accountId, randomBytes(32), key.prefix],
  );
  return key;
}

/** An owner key that an account has, by which a test can act. */
export async function ownerOf(pool: Pool, { accountId }: { accountId: string }): Promise<ActingKey> {
  const { rows } = await pool.query<ActingKey>(
    `select id, account_id as "accountId", prefix from api_keys where account_id = $1 and role = 'owner' and revoked_at is null limit 1`,
    [accountId],
  );
  if (!rows[0]) throw new Error('the account has no owner key');
  return rows[0];
}

/** Credits an account with so many sats, as a node of no fault does. */
export async function deposit(database: TestDatabase, by: ActingKey, sats: number): Promise<void> {
  const wallet = new FakeWallet();
  const { funding, close } = openFunding(database, wallet);
  const { invoice } = await funding.fund(by, { amountSat: sats });
  await funding.credit(wallet.settle(invoice.paymentHash));
  await close();
}

/** From now on no invoice is looked up because its time has come, but only where something was heard of it, or may have been missed. */
export async function stopSchedule(pool: Pool): Promise<void> {
  await pool.query(`update invoices set next_check_at = now() + interval '1 hour' where next_check_at is not null`);
}

/** The invoice path of one gateway process over a test's database. `close` ends what it opened. */
export function openFunding(
  database: TestDatabase,
  wallet: Wallet,
  options: Partial<FundingOptions> = {},
): { funding: Funding; close(): Promise<void> } {
  const notifications = createNotifications(database.connectionString);
  const funding = new Funding({
    pool: database.pool,
    wallet,
    notifications,
    roots: [TEST_ROOT],
    log: createLog('silent'),
    observe: () => {},
    invoiceExpirySeconds: 3600,
    topupDefaultSats: 1000,
    dailyBudgetPicoUsd: picoUsdFromUsd('10'),
    ...options,
  });
  return {
    funding,
    async close() {
      funding.close();
      await notifications.close();
    },
  };
}

/** An account's balance and deposits, as the ledger has them. */
export async function depositsOf(pool: Pool, accountId: string): Promise<{ postedMsat: bigint; deposits: bigint[]; funded: boolean }> {
  const { rows } = await pool.query<{ posted_msat: bigint; funded: boolean; deposits: bigint[] }>(
    `select posted_msat, funded_at is not null as funded,
       coalesce((select array_agg(amount_msat::text order by id) from transfers t where t.account_id = a.id and kind = 'deposit'), '{}') as deposits
     from accounts a where id = $1`,
    [accountId],
  );
  const row = rows[0];
  if (!row) throw new Error('no such account');
  return { postedMsat: row.posted_msat, deposits: row.deposits.map(BigInt), funded: row.funded };
}
