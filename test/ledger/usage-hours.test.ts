import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { refundCharge } from '../../src/ledger/refund.ts';
import { readSpend, type PeriodSpend, type Spend } from '../../src/ledger/spend.ts';
import { UsageHours } from '../../src/ledger/usage-hours.ts';
import { transaction } from '../../src/db/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addKey, addPayer, admission, auditOf, openLedger, settlement, type Payer, type TestLedger } from '../support/holds.ts';
import { randomFrom } from '../support/random.ts';

const OPERATIONS = 150;
const WORKERS = 6;
const MODELS = ['alpha', 'beta'];

let database: TestDatabase;
let ledger: TestLedger;
let usage: UsageHours;
let payer: Payer;
let keys: string[];

beforeAll(async () => {
  database = await createTestDatabase();
  ledger = openLedger(database);
});
afterAll(async () => {
  await ledger.close();
  await database.drop();
});
beforeEach(async () => {
  const { pool } = database;
  payer = await addPayer(pool, { balanceMsat: 1_000_000n });
  keys = [payer.keyId, await addKey(pool, payer.accountId)];
  usage = new UsageHours(pool, { ageSeconds: 0 });
});

/** A request through the real ledger, on a key: charged, or voided where nothing is. */
async function settled(keyId: string, chargeMsat?: bigint): Promise<string> {
  const asked = admission({ ...payer, keyId }, { mostTokens: 1_000, leastTokens: 1_000 });
  const hold = await ledger.holds.admit(asked);
  await ledger.holds.settle(settlement(asked, hold, chargeMsat));
  return asked.requestId;
}

async function record(requestId: string, keyId: string, model: string): Promise<void> {
  await database.pool.query(
    `insert into requests (id, account_id, key_id, path, model, provider, stream, outcome, status, funding, prompt_tokens, completion_tokens, explored)
     values ($1, $2, $3, '/v1/chat/completions', $4, 'p-' || $4, false, 'ok', 200, 'wallet', 7, 3, $4 = 'beta') on conflict do nothing`,
    [requestId, payer.accountId, keyId, model],
  );
}

/** What the ledger itself says, from every hold: by key, model and provider. */
async function fromTheLedger(): Promise<Record<string, string>> {
  const { rows } = await database.pool.query<{ name: string; figures: string }>(
    `select name, concat_ws(' ', count(*), sum(explored), sum(prompt), sum(completion), sum(cost), sum(charged)) as figures from (
       select h.key_id::text as key, coalesce(r.model, 'unrecorded') as model, coalesce(r.provider, 'unrecorded') as provider,
         coalesce(r.explored, false)::int as explored, coalesce(r.prompt_tokens, 0) as prompt, coalesce(r.completion_tokens, 0) as completion,
         h.posted_pico_usd as cost, h.posted_msat as charged
       from holds h left join requests r on r.id = h.request_id where h.account_id = $1 and h.state = 'posted') u
     cross join lateral (values ('total'), ('key ' || key), ('model ' || model), ('provider ' || provider)) n (name) group by name`,
    [payer.accountId],
  );
  return Object.fromEntries(rows.map(({ name, figures }) => [name, figures]));
}

const told = (spend: Spend): string =>
  [spend.requestCount, spend.exploredCount, spend.promptTokens, spend.completionTokens, spend.costPicoUsd, spend.chargedMsat].join(' ');

function fromTheReport({ total, byModel, byProvider, byKey }: PeriodSpend): Record<string, string> {
  const names = Object.entries({ model: byModel, provider: byProvider, key: byKey }).flatMap(([by, spends]) =>
    [...spends].map(([name, spend]) => [`${by} ${name}`, told(spend)] as const),
  );
  return { ...Object.fromEntries(names), ...(total.requestCount > 0 && { total: told(total) }) };
}

const report = (more: Partial<Parameters<typeof readSpend>[1]> = {}) =>
  readSpend(database.pool, { accountId: payer.accountId, keyId: null, hours: 24, byKey: true, ...more });

