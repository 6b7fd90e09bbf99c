import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { ActingKey } from '../../src/accounts/acting-key.ts';
import { createNotifications, type Notifications } from '../../src/db/notify.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { auditNode } from '../../src/node-audit/audit-node.ts';
import { SimulatedWallet } from '../../src/lightning/simulated/simulated.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addOwner, depositsOf, openFunding, TEST_ROOT } from '../support/funded.ts';
import { SECRET_KEY } from '../support/gateway-process.ts';
import { until } from '../support/until.ts';

const RECONCILE = fileURLToPath(new URL('../../src/reconcile.ts', import.meta.url));
const SATS = [11, 12, 13];

let database: TestDatabase;
let notifications: Notifications;
let wallet: SimulatedWallet;
let owner: ActingKey;
let commands: ChildProcess[];

beforeAll(async () => {
  commands = [];
  database = await createTestDatabase({ max: 10 });
  notifications = createNotifications(database.connectionString);
  wallet = new SimulatedWallet({ pool: database.pool, notifications, root: TEST_ROOT });
  owner = await addOwner(database.pool);
});
afterAll(async () => {
  for (const command of commands) command.kill('SIGKILL');
  await wallet.close();
  await notifications.close();
  await database.drop();
});

function credit(): ChildProcess {
  const env = { DATABASE_URL: database.connectionString, SECRET_KEY, ALLOW_SIMULATED: 'true' };
  const command = spawn(process.execPath, [RECONCILE, '--credit'], { env, stdio: 'ignore' });
  commands.push(command);
  return command;
}

/** Payments that the node received, and the rows that the ledger had of their invoices and has lost. */
async function lost(): Promise<unknown[]> {
  const { funding, close } = openFunding(database, wallet);
  const ids: string[] = [];
  for (const amountSat of SATS) {
    const { invoice } = await funding.fund(owner, { amountSat });
    await wallet.pay(invoice.bolt11);
    ids.push(invoice.id);
  }
  await close();
  const { rows } = await database.pool.query<{ row: unknown }>(
    `delete from invoices i where id = any($1) and state = 'open' returning to_jsonb(i) as row`,
    [ids],
  );
  return rows.map(({ row }) => row);
}

const backends = async (condition: string): Promise<number> =>
  (
    await database.pool.query(
      `select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and wait_event_type = 'Lock' and ${condition}`,
    )
  ).rowCount ?? 0;

it('that is killed between a deposit and its invoice leaves neither, and goes on when it is run again', async () => {
  const rows = await lost();
  expect(rows).toHaveLength(SATS.length);
  // Somebody holds the place of the last one's invoice: the command stops there, with its deposit made and not committed.
  const locker = await database.pool.connect();
  await locker.query('begin');
  await locker.query(`insert into invoices select * from jsonb_populate_record(null::invoices, $1)`, [JSON.stringify(rows.at(-1))]);
  const killed = credit();
  const gone = once(killed, 'exit');
  await until(async () => (await backends(`query like '%insert into invoices%'`)) === 1);
  expect((await depositsOf(database.pool, owner.accountId)).deposits).toEqual([11_000n, 12_000n]);
  killed.kill('SIGKILL');
  await gone;
  await locker.query('rollback');
  locker.release();
  await until(async () => (await backends('true')) === 0);

  expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  expect((await auditNode(database.pool, wallet)).map(({ expected }) => expected)).toEqual(['13000']);
  const again = credit();
  expect(await once(again, 'exit')).toEqual([0, null]);
  expect((await depositsOf(database.pool, owner.accountId)).deposits).toEqual([11_000n, 12_000n, 13_000n]);
  expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  expect(await auditNode(database.pool, wallet)).toEqual([]);
});
