import { createHash, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ActingKey } from '../src/accounts/acting-key.ts';
import type { Funding, FundingOptions } from '../src/funding.ts';
import { msat } from '../src/amount.ts';
import type { Invoice } from '../src/invoices/invoice.ts';
import type { Wallet } from '../src/lightning/wallet.ts';
import { whileLocked } from './support/account-lock.ts';
import { createTestDatabase, type TestDatabase } from './support/database.ts';
import { FakeWallet } from './support/fake-wallet.ts';
import { addOwner, depositsOf, openFunding, stopSchedule } from './support/funded.ts';
import { until } from './support/until.ts';

let database: TestDatabase;
let wallet: FakeWallet;
let owner: ActingKey;
let account: string;
let funding: Funding;
const opened: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  database = await createTestDatabase({ max: 20 });
});
afterAll(async () => {
  await database.drop();
});
beforeEach(async () => {
  wallet = new FakeWallet();
  owner = await addOwner(database.pool);
  account = owner.accountId;
  funding = open(wallet);
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((process) => process.close()));
});

/** One more gateway process on the same database. */
function open(its: Wallet, options: Partial<FundingOptions> = {}): Funding {
  const process = openFunding(database, its, options);
  opened.push(process);
  return process.funding;
}

const sha256 = (text: string) => createHash('sha256').update(text).digest();
const times = <T>(count: number, work: (index: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, index) => work(index)));
const invoicesOf = async (accountId = account) => {
  const { rows } = await database.pool.query<{ state: string; amount_sat: number }>(
    `select state, amount_sat from invoices where account_id = $1 order by created_at`,
    [accountId],
  );
  return rows;
};

describe('a top-up', () => {
  it('is one invoice for one idempotency key, however parallel the requests and whichever gateway gets them', async () => {
    const other = open(wallet);
    const answers = await times(20, (index) =>
      (index % 2 ? funding : other).fund(owner, { amountSat: 500, idempotencyKey: 'k', bodySha256: sha256('{}') }),
    );
    expect(new Set(answers.map(({ invoice }) => invoice.bolt11)).size).toBe(1);
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(wallet.node.size).toBe(1);
    expect(await invoicesOf()).toHaveLength(1);
  });

  it('is refused for the same key with another body, and belongs to its account alone', async () => {
    const first = await funding.fund(owner, { amountSat: 500, idempotencyKey: 'k', bodySha256: sha256('a') });
    await expect(funding.fund(owner, { amountSat: 500, idempotencyKey: 'k', bodySha256: sha256('b') })).rejects.toMatchObject({
      code: 'idempotency_conflict',
    });
    const other = await addOwner(database.pool);
    const theirs = await funding.fund(other, { amountSat: 500, idempotencyKey: 'k', bodySha256: sha256('b') });
    expect(theirs.invoice.id).not.toBe(first.invoice.id);
    await expect(funding.status(other.accountId, first.invoice.id)).rejects.toMatchObject({ code: 'invoice_not_found' });
    await expect(funding.status(other.accountId, 'not-an-id')).rejects.toMatchObject({ code: 'invoice_not_found' });
  });

  it('starts afresh under a key that is a day old', async () => {
    const first = await funding.fund(owner, { amountSat: 500, idempotencyKey: 'k', bodySha256: sha256('a') });
    await database.pool.query(`update invoices set created_at = now() - interval '25 hours' where id = $1`, [first.invoice.id]);
    const second = await funding.fund(owner, { amountSat: 600, idempotencyKey: 'k', bodySha256: sha256('b') });
    expect(second).toMatchObject({ replayed: false, invoice: { amountSat: 600 } });
  });

  it('leaves an account with five open invoices at most', async () => {
    const asked = await Promise.allSettled(Array.from({ length: 12 }, () => funding.fund(owner, { amountSat: 500 })));
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
    const [refused] = asked.filter((answer) => answer.status === 'rejected');
    expect(refused?.reason).toMatchObject({ code: 'too_many_invoices' });
    await database.pool.query(`update invoices set expires_at = now() where account_id = $1`, [account]);
    await expect(funding.fund(owner, { amountSat: 500 })).resolves.toMatchObject({ replayed: false });
  });

  it.each([
    ['with an idempotency key', { amountSat: 500, idempotencyKey: 'k', bodySha256: sha256('{}') }],
    ['without one', { amountSat: 500 }],
  ])('whose creation timed out after the node accepted it is the same invoice on the retry, %s', async (_name, topUp) => {
    wallet.loseAnswers = true;
    await expect(funding.fund(owner, topUp)).rejects.toMatchObject({ code: 'lightning_unavailable' });
    wallet.loseAnswers = false;
    const { invoice, replayed } = await funding.fund(owner, topUp);
    expect(replayed).toBe(false);
    expect([...wallet.node.keys()]).toEqual([invoice.paymentHash.toString('hex')]);
    expect(await invoicesOf()).toEqual([{ state: 'open', amount_sat: 500 }]);
  });

  it('of a wallet that chooses the hash itself is made again after a lost answer, and the lost one is never offered', async () => {
    const own = new FakeWallet({ nodeId: '02nwc', takesPreimage: false });
    const nwc = open(own);
    own.loseAnswers = true;
    await expect(nwc.fund(owner, { amountSat: 500, idempotencyKey: 'k', bodySha256: sha256('{}') })).rejects.toMatchObject({
      code: 'lightning_unavailable',
    });
    own.loseAnswers = false;
    const other = open(own);
    const [mine, theirs] = await Promise.all(
      [nwc, other].map((process) => process.fund(owner, { amountSat: 500, idempotencyKey: 'k', bodySha256: sha256('{}') })),
    );
    expect(mine?.invoice.bolt11).toBe(theirs?.invoice.bolt11);
    expect((await invoicesOf()).map(({ state }) => state)).toEqual(['failed', 'open']);
  });
});

