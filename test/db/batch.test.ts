import { describe, expect, it } from '@jest/globals';
import { Batch, BUSY, OutcomeUnknownError, type BatchOptions, type BatchRow } from '../../src/db/batch.ts';
import { NotConnectedError } from '../../src/db/postgres.ts';
import { until } from '../support/until.ts';

interface Row extends BatchRow {
  id: string;
}

/** A batch that reached the database, waiting for the test to say how it ended. */
interface Sent {
  ids: string[];
  wait: boolean;
  answer(verdicts?: (string | typeof BUSY)[]): void;
  fail(error: unknown): void;
}

function row(id: string, accountId = 'a', mustLand = false): Row {
  return { id, accountId, mustLand };
}

function rows(count: number, accountId: string, mustLand = false): Row[] {
  return Array.from({ length: count }, (_, index) => row(`${accountId}${mustLand ? '!' : ''}${index}`, accountId, mustLand));
}

function databaseError(code: string): Error {
  return Object.assign(new Error(`database error ${code}`), { code });
}

/** A batch whose transactions end when, and as, the test says; `sent(n)` waits for the n-th of them. */
function scripted(options: Partial<BatchOptions<Row, string>> = {}) {
  const log: Sent[] = [];
  const batch = new Batch<Row, string>({
    ...options,
    run: (sentRows, wait) =>
      new Promise((resolve, reject) => {
        const ids = sentRows.map(({ id }) => id);
        log.push({ ids, wait, answer: (verdicts = ids) => resolve(verdicts), fail: reject });
      }),
  });
  return { batch, log, sent: (n: number) => until(() => log[n]) };
}

/** Submits rows and collects what becomes of each: its verdict, or its error. */
function submitAll(batch: Batch<Row, string>, all: Row[]): Map<string, string | Error> {
  const outcomes = new Map<string, string | Error>();
  for (const one of all) {
    batch.submit(one).then(
      (verdict) => outcomes.set(one.id, verdict),
      (error: Error) => outcomes.set(one.id, error),
    );
  }
  return outcomes;
}

