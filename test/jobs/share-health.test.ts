import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { createPool, type Pool } from '../../src/db/postgres.ts';
import { shareHealth, sharingBeat } from '../../src/jobs/share-health.ts';
import { logReader } from '../../src/telemetry/log-reader.ts';
import { FleetHealth } from '../../src/routing/fleet-health.ts';
import type { AttemptOutcome } from '../../src/routing/gate.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { deployment } from '../support/deployment.ts';
import { fakeWallClock, type WallClock } from '../support/wall-clock.ts';

const MODEL = deployment({ id: 'fake/one' });
const OK: AttemptOutcome = { kind: 'ok', ttftMs: 40, outputTokens: 20, seconds: 1.04 };
const FAULT: AttemptOutcome = { kind: 'fault', reason: '500', retryAfterSeconds: null };

let database: TestDatabase;
let clock: WallClock;
beforeEach(async () => {
  database = await createTestDatabase();
  clock = fakeWallClock();
});
afterEach(async () => {
  clock.restore();
  await database.drop();
});

function attempt(health: FleetHealth, ...outcomes: AttemptOutcome[]): void {
  for (const outcome of outcomes) {
    const pass = health.enter(MODEL);
    if ('shut' in pass) throw new Error(pass.shut);
    pass.end(outcome);
  }
}

/** A gateway's memory, and how it is shared. */
function gateway(pool = database.pool) {
  const health = new FleetHealth(() => {});
  return { health, beat: sharingBeat({ pool, health, observe: () => {} }), seen: () => health.report('fake').windows['1h'] };
}

describe('gateways on one database', () => {
  it('see what the others saw, and count nothing twice', async () => {
    const [one, two] = [gateway(), gateway()];
    attempt(one.health, OK, FAULT);
    attempt(two.health, OK);
    for (let round = 0; round < 3; round++) for (const { beat } of [one, two]) await beat();
    const all = { requests: 3, successRate: 2 / 3, latencyMs: 40, ttftMs: 40, tokensPerSecond: 20 };
    expect([one.seen(), two.seen()]).toEqual([all, all]);
    for (const { health } of [one, two]) expect(health.healthOf(MODEL)).toMatchObject({ successRate: 7 / 8, samples: 3, ttftMs: 40 });

    attempt(two.health, FAULT);
    expect([one.seen().requests, two.seen().requests]).toEqual([3, 4]);
    for (const { beat } of [two, one, two]) await beat();
    expect([one.seen(), two.seen()]).toMatchObject([
      { requests: 4, successRate: 0.5 },
      { requests: 4, successRate: 0.5 },
    ]);
  });

  it('keep a pause that one of them was asked for', async () => {
    const [one, two] = [gateway(), gateway()];
    attempt(one.health, { kind: 'fault', reason: '429', retryAfterSeconds: 90 });
    for (const { beat } of [one, two]) await beat();
    expect(two.health.enter(MODEL)).toEqual({ shut: 'pause asked for', retryAfterSeconds: 90 });
    expect(two.health.doorOf(MODEL).circuit).toBe('closed');
  });

  it('lose no count where many write at once, minutes of any age', async () => {
    const all = Array.from({ length: 8 }, () => gateway());
    for (let round = 0; round < 5; round++) {
      for (const { health } of all) attempt(health, OK, OK, FAULT);
      clock.ms += 61_000;
      if (round % 2 === 1) await Promise.all(all.map(({ beat }) => beat()));
    }
    await Promise.all(all.map(({ beat }) => beat()));
    const { rows } = await database.pool.query('select sum(ok)::int as ok, sum(faults)::int as faults from deployment_minutes');
    expect(rows).toEqual([{ ok: 80, faults: 40 }]);
    await Promise.all(all.map(({ beat }) => beat()));
    for (const { seen } of all) expect(seen().requests).toBe(120);
  });

  it('know after a restart what was known before, and forget what is older than a day', async () => {
    const before = gateway();
    attempt(before.health, FAULT);
    await before.beat();
    clock.ms += 2 * 3_600_000;
    attempt(before.health, OK, FAULT);
    await before.beat();

    const after = gateway();
    await after.beat();
    const { windows, status } = after.health.report('fake');
    expect([windows['1m'].requests, windows['1h'].requests, windows['24h'].requests, status]).toEqual([2, 2, 3, 'degraded']);
    expect(after.health.healthOf(MODEL).samples).toBeCloseTo(2);

    clock.ms += 26 * 3_600_000;
    const later = gateway();
    await later.beat();
    expect(later.health.report('fake').windows['24h'].requests).toBe(0);
    expect((await database.pool.query('select from deployment_minutes')).rowCount).toBe(0);
  });
});

