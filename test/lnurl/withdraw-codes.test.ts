import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { bech32 } from '@scure/base';
import fc from 'fast-check';
import type { ActingKey } from '../../src/accounts/acting-key.ts';
import { msat } from '../../src/amount.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { feeLimit, mostWithdrawable } from '../../src/ledger/withdrawal.ts';
import { forgetWithdrawCodes, WithdrawCodes } from '../../src/lnurl/withdraw-codes.ts';
import { createLog } from '../../src/log.ts';
import { Withdrawing, type WithdrawingOptions } from '../../src/withdrawing.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { FakePayments } from '../support/fake-payments.ts';
import { foreignInvoice, type ForeignInvoiceOptions } from '../support/foreign-invoice.ts';
import { addOwner, addOwnerKey, deposit } from '../support/funded.ts';
import { accountOf } from '../support/ledger.ts';

const ORIGIN = 'https://pura.example';
const SEED = Number(process.env['PURA_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

let database: TestDatabase;
let node: FakePayments;
let owner: ActingKey;
let codes: WithdrawCodes;
beforeAll(async () => {
  database = await createTestDatabase({ max: 30 });
});
afterAll(() => database.drop());
beforeEach(async () => {
  node = new FakePayments();
  codes = open();
  owner = await addOwner(database.pool);
  await deposit(database, owner, 1_000);
});
afterEach(async () => {
  expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  await database.pool.query(`update withdrawals set next_check_at = now() + interval '1 day' where next_check_at is not null`);
});

/** A gateway process of its own on the same database and node. */
function open(options: Partial<WithdrawingOptions> = {}): WithdrawCodes {
  const { pool } = database;
  const wallet: WithdrawingOptions['wallet'] = {
    ...{ backend: 'lnd', network: 'regtest', nodeId: '02fake', payments: node },
    status: () => Promise.resolve({ ready: true }),
  };
  const withdrawing = new Withdrawing({
    pool,
    wallet,
    log: createLog('silent'),
    observe: () => {},
    allowed: true,
    maxFeePercent: 1,
    ...options,
  });
  return new WithdrawCodes({ pool, withdrawing, wallet });
}

/** The secret in a code as a wallet reads it from the QR code. */
function scan(lnurl: string): string {
  const { prefix, words } = bech32.decode(lnurl.toLowerCase() as `${string}1${string}`, false);
  const url = new URL(Buffer.from(bech32.fromWords(words)).toString());
  expect([prefix, url.origin, url.pathname]).toEqual(['lnurl', ORIGIN, '/lnurl/withdraw']);
  return url.searchParams.get('k1') ?? '';
}
const make = async () => scan((await codes.makeCode(owner, ORIGIN)).lnurl);
const invoice = (options: ForeignInvoiceOptions = {}) => foreignInvoice({ amountMsat: 500_000n, ...options }).paymentRequest;
const state = async () => (await codes.codeState(owner.accountId))?.state;
const money = async () => {
  const { posted_msat: posted, held_msat: held } = await accountOf(database.pool, owner.accountId);
  return { posted, held };
};
const refusal = (message: RegExp) => ({ message: expect.stringMatching(message) });
const GONE = /^This code is not good any more/;
const USED = /^This code is already used/;

describe('a code to withdraw by', () => {
  it('shows what can be taken as often as it is asked, pays one invoice, and is used then', async () => {
    expect(await codes.codeState(owner.accountId)).toBeNull();
    const { lnurl, link, expiresAt } = await codes.makeCode(owner, ORIGIN);
    const k1 = scan(lnurl);
    expect(link).toBe(`lnurlw://pura.example/lnurl/withdraw?k1=${k1}`);
    expect(Math.abs(expiresAt.getTime() - Date.now() - 300_000)).toBeLessThan(10_000);
    const { rows } = await database.pool.query<{ text: string }>(`select withdraw_codes::text as text from withdraw_codes`);
    expect(rows.some(({ text }) => text.includes(k1))).toBe(false);
    for (let asked = 0; asked < 3; asked++) {
      expect(await codes.withdrawRequest(k1, ORIGIN)).toEqual({
        ...{ tag: 'withdrawRequest', callback: `${ORIGIN}/lnurl/withdraw/pay`, k1, defaultDescription: 'Pura balance' },
        // 990 and a fee of 10 at most.
        ...{ minWithdrawable: 1_000, maxWithdrawable: 990_000 },
      });
      expect(await state()).toBe('waiting');
    }
    await codes.pay(k1, `LIGHTNING:${invoice().toUpperCase()}`);
    expect([await state(), await money()]).toEqual(['paid', { posted: 499_993n, held: 0n }]);
    const { rows: moved } = await database.pool.query(`select via from transfers where account_id = $1 and kind = 'withdrawal'`, [
      owner.accountId,
    ]);
    expect(moved).toEqual([{ via: 'lnurl' }]);
    await expect(codes.withdrawRequest(k1, ORIGIN)).rejects.toMatchObject(refusal(USED));
  });

  it('answers a repeat with the same invoice alike, and refuses another one', async () => {
    const [k1, pr] = [await make(), invoice()];
    for (let asked = 0; asked < 3; asked++) await codes.pay(k1, pr);
    await expect(codes.pay(k1, invoice())).rejects.toMatchObject(refusal(USED));
    // Its maker may have lost the key since: the payment is on its way all the same.
    await database.pool.query(`update api_keys set role = 'inference' where id = $1`, [owner.id]);
    await addOwnerKey(database.pool, owner.accountId);
    await codes.pay(k1, pr);
    expect(node.asked).toHaveLength(1);
  });

  it('pays once, however many wallets use it at the same time through several gateways', async () => {
    const [k1, other] = [await make(), open()];
    const same = invoice({ amountMsat: 100_000n });
    const prs = Array.from({ length: 16 }, (_, index) => (index % 2 === 0 ? same : invoice({ amountMsat: 100_000n })));
    const answers = await Promise.allSettled(prs.map((pr, index) => (index % 3 === 0 ? other : codes).pay(k1, pr)));
    const paid = prs.filter((_, index) => answers[index]?.status === 'fulfilled');
    expect(new Set(paid).size).toBe(1);
    const reasons = answers.flatMap((answer) => (answer.status === 'rejected' ? [(answer.reason as Error).message] : []));
    expect(reasons.filter((reason) => !USED.test(reason))).toEqual([]);
    expect(node.asked).toHaveLength(1);
    expect(await money()).toEqual({ posted: 899_993n, held: 0n });
  });

  it('is killed by the next one, and by nobody having used it for five minutes', async () => {
    const [first, second] = [await make(), await make()];
    await expect(codes.withdrawRequest(first, ORIGIN)).rejects.toMatchObject(refusal(GONE));
    await expect(codes.pay(first, invoice())).rejects.toMatchObject(refusal(GONE));
    await database.pool.query(`update withdraw_codes set expires_at = now() where account_id = $1`, [owner.accountId]);
    expect(await state()).toBe('expired');
    await expect(codes.withdrawRequest(second, ORIGIN)).rejects.toMatchObject(refusal(GONE));
    await expect(codes.pay(second, invoice())).rejects.toMatchObject(refusal(GONE));
    expect(await money()).toEqual({ posted: 1_000_000n, held: 0n });
  });

  it('is forgotten a day after its time, used or not', async () => {
    const [used, pr] = [await make(), invoice({ amountMsat: 100_000n })];
    await codes.pay(used, pr);
    await make();
    const left = async (): Promise<number> => {
      await forgetWithdrawCodes(database.pool);
      return (await database.pool.query('select from withdraw_codes where account_id = $1', [owner.accountId])).rowCount ?? 0;
    };
    const age = (hours: number) =>
      database.pool.query(`update withdraw_codes set expires_at = now() - make_interval(hours => $2) where account_id = $1`, [
        owner.accountId,
        hours,
      ]);
    await age(23);
    expect(await left()).toBe(2);
    await codes.pay(used, pr);
    await age(25);
    expect(await left()).toBe(0);
    await expect(codes.pay(used, pr)).rejects.toMatchObject(refusal(GONE));
    expect(node.asked).toHaveLength(1);
  });

  it.each([
    ['revoked', `revoked_at = now()`],
    ['expired', `expires_at = now()`],
    ['rotated', `prefix = 'pura_other'`],
    ['an owner no more', `role = 'inference'`],
  ])('dies with the key that made it: %s', async (_what, change) => {
    const k1 = await make();
    await addOwnerKey(database.pool, owner.accountId);
    await database.pool.query(`update api_keys set ${change} where id = $1`, [owner.id]);
    await expect(codes.pay(k1, invoice())).rejects.toThrow();
    expect([await state(), await money()]).toEqual(['waiting', { posted: 1_000_000n, held: 0n }]);
  });

  it('made by a linked wallet dies with the link', async () => {
    const { rows } = await database.pool.query<{ id: string }>(
      `insert into linked_wallets (id, account_id, linking_key, host) values (gen_random_uuid(), $1, decode(repeat('02', 33), 'hex'), 'h') returning id`,
      [owner.accountId],
    );
    const wallet = { id: rows[0]?.id ?? '', accountId: owner.accountId, prefix: 'wallet' };
    const k1 = scan((await codes.makeCode(wallet, ORIGIN)).lnurl);
    expect((await codes.withdrawRequest(k1, ORIGIN)).maxWithdrawable).toBe(990_000);
    await database.pool.query(`update linked_wallets set unlinked_at = now() where id = $1`, [wallet.id]);
    await expect(codes.withdrawRequest(k1, ORIGIN)).rejects.toMatchObject(refusal(GONE));
    await expect(codes.pay(k1, invoice())).rejects.toMatchObject(refusal(GONE));
  });

  it('is good again after what could not be held, and says what can be', async () => {
    const k1 = await make();
    await expect(codes.pay(k1, invoice({ amountMsat: 990_001n }))).rejects.toMatchObject(refusal(/at most 990 sats can be withdrawn now/));
    expect(await state()).toBe('waiting');
    // As a float of 32 bits has it: any amount within the bounds is taken.
    await codes.pay(k1, invoice({ amountMsat: 989_999n }));
    expect([await state(), await money()]).toEqual(['paid', { posted: 9_994n, held: 0n }]);
  });

  it('that is used tells of the payment as it goes: under way, failed with the reason', async () => {
    codes = open({ answerMs: 1 });
    node.outcome = { status: 'pending', known: true };
    const [k1, pr] = [await make(), invoice()];
    await codes.pay(k1, pr);
    await codes.pay(k1, pr);
    expect(await state()).toBe('asked');
    expect(await money()).toEqual({ posted: 1_000_000n, held: 505_000n });
    codes = open();
    node.outcome = { status: 'failed', failure: 'no_route' };
    const [second, theirs] = [await make(), invoice({ amountMsat: 1_000n })];
    for (let asked = 0; asked < 2; asked++)
      await expect(codes.pay(second, theirs)).rejects.toMatchObject(refusal(/^No route to your wallet was found\. Nothing was taken\./));
    expect(await state()).toBe('failed');
  });

  it.each<[string, () => string, RegExp]>([
    ['without an amount', () => invoice({ amountMsat: null }), /must name an amount/],
    ['of less than a sat', () => invoice({ amountMsat: 999n }), /least that can be withdrawn is 1 sat/],
    ['that has expired', () => invoice({ ageSeconds: 3_601 }), /has expired or is about to/],
    ['that lives too long', () => invoice({ expirySeconds: 100_000 }), /more than a day/],
    [
      'of another network',
      () => invoice({ network: { bech32: 'bc', pubKeyHash: 0, scriptHash: 5, validWitnessVersions: [0, 1] } }),
      /network, which is regtest/,
    ],
    ['that is none', () => 'lnbcrt1nonsense', /not a BOLT11 invoice/],
  ])('refuses an invoice %s, and stays good', async (_what, pr, message) => {
    const k1 = await make();
    await expect(codes.pay(k1, pr())).rejects.toMatchObject(refusal(message));
    expect(await state()).toBe('waiting');
  });

  it('is made by owners alone, where wallets can reach the gateway and it pays out', async () => {
    await expect(codes.makeCode(owner, 'http://pura.example')).rejects.toMatchObject({ code: 'not_permitted', ...refusal(/https/) });
    await expect(open({ allowed: false }).makeCode(owner, ORIGIN)).rejects.toMatchObject({ code: 'not_permitted', ...refusal(/off/) });
    const user = { ...(await addOwnerKey(database.pool, owner.accountId)) };
    await database.pool.query(`update api_keys set role = 'inference' where id = $1`, [user.id]);
    await expect(codes.makeCode(user, ORIGIN)).rejects.toMatchObject({ code: 'not_permitted' });
  });

  it('of an account with nothing says so', async () => {
    const poor = await addOwner(database.pool);
    const k1 = scan((await codes.makeCode(poor, ORIGIN)).lnurl);
    await expect(codes.withdrawRequest(k1, ORIGIN)).rejects.toMatchObject(refusal(/nothing that could be withdrawn/));
  });
});

it(`the most that can be withdrawn is held with its fee, and one sat more is not (seed ${SEED})`, () => {
  const available = fc.bigInt({ min: 0n, max: 10n ** 14n });
  fc.assert(
    fc.property(available, fc.integer({ min: 0, max: 10_000 }), (amount, hundredths) => {
      const percent = hundredths / 100;
      const most = mostWithdrawable(msat(amount), percent);
      const needed = (sats: bigint) => sats + feeLimit(msat(sats), percent);
      expect([most % 1000n, needed(most) <= amount, needed(most + 1000n) > amount]).toEqual([0n, true, true]);
    }),
    { seed: SEED, numRuns: 500 },
  );
});
