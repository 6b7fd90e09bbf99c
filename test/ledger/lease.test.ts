import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Pool } from '../../src/db/postgres.ts';
import { msat, picoUsd } from '../../src/amount.ts';
import { Leases } from '../../src/ledger/lease.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPayer, admission, openLedger, settlement, type TestLedger } from '../support/holds.ts';
import { until } from '../support/until.ts';

const LEASE_SECONDS = 1.5;

let database: TestDatabase;
let ledger: TestLedger;
let leases: Leases;
let beganAt: number;

beforeAll(async () => {
  database = await createTestDatabase();
  ledger = openLedger(database, { leaseSeconds: LEASE_SECONDS });
});

afterAll(async () => {
  await ledger.close();
  await database.drop();
});

beforeEach(() => {
  leases = new Leases(database.pool, () => {}, LEASE_SECONDS);
  beganAt = performance.now();
});

afterEach(async () => {
  jest.restoreAllMocks();
  await leases.stop();
});

/** A committed hold and the lease its owner took over. */
async function place() {
  const request = admission(await addPayer(database.pool, { balanceMsat: 100n }));
  const since = performance.now();
  const hold = await ledger.holds.admit(request);
  const lost: string[] = [];
  const lease = leases.take(request.requestId, since, () => lost.push(request.requestId));
  return { request, hold, lease, lost };
}

/** To so many leases after the test began, as this process sees it. */
function moveClock(leasesLater: number): void {
  jest.spyOn(performance, 'now').mockReturnValue(beganAt + leasesLater * LEASE_SECONDS * 1_000);
}

/** A database that answers a renewal when the test says so. */
function slowPool() {
  let answer = (_rows: { request_id: string }[]): void => {};
  const query = () => new Promise((resolve) => (answer = (rows) => resolve({ rows })));
  return { pool: { query } as unknown as Pool, answer: (rows: { request_id: string }[]) => answer(rows) };
}

async function leaseOf(requestId: string): Promise<{ until: Date; runsOut: boolean }> {
  const { rows } = await database.pool.query<{ until: Date; over: boolean }>(
    'select lease_until as until, lease_until < clock_timestamp() as over from holds where request_id = $1',
    [requestId],
  );
  const [row] = rows;
  if (!row) throw new Error('no such hold');
  return { until: row.until, runsOut: row.over };
}

describe('the lease of a hold', () => {
  it('is renewed for as long as its owner lives', async () => {
    const { request, lease, lost } = await place();
    leases.start();
    const first = await leaseOf(request.requestId);
    // Twice the length of a lease, by the database's clock.
    await until(async () => (await leaseOf(request.requestId)).until.getTime() - first.until.getTime() > 2_000 * LEASE_SECONDS);
    expect(lease.held()).toBe(true);
    expect(lost).toEqual([]);
  });

  it('is lost by an owner that could not renew for half of it, who is told once, before the lease runs out', async () => {
    const { request, lease, lost } = await place();
    expect(lease.held()).toBe(true);
    await until(() => !lease.held());
    await leases.renew();
    await leases.renew();
    expect(lost).toEqual([request.requestId]);
    expect((await leaseOf(request.requestId)).runsOut).toBe(false);
  });

  it('is never revived in the database: not by a renewal, not by a checkpoint after it ran out', async () => {
    const { request, lease, lost } = await place();
    // It ran out in the database, although its owner believes that it has time: their clocks need not agree.
    await database.pool.query(`update holds set lease_until = clock_timestamp() - interval '1 millisecond' where request_id = $1`, [
      request.requestId,
    ]);
    const before = await leaseOf(request.requestId);
    moveClock(0.4);
    expect(lease.held()).toBe(true);
    await leases.renew();
    const { requestId, accountId } = request;
    const checkpoint = { requestId, accountId, chargeMsat: msat(5n), costPicoUsd: picoUsd(5_000n) };
    expect(await ledger.holds.checkpoint(checkpoint)).toMatchObject({ verdict: 'gone' });
    expect((await leaseOf(requestId)).until).toEqual(before.until);
    moveClock(0.55);
    expect(lease.held()).toBe(false);
    await leases.renew();
    expect(lost).toEqual([requestId]);
  });

  it('is never revived in its owner: not by a late report of a renewal', async () => {
    const { request, lease } = await place();
    moveClock(0.6);
    await leases.renew();
    lease.renewed(performance.now());
    expect(lease.held()).toBe(false);
    expect((await leaseOf(request.requestId)).runsOut).toBe(false);
  });

  it('counts from when its renewal was asked for, not from when the answer came', async () => {
    const renewing = slowPool();
    leases = new Leases(renewing.pool, () => {}, LEASE_SECONDS);
    const lease = leases.take('r', performance.now(), () => {});
    moveClock(0.2);
    const renewal = leases.renew();
    moveClock(0.45);
    renewing.answer([{ request_id: 'r' }]);
    await renewal;
    moveClock(0.69);
    expect(lease.held()).toBe(true);
    moveClock(0.71);
    expect(lease.held()).toBe(false);
  });

  it('is given up in time while its renewal hangs', async () => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate'] });
    const renewing = slowPool();
    leases = new Leases(renewing.pool, () => {}, LEASE_SECONDS);
    const lost: string[] = [];
    leases.take('r', performance.now(), () => lost.push('r'));
    leases.start();
    await jest.advanceTimersByTimeAsync(450 * LEASE_SECONDS);
    expect(lost).toEqual([]);
    await jest.advanceTimersByTimeAsync(250 * LEASE_SECONDS);
    expect(lost).toEqual(['r']);
    jest.useRealTimers();
    renewing.answer([]);
  });

  it('is extended by a checkpoint', async () => {
    const { request, lease } = await place();
    const before = await leaseOf(request.requestId);
    const since = performance.now();
    const { requestId, accountId } = request;
    const checkpoint = { requestId, accountId, chargeMsat: msat(5n), costPicoUsd: picoUsd(5_000n) };
    expect(await ledger.holds.checkpoint(checkpoint)).toMatchObject({ verdict: 'kept' });
    lease.renewed(since);
    expect((await leaseOf(requestId)).until.getTime()).toBeGreaterThan(before.until.getTime());
    expect(lease.held()).toBe(true);
  });

  it('is renewed without waiting for holds that are being settled', async () => {
    const [locked, other] = [await place(), await place()];
    const before = await leaseOf(other.request.requestId);
    const locker = await database.pool.connect();
    try {
      await locker.query('begin');
      await locker.query('select from holds where request_id = $1 for update', [locked.request.requestId]);
      await until(async () => {
        await leases.renew();
        return (await leaseOf(other.request.requestId)).until > before.until;
      });
      expect(other.lease.held()).toBe(true);
    } finally {
      await locker.query('rollback');
      locker.release();
    }
  });

  it('ends with the settlement: its owner is not told of any loss', async () => {
    const { request, hold, lease, lost } = await place();
    await ledger.holds.settle(settlement(request, hold, 5n));
    lease.end();
    expect(lease.held()).toBe(false);
    await leases.renew();
    expect(lost).toEqual([]);
  });

  it('of a hold that is not there is lost, not renewed', async () => {
    const lost: string[] = [];
    const ghost = randomUUID();
    const lease = leases.take(ghost, performance.now(), () => lost.push(ghost));
    leases.start();
    await until(() => lost.length > 0);
    expect(lease.held()).toBe(false);
  });
});
