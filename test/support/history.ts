import { randomBytes, randomUUID } from 'node:crypto';
import { insertPayerAccount } from '../../src/accounts/payer-account.ts';
import { Recorder } from '../../src/records/usage-record.ts';
import { transaction, type Pool } from '../../src/db/postgres.ts';
import { msat, picoUsd } from '../../src/amount.ts';
import type { HoldVerdict } from '../../src/ledger/hold.ts';
import { refundCharge } from '../../src/ledger/refund.ts';
import { writeOff } from '../../src/ledger/write-off.ts';
import { Withdrawals } from '../../src/withdrawals/withdrawals.ts';
import { foreignInvoice } from './foreign-invoice.ts';
import { ownerOf } from './funded.ts';
import { addPayer, admission, deposit, RATE, settlement, type Payer, type TestLedger } from './holds.ts';
import { ZERO_USAGE } from '../../src/wires/usage.ts';

/** One msat a token, half of it from the cache, and twice as much from 100 tokens of prompt on. */
const PRICES = {
  'fake/priced': {
    ...{ input: '1000', output: '1000', cacheRead: '500', cacheWrite: '1000' },
    steps: [{ fromTokens: 100, input: '2000', output: '2000', cacheRead: '1000', cacheWrite: '2000' }],
  },
};

export async function addPrices(pool: Pool, prices: object = PRICES): Promise<number> {
  const { rows } = await pool.query<{ version: number }>('insert into price_versions (sha256, prices) values ($1, $2) returning version', [
    randomBytes(32),
    JSON.stringify(prices),
  ]);
  return rows[0]?.version ?? 0;
}

/** The usage record of a request that cost `tokens` msat. */
async function record(pool: Pool, { accountId, keyId }: Payer, requestId: string, hold: HoldVerdict, tokens: number, priceVersion: number) {
  const recorder = new Recorder(pool, () => {});
  const cost = BigInt(tokens) * RATE;
  recorder.add({
    ...{
      id: requestId,
      accountId,
      keyId,
      path: '/v1/chat/completions',
      requestedModel: 'auto',
      model: 'priced',
      provider: 'fake',
      tier: 'cheap',
    },
    ...{ stream: false, outcome: 'ok', status: 200, errorCode: null, funding: hold.funding, explored: false, latencyMs: 1, ttftMs: null },
    // Two of the cache cost as much as one.
    ...{ usage: { ...ZERO_USAGE, input: 1, cacheRead: 2, output: tokens - 2 } },
    ...{ costPicoUsd: cost, costMsat: BigInt(tokens), picoUsdPerMsat: RATE },
    chargedMsat: { free: 0n, wallet: BigInt(tokens), byok: hold.heldMsat }[hold.funding ?? 'free'],
    ...{ priceVersion, pricedAs: 'fake/priced', markupBasisPoints: 0n, upstreamRequestId: null, clientRequestId: null },
  });
  await recorder.flush();
}

/**
 * A ledger in which everything has happened: free and paid requests, some under a provider key of the caller's own, refunds, replays, deposits with and without a key, withdrawals, a
 * write-off; and some of it is under way. Gives the account that most of it happened to.
 */