describe('Batch', () => {
  it('sends a lone row at once, and resolves it with its own verdict', async () => {
    const { batch, log } = scripted();
    const verdict = batch.submit(row('x'));
    expect(log.map(({ ids }) => ids)).toEqual([['x']]);
    log[0]?.answer(['done']);
    expect(await verdict).toBe('done');
    await batch.drained();
  });

  it('sends rows that arrive meanwhile together, those that must land first', async () => {
    const { batch, log, sent } = scripted();
    const outcomes = submitAll(batch, [row('first'), row('b'), row('c'), row('settle', 'b', true)]);
    expect(log).toHaveLength(1);
    log[0]?.answer();
    const second = await sent(1);
    expect(second.ids).toEqual(['settle', 'b', 'c']);
    second.answer();
    await batch.drained();
    expect([...outcomes]).toEqual([...outcomes.keys()].map((id) => [id, id]));
    expect(outcomes.size).toBe(4);
  });

  it('has as many batches under way as it may, and sends the next one before it tells of the last', async () => {
    const { batch, log } = scripted({ depth: 2 });
    const told: number[] = [];
    for (const id of ['a', 'b', 'c', 'd']) void batch.submit(row(id)).then(() => told.push(log.length));
    expect(log.map(({ ids }) => ids)).toEqual([['a'], ['b']]);
    log[0]?.answer();
    await until(() => told.length === 1);
    expect(told).toEqual([3]);
    expect(log[2]?.ids).toEqual(['c', 'd']);
    log[2]?.answer();
    log[1]?.answer();
    await batch.drained();
    expect(log).toHaveLength(3);
  });

  it('keeps a small batch back while another one is under way, until it has grown or its turn has come', async () => {
    const { batch, log } = scripted({ depth: 2, aheadRows: 3 });
    submitAll(batch, [row('a'), row('b'), row('c')]);
    expect(log.map(({ ids }) => ids)).toEqual([['a']]);
    submitAll(batch, [row('d')]);
    expect(log.map(({ ids }) => ids)).toEqual([['a'], ['b', 'c', 'd']]);
    submitAll(batch, [row('e'), row('f')]);
    log[1]?.answer();
    log[0]?.answer();
    await until(() => log.length === 3);
    expect(log[2]?.ids).toEqual(['e', 'f']);
    log[2]?.answer();
    await batch.drained();
  });

  it('gives an account that is alone the whole batch', async () => {
    const { batch, log, sent } = scripted({ maxRows: 128 });
    submitAll(batch, rows(200, 'a'));
    log[0]?.answer();
    expect((await sent(1)).ids).toHaveLength(128);
  });

  it('gives an account at most its share while others wait, settlements and admissions together, and every account its turn', async () => {
    const { batch, log, sent } = scripted({ maxRows: 100, maxRowsPerAccount: 32 });
    submitAll(batch, [row('go', 'z'), ...rows(40, 'a', true), ...rows(200, 'a'), ...rows(50, 'b'), ...rows(50, 'c'), ...rows(50, 'd')]);
    log[0]?.answer();
    const perAccount = ({ ids }: Sent) =>
      Object.fromEntries(['a', 'b', 'c', 'd'].map((id) => [id, ids.filter((one) => one.startsWith(id)).length]));
    const second = await sent(1);
    expect(perAccount(second)).toEqual({ a: 32, b: 32, c: 32, d: 4 });
    expect(second.ids.slice(0, 32).every((id) => id.startsWith('a!'))).toBe(true);
    second.answer();
    const third = await sent(2);
    // The rest of what must land first, and then those whose turn was cut short or never came.
    expect(perAccount(third)).toEqual({ a: 32, b: 18, c: 18, d: 32 });
    third.answer();
    const fourth = await sent(3);
    expect(perAccount(fourth)['d']).toBe(14);
  });

  it('resolves every row exactly once with its own verdict under a random load', async () => {
    let seed = 8402;
    const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
    const counts = new Map<string, number>();
    const batch = new Batch<Row, string>({
      maxRows: 16,
      maxRowsPerAccount: 4,
      run: async (sentRows, wait) => {
        await Promise.resolve();
        if (random(10) === 0) throw databaseError('22003');
        if (wait && random(8) === 0) throw databaseError('55P03');
        return sentRows.map(({ id }) => (!wait && random(16) === 0 ? BUSY : id));
      },
    });
    const all = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].flatMap((account) => [...rows(30, account), ...rows(10, account, true)]);
    await Promise.all(
      all.map(async (one) => {
        const end = await batch.submit(one).catch((error: Error & { code?: string; reason?: string }) => error.code ?? error.reason);
        expect([one.id, '22003', 'locked']).toContain(end);
        counts.set(one.id, (counts.get(one.id) ?? 0) + 1);
      }),
    );
    await batch.drained();
    expect([...counts.values()]).toEqual(all.map(() => 1));
  });

  it('lets the rows of a locked account wait in a lane of their own while the others go on', async () => {
    const { batch, log, sent } = scripted();
    const outcomes = submitAll(batch, [row('locked', 'a')]);
    log[0]?.answer([BUSY]);
    const lane = await sent(1);
    expect(lane).toMatchObject({ ids: ['locked'], wait: true });
    const later = submitAll(batch, [row('other', 'b'), row('same', 'a')]);
    const main = await sent(2);
    expect(main).toMatchObject({ ids: ['other'], wait: false });
    main.answer();
    await until(() => later.get('other') === 'other');
    expect(outcomes.size + later.size).toBe(1);
    lane.answer();
    const next = await sent(3);
    expect(next).toMatchObject({ ids: ['same'], wait: true });
    next.answer();
    await batch.drained();
    expect([outcomes.get('locked'), later.get('same')]).toEqual(['locked', 'same']);
  });

  it('refuses an admission whose account stays locked, and tries a settlement until it lands', async () => {
    const { batch, log, sent } = scripted();
    const outcomes = submitAll(batch, [row('go'), row('admission', 'a'), row('settlement', 'a', true)]);
    log[0]?.answer();
    (await sent(1)).answer([BUSY, BUSY]);
    const both = await sent(2);
    expect(both).toMatchObject({ ids: ['settlement', 'admission'], wait: true });
    both.fail(databaseError('55P03'));
    for (const [round, code] of [
      [3, '55P03'],
      [4, '40P01'],
      [5, null],
    ] as const) {
      const lane = await sent(round);
      expect(lane).toMatchObject({ ids: ['settlement'], wait: true });
      expect(outcomes.get('admission')).toMatchObject({ name: 'NotCarriedOutError', reason: 'locked' });
      if (code) lane.fail(databaseError(code));
      else lane.answer();
    }
    await batch.drained();
    expect(outcomes.get('settlement')).toBe('settlement');
  });

  it('looks again for the locks of more accounts than there are lanes, which are mostly gone in a moment', async () => {
    const { batch, log, sent } = scripted({ maxLanes: 1 });
    const outcomes = submitAll(batch, [row('go', 'z'), row('a', 'a', true), row('b', 'b', true), row('c', 'c')]);
    log[0]?.answer();
    (await sent(1)).answer([BUSY, BUSY, BUSY]);
    const lane = await sent(2);
    expect(lane).toMatchObject({ ids: ['a'], wait: true });
    for (const [index, id] of ['b', 'c'].entries()) {
      const again = await sent(3 + index);
      expect(again).toMatchObject({ ids: [id], wait: false });
      again.answer();
    }
    lane.answer();
    await batch.drained();
    expect(['a', 'b', 'c'].map((id) => outcomes.get(id))).toEqual(['a', 'b', 'c']);
  });

  it('refuses the admissions of those that stay locked after a second, and tries their settlements on', async () => {
    const locked = new Set(['a', 'b', 'c']);
    const batch = new Batch<Row, string>({
      maxLanes: 1,
      run: (sentRows, wait) => {
        // The one lane has a lock that never comes.
        if (wait) return new Promise(() => {});
        return Promise.resolve(sentRows.map(({ id, accountId }) => (locked.has(accountId) ? BUSY : id)));
      },
    });
    const outcomes = submitAll(batch, [row('a', 'a'), row('admission', 'b'), row('settlement', 'c', true)]);
    await until(() => outcomes.size === 1);
    expect(outcomes.get('admission')).toMatchObject({ name: 'NotCarriedOutError', reason: 'locked' });
    locked.clear();
    await until(() => outcomes.get('settlement') === 'settlement');
  });

  it('fails only the row that the database refused', async () => {
    const { batch, log, sent } = scripted();
    const outcomes = submitAll(batch, [row('go'), row('good'), row('poisoned'), row('fine')]);
    log[0]?.answer();
    (await sent(1)).fail(databaseError('22003'));
    for (const [index, id] of ['good', 'poisoned', 'fine'].entries()) {
      const alone = await sent(2 + index);
      expect(alone.ids).toEqual([id]);
      if (id === 'poisoned') alone.fail(databaseError('22003'));
      else alone.answer();
    }
    await batch.drained();
    expect(outcomes.get('good')).toBe('good');
    expect(outcomes.get('fine')).toBe('fine');
    expect(outcomes.get('poisoned')).toMatchObject({ code: '22003' });
  });

  it('when the connection breaks: unknown for what was sent, not carried out for what was queued, again for what must land', async () => {
    const { batch, log, sent } = scripted({ maxRows: 2 });
    const outcomes = submitAll(batch, [row('go'), row('settlement', 'a', true), row('sent', 'b'), row('queued', 'c')]);
    log[0]?.answer();
    const broken = await sent(1);
    expect(broken.ids).toEqual(['settlement', 'sent']);
    broken.fail(Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' }));
    await until(() => outcomes.size === 3);
    expect(outcomes.get('sent')).toBeInstanceOf(OutcomeUnknownError);
    expect(outcomes.get('queued')).toMatchObject({ name: 'NotCarriedOutError', reason: 'database_away' });
    const again = await sent(2);
    expect(again.ids).toEqual(['settlement']);
    again.fail(databaseError('57P01'));
    (await sent(3)).answer();
    await batch.drained();
    expect(outcomes.get('settlement')).toBe('settlement');
  });

  it('knows that nothing was carried out where no connection could be had', async () => {
    const { batch, log, sent } = scripted({ maxRows: 2 });
    const outcomes = submitAll(batch, [row('go'), row('settlement', 'a', true), row('refused', 'b'), row('queued', 'c')]);
    log[0]?.answer();
    (await sent(1)).fail(new NotConnectedError('no connection to the database'));
    await until(() => outcomes.size === 3);
    for (const id of ['refused', 'queued']) expect(outcomes.get(id)).toMatchObject({ name: 'NotCarriedOutError', reason: 'database_away' });
    (await sent(2)).answer();
    await batch.drained();
    expect(outcomes.get('settlement')).toBe('settlement');
  });

  it.each([
    ['no space left', '53100'],
    ['out of memory', '53200'],
    ['an error of the disk', '58030'],
    ['a statement that took too long', '57014'],
  ])('keeps a settlement for what passes: %s', async (_, code) => {
    const { batch, log, sent } = scripted();
    const outcomes = submitAll(batch, [row('settlement', 'a', true), row('admission', 'b')]);
    log[0]?.fail(databaseError(code));
    const both = await sent(1);
    expect(both.ids).toEqual(['settlement', 'admission']);
    both.fail(databaseError(code));
    (await sent(2)).answer();
    await batch.drained();
    expect(outcomes.get('settlement')).toBe('settlement');
    expect(outcomes.get('admission')).toMatchObject({ reason: 'database_away' });
  });

  it('refuses a row beyond its queue unless it must land, and takes rows again once there is room', async () => {
    const { batch, log, sent } = scripted({ maxQueued: 2 });
    const outcomes = submitAll(batch, [row('one'), row('two'), row('three'), row('settlement', 'a', true)]);
    await until(() => outcomes.has('three'));
    expect(outcomes.get('three')).toMatchObject({ name: 'NotCarriedOutError', reason: 'queue_full' });
    log[0]?.answer();
    (await sent(1)).answer();
    await batch.drained();
    expect(outcomes.get('settlement')).toBe('settlement');
    const late = submitAll(batch, [row('late')]);
    (await sent(2)).answer();
    await batch.drained();
    expect(late.get('late')).toBe('late');
  });

  it('waits longer after each failure in a row, and anew from the shortest after a success', async () => {
    const pauses: number[] = [];
    const { batch, sent } = scripted({ pause: async (ms) => pauses.push(ms) });
    let batches = 0;
    const land = async (failures: number): Promise<void> => {
      const landed = batch.submit(row('x', 'a', true));
      for (let failure = 0; failure < failures; failure++) (await sent(batches++)).fail(databaseError('53100'));
      (await sent(batches++)).answer();
      expect(await landed).toBe('x');
    };
    await land(7);
    expect(pauses).toEqual([50, 100, 200, 400, 800, 800, 800]);
    pauses.length = 0;
    await land(0);
    await land(2);
    await land(1);
    expect(pauses).toEqual([50, 100, 50]);
  });
});
