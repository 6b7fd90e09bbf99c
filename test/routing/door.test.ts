import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setImmediate as settled } from 'node:timers/promises';
import { Door } from '../../src/routing/door.ts';
import type { AttemptOutcome, Pass, Shut } from '../../src/routing/gate.ts';
import { Witnesses } from '../../src/routing/witnesses.ts';
import { fakeWallClock, type WallClock } from '../support/wall-clock.ts';

let clock: WallClock;
let events: string[];
let door: Door;
beforeEach(() => {
  clock = fakeWallClock();
  events = [];
  door = new Door({ onOpen: () => events.push('open'), onClose: () => events.push('close') });
});
afterEach(() => clock.restore());

const OK: AttemptOutcome = { kind: 'ok', ttftMs: 5, outputTokens: 1, seconds: 1 };
const FAULT: AttemptOutcome = { kind: 'fault', reason: '500', retryAfterSeconds: null };
const VOID: AttemptOutcome = { kind: 'void' };
const busy = (retryAfterSeconds: number): AttemptOutcome => ({ kind: 'fault', reason: '429', retryAfterSeconds });

type Limits = Parameters<Door['enter']>[0];
const enter = (limits?: Limits): Pass | Shut => door.enter(limits, () => {});
function pass(limits?: Limits): Pass {
  const entered = enter(limits);
  if ('shut' in entered) throw new Error(`shut: ${entered.shut}`);
  return entered;
}

/** One attempt after the other, a second apart. */
async function attempts(...outcomes: AttemptOutcome[]): Promise<void> {
  for (const outcome of outcomes) {
    pass().end(outcome);
    await settled();
    clock.ms += 1_000;
  }
}
const times = (n: number, ...outcomes: AttemptOutcome[]) => Array.from({ length: n }, () => outcomes).flat();
const open = async () => {
  await attempts(...times(4, FAULT));
  pass().end(FAULT);
  await settled();
};

