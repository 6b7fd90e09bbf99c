import { createHash, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import bolt11 from 'bolt11';
import type { ActingKey } from '../src/accounts/acting-key.ts';
import { auditLedger } from '../src/ledger/audit.ts';
import { msat } from '../src/amount.ts';
import { createLog } from '../src/log.ts';
import type { Observe } from '../src/observation.ts';
import { Withdrawing, type WithdrawalRequest, type WithdrawingOptions } from '../src/withdrawing.ts';
import { createTestDatabase, type TestDatabase } from './support/database.ts';
import { FakePayments } from './support/fake-payments.ts';
import { FakeWallet } from './support/fake-wallet.ts';
import { foreignInvoice } from './support/foreign-invoice.ts';
import { addOwner, deposit, openFunding } from './support/funded.ts';
import { accountOf } from './support/ledger.ts';

const SATS = 1_000n;
const BALANCE_SAT = 1_000;

let database: TestDatabase;
let node: FakePayments;
let owner: ActingKey;
let account: string;
let withdrawing: Withdrawing;
/** What the node says of itself. */
let ready: boolean;

beforeAll(async () => {
  database = await createTestDatabase({ max: 30 });
});
afterAll(async () => {
  await database.drop();
});
beforeEach(async () => {
  node = new FakePayments();
  ready = true;
  withdrawing = open();
  owner = await addOwner(database.pool);
  account = owner.accountId;
  await deposit(database, owner, BALANCE_SAT);
});
afterEach(async () => {
  expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  // What a test left pending is no other test's.
  await database.pool.query(`update withdrawals set next_check_at = now() + interval '1 day' where next_check_at is not null`);
});

/** A gateway process of its own on the same database and node. */
function open(options: Partial<WithdrawingOptions> & { nodeId?: string } = {}): Withdrawing {
  const { nodeId = '02fake', ...others } = options;
  const wallet: WithdrawingOptions['wallet'] = {
    backend: 'lnd',
    network: 'regtest',
    nodeId,
    payments: node,
    status: () => Promise.resolve({ ready }),
  };
  return new Withdrawing({
    pool: database.pool,
    wallet,
    log: createLog('silent'),
    observe: () => {},
    allowed: true,
    maxFeePercent: 1,
    ...others,
  });
}

const sha256 = (text: string) => createHash('sha256').update(text).digest();

function wanted(paymentRequest: string, changes: Partial<WithdrawalRequest> = {}): WithdrawalRequest {
  return { owner, paymentRequest, idempotencyKey: randomUUID(), bodySha256: sha256(paymentRequest), ...changes };
}

/** The account's money, and its withdrawals as the ledger has them. */
async function books(accountId = account) {
  const { posted_msat, held_msat } = await accountOf(database.pool, accountId);
  const { rows } = await database.pool.query<{ amount_msat: bigint }>(
    `select amount_msat from transfers where account_id = $1 and kind = 'withdrawal' order by id`,
    [accountId],
  );
  return { posted: posted_msat, held: held_msat, withdrawn: rows.map(({ amount_msat }) => amount_msat) };
}

/** Lets `seconds` pass for a withdrawal, in the database and at the node, after which its next check is due. */
async function later(id: string, { seconds = 0 } = {}): Promise<void> {
  const { clockMs } = node;
  node.clockMs = () => clockMs() + seconds * 1000;
  await database.pool.query(
    `update withdrawals set next_check_at = now(), deadline_at = deadline_at - make_interval(secs => $2),
       expires_at = expires_at - make_interval(secs => $2)
     where id = $1`,
    [id, seconds],
  );
}

describe('a withdrawal', () => {
  it('takes the amount and the fee that was really paid, once, and gives back the rest of the hold', async () => {
    const { paymentRequest } = foreignInvoice({ amountMsat: 500n * SATS });
    const { withdrawal, replayed } = await withdrawing.withdraw(wanted(paymentRequest));
    expect(withdrawal).toMatchObject({ state: 'paid', amountMsat: 500_000n, feeLimitMsat: 5_000n, feeMsat: 7n });
    expect(replayed).toBe(false);
    expect(await books()).toEqual({ posted: 499_993n, held: 0n, withdrawn: [500_007n] });
    expect(await withdrawing.status(account, withdrawal.id)).toMatchObject({ state: 'paid' });
  });

  it('gives everything back where the node failed, and its invoice is not paid in a second try', async () => {
    node.outcome = { status: 'failed', failure: 'no_route' };
    const { paymentRequest } = foreignInvoice();
    const { withdrawal } = await withdrawing.withdraw(wanted(paymentRequest));
    expect(withdrawal).toMatchObject({ state: 'failed', failure: 'no_route' });
    expect(await books()).toEqual({ posted: 1_000_000n, held: 0n, withdrawn: [] });
    await expect(withdrawing.withdraw(wanted(paymentRequest))).rejects.toMatchObject({ code: 'invalid_request' });
    expect(node.asked).toHaveLength(1);
  });

  it('allows for one per cent of fee in whole sats, or less where its owner named less', async () => {
    const fees = async (amountMsat: bigint, maxFeeSats?: number) => {
      const { withdrawal } = await withdrawing.withdraw(wanted(foreignInvoice({ amountMsat }).paymentRequest, { maxFeeSats }));
      return withdrawal.feeLimitMsat;
    };
    expect([await fees(100_000n), await fees(100_001n), await fees(1n), await fees(300_000n, 2), await fees(300_000n, 50)]).toEqual([
      1_000n,
      2_000n,
      1_000n,
      2_000n,
      3_000n,
    ]);
  });

  it.each([
    [0n, 0n],
    [4_999n, 4_999n],
    [5_000n, 5_000n],
    [5_001n, 5_000n],
    [2_000_000n, 5_000n],
    [-1n, 0n],
  ])('of a node that tells of a fee of %d msat costs %d, within its limit, and nothing stays held', async (feeMsat, costs) => {
    node.outcome = { status: 'paid', feeMsat: msat(feeMsat) };
    const { withdrawal } = await withdrawing.withdraw(wanted(foreignInvoice({ amountMsat: 500n * SATS }).paymentRequest));
    expect(withdrawal).toMatchObject({ state: 'paid', feeMsat: costs });
    expect(await books()).toEqual({ posted: 500_000n - costs, held: 0n, withdrawn: [500_000n + costs] });
  });

  it('is the same one for the same idempotency key, however parallel the requests and whichever gateway gets them', async () => {
    const { paymentRequest } = foreignInvoice();
    const request = wanted(paymentRequest);
    const other = open();
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => (index % 2 ? withdrawing : other).withdraw(request)));
    expect(new Set(answers.map(({ withdrawal }) => withdrawal.id)).size).toBe(1);
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(node.asked).toHaveLength(1);
    expect((await books()).withdrawn).toEqual([10_007n]);
    await expect(withdrawing.withdraw({ ...request, bodySha256: sha256('another') })).rejects.toMatchObject({
      code: 'idempotency_conflict',
    });
  });

  it('is one for one invoice, though 20 requests of two accounts ask for it at once', async () => {
    const theirs = await addOwner(database.pool);
    await deposit(database, theirs, BALANCE_SAT);
    const { paymentRequest } = foreignInvoice();
    const answers = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) => withdrawing.withdraw(wanted(paymentRequest, index % 2 ? { owner: theirs } : {}))),
    );
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(node.asked).toHaveLength(1);
    expect([...(await books()).withdrawn, ...(await books(theirs.accountId)).withdrawn]).toEqual([10_007n]);
  });

  it('is one of twenty in parallel where the funds are for one', async () => {
    const other = open();
    const answers = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) =>
        (index % 2 ? withdrawing : other).withdraw(wanted(foreignInvoice({ amountMsat: 900n * SATS }).paymentRequest)),
      ),
    );
    const refusals = answers.flatMap((answer) => (answer.status === 'rejected' ? [(answer.reason as { code: string }).code] : []));
    expect(refusals).toEqual(Array.from({ length: 19 }, () => 'insufficient_balance'));
    expect(node.asked).toHaveLength(1);
    expect(await books()).toEqual({ posted: 99_993n, held: 0n, withdrawn: [900_007n] });
  });

  it('needs funds for the amount and the highest fee, to the last millisatoshi', async () => {
    const most = foreignInvoice({ amountMsat: 990_001n });
    await expect(withdrawing.withdraw(wanted(most.paymentRequest, { maxFeeSats: 10 }))).rejects.toMatchObject({
      code: 'insufficient_balance',
    });
    const fits = foreignInvoice({ amountMsat: 990_000n });
    expect((await withdrawing.withdraw(wanted(fits.paymentRequest, { maxFeeSats: 10 }))).withdrawal.state).toBe('paid');
  });

  it('is never more than five pending ones of an account', async () => {
    node.outcome = { status: 'pending', known: true };
    const ask = () => withdrawing.withdraw(wanted(foreignInvoice({ amountMsat: 1_000n }).paymentRequest));
    await Promise.all(Array.from({ length: 5 }, ask));
    await expect(ask()).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
  });
});