describe("a refusal's invoice", () => {
  it('is one for 50 parallel refusals over two gateways', async () => {
    const other = open(wallet);
    const offers = await times(50, (index) => (index % 2 ? funding : other).offer(owner, { shortfallMsat: msat(5_000n) }));
    expect(new Set(offers.map(({ id }) => id)).size).toBe(1);
    expect(wallet.node.size).toBe(1);
  });

  it.each([
    ['the default', { shortfallMsat: msat(5_000n) }, 1000],
    ['what the client named', { shortfallMsat: msat(5_000n), topupSats: 50 }, 50],
    ['the shortfall and a twentieth, rounded up, where that is more', { shortfallMsat: msat(2_000_001n) }, 2101],
    ['the shortfall and a twentieth where the client named less', { shortfallMsat: msat(100_000n), topupSats: 1 }, 105],
  ])('is for %s', async (_name, need, amountSat) => {
    expect(await funding.offer(owner, need)).toMatchObject({ amountSat, status: 'pending' });
  });

  it('is offered again where it is for enough, and replaced where it is not', async () => {
    const usual = await funding.offer(owner, { shortfallMsat: msat(5_000n) });
    expect((await funding.offer(owner, { shortfallMsat: msat(900_000n) })).id).toBe(usual.id);
    expect((await funding.offer(owner, { shortfallMsat: msat(5_000n), topupSats: 300 })).id).toBe(usual.id);
    const larger = await funding.offer(owner, { shortfallMsat: msat(5_000n), topupSats: 5_000 });
    expect(larger.amountSat).toBe(5_000);
    // Nobody who named nothing is asked for more than the default; the earlier one is still good.
    expect((await funding.offer(owner, { shortfallMsat: msat(5_000n) })).id).toBe(usual.id);
    expect((await funding.offer(owner, { shortfallMsat: msat(3_000_000n) })).id).toBe(larger.id);
    expect(await invoicesOf()).toHaveLength(2);
  });

  it('is replaced with less than ten minutes left, or once paid', async () => {
    const first = await funding.offer(owner, { shortfallMsat: msat(5_000n) });
    await database.pool.query(
      `update invoices set created_at = now() - interval '51 minutes', expires_at = now() + interval '9 minutes' where id = $1`,
      [first.id],
    );
    const second = await funding.offer(owner, { shortfallMsat: msat(5_000n) });
    expect(second.id).not.toBe(first.id);
    await funding.credit(wallet.settle(second.paymentHash));
    const third = await funding.offer(owner, { shortfallMsat: msat(5_000n) });
    expect(third.id).not.toBe(second.id);
  });

  it('is offered again for half its life where it lives for less than twenty minutes', async () => {
    const brief = open(wallet, { invoiceExpirySeconds: 60 });
    const first = await brief.offer(owner, { shortfallMsat: msat(5_000n) });
    expect((await brief.offer(owner, { shortfallMsat: msat(5_000n) })).id).toBe(first.id);
  });

  it('is refused where the shortfall is more than one invoice can be for', async () => {
    await expect(funding.offer(owner, { shortfallMsat: msat(1_000_000_000n) })).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('waits for the account’s lock as one, however many refusals of a key come at once', async () => {
    const { pool } = database;
    let offers: Promise<Invoice[]> | undefined;
    await whileLocked(pool, owner, async (waiting) => {
      offers = times(50, () => funding.offer(owner, { shortfallMsat: msat(5_000n) }));
      offers.catch(() => {});
      // All have looked for an open invoice, and found none.
      await until(async () => pool.waitingCount === 0 && (await waiting()).length === 1);
    });
    expect(new Set((await offers)?.map(({ id }) => id)).size).toBe(1);
  });
});

describe('after a change of the node', () => {
  const moved = () => open(new FakeWallet({ nodeId: `02other${randomUUID()}` }));

  it("no invoice of the old one's is offered, neither to an account nor to nobody", async () => {
    const needed = { shortfallMsat: msat(5_000n) };
    const [mine, nobodys] = [await funding.offer(owner, needed), await funding.offerKeyless(needed)];
    const at = moved();
    const [offered, keyless] = [await at.offer(owner, needed), await at.offerKeyless(needed, { earlier: nobodys })];
    expect([offered.id, offered.bolt11]).not.toEqual([mine.id, mine.bolt11]);
    expect(keyless.id).not.toBe(nobodys.id);
    const { rows } = await database.pool.query(`select count(distinct node_id) as nodes from invoices where id = any($1)`, [
      [mine.id, offered.id],
    ]);
    expect(rows).toEqual([{ nodes: 2n }]);
    expect((await at.offer(owner, needed)).id).toBe(offered.id);
  });

  it.each([
    ['with an idempotency key', { amountSat: 500, idempotencyKey: 'k', bodySha256: sha256('{}') }],
    ['without one', { amountSat: 500 }],
  ])('a creation that the old one never answered is another invoice, and its payment is credited, %s', async (_name, topUp) => {
    wallet.loseAnswers = true;
    await expect(funding.fund(owner, topUp)).rejects.toMatchObject({ code: 'lightning_unavailable' });
    const other = new FakeWallet({ nodeId: `02other${randomUUID()}` });
    const at = open(other);
    const { invoice } = await at.fund(owner, topUp);
    expect([...wallet.node.keys()]).not.toContain(invoice.paymentHash.toString('hex'));
    other.settle(invoice.paymentHash, { silently: true });
    await at.settled(invoice.paymentHash);
    expect(await depositsOf(database.pool, account)).toMatchObject({ deposits: [500_000n] });
  });
});

describe('crediting', () => {
  it('posts one deposit for 100 parallel reports of one payment to two gateways, with status lookups among them', async () => {
    const other = open(wallet);
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    const state = wallet.settle(invoice.paymentHash, { silently: true });
    await times(100, async (index) => {
      if (index % 10 === 0) await funding.status(account, invoice.id);
      else if (index % 10 === 1) await other.settled(invoice.paymentHash);
      else await (index % 2 ? funding : other).credit(state);
    });
    expect(await depositsOf(database.pool, account)).toEqual({ postedMsat: 500_000n, deposits: [500_000n], funded: true });
    expect(await funding.status(account, invoice.id)).toMatchObject({
      status: 'paid',
      receivedMsat: 500_000n,
      creditedAt: expect.any(Date),
    });
  });

  it('credits what was received, not what was asked for', async () => {
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    await funding.credit(wallet.settle(invoice.paymentHash, { receivedMsat: 777_123n }));
    expect(await depositsOf(database.pool, account)).toMatchObject({ postedMsat: 777_123n, deposits: [777_123n] });
  });

  it('credits a payment that comes after the invoice has expired, by the schedule alone', async () => {
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    await database.pool.query(`update invoices set expires_at = now() - interval '1 hour', next_check_at = now() where id = $1`, [
      invoice.id,
    ]);
    await funding.checkDue(50);
    expect(await funding.peek(invoice.id)).toMatchObject({ status: 'expired' });
    expect(await invoicesOf()).toMatchObject([{ state: 'expired' }]);
    wallet.settle(invoice.paymentHash, { silently: true });
    await funding.missedSettlements();
    await funding.checkDue(50);
    expect(await funding.peek(invoice.id)).toMatchObject({ status: 'paid' });
    expect(await depositsOf(database.pool, account)).toMatchObject({ deposits: [500_000n] });
  });

  it('credits a payment of a canceled invoice, and never goes back from paid', async () => {
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    wallet.cancel(invoice.paymentHash);
    await funding.missedSettlements();
    await funding.checkDue(50);
    expect(await funding.peek(invoice.id)).toMatchObject({ status: 'canceled' });
    await funding.credit(wallet.settle(invoice.paymentHash));
    await funding.credit({ paymentHash: invoice.paymentHash, status: 'open' });
    wallet.cancel(invoice.paymentHash);
    await funding.settled(invoice.paymentHash);
    expect(await funding.peek(invoice.id)).toMatchObject({ status: 'paid' });
  });

  it('credits a payment of an invoice whose creation was never answered', async () => {
    wallet.loseAnswers = true;
    await expect(funding.fund(owner, { amountSat: 500 })).rejects.toMatchObject({ code: 'lightning_unavailable' });
    wallet.loseAnswers = false;
    const [hash] = [...wallet.node.keys()];
    await funding.credit(wallet.settle(Buffer.from(hash ?? '', 'hex')));
    expect(await depositsOf(database.pool, account)).toMatchObject({ deposits: [500_000n] });
  });

  it("does not take another node's word for a payment", async () => {
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    const swapped = open(new FakeWallet({ nodeId: '02other' }));
    await swapped.credit(wallet.settle(invoice.paymentHash));
    await swapped.missedSettlements();
    expect(await swapped.checkDue(50)).toBe(0);
    expect(await depositsOf(database.pool, account)).toMatchObject({ deposits: [] });
  });

  it('keeps the last known state while the node is away, and catches up when it is back', async () => {
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    wallet.settle(invoice.paymentHash, { silently: true });
    wallet.away = true;
    expect(await funding.status(account, invoice.id)).toMatchObject({ status: 'pending' });
    await funding.settled(invoice.paymentHash);
    await funding.checkDue(50);
    wallet.away = false;
    await funding.missedSettlements();
    await funding.checkDue(50);
    expect(await depositsOf(database.pool, account)).toMatchObject({ deposits: [500_000n] });
  });

  it('comes at the next check where a settlement was told of while the node could not be asked, however far off that check was', async () => {
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    await stopSchedule(database.pool);
    wallet.settle(invoice.paymentHash, { silently: true });
    wallet.away = true;
    await funding.settled(invoice.paymentHash);
    wallet.away = false;
    expect(await funding.checkDue(50)).toBe(1);
    expect(await depositsOf(database.pool, account)).toMatchObject({ deposits: [500_000n] });
  });

  it('tells the listeners of every gateway', async () => {
    const other = open(wallet);
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    const told = new Promise<void>((resolve) => other.subscribe(invoice.id, resolve));
    await funding.credit(wallet.settle(invoice.paymentHash));
    await told;
  });
});

describe('the schedule', () => {
  const nextCheck = async (id: string) => {
    const { rows } = await database.pool.query<{ seconds: number | null }>(
      `select extract(epoch from next_check_at - now())::float8 as seconds from invoices where id = $1`,
      [id],
    );
    return rows[0]?.seconds ?? null;
  };
  const checkAt = async (id: string, pastExpiry: string) => {
    await database.pool.query(`update invoices set expires_at = now() - $2::interval, next_check_at = now() where id = $1`, [
      id,
      pastExpiry,
    ]);
    await funding.checkDue(50);
    return nextCheck(id);
  };

  it('asks after 5 s, 15 s, a minute, then every five minutes', async () => {
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    const pauses: number[] = [];
    for (let round = 0; round < 5; round++) {
      await funding.missedSettlements();
      await funding.checkDue(50);
      pauses.push(Math.round((await nextCheck(invoice.id)) ?? NaN));
    }
    expect(pauses).toEqual([5, 15, 60, 300, 300]);
  });

  it("is left on the node's own word alone: canceled an hour after the expiry, or open a day after", async () => {
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    expect(await checkAt(invoice.id, '23 hours')).not.toBeNull();
    expect(await checkAt(invoice.id, '25 hours')).toBeNull();
    const { invoice: second } = await funding.fund(owner, { amountSat: 500 });
    wallet.cancel(second.paymentHash);
    expect(await checkAt(second.id, '59 minutes')).not.toBeNull();
    expect(await checkAt(second.id, '61 minutes')).toBeNull();
  });

  it('is not left because the node has forgotten the invoice', async () => {
    const { invoice } = await funding.fund(owner, { amountSat: 500 });
    wallet.node.clear();
    expect(await checkAt(invoice.id, '30 days')).not.toBeNull();
  });

  it('ends a creation that the node never heard of', async () => {
    wallet.away = true;
    await expect(funding.fund(owner, { amountSat: 500 })).rejects.toMatchObject({ code: 'lightning_unavailable' });
    wallet.away = false;
    await database.pool.query(
      `update invoices set created_at = now() - interval '2 minutes', next_check_at = now() where account_id = $1`,
      [account],
    );
    await funding.checkDue(50);
    expect(await invoicesOf()).toMatchObject([{ state: 'failed' }]);
  });
});