describe('a database that is away', () => {
  it('is told of once, and delays the counts alone', async () => {
    const told: string[] = [];
    const listening = pino({ level: 'warn' }, { write: (line: string) => void told.push(line) });
    const health = new FleetHealth(() => {});
    const nowhere = createPool({ connectionString: 'postgres://nobody@127.0.0.1:1/none' });
    // As one database that comes back.
    let reached = nowhere;
    const pool = { connect: () => reached.connect(), query: (statement: string, values: unknown[]) => reached.query(statement, values) };
    const beat = sharingBeat({ pool: pool as Pool, health, observe: logReader(listening) });
    for (let round = 0; round < 3; round++) {
      attempt(health, OK, FAULT);
      await beat();
    }
    expect(told).toHaveLength(1);
    expect(health.report('fake').windows['5m']).toMatchObject({ requests: 6, successRate: 0.5 });
    reached = database.pool;
    await beat();
    expect((await database.pool.query('select ok, faults from deployment_minutes')).rows).toEqual([{ ok: 3, faults: 3 }]);
    expect(health.report('fake').windows['5m'].requests).toBe(6);
    await nowhere.end();
  });
});

describe('a commit whose answer is lost', () => {
  /** The database's pool, whose next commit is answered by a lost connection. */
  function losing(went: 'through' | 'nowhere'): Pool {
    let isLost = false;
    const connect = async () => {
      const client = await database.pool.connect();
      const query = async (statement: string, values?: unknown[]): Promise<unknown> => {
        if (statement !== 'commit' || isLost) return client.query(statement, values);
        isLost = true;
        await client.query(went === 'through' ? 'commit' : 'rollback');
        throw new Error('Connection terminated unexpectedly');
      };
      return { query, release: (broken?: Error) => client.release(broken) };
    };
    return { connect, query: (statement: string, values: unknown[]) => database.pool.query(statement, values) } as unknown as Pool;
  }

  it.each(['through', 'nowhere'] as const)('and that went %s adds each attempt once', async (went) => {
    const { health, beat, seen } = gateway(losing(went));
    attempt(health, OK, FAULT);
    await beat();
    attempt(health, OK);
    expect(seen().requests).toBe(3);
    for (let round = 0; round < 2; round++) await beat();
    expect((await database.pool.query('select sum(ok)::int as ok, sum(faults)::int as faults from deployment_minutes')).rows).toEqual([
      { ok: 2, faults: 1 },
    ]);
    expect(seen().requests).toBe(3);
    expect(health.healthOf(MODEL).samples).toBe(3);
  });

  it('is forgotten where the database knows nothing of it: sharing goes on', async () => {
    const pool = losing('through');
    const query = (statement: string, values: unknown[]) =>
      database.pool.query(statement, statement.includes('pg_xact_status') ? ['9000000000000'] : values);
    const { health, beat } = gateway({ connect: () => pool.connect(), query } as unknown as Pool);
    attempt(health, OK);
    await beat();
    attempt(health, OK);
    await beat();
    expect((await database.pool.query('select ok from deployment_minutes')).rows).toEqual([{ ok: 2 }]);
  });

  it('is asked for again while the database does not know yet: nothing is written meanwhile', async () => {
    const pool = losing('through');
    const status = ['in progress'];
    const ask = pool.query.bind(pool) as (statement: string, values: unknown[]) => Promise<unknown>;
    const query = (statement: string, values: unknown[]) =>
      statement.includes('pg_xact_status') && status.length > 0
        ? Promise.resolve({ rows: [{ status: status.pop() }] })
        : ask(statement, values);
    const { health, beat } = gateway({ connect: () => pool.connect(), query } as unknown as Pool);
    attempt(health, OK);
    await beat();
    attempt(health, OK);
    const written = async () => (await database.pool.query<{ ok: number }>('select ok from deployment_minutes')).rows;
    await beat();
    expect(await written()).toEqual([{ ok: 1 }]);
    await beat();
    expect(await written()).toEqual([{ ok: 2 }]);
  });
});

it('the job writes the last attempts as it stops', async () => {
  const { health } = gateway();
  const job = shareHealth({ pool: database.pool, health, observe: () => {}, intervalMs: 3_600_000 });
  attempt(health, OK);
  await job.stop();
  expect((await database.pool.query('select ok from deployment_minutes')).rows).toEqual([{ ok: 1 }]);
});