describe('the invoice of a withdrawal', () => {
  const ours = async () => {
    const { funding, close } = openFunding(database, new FakeWallet());
    const { invoice } = await funding.fund(owner, { amountSat: 100 });
    await close();
    return foreignInvoice({ paymentHash: invoice.paymentHash });
  };
  const mainnet = { bech32: 'bc', pubKeyHash: 0, scriptHash: 5, validWitnessVersions: [0, 1] };
  const signet = { bech32: 'tbs', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] };

  it.each<[string, () => { paymentRequest: string } | Promise<{ paymentRequest: string }>]>([
    ['names no amount', () => foreignInvoice({ amountMsat: null })],
    ['has expired', () => foreignInvoice({ ageSeconds: 3601 })],
    ['is about to expire', () => foreignInvoice({ expirySeconds: 50 })],
    ['can be paid for more than a day', () => foreignInvoice({ expirySeconds: 26 * 3_600 })],
    ['can be paid for a year', () => foreignInvoice({ expirySeconds: 31_536_000 })],
    ['is of the main network', () => foreignInvoice({ network: mainnet })],
    ['is of signet', () => foreignInvoice({ network: signet })],
    ["has the hash of one of the gateway's own", ours],
    ['is no invoice', () => ({ paymentRequest: 'lnurl1dp68gurn8ghj7' })],
    [
      'was changed after it was signed',
      () => {
        const { paymentRequest } = foreignInvoice();
        return { paymentRequest: paymentRequest.replace('lnbcrt100n1', 'lnbcrt900n1') };
      },
    ],
  ])('is refused where it %s, and nothing is held', async (_what, make) => {
    const { paymentRequest } = await make();
    await expect(withdrawing.withdraw(wanted(paymentRequest))).rejects.toMatchObject({ code: 'invalid_request' });
    expect(node.asked).toEqual([]);
    expect(await books()).toEqual({ posted: 1_000_000n, held: 0n, withdrawn: [] });
  });

  it('may be one that can be paid for a day', async () => {
    const { paymentRequest } = foreignInvoice({ expirySeconds: 86_400 });
    expect((await withdrawing.withdraw(wanted(paymentRequest))).withdrawal.state).toBe('paid');
  });

  it("is refused where the gateway's own node made it", async () => {
    const { paymentRequest } = foreignInvoice();
    const network = { bech32: 'bcrt', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] };
    const nodeId = bolt11.decode(paymentRequest, network).payeeNodeKey ?? '';
    await expect(open({ nodeId }).withdraw(wanted(paymentRequest))).rejects.toMatchObject({ code: 'invalid_request' });
  });
});

