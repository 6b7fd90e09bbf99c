import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Pool, PoolClient } from '../../src/db/postgres.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { foreignInvoice } from '../support/foreign-invoice.ts';
import { createSite, fundAccount, type GatewayProcess, type GatewaySite } from '../support/gateway-process.ts';
import type { TestKey } from '../support/gateway.ts';
import { accountOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

let site: GatewaySite;
let gateway: GatewayProcess;
let pool: Pool;
let key: TestKey;

beforeAll(async () => {
  site = createSite({ env: { WITHDRAWALS: 'true' } });
  gateway = await site.start();
  const database = await site.database();
  ({ pool } = database);
  key = await gateway.newKey();
  await fundAccount(database, key, 1_000);
});
afterAll(() => site.close());

/** The server's process of the node's payment that waits for `locker`. */
async function paymentThatWaits(): Promise<number | undefined> {
  const { rows } = await pool.query<{ pid: number }>(
    `select pid from pg_stat_activity where wait_event_type = 'Lock' and query like 'insert into simulated_payments%' and pid <> pg_backend_pid()`,
  );
  return rows[0]?.pid;
}

/**
 * Asks for a withdrawal and kills the gateway between its commit as sent and the node's answer. `arrives`: whether the call gets to the
 * node in the end. Gives the withdrawal's id.
 */
async function killWhileSending(body: { paymentRequest: string }, { arrives }: { arrives: boolean }): Promise<string> {
  const locker: PoolClient = await pool.connect();
  try {
    await locker.query('begin');
    await locker.query('lock table simulated_payments in exclusive mode');
    const answer = gateway.post('/api/wallet/withdraw', body, key, { 'idempotency-key': randomUUID() }).catch(() => undefined);
    const pid = await until(paymentThatWaits);
    const { rows } = await pool.query<{ id: string; state: string }>(`select id, state from withdrawals where bolt11 = $1`, [
      body.paymentRequest,
    ]);
    expect(rows).toMatchObject([{ state: 'sent' }]);
    await gateway.end('SIGKILL');
    expect(await answer?.then((response) => response?.status)).not.toBe(200);
    if (!arrives) {
      await pool.query('select pg_terminate_backend($1)', [pid]);
      await until(async () => (await paymentThatWaits()) === undefined);
    }
    await locker.query('rollback');
    return rows[0]?.id ?? '';
  } finally {
    locker.release();
  }
}

async function row(id: string): Promise<{ state: string; checks: number }> {
  const { rows } = await pool.query<{ state: string; checks: number }>(`select state, checks from withdrawals where id = $1`, [id]);
  if (!rows[0]) throw new Error(`no withdrawal ${id}`);
  return rows[0];
}
/** Waits until the node was asked about a withdrawal so often, without the pauses between. */
async function checked(id: string, checks: number): Promise<void> {
  await until(async () => {
    await pool.query(`update withdrawals set next_check_at = now() where id = $1 and next_check_at is not null`, [id]);
    return (await row(id)).checks >= checks;
  });
}
/** Waits for a state of a withdrawal's, without its pauses between two checks. */
async function becomes(id: string, state: string): Promise<void> {
  await until(async () => {
    await pool.query(`update withdrawals set next_check_at = now() where id = $1 and next_check_at is not null`, [id]);
    return (await row(id)).state === state;
  });
}
const withdrawn = async (): Promise<bigint[]> => {
  const { rows } = await pool.query<{ amount_msat: bigint }>(`select amount_msat from transfers where kind = 'withdrawal' order by id`);
  return rows.map(({ amount_msat }) => amount_msat);
};
const audit = () => auditLedger(pool, { oldestHoldSeconds: 60 });

describe('a gateway killed while it withdraws', () => {
  it('has paid once where the node got the call: the next one looks it up and posts it', async () => {
    const { paymentRequest } = foreignInvoice({ amountMsat: 100_000n });
    const id = await killWhileSending({ paymentRequest }, { arrives: true });
    expect(await accountOf(pool, key.accountId)).toMatchObject({ posted_msat: 1_000_000n, held_msat: 101_000n });
    expect(await audit()).toEqual([]);
    gateway = await site.start();
    await becomes(id, 'paid');
    expect(await withdrawn()).toEqual([101_000n]);
    expect(await accountOf(pool, key.accountId)).toMatchObject({ posted_msat: 899_000n, held_msat: 0n });
    expect(await audit()).toEqual([]);
  });

  it('keeps the money held where the node never got the call, until that is certain, and sends nothing again', async () => {
    const { paymentRequest } = foreignInvoice({ amountMsat: 100_000n });
    const id = await killWhileSending({ paymentRequest }, { arrives: false });
    gateway = await site.start();
    await until(async () => (await row(id)).checks > 0);
    expect(await accountOf(pool, key.accountId)).toMatchObject({ posted_msat: 899_000n, held_msat: 101_000n });
    await pool.query(`update withdrawals set deadline_at = now() - interval '61 seconds' where id = $1`, [id]);
    const { checks } = await row(id);
    await checked(id, checks + 3);
    expect(await row(id)).toMatchObject({ state: 'sent' });
    await pool.query(`update withdrawals set expires_at = now() - interval '61 seconds' where id = $1`, [id]);
    await becomes(id, 'failed');
    const { rowCount } = await pool.query(`select from simulated_payments where bolt11 = $1`, [paymentRequest]);
    expect(rowCount).toBe(0);
    expect(await withdrawn()).toEqual([101_000n]);
    expect(await accountOf(pool, key.accountId)).toMatchObject({ posted_msat: 899_000n, held_msat: 0n });
    expect(await audit()).toEqual([]);
  });
});