export async function everythingHappened(pool: Pool, { holds }: Pick<TestLedger, 'holds'>): Promise<Payer> {
  await addPayer(pool, { balanceMsat: 300n });
  await writeOff(pool, 'simulated');

  const payer = await addPayer(pool, { balanceMsat: 1_000_000n, freeLimit: 2 });
  const priceVersion = await addPrices(pool);
  const idempotency = () => ({ path: '/v1/chat/completions', key: randomBytes(32).toString('hex'), bodySha256: randomBytes(32) });
  const settleOne = async (charge?: bigint, overrides: Parameters<typeof admission>[1] = {}, answer?: Buffer) => {
    const request = admission(payer, { priceVersion, ...overrides });
    const hold = await holds.admit(request);
    await holds.settle({ ...settlement(request, hold, charge), answer });
    if (charge !== undefined) await record(pool, payer, request.requestId, hold, Number(charge), priceVersion);
    return request.requestId;
  };
  await settleOne(7n);
  await holds.admit(admission(payer, { stream: true }));
  await settleOne(5n);
  await refundCharge(pool, payer.accountId, await settleOne(6n));
  await settleOne();
  await settleOne(8n, { idempotency: idempotency() }, Buffer.from('an answer'));
  await settleOne(9n, { idempotency: idempotency() });
  await settleOne(undefined, { idempotency: idempotency() });
  await settleOne(7n, { feeMsat: msat(3n) });
  await settleOne(8n, { feeMsat: msat(0n) });
  await settleOne(undefined, { feeMsat: msat(3n) });
  await refundCharge(pool, payer.accountId, await settleOne(9n, { feeMsat: msat(3n), idempotency: idempotency() }, Buffer.from('another')));
  await holds.admit(admission(payer, { idempotency: idempotency() }));
  await holds.admit(admission(payer));
  await pool.query(`insert into exchange_rate_days values ((clock_timestamp() at time zone 'utc')::date, $1, $1) on conflict do nothing`, [
    RATE,
  ]);
  await withdraw(pool, payer);
  await addInvoices(pool, payer.accountId);
  await addPayer(pool, { balanceMsat: 500n });
  return payer;
}

/** One withdrawal that was paid, one that failed, one that was sent and one that is to be. */
async function withdraw(pool: Pool, payer: Payer): Promise<void> {
  const owner = await ownerOf(pool, payer);
  const withdrawals = new Withdrawals(pool, { backend: 'lnd', nodeId: '02fake', network: 'simulated' });
  const reserve = async () => {
    const { paymentRequest, paymentHash } = foreignInvoice();
    const request = {
      bolt11: paymentRequest,
      paymentHash,
      amountMsat: msat(10_000n),
      payee: '02',
      description: '',
      createdAt: new Date(),
      expiresAt: new Date(Date.now() + 3_600_000),
    };
    const wanted = { owner, request, feeLimitMsat: msat(1_000n), idempotencyKey: randomUUID(), bodySha256: randomBytes(32) };
    return (await withdrawals.reserve(wanted)).withdrawal.id;
  };
  const paid = await reserve();
  await withdrawals.claim(paid, 60);
  await withdrawals.paid(paid, msat(3n));
  await withdrawals.failed(await reserve(), 'creating', 'not_sent');
  await withdrawals.claim(await reserve(), 60);
  await reserve();
}

/** Invoices in every state besides paid, and one that was paid by somebody without a key. */
async function addInvoices(pool: Pool, accountId: string): Promise<void> {
  const add = (state: string, expiresIn: string, checkIn: string | null) =>
    pool.query(
      `insert into invoices (id, account_id, backend, node_id, network, payment_hash, bolt11, amount_sat, state, expires_at, next_check_at)
       values (gen_random_uuid(), $1, 'lnd', '02fake', 'simulated', $2, 'lnbcrt1', 1, $3, now() + $4::interval, now() + $5::interval)`,
      [accountId, randomBytes(32), state, expiresIn, checkIn],
    );
  await add('open', '1 hour', '5 seconds');
  await add('creating', '1 hour', '15 seconds');
  await add('failed', '1 hour', null);
  await add('canceled', '30 minutes', '5 minutes');
  await add('expired', '-30 minutes', '5 minutes');
  await add('expired', '-2 days', '6 hours');
  await add('expired', '-2 days', null);
  const born = await transaction(pool, (client) =>
    insertPayerAccount(client, { keyId: randomUUID(), dailyBudgetPicoUsd: picoUsd(1_000_000n) }),
  );
  await deposit(pool, born, 700n);
  await pool.query(`update invoices set payer_key_id = gen_random_uuid() where account_id = $1`, [born]);
}