describe('a withdrawal whose outcome is unknown', () => {
  it('stays held while the node cannot be asked, and is posted once when it can, though two gateways ask', async () => {
    node.losesAnswers = true;
    node.away = true;
    const { withdrawal } = await withdrawing.withdraw(wanted(foreignInvoice().paymentRequest));
    expect(withdrawal.state).toBe('sent');
    await later(withdrawal.id, { seconds: 86_400 });
    await withdrawing.checkDue(10);
    expect(await books()).toEqual({ posted: 1_000_000n, held: 11_000n, withdrawn: [] });
    node.away = false;
    await later(withdrawal.id);
    const other = open();
    await Promise.all(Array.from({ length: 10 }, (_, index) => (index % 2 ? withdrawing : other).checkDue(10)));
    expect(await books()).toEqual({ posted: 989_993n, held: 0n, withdrawn: [10_007n] });
    expect(node.asked).toHaveLength(1);
  });

  it('is released once, though ten lookups at once find that it failed, and what else is held stays so', async () => {
    node.outcome = { status: 'pending', known: true };
    const [failing] = await Promise.all([1, 2].map(() => withdrawing.withdraw(wanted(foreignInvoice().paymentRequest))));
    const { id = '', paymentHash } = failing?.withdrawal ?? {};
    node.recorded.set(paymentHash?.toString('hex') ?? '', { status: 'failed', failure: 'rejected' });
    await later(id);
    await Promise.all(Array.from({ length: 10 }, () => open().checkDue(10)));
    expect(await books()).toEqual({ posted: 1_000_000n, held: 11_000n, withdrawn: [] });
  });

  /** Sent, and lost on the way to the node, of an invoice that lives for an hour. */
  async function heldUp() {
    node.unreached = true;
    const { withdrawal } = await withdrawing.withdraw(wanted(foreignInvoice().paymentRequest));
    expect(withdrawal.state).toBe('sent');
    return withdrawal;
  }
  /** Has the node asked twice after `seconds` more. */
  async function askTwice(id: string, seconds: number): Promise<void> {
    await later(id, { seconds });
    await withdrawing.checkDue(10);
    await later(id);
    await withdrawing.checkDue(10);
  }

  it.each([1, 95, 1_800, 3_590])(
    'is still held after %d s in which the node knew of nothing, and is paid when the call arrives',
    async (seconds) => {
      const { id } = await heldUp();
      for (let asked = 0; asked < 3; asked++) await askTwice(id, seconds / 3);
      expect(await books()).toEqual({ posted: 1_000_000n, held: 11_000n, withdrawn: [] });
      node.arrive();
      await later(id);
      await withdrawing.checkDue(10);
      expect(await books()).toEqual({ posted: 989_993n, held: 0n, withdrawn: [10_007n] });
    },
  );

  it('is released a minute after the expiry of its invoice, when the node said twice that it knows of none, and no call can pay it then', async () => {
    const { id } = await heldUp();
    await askTwice(id, 3_600);
    await askTwice(id, 55);
    expect(await books()).toMatchObject({ held: 11_000n });
    await later(id, { seconds: 10 });
    await withdrawing.checkDue(10);
    expect(await books()).toMatchObject({ held: 11_000n });
    await later(id);
    await withdrawing.checkDue(10);
    expect(await books()).toEqual({ posted: 1_000_000n, held: 0n, withdrawn: [] });
    expect(await withdrawing.status(account, id)).toMatchObject({ state: 'failed', failure: 'unknown_to_node' });
    node.arrive();
    expect(node.recorded.size).toBe(0);
    expect(node.asked).toHaveLength(1);
  });

  it("is released by the node's clock, as its last invoices tell that: an hour later where it is an hour slow", async () => {
    await database.pool.query(`update invoices set bolt11 = $2 where account_id = $1`, [
      account,
      foreignInvoice({ ageSeconds: 3_600 }).paymentRequest,
    ]);
    const { id } = await heldUp();
    node.clockMs = () => Date.now() - 3_600_000;
    await askTwice(id, 3_700);
    await askTwice(id, 3_400);
    expect(await books()).toMatchObject({ held: 11_000n });
    await askTwice(id, 300);
    expect(await books()).toMatchObject({ held: 0n });
    node.arrive();
    expect(node.recorded.size).toBe(0);
  });

  it('is not released by many lookups at once, which are one word of the node', async () => {
    const { id } = await heldUp();
    await later(id, { seconds: 3_700 });
    await Promise.all(Array.from({ length: 10 }, () => open().checkDue(10)));
    expect(await books()).toMatchObject({ held: 11_000n });
    await later(id);
    await Promise.all(Array.from({ length: 10 }, () => open().checkDue(10)));
    expect(await books()).toEqual({ posted: 1_000_000n, held: 0n, withdrawn: [] });
  });

  it('is never released once the node had the payment, though its record of that is gone', async () => {
    const { id, paymentHash } = await heldUp();
    const hash = paymentHash.toString('hex');
    node.recorded.set(hash, { status: 'pending', known: true });
    await later(id);
    await withdrawing.checkDue(10);
    node.recorded.delete(hash);
    for (let asked = 0; asked < 3; asked++) await askTwice(id, 10_000);
    expect(await books()).toMatchObject({ held: 11_000n });
    node.recorded.set(hash, { status: 'paid', feeMsat: msat(0n) });
    await later(id);
    await withdrawing.checkDue(10);
    expect(await books()).toEqual({ posted: 990_000n, held: 0n, withdrawn: [10_000n] });
  });

  it('starts to count anew where the node was not heard to deny it in between', async () => {
    const { id, paymentHash } = await heldUp();
    const check = async () => {
      await later(id);
      await withdrawing.checkDue(10);
    };
    await later(id, { seconds: 3_700 });
    await check();
    node.recorded.set(paymentHash.toString('hex'), { status: 'pending', known: false });
    await check();
    node.recorded.clear();
    await check();
    expect(await books()).toMatchObject({ held: 11_000n });
    await check();
    expect(await books()).toMatchObject({ held: 0n });
  });

  it('is sent again where the node was not asked, for certain', async () => {
    node.absent = true;
    const { withdrawal } = await withdrawing.withdraw(wanted(foreignInvoice().paymentRequest));
    expect(withdrawal.state).toBe('creating');
    expect(await books()).toMatchObject({ held: 11_000n });
    node.absent = false;
    await later(withdrawal.id);
    await Promise.all([withdrawing, open(), open()].map((gateway) => gateway.checkDue(10)));
    expect(node.asked).toHaveLength(1);
    expect(await books()).toMatchObject({ held: 0n, withdrawn: [10_007n] });
  });

  it('is left alone by another node, whose word on it would be none', async () => {
    node.losesAnswers = true;
    node.away = true;
    const { withdrawal } = await withdrawing.withdraw(wanted(foreignInvoice().paymentRequest));
    node.away = false;
    node.recorded.clear();
    await later(withdrawal.id, { seconds: 10_000 });
    expect(await open({ nodeId: '03other' }).checkDue(10)).toBe(0);
    expect(await books()).toMatchObject({ held: 11_000n });
  });

  it('goes on to its end after the operator has switched withdrawals off', async () => {
    node.losesAnswers = true;
    node.away = true;
    const { withdrawal } = await withdrawing.withdraw(wanted(foreignInvoice().paymentRequest));
    node.away = false;
    await later(withdrawal.id);
    await open({ allowed: false }).checkDue(10);
    expect(await books()).toMatchObject({ held: 0n, withdrawn: [10_007n] });
  });
});