/** The report's figures are the ledger's, in all and each, and the series has the same total by any name. */
async function expectEqual(): Promise<void> {
  const expected = await fromTheLedger();
  expect(fromTheReport(await report())).toEqual(expected);
  for (const [by, bucket] of [
    ['model', 'hour'],
    ['key', 'hour'],
    ['provider', 'day'],
    ['key', 'day'],
  ] as const) {
    const { series, total } = await report({ series: { bucket, by } });
    const all = series.flatMap(({ byName }) => [...byName.values()]);
    expect(all.reduce((sum, { chargedMsat }) => sum + chargedMsat, 0n)).toBe(total.chargedMsat);
    expect(all.reduce((sum, { requestCount }) => sum + requestCount, 0)).toBe(total.requestCount);
    expect(series).toHaveLength(bucket === 'hour' ? 25 : 2);
  }
}

const sumsGoTo = async (): Promise<{ behind: boolean }> => {
  const { rows } = await database.pool.query<{ behind: boolean }>(
    'select exists (select from holds where state = $1 and resolved_at >= rolled_to) as behind from usage_rollup',
    ['posted'],
  );
  return rows[0] ?? { behind: true };
};

describe('the sums by hour', () => {
  const seed = Date.now() % 100_000;

  it(`are the ledger's after any order of charges, records, refunds and steps (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    const pick = <T>(some: readonly T[]): T | undefined => some[Math.floor(random() * some.length)];
    const unrecorded: { id: string; keyId: string }[] = [];
    const charged: string[] = [];
    const operations = [
      async () => {
        const keyId = pick(keys) ?? payer.keyId;
        const chargeMsat = random() < 0.2 ? undefined : BigInt(Math.floor(random() * 900));
        const id = await settled(keyId, chargeMsat);
        unrecorded.push({ id, keyId });
        if (chargeMsat !== undefined) charged.push(id);
      },
      async () => {
        const [late] = unrecorded.splice(Math.floor(random() * unrecorded.length), 1);
        if (late) await record(late.id, late.keyId, pick(MODELS) ?? '');
      },
      async () => {
        const [id] = random() < 0.4 ? charged.splice(Math.floor(random() * charged.length), 1) : [];
        if (id) await refundCharge(database.pool, payer.accountId, id);
      },
      () => usage.step(),
    ];
    for (let n = 0; n < OPERATIONS; n++) {
      await pick(operations)?.();
      if (n % 10 === 9) await expectEqual();
    }
    await usage.catchUp();
    expect(await sumsGoTo()).toEqual({ behind: false });
    await expectEqual();
  });

  it('lose and double nothing while many gateways charge, record, refund and add at once', async () => {
    const work = { left: WORKERS };
    const adding = [usage, new UsageHours(database.pool, { ageSeconds: 0 })].map(async (one) => {
      while (work.left > 0) await one.step();
    });
    const charging = Array.from({ length: WORKERS }, async (_, worker) => {
      for (let n = 0; n < 25; n++) {
        const keyId = keys[n % 2] ?? '';
        const id = await settled(keyId, BigInt(n * 10 + worker));
        const recorded = n % 3 > 0 ? [record(id, keyId, MODELS[n % 2] ?? '')] : [];
        const refunded = n % 4 === 0 ? [refundCharge(database.pool, payer.accountId, id)] : [];
        await Promise.all<unknown>([...recorded, ...refunded]);
      }
      work.left--;
    });
    await Promise.all([...charging, ...adding]);
    await expectEqual();
    await usage.catchUp();
    await expectEqual();
  });

  it('wait for what was under way when they were closed, and another gateway adds what one has only closed', async () => {
    await settled(payer.keyId, 5n);
    const asked = admission(payer);
    await ledger.holds.admit(asked);
    await transaction(database.pool, async (client) => {
      await client.query(
        `update holds set state = 'posted', posted_msat = 20, posted_pico_usd = 20000, resolved_at = clock_timestamp() where request_id = $1`,
        [asked.requestId],
      );
      let went = await usage.step();
      while (went === 'added') went = await usage.step();
      expect(went).toBe('waits');
    });
    await expectEqual();
    await new UsageHours(database.pool, { ageSeconds: 0 }).catchUp();
    expect(await sumsGoTo()).toEqual({ behind: false });
    await expectEqual();
  });

  it('begin anew where history is brought in, and where the clock was set back', async () => {
    await settled(payer.keyId, 5n);
    await usage.catchUp();
    await database.pool.query(
      `insert into holds (request_id, account_id, key_id, funding, state, amount_msat, posted_msat, amount_pico_usd, posted_pico_usd, budget_day,
         pico_usd_per_msat, price_version, stream, idempotent, instance_id, lease_until, resolved_at)
       select gen_random_uuid(), $1, $2, 'wallet', 'posted', 9, 9, 9000, 9000, current_date, 1000, 1, false, false, $3, now(),
         now() - n * interval '3 hours' from generate_series(1, 7) n`,
      [payer.accountId, payer.keyId, randomUUID()],
    );
    await expectEqual();
    await usage.catchUp();
    expect(await sumsGoTo()).toEqual({ behind: false });
    await expectEqual();

    await database.pool.query(`update usage_rollup set rolled_to = now() + interval '1 hour', closed_to = now() + interval '1 hour'`);
    await settled(payer.keyId, 5n);
    await usage.step();
    await expectEqual();
    await usage.catchUp();
    await expectEqual();
  });

  it.each([
    ...['usage_hours', 'usage_days', 'key_usage_hours', 'key_usage_days'].map((table) => [table, 'true']),
    ...['model', 'outcome', 'funding'].map((kind) => ['key_name_days', `kind = '${kind}'`]),
  ])('are audited: a wrong sum in %s where %s is found', async (table, where) => {
    const wrong = async () => (await auditOf(database.pool)).filter(({ rule }) => rule.startsWith('the sums of usage'));
    await settled(payer.keyId, 5n);
    await usage.catchUp();
    expect(await wrong()).toEqual([]);
    await database.pool.query(`update ${table} set charged_msat = charged_msat + 1 where account_id = $1 and ${where}`, [payer.accountId]);
    expect(await wrong()).toMatchObject([{ subject: payer.accountId, expected: '1 5000 5', found: '1 5000 6' }]);
    await database.pool.query(`update ${table} set charged_msat = charged_msat - 1 where account_id = $1 and ${where}`, [payer.accountId]);
  });

  it('tell the 200 dearest keys apart, and all others as one', async () => {
    await database.pool.query(
      `insert into holds (request_id, account_id, key_id, funding, state, amount_msat, posted_msat, amount_pico_usd, posted_pico_usd, budget_day,
         pico_usd_per_msat, price_version, stream, idempotent, instance_id, lease_until, resolved_at)
       select gen_random_uuid(), $1, md5('key ' || n)::uuid, 'wallet', 'posted', n, n, n * 1000, n * 1000, current_date, 1000, 1, false, false, $2, now(), now()
       from generate_series(1, 205) n`,
      [payer.accountId, randomUUID()],
    );
    for (const isAdded of [false, true]) {
      if (isAdded) await usage.catchUp();
      const { byKey, series, total } = await report({ series: { bucket: 'day', by: 'key' } });
      expect(byKey.size).toBe(201);
      expect(told(byKey.get('other') ?? total)).toBe('5 0 0 0 15000 15');
      expect(new Set(series.flatMap(({ byName }) => [...byName.keys()])).size).toBe(21);
      expect([...byKey.values()].reduce((sum, { chargedMsat }) => sum + chargedMsat, 0n)).toBe(total.chargedMsat);
    }
  });

  it('narrow a report to a model, an outcome or a funding', async () => {
    for (const [n, model] of ['alpha', 'alpha', 'beta'].entries())
      await record(await settled(payer.keyId, BigInt(n + 1)), payer.keyId, model);
    await settled(payer.keyId, 4n);
    for (const isAdded of [false, true]) {
      if (isAdded) await usage.catchUp();
      // Of a month too, of which the days before today are summed up by day.
      const of = async (filter: object) => {
        const [short, long] = [await report(filter), await report({ ...filter, hours: 720, series: { bucket: 'day', by: 'key' } })];
        const keyed = [...long.byKey.values(), ...long.series.flatMap(({ byName }) => [...byName.values()])];
        expect([told(long.total), keyed.reduce((sum, { chargedMsat }) => sum + chargedMsat, 0n)]).toEqual([
          told(short.total),
          2n * short.total.chargedMsat,
        ]);
        return told(short.total);
      };
      expect(await of({ model: 'alpha' })).toBe('2 0 14 6 3000 3');
      expect(await of({ model: 'unrecorded' })).toBe('1 0 0 0 4000 4');
      expect(await of({ outcome: 'ok', keyId: payer.keyId })).toBe('3 1 21 9 6000 6');
      expect(await of({ outcome: 'refused' })).toBe('0 0 0 0 0 0');
      expect(await of({ funding: 'wallet' })).toBe('4 1 21 9 10000 10');
    }
  });
});
