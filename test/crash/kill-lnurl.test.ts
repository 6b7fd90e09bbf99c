import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createNotifications } from '../../src/db/notify.ts';
import type { Pool, PoolClient } from '../../src/db/postgres.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { SimulatedWallet } from '../../src/lightning/simulated/simulated.ts';
import { Handles } from '../../src/lnurl/handles.ts';
import { WithdrawCodes } from '../../src/lnurl/withdraw-codes.ts';
import { createLog } from '../../src/log.ts';
import { Withdrawing } from '../../src/withdrawing.ts';
import { authWallet, codeOn } from '../support/auth-wallet.ts';
import { CookieBrowser } from '../support/cookie-browser.ts';
import { foreignInvoice } from '../support/foreign-invoice.ts';
import { ownerOf, TEST_ROOT } from '../support/funded.ts';
import { createSite, fundAccount, type GatewayProcess, type GatewaySite, type SharedDatabase } from '../support/gateway-process.ts';
import type { TestKey } from '../support/gateway.ts';
import { accountOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

let site: GatewaySite;
let gateway: GatewayProcess;
let database: SharedDatabase;
let pool: Pool;
let key: TestKey;

beforeAll(async () => {
  site = createSite({ env: { WITHDRAWALS: 'true' } });
  gateway = await site.start();
  database = await site.database();
  ({ pool } = database);
  key = await gateway.newKey();
  await fundAccount(database, key, 1_000);
});
afterAll(() => site.close());

const audit = () => auditLedger(pool, { oldestHoldSeconds: 60 });
const ask = async (path: string): Promise<Record<string, string>> =>
  (await (await fetch(gateway.url + path)).json()) as Record<string, string>;

/** Does `work` with the simulated node of the site, from this process. */
async function withNode<T>(work: (node: SimulatedWallet) => Promise<T>): Promise<T> {
  const notifications = createNotifications(database.connectionString);
  try {
    return await work(new SimulatedWallet({ pool, notifications, root: TEST_ROOT }));
  } finally {
    await notifications.close();
  }
}

/** Kills the gateway while one of its statements waits for a lock that `locker` holds, and ends that statement too. */
async function killWhileWaiting(statement: string, locker: PoolClient): Promise<void> {
  const waiting = async (): Promise<number | undefined> => {
    const { rows } = await pool.query<{ pid: number }>(
      `select pid from pg_stat_activity where wait_event_type = 'Lock' and query like $1 and pid <> pg_backend_pid()`,
      [`${statement}%`],
    );
    return rows[0]?.pid;
  };
  await until(waiting);
  await gateway.end('SIGKILL');
  for (let pid = await waiting(); pid !== undefined; pid = await waiting()) {
    await pool.query('select pg_terminate_backend($1)', [pid]);
    await until(async () => (await waiting()) !== pid);
  }
  await locker.query('rollback');
}

describe('a gateway killed while a wallet withdraws by a code', () => {
  it('has taken code and money together, and pays once: the repeat of the wallet finds it', async () => {
    const k1 = await withNode(async (wallet) => {
      const withdrawing = new Withdrawing({ pool, wallet, log: createLog('silent'), observe: () => {}, allowed: true, maxFeePercent: 1 });
      const { link } = await new WithdrawCodes({ pool, wallet, withdrawing }).makeCode(await ownerOf(pool, key), gateway.url);
      return new URL(link).searchParams.get('k1') ?? '';
    });
    const { paymentRequest } = foreignInvoice({ amountMsat: 100_000n });
    const path = `/lnurl/withdraw/pay?k1=${k1}&pr=${paymentRequest}`;
    const locker = await pool.connect();
    try {
      // The node's books are read before it is asked to pay: the hold is committed by then, and nothing is sent.
      await locker.query('begin');
      await locker.query('lock table simulated_payments in access exclusive mode');
      const answer = ask(path).catch(() => undefined);
      await killWhileWaiting('select', locker);
      expect((await answer)?.['status']).not.toBe('ERROR');
    } finally {
      locker.release();
    }
    const { rows } = await pool.query(`select w.state from withdraw_codes c join withdrawals w on w.id = c.withdrawal_id`);
    expect(rows).toEqual([{ state: 'creating' }]);
    expect(await accountOf(pool, key.accountId)).toMatchObject({ posted_msat: 1_000_000n, held_msat: 101_000n });
    expect(await audit()).toEqual([]);
    gateway = await site.start();
    expect(await ask(path)).toEqual({ status: 'OK' });
    expect((await ask(path.replace(paymentRequest, foreignInvoice().paymentRequest)))['reason']).toMatch(/already used/);
    await until(async () => {
      await pool.query(`update withdrawals set next_check_at = now() where next_check_at is not null`);
      return (await accountOf(pool, key.accountId)).held_msat === 0n;
    });
    expect(await accountOf(pool, key.accountId)).toMatchObject({ posted_msat: 899_000n, held_msat: 0n });
    expect(await ask(path)).toEqual({ status: 'OK' });
    expect(await audit()).toEqual([]);
  });
});

describe('a gateway killed between the invoice of an address and its row', () => {
  it('credits it once where it was paid all the same, with what the payer wrote', async () => {
    const payee = await gateway.newKey();
    const handle = await new Handles(pool).of(payee.accountId);
    await pool.query(`
      create function wait_for_test() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(4711); return new; end $$;
      create trigger wait_for_test before update on invoices for each row when (new.state = 'open') execute function wait_for_test()`);
    const locker = await pool.connect();
    try {
      await locker.query('begin');
      await locker.query('select pg_advisory_xact_lock(4711)');
      const answer = ask(`/lnurl/pay/${handle}?amount=50000&comment=late`).catch(() => undefined);
      await killWhileWaiting('update invoices', locker);
      expect(await answer).toBeUndefined();
    } finally {
      locker.release();
    }
    await pool.query('drop trigger wait_for_test on invoices; drop function wait_for_test');
    const { rows } = await pool.query<{ state: string; bolt11: string }>(
      `select i.state, s.bolt11 from invoices i join simulated_invoices s on s.payment_hash = i.payment_hash where i.handle = $1`,
      [handle],
    );
    expect(rows).toEqual([{ state: 'creating', bolt11: expect.any(String) }]);
    expect(await audit()).toEqual([]);
    await withNode((node) => node.pay(rows[0]?.bolt11 ?? ''));
    gateway = await site.start();
    await until(async () => (await accountOf(pool, payee.accountId)).posted_msat === 50_000n);
    const { rows: moved } = await pool.query(`select via, note, amount_msat from transfers where account_id = $1`, [payee.accountId]);
    expect(moved).toEqual([{ via: 'address', note: 'late', amount_msat: 50_000n }]);
    expect(await audit()).toEqual([]);
  });
});

describe("a gateway killed while a browser claims its wallet's signature", () => {
  const CODES = { link: '/console/wallets/link', 'sign in': '/console/sign-in/wallet', 'make an account': '/console/sign-in/wallet' };
  const CLAIMS = {
    link: '/console/wallets/claim',
    'sign in': '/console/sign-in/wallet/claim',
    'make an account': '/console/sign-in/wallet/register',
  };
  type What = keyof typeof CODES;

  /** The browser as it was, at the gateway that runs now. */
  function again({ cookies }: CookieBrowser): CookieBrowser {
    const browser = new CookieBrowser(gateway.url);
    for (const [name, value] of cookies) browser.cookies.set(name, value);
    return browser;
  }
  const made = async () => {
    const { rows } = await pool.query(
      `select (select count(*)::integer from accounts) as accounts, (select count(*)::integer from linked_wallets) as wallets,
         (select count(*)::integer from sessions) as sessions, (select count(*)::integer from wallet_sign_ins where claimed_at is not null) as claimed`,
    );
    return rows[0] as { accounts: number; wallets: number; sessions: number; claimed: number };
  };

  it.each<[What, string, Awaited<ReturnType<typeof made>>]>([
    ['link', 'insert into linked_wallets', { accounts: 0, wallets: 1, sessions: 0, claimed: 1 }],
    ['sign in', 'update linked_wallets', { accounts: 0, wallets: 0, sessions: 1, claimed: 1 }],
    ['make an account', 'insert into linked_wallets', { accounts: 1, wallets: 1, sessions: 1, claimed: 2 }],
  ])('has done nothing, and the claim is good once afterwards: %s', async (what, statement, once) => {
    const wallet = authWallet(`wallet to ${what}`);
    const before = new CookieBrowser(gateway.url);
    if (what === 'link') await before.signIn(key.secret);
    if (what === 'sign in') {
      const owner = await new CookieBrowser(gateway.url).signIn(key.secret);
      await wallet.scan(codeOn((await owner.ask(CODES.link, {})).html));
      await owner.ask(CLAIMS.link, {});
    }
    await wallet.scan(codeOn((await before.ask(CODES[what], {})).html));
    // An account is made by two signatures.
    if (what === 'make an account') await wallet.scan(codeOn((await before.ask(CLAIMS[what], {})).html));
    const start = await made();
    await pool.query(`
      create function wait_for_test() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(4712); return new; end $$;
      create trigger wait_for_test before insert or update on linked_wallets for each row execute function wait_for_test()`);
    const locker = await pool.connect();
    try {
      await locker.query('begin');
      await locker.query('select pg_advisory_xact_lock(4712)');
      const claim = before.ask(CLAIMS[what], {}).catch(() => undefined);
      await killWhileWaiting(statement, locker);
      expect(await claim).toBeUndefined();
    } finally {
      locker.release();
    }
    await pool.query('drop trigger wait_for_test on linked_wallets; drop function wait_for_test');
    expect(await made()).toEqual(start);
    gateway = await site.start();
    const claims = await Promise.all(Array.from({ length: 6 }, () => again(before).ask(CLAIMS[what], {})));
    // A key is shown on a page of its own; all else leads on. Who comes later is shown another code.
    expect(claims.filter(({ html }) => html.includes('No wallet has confirmed yet'))).toHaveLength(5);
    const now = await made();
    expect(Object.fromEntries(Object.entries(now).map(([name, count]) => [name, count - start[name as keyof typeof start]]))).toEqual(once);
    expect(await audit()).toEqual([]);
  });
});