describe('a wallet that can only receive', () => {
  it('makes no withdrawal, whatever the operator allows', async () => {
    const wallet: WithdrawingOptions['wallet'] = {
      backend: 'nwc',
      network: 'regtest',
      nodeId: '02nwc',
      status: () => Promise.resolve({ ready: true }),
    };
    const receiving = new Withdrawing({
      pool: database.pool,
      wallet,
      log: createLog('silent'),
      observe: () => {},
      allowed: true,
      maxFeePercent: 1,
    });
    await expect(receiving.withdraw(wanted(foreignInvoice().paymentRequest))).rejects.toMatchObject({ code: 'not_permitted' });
    expect(await books()).toMatchObject({ held: 0n });
  });
});

describe('a withdrawal that was held for and never sent', () => {
  /** As a gateway leaves it that dies between the two. */
  async function unsent(changes = ''): Promise<string> {
    node.away = true;
    node.unreached = true;
    const { withdrawal } = await withdrawing.withdraw(wanted(foreignInvoice().paymentRequest));
    await database.pool.query(
      `update withdrawals set state = 'creating', sent_at = null, deadline_at = null, not_found = 0, next_check_at = now() ${changes} where id = $1`,
      [withdrawal.id],
    );
    node.away = false;
    node.unreached = false;
    node.asked.length = 0;
    return withdrawal.id;
  }

  it('because the node was away is sent when it is back', async () => {
    ready = false;
    const { withdrawal } = await withdrawing.withdraw(wanted(foreignInvoice().paymentRequest));
    expect(withdrawal.state).toBe('creating');
    await later(withdrawal.id);
    await withdrawing.checkDue(10);
    expect(node.asked).toEqual([]);
    expect(await books()).toMatchObject({ held: 11_000n });
    ready = true;
    await later(withdrawal.id);
    await withdrawing.checkDue(10);
    expect(await books()).toMatchObject({ held: 0n, withdrawn: [10_007n] });
  });

  it('is released when its invoice is about to expire though the node is still away', async () => {
    const id = await unsent(`, expires_at = now() + interval '10 seconds'`);
    ready = false;
    await withdrawing.checkDue(10);
    expect(await withdrawing.status(account, id)).toMatchObject({ state: 'failed', failure: 'not_sent' });
    expect(await books()).toMatchObject({ held: 0n });
  });

  it('is sent once by whoever finds it', async () => {
    await unsent();
    await Promise.all([withdrawing, open(), open()].map((gateway) => gateway.checkDue(10)));
    expect(node.asked).toHaveLength(1);
    expect(await books()).toMatchObject({ held: 0n, withdrawn: [10_007n] });
  });

  it.each([
    ['its invoice is about to expire', () => unsent(`, expires_at = now() + interval '10 seconds'`), true],
    ['withdrawals are off by then', () => unsent(), false],
  ])('is released where %s', async (_when, make, allowed) => {
    const id = await make();
    await open({ allowed }).checkDue(10);
    expect(await withdrawing.status(account, id)).toMatchObject({ state: 'failed', failure: 'not_sent' });
    expect(node.asked).toEqual([]);
    expect(await books()).toEqual({ posted: 1_000_000n, held: 0n, withdrawn: [] });
  });
});

