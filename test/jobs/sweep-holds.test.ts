import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { sweepHolds } from '../../src/jobs/sweep-holds.ts';
import { msat, picoUsd } from '../../src/amount.ts';
import type { Admission } from '../../src/ledger/hold.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addPayer, admission, auditOf, openLedger, type PayerSettings, type TestLedger } from '../support/holds.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';

/** So short that the test cluster's start is longer ago: only then does the sweeper do anything. */
const LEASE_SECONDS = 0.05;

let database: TestDatabase;
let ledger: TestLedger;

beforeAll(async () => {
  database = await createTestDatabase();
  ledger = openLedger(database, { leaseSeconds: 30 });
});

afterAll(async () => {
  await ledger.close();
  await database.drop();
});

afterEach(async () => expect(await auditOf(database.pool)).toEqual([]));

const sweep = (leaseSeconds = LEASE_SECONDS, { pool, holds } = ledger) => sweepHolds({ pool, holds, observe: () => {}, leaseSeconds });

/** A hold whose owner may have left a checkpoint behind. */
async function place(settings: PayerSettings, checkpointMsat?: bigint): Promise<Admission> {
  const request = admission(await addPayer(database.pool, settings), { stream: true });
  expect(await ledger.holds.admit(request)).toMatchObject({ verdict: 'admitted' });
  const { requestId, accountId } = request;
  if (checkpointMsat !== undefined) {
    await ledger.holds.checkpoint({
      requestId,
      accountId,
      chargeMsat: msat(checkpointMsat),
      costPicoUsd: picoUsd(checkpointMsat * 1_000n),
    });
  }
  return request;
}

/** Its owner is gone, and its lease has run out. */
async function abandon({ requestId }: Admission): Promise<void> {
  await database.pool.query(`update holds set lease_until = clock_timestamp() - interval '1 millisecond' where request_id = $1`, [
    requestId,
  ]);
}

describe('sweepHolds', () => {
  it('posts an orphan at its last checkpoint', async () => {
    const orphan = await place({ balanceMsat: 100n }, 9n);
    await abandon(orphan);
    expect(await sweep()).toBe(1);
    expect(await holdsOf(database.pool, orphan.accountId)).toMatchObject([{ state: 'posted', posted_msat: 9n, posted_pico_usd: 9_000n }]);
    expect(await accountOf(database.pool, orphan.accountId)).toMatchObject({ posted_msat: 91n, held_msat: 0n });
  });

  it('voids an orphan without a checkpoint', async () => {
    const orphan = await place({ balanceMsat: 100n });
    await abandon(orphan);
    expect(await sweep()).toBe(1);
    expect(await accountOf(database.pool, orphan.accountId)).toMatchObject({ posted_msat: 100n, held_msat: 0n });
  });

  it('settles all that a gateway with very many streams has left, at once', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 1_000_000n });
    const orphans = Array.from({ length: 2_100 }, () => admission(payer, { stream: true }));
    await Promise.all(orphans.map((orphan) => ledger.holds.admit(orphan)));
    await database.pool.query(`update holds set lease_until = clock_timestamp() - interval '1 millisecond' where account_id = $1`, [
      payer.accountId,
    ]);
    expect(await sweep()).toBe(orphans.length);
    expect(await accountOf(database.pool, payer.accountId)).toMatchObject({ posted_msat: 1_000_000n, held_msat: 0n });
  });

  it('gives the free slot of an orphan back only where nothing was delivered', async () => {
    const [silent, delivered] = [await place({ freeLimit: 1 }), await place({ freeLimit: 1 }, 9n)];
    await Promise.all([abandon(silent), abandon(delivered)]);
    expect(await sweep()).toBe(2);
    expect(await accountOf(database.pool, silent.accountId)).toMatchObject({ free_used: 0, free_streams: 0 });
    expect(await accountOf(database.pool, delivered.accountId)).toMatchObject({ free_used: 1, free_streams: 0, posted_msat: 0n });
  });

  it('leaves holds alone whose lease still runs', async () => {
    const running = await place({ balanceMsat: 100n }, 9n);
    expect(await sweep()).toBe(0);
    expect(await holdsOf(database.pool, running.accountId)).toMatchObject([{ state: 'pending' }]);
  });

  it('settles nothing within a lease of the start of the database, when no owner could renew', async () => {
    const orphan = await place({ balanceMsat: 100n }, 9n);
    await abandon(orphan);
    const { rows } = await database.pool.query<{ uptime: number }>(
      `select extract(epoch from clock_timestamp() - pg_postmaster_start_time())::double precision as uptime`,
    );
    const uptime = rows[0]?.uptime ?? 0;
    expect(await sweep(uptime + 60)).toBe(0);
    expect(await holdsOf(database.pool, orphan.accountId)).toMatchObject([{ state: 'pending' }]);
    expect(await sweep(uptime / 2)).toBe(1);
  });

  it('settles each orphan once, whichever gateways sweep and whoever else settles it', async () => {
    const orphans = await Promise.all(Array.from({ length: 20 }, (_, index) => place({ balanceMsat: 100n }, index % 2 ? 9n : undefined)));
    await Promise.all(orphans.map(abandon));
    const other = openLedger(database);
    try {
      const [returned] = orphans;
      if (!returned) throw new Error('no orphan');
      const { requestId, accountId } = returned;
      const late = other.holds.settle({
        kind: 'settlement',
        requestId,
        accountId,
        void: false,
        chargeMsat: msat(3n),
        costPicoUsd: picoUsd(3_000n),
        freeDay: null,
      });
      const swept = await Promise.all([sweep(), sweep(LEASE_SECONDS, other), sweep()]);
      const byOwner = ['posted', 'voided'].includes((await late).verdict) ? 1 : 0;
      expect(swept.reduce((sum, count) => sum + count, 0) + byOwner).toBe(20);
    } finally {
      await other.close();
    }
    expect(await sweep()).toBe(0);
  });
});