describe('a circuit', () => {
  it.each([
    ['four faults in a row', times(4, FAULT), 'closed'],
    ['faults that a success comes between', [...times(4, FAULT), OK, ...times(4, FAULT)], 'closed'],
    ['six faults of nine', times(3, FAULT, FAULT, OK), 'closed'],
    ['half of many', times(14, OK, FAULT), 'closed'],
    ['attempts that say nothing, between four faults', [...times(4, FAULT, VOID)], 'closed'],
    ['attempts that say nothing, however many', times(50, VOID), 'closed'],
    ['seven faults of ten, never five in a row', [...times(3, FAULT, FAULT, OK), FAULT], 'half-open'],
  ])('after %s', async (_, outcomes, circuit) => {
    await attempts(...outcomes);
    expect(door.state.circuit).toBe(circuit);
  });

  it('opens after five faults in a row, and by attempts that said nothing no later', async () => {
    await attempts(FAULT, VOID, FAULT, VOID, FAULT, FAULT);
    expect(enter()).not.toHaveProperty('shut');
    pass().end(FAULT);
    await settled();
    expect(door.state.circuit).toBe('open');
    expect(enter()).toEqual({ shut: 'circuit open', retryAfterSeconds: 1 });
  });

  it('forgets a burst of faults after half a minute, unless they were five in a row', async () => {
    await attempts(...times(3, FAULT, FAULT, OK));
    clock.ms += 40_000;
    for (let second = 0; second < 35; second++) await attempts(OK);
    await attempts(FAULT);
    expect(door.state.circuit).toBe('closed');
  });

  it('lets one of many probe at a time, and closes on its success', async () => {
    await open();
    clock.ms += 999;
    expect(enter()).toEqual({ shut: 'circuit open', retryAfterSeconds: 1 });
    clock.ms += 1;
    const entered = Array.from({ length: 20 }, () => enter());
    const probes = entered.filter((one) => 'end' in one);
    expect(probes).toHaveLength(1);
    expect(entered.filter((one) => 'shut' in one && one.shut === 'circuit open')).toHaveLength(19);
    clock.ms += 3_600_000;
    expect(door.state.circuit).toBe('half-open');
    probes[0]?.end(OK);
    await settled();
    expect(door.state.circuit).toBe('closed');
    expect(Array.from({ length: 20 }, () => enter()).filter((one) => 'end' in one)).toHaveLength(20);
  });

  it('doubles the wait with each probe that fails, up to a minute, and begins anew once it was closed', async () => {
    await open();
    const waits: number[] = [];
    for (let probe = 0; probe < 8; probe++) {
      const before = enter();
      if (!('shut' in before)) throw new Error('the circuit is not open');
      waits.push(before.retryAfterSeconds);
      clock.ms += before.retryAfterSeconds * 1_000;
      pass().end(FAULT);
      await settled();
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    clock.ms += 60_000;
    await attempts(OK);
    await open();
    expect(enter()).toEqual({ shut: 'circuit open', retryAfterSeconds: 1 });
    expect(events).toEqual(['open', 'close', 'open']);
  });

  it('lets the next one probe where the probe said nothing', async () => {
    await open();
    clock.ms += 1_000;
    for (let left = 0; left < 10; left++) pass().end(VOID);
    expect(door.state.circuit).toBe('half-open');
    await attempts(OK);
    expect(door.state.circuit).toBe('closed');
  });

  it('is neither closed nor kept open by attempts that began before it opened', async () => {
    const [early, late, later] = [pass(), pass(), pass()];
    await open();
    early.end(OK);
    await settled();
    expect(door.state.circuit).toBe('open');
    clock.ms += 1_000;
    late.end(FAULT);
    await settled();
    const probe = pass();
    later.end(OK);
    await settled();
    expect(door.state.circuit).toBe('half-open');
    probe.end(OK);
    await settled();
    expect(door.state.circuit).toBe('closed');
  });

  it('hears each attempt once', async () => {
    const once = pass();
    for (let i = 0; i < 20; i++) once.end(FAULT);
    await settled();
    expect(door.state.circuit).toBe('closed');
  });

  it('opens once for many attempts that fail at the same moment', async () => {
    const all = Array.from({ length: 50 }, () => pass());
    for (const one of all) one.end(FAULT);
    await settled();
    expect([door.state.circuit, enter(), events]).toEqual(['open', { shut: 'circuit open', retryAfterSeconds: 1 }, ['open']]);
  });
});

describe('a pause', () => {
  it.each([
    [7, 7],
    [600, 600],
    [86_400, 600],
  ])('of %d seconds shuts for %d, whatever succeeds meanwhile', async (asked, seconds) => {
    const other = pass();
    pass().end(busy(asked));
    await settled();
    other.end(OK);
    await settled();
    expect(enter()).toEqual({ shut: 'pause asked for', retryAfterSeconds: seconds });
    expect(door.state).toEqual({ circuit: 'closed', pausedUntil: clock.ms + seconds * 1_000 });
    clock.ms += seconds * 1_000 - 1;
    expect(enter()).toEqual({ shut: 'pause asked for', retryAfterSeconds: 1 });
    clock.ms += 1;
    expect(pass()).toBeDefined();
    expect(door.state.pausedUntil).toBeNull();
  });

  it('is none where none is asked for, and never gets shorter', async () => {
    await attempts(busy(0));
    const [first, second] = [pass(), pass()];
    first.end(busy(30));
    second.end(busy(2));
    expect(enter()).toEqual({ shut: 'pause asked for', retryAfterSeconds: 30 });
  });
});

describe('the limits of the operator', () => {
  it('let so many be under way at once', () => {
    const limits = { concurrentRequests: 2, requestsPerMinute: null };
    const [first] = [pass(limits), pass(limits)];
    expect(enter(limits)).toEqual({ shut: 'limit reached', retryAfterSeconds: 1 });
    first?.end(VOID);
    first?.end(VOID);
    pass(limits);
    expect(enter(limits)).toEqual({ shut: 'limit reached', retryAfterSeconds: 1 });
  });

  it('let so many begin in any minute', () => {
    const limits = { concurrentRequests: null, requestsPerMinute: 2 };
    pass(limits).end(VOID);
    clock.ms += 20_000;
    pass(limits).end(OK);
    expect(enter(limits)).toEqual({ shut: 'limit reached', retryAfterSeconds: 40 });
    clock.ms += 40_000;
    pass(limits);
    expect(enter(limits)).toEqual({ shut: 'limit reached', retryAfterSeconds: 20 });
  });

  it('take nothing from those who only ask', () => {
    const limits = { concurrentRequests: 1, requestsPerMinute: 1 };
    for (let i = 0; i < 10; i++) expect(door.barred(limits)).toBeNull();
    pass(limits);
    expect(door.barred(limits)).not.toBeNull();
  });
});

describe('the faults of one account', () => {
  const attempt = async (accountId: string, outcome: AttemptOutcome) => {
    const entered = door.enter(undefined, () => {}, accountId);
    if ('shut' in entered) throw new Error(`shut: ${entered.shut}`);
    entered.end(outcome);
    await settled();
  };

  it('count once while others are answered, however many they are, and whoever else fails now and then', async () => {
    for (let second = 0; second < 100; second++) {
      if (second % 20 === 0) await attempt('others', OK);
      await attempt('thief', FAULT);
      if (second % 7 === 0) await attempt('thief', OK);
      clock.ms += 1_000;
    }
    expect(door.state.circuit).toBe('closed');
  });

  it('count again after half a minute of them, also while others are answered', async () => {
    const counted: boolean[] = [];
    const witnesses = new Witnesses();
    for (let second = 0; second < 70; second += 10) {
      witnesses.believe('others', true);
      counted.push(witnesses.believe('thief', false));
      clock.ms += 10_000;
    }
    expect(counted).toEqual([true, false, false, true, false, false, true]);
  });

  it('of two that take turns count once each', async () => {
    await attempt('others', OK);
    for (let turn = 0; turn < 12; turn++) {
      await attempt(turn % 2 === 0 ? 'thief' : 'accomplice', FAULT);
      clock.ms += 1_000;
    }
    expect(door.state.circuit).toBe('closed');
  });

  it('open the circuit where nobody else is there, or no other was answered for half a minute', async () => {
    await attempt('others', OK);
    clock.ms += 31_000;
    for (let turn = 0; turn < 5; turn++) await attempt('alone', FAULT);
    expect(door.state.circuit).toBe('open');
  });

  it('and those of several others open it at once', async () => {
    await attempt('others', OK);
    for (let account = 0; account < 5; account++) await attempt(`account ${account}`, FAULT);
    expect(door.state.circuit).toBe('open');
  });

  it('as a slow probe keep nobody out: after five seconds another one is let in, and closes the circuit', async () => {
    await open();
    clock.ms += 1_000;
    const slow = pass();
    clock.ms += 4_999;
    expect(enter()).toEqual({ shut: 'circuit open', retryAfterSeconds: 1 });
    clock.ms += 1;
    pass().end(OK);
    await settled();
    expect(door.state.circuit).toBe('closed');
    slow.end(FAULT);
    await settled();
    expect(door.state.circuit).toBe('closed');
  });
});

describe('the share that an account has of the limits', () => {
  const enterAs = (accountId: string, limits: Limits) => door.enter(limits, () => {}, accountId);
  const admitted = (accountId: string, limits: Limits, attempted: number) =>
    Array.from({ length: attempted }, () => enterAs(accountId, limits)).filter((one) => !('shut' in one)) as Pass[];

  it.each([
    ['at once', { concurrentRequests: 4, requestsPerMinute: null }],
    ['within a minute', { concurrentRequests: null, requestsPerMinute: 4 }],
  ])('is half while others ask, and all where nobody else does (%s)', (_what, limits) => {
    const all = admitted('thief', limits, 10);
    expect(all).toHaveLength(4);
    expect(enterAs('other', limits)).toMatchObject({ shut: 'limit reached' });
    for (const one of all) one.end(OK);
    // The minute is over; the other one is still known to ask.
    clock.ms += 59_999;
    for (const one of admitted('other', { concurrentRequests: null, requestsPerMinute: null }, 1)) one.end(OK);
    clock.ms += 1;
    expect(admitted('thief', limits, 10)).toHaveLength(2);
    expect(admitted('other', limits, 10)).toHaveLength(2);
  });

  it('is one at least', () => {
    const limits = { concurrentRequests: 1, requestsPerMinute: 1 };
    for (const one of admitted('other', { concurrentRequests: null, requestsPerMinute: null }, 1)) one.end(OK);
    expect(admitted('thief', limits, 3)).toHaveLength(1);
  });
});