describe('a withdrawal that is pending for long', () => {
  /** Pending for so long, changed as `changes` says; what is told of it. */
  async function told(age: string, changes = '', nodeId?: string): Promise<unknown[]> {
    const { withdrawal } = await withdrawing.withdraw(wanted(foreignInvoice().paymentRequest));
    await database.pool.query(`update withdrawals set created_at = now() - $2::interval ${changes} where id = $1`, [withdrawal.id, age]);
    const warnings: { withdrawalId?: string }[] = [];
    const observe: Observe = (one) => {
      if (one.kind === 'withdrawal_long') warnings.push(one);
    };
    await open({ observe, ...(nodeId !== undefined && { nodeId }) }).tellOfLong();
    return warnings.filter(({ withdrawalId }) => withdrawalId === withdrawal.id);
  }

  it.each<[string, string, () => Promise<unknown[]>]>([
    ['that was not sent', 'not there to be asked', () => ((ready = false), told('11 minutes'))],
    ['that the node has', 'the end of the payment', () => ((node.outcome = { status: 'pending', known: true }), told('11 minutes'))],
    ['that got lost', 'the expiry of its invoice at 20', () => ((node.unreached = true), told('11 minutes'))],
    ['of an expired invoice', 'an answer of the node', () => ((node.unreached = true), told('11 minutes', ', expires_at = now()'))],
    ['of another node', 'on the node that it was made with', () => ((node.unreached = true), told('11 minutes', '', '03other'))],
  ])('is told of, one %s with what it waits for', async (_which, waitsFor, tell) => {
    expect(await tell()).toEqual([
      {
        kind: 'withdrawal_long',
        withdrawalId: expect.any(String),
        ageSeconds: 660,
        heldMsat: 11_000n,
        waitsFor: expect.stringContaining(waitsFor),
      },
    ]);
  });

  it('is not told of before ten minutes, nor once it is final', async () => {
    expect(await told('1 hour')).toEqual([]);
    node.unreached = true;
    expect(await told('9 minutes')).toEqual([]);
  });
});

