import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { IdempotencyKey } from '../../src/records/stored-answer.ts';
import { forgetAnswers } from '../../src/jobs/forget-answers.ts';
import { refundUndelivered } from '../../src/jobs/refund-undelivered.ts';
import { Deliveries } from '../../src/ledger/deliveries.ts';
import type { Admission } from '../../src/ledger/hold.ts';
import { Instance } from '../../src/ledger/instance.ts';
import { whileLocked } from '../support/account-lock.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPayer, admission, auditOf, openLedger, settlement, type Payer, type TestLedger } from '../support/holds.ts';
import { accountOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

/** So short that the test cluster's start is longer ago: only then is anybody taken for dead. */
const SILENT_SECONDS = 0.2;

let database: TestDatabase;
let id: string;
let ledger: TestLedger;
let deliveries: Deliveries;
let instance: Instance;
let payer: Payer;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(() => database.drop());

beforeEach(async () => {
  id = randomUUID();
  ledger = openLedger(database, { instanceId: id });
  deliveries = new Deliveries(database.pool, () => {});
  instance = new Instance(database.pool, () => {}, id, deliveries);
  payer = await addPayer(database.pool, { balanceMsat: 1_000n });
  await instance.beat();
});

afterEach(async () => {
  await ledger.close();
  await instance.stop({ settled: true });
  expect(await auditOf(database.pool)).toEqual([]);
});

async function charge(overrides: Partial<Admission> = {}): Promise<string> {
  const request = admission(payer, overrides);
  const hold = await ledger.holds.admit(request);
  expect(await ledger.holds.settle(settlement(request, hold, 7n))).toMatchObject({ verdict: 'posted' });
  return request.requestId;
}

const balance = async () => (await accountOf(database.pool, payer.accountId)).posted_msat;

async function record(requestId: string, outcome: string): Promise<void> {
  await database.pool.query(
    `insert into requests (id, account_id, key_id, path, stream, outcome, status, funding, cost_pico_usd, charged_msat, pico_usd_per_msat)
     select request_id, account_id, key_id, '/', stream, $2, 200, funding, posted_pico_usd, posted_msat, pico_usd_per_msat from holds
     where request_id = $1`,
    [requestId, outcome],
  );
}

/** The instance is not heard of any more, and neither are its charges fresh. */
async function fallSilent(): Promise<void> {
  await database.pool.query(
    `update instances set beat_at = beat_at - interval '5 s', confirmed_at = confirmed_at - interval '5 s' where id = $1`,
    [id],
  );
  await database.pool.query(`update holds set resolved_at = resolved_at - interval '4 s' where instance_id = $1`, [id]);
}

const sweep = () => refundUndelivered({ pool: database.pool, observe: () => {}, silentSeconds: SILENT_SECONDS });

describe('the charges of a gateway that died', () => {
  it('are given back where nothing says that the answer left, by any number of gateways at once, once', async () => {
    for (let request = 0; request < 5; request++) await charge();
    expect(await balance()).toBe(965n);
    await fallSilent();
    await Promise.all([sweep(), sweep(), sweep()]);
    expect(await balance()).toBe(1_000n);
    await sweep();
    expect(await balance()).toBe(1_000n);
  });

  it('stay where the answer is on record, was stored for a repeat, or had left as a stream', async () => {
    await record(await charge(), 'ok');
    await record(await charge(), 'client_gone');
    await charge({ stream: true });
    const idempotency = { path: '/', key: randomUUID(), bodySha256: Buffer.alloc(32) };
    const request = admission(payer, { idempotency });
    const hold = await ledger.holds.admit(request);
    await ledger.holds.settle({ ...settlement(request, hold, 7n), answer: Buffer.from('sealed') });
    await fallSilent();
    await sweep();
    expect(await balance()).toBe(972n);
    // Its client was told of a failure that costs nothing.
    await record(request.requestId, 'unsettled');
    await sweep();
    expect(await balance()).toBe(979n);
  });

  describe('with an answer that was stored for a repeat', () => {
    let idempotency: IdempotencyKey;
    let request: Admission;

    async function chargeStored(): Promise<void> {
      idempotency = { path: '/', key: randomUUID(), bodySha256: Buffer.alloc(32) };
      await chargeAgain();
    }

    /** Under the same key. */
    async function chargeAgain(): Promise<void> {
      request = admission(payer, { idempotency });
      await ledger.holds.settle({ ...settlement(request, await ledger.holds.admit(request), 7n), answer: Buffer.from('sealed') });
    }

    const daysLater = (interval: string) =>
      database.pool.query(`update idempotency set expires_at = expires_at - interval '${interval}' where request_id = $1`, [
        request.requestId,
      ]);
    const repeat = () => database.pool.query('update idempotency set replayed = true where request_id = $1', [request.requestId]);

    it('stay for as long as a repeat may come, and are given back where none did', async () => {
      await chargeStored();
      await fallSilent();
      await sweep();
      await daysLater('23 hours 58 minutes');
      await sweep();
      expect(await balance()).toBe(993n);
      await daysLater('2 minutes');
      await forgetAnswers(database.pool);
      await Promise.all([sweep(), sweep(), sweep()]);
      expect(await balance()).toBe(1_000n);
      await chargeAgain();
      expect(await balance()).toBe(993n);
    });

    it.each([
      ['a repeat was given the answer', () => repeat()],
      ['the answer is on record after all', () => record(request.requestId, 'ok')],
    ])('stay where %s', async (_name, deliver) => {
      await chargeStored();
      await fallSilent();
      await sweep();
      await deliver();
      await daysLater('1 day');
      await sweep();
      expect(await balance()).toBe(993n);
    });

    it('are judged by what became of this answer, not of one before under the same key', async () => {
      await chargeStored();
      await repeat();
      await daysLater('1 day');
      await record(request.requestId, 'ok');
      await chargeAgain();
      await fallSilent();
      await sweep();
      await record(request.requestId, 'unsettled');
      await sweep();
      expect(await balance()).toBe(993n);
    });
  });

  it('are given back where the record says that the client was told of a failure', async () => {
    await record(await charge(), 'unsettled');
    await fallSilent();
    await sweep();
    expect(await balance()).toBe(1_000n);
  });

  it('stay where the gateway had confirmed them, and are not looked for in all of its history', async () => {
    const delivery = deliveries.begin(payer.accountId, await charge());
    delivery.done();
    await instance.beat();
    await instance.beat();
    await database.pool.query(`update instances set beat_at = beat_at - interval '5 s' where id = $1`, [id]);
    await database.pool.query(`update holds set resolved_at = resolved_at - interval '4 s' where instance_id = $1`, [id]);
    await sweep();
    expect(await balance()).toBe(993n);
  });

  it('are left alone while it lives, and while they are fresh', async () => {
    await charge();
    await sweep();
    expect(await balance()).toBe(993n);
    await database.pool.query(`update instances set beat_at = beat_at - interval '5 s' where id = $1`, [id]);
    await database.pool.query(`update holds set resolved_at = clock_timestamp() + interval '1 minute' where instance_id = $1`, [id]);
    await sweep();
    expect(await balance()).toBe(993n);
  });

  it('are forgotten with it after a while, and not before', async () => {
    const known = async () => (await database.pool.query('select from instances where id = $1', [id])).rowCount;
    await fallSilent();
    await sweep();
    expect(await known()).toBe(1);
    await database.pool.query(`update instances set beat_at = beat_at - interval '1 minute' where id = $1`, [id]);
    await sweep();
    expect(await known()).toBe(0);
  });
});

describe('deliveries', () => {
  it('confirm nothing that was charged after the oldest of them began', async () => {
    const heard = deliveries.confirmedMicros();
    expect(heard).toBeGreaterThan(0n);
    const open = deliveries.begin(payer.accountId, randomUUID());
    await instance.beat();
    deliveries.begin(payer.accountId, randomUUID()).done();
    expect(deliveries.confirmedMicros()).toBe(heard);
    open.done();
    expect(deliveries.confirmedMicros()).toBeGreaterThan(heard);
  });

  it('are waited for until each has left or was given back, however long the database is locked', async () => {
    const requestId = await charge();
    await deliveries.drained();
    const [given, sent] = [deliveries.begin(payer.accountId, requestId), deliveries.begin(payer.accountId, randomUUID())];
    let drained = false;
    const all = deliveries.drained().then(() => (drained = true));
    await whileLocked(database.pool, payer, async (waiting) => {
      given.giveBack();
      // The first try ends with the limit on waiting for a lock; a later one waits again.
      await until(async () => (await waiting()).length === 1);
      await until(async () => (await waiting()).length === 0);
      await until(async () => (await waiting()).length === 1);
      sent.done();
      expect(drained).toBe(false);
    });
    await all;
    expect(await balance()).toBe(1_000n);
  });
});