describe('the audit', () => {
  it('finds a withdrawal that was released without its row, and a transfer without a withdrawal', async () => {
    const client = await database.pool.connect();
    try {
      node.outcome = { status: 'pending', known: true };
      await withdrawing.withdraw(wanted(foreignInvoice().paymentRequest));
      await database.pool.query(`update accounts set held_msat = 0 where id = $1`, [account]);
      expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toMatchObject([{ invariant: 2, subject: account }]);
      await database.pool.query(`update accounts set held_msat = 11000 where id = $1`, [account]);

      const inserted = await client.query<{ id: bigint }>(
        `with account as (update accounts set posted_msat = posted_msat - 5 where id = $1 returning posted_msat)
         insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat)
         select 'withdrawal:forged', $1, 'withdrawal', 'wallet', 'lightning_receivable', 5, posted_msat from account returning id`,
        [account],
      );
      const id = inserted.rows[0]?.id;
      expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toMatchObject([{ invariant: 7, subject: String(id) }]);
      await client.query(`alter table transfers disable trigger transfers_append_only`);
      await client.query(`delete from transfers where id = $1`, [id]);
      await client.query(`alter table transfers enable trigger transfers_append_only`);
      await client.query(`update accounts set posted_msat = posted_msat + 5 where id = $1`, [account]);
    } finally {
      client.release();
    }
  });
});
