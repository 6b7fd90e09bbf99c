import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Pool } from '../../src/db/postgres.ts';
import { billOf, settle, type Bill } from '../../src/completions/settle.ts';
import { msat, picoUsd, type PicoUsdPerMsat } from '../../src/ledger/amount.ts';
import type { Holds, HoldVerdict, Settlement } from '../../src/ledger/hold.ts';
import { createLog } from '../../src/log.ts';
import { ZERO_USAGE, type RateCard } from '../../src/pricing/rate-card.ts';

const MILLION = 1_000_000n;
/** $1 and $2 a million tokens; a msat is a millionth of a dollar. */
const RATE = MILLION as PicoUsdPerMsat;
const CARD: RateCard = {
  priceVersion: 1,
  input: picoUsd(MILLION),
  output: picoUsd(2n * MILLION),
  cacheRead: picoUsd(MILLION),
  cacheWrite: picoUsd(MILLION),
  dearestInput: picoUsd(MILLION),
  dearestOutput: picoUsd(2n * MILLION),
  steps: [],
};

const hold = (members: Partial<HoldVerdict> = {}): HoldVerdict => ({
  verdict: 'admitted',
  funding: 'wallet',
  tokens: 100,
  heldMsat: msat(300n),
  chargedMsat: msat(0n),
  costPicoUsd: picoUsd(300n * MILLION),
  availableMsat: msat(0n),
  freeUsed: 0,
  freeLimit: 0,
  budgetLeftPicoUsd: picoUsd(0n),
  budgetDay: '2026-01-01',
  funded: true,
  ...members,
});

const bill = (promptTokens: number, completionTokens: number, held = hold(), markup = 0n): Bill =>
  billOf({ ...ZERO_USAGE, promptTokens, completionTokens }, CARD, markup, held, RATE);

describe('billOf', () => {
  it('charges the wallet what the usage costs', () => {
    expect(bill(10, 5)).toMatchObject({ costPicoUsd: 20n * MILLION, costMsat: 20n, chargeMsat: 20n, overrunPicoUsd: 0n });
  });

  it('adds the markup', () => {
    expect(bill(10, 5, hold(), 5_000n)).toMatchObject({ costMsat: 30n, chargeMsat: 30n });
  });

  it('charges nothing for a free request, whose cost is on record all the same', () => {
    expect(bill(10, 5, hold({ funding: 'free' }))).toMatchObject({ costMsat: 20n, chargeMsat: 0n });
  });

  it('never passes the hold: the overrun is the house’s', () => {
    expect(bill(10, 500)).toMatchObject({ costPicoUsd: 300n * MILLION, chargeMsat: 300n, overrunPicoUsd: 710n * MILLION });
  });
});

/** Holds whose settlement the test answers by hand, and a pool that writes statements down. */
function bench() {
  let answer: (verdict: Partial<HoldVerdict>) => void = () => {};
  let refuse: (error: Error) => void = () => {};
  let row: Settlement | undefined;
  const holds = {
    settle: (settlement: Settlement) => {
      row = settlement;
      return new Promise<HoldVerdict>((resolve, reject) => {
        answer = (verdict) => resolve(hold(verdict));
        refuse = reject;
      });
    },
  } as unknown as Holds;
  const statements: string[] = [];
  let committed = (): void => {};
  const refunded = new Promise<void>((resolve) => (committed = resolve));
  const query = async (text: string) => {
    statements.push(text.trim().split(/\s+/)[0] ?? '');
    if (text === 'commit') committed();
    return { rowCount: 1, rows: [] };
  };
  const pool = { connect: async () => ({ query, release: () => {} }) };
  const ended = jest.fn();
  const deps = { holds, pool: pool as unknown as Pool, log: createLog('silent') };
  const request = { requestId: 'r', accountId: 'a', hold: hold(), lease: { held: () => true, renewed: () => {}, end: ended } };
  return {
    deps,
    request,
    statements,
    refunded,
    ended,
    row: () => row,
    answer: (v: Partial<HoldVerdict>) => answer(v),
    refuse: (e: Error) => refuse(e),
  };
}

describe('settle', () => {
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['queueMicrotask', 'nextTick', 'setImmediate'] });
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  it.each<[string, Bill | null, HoldVerdict['verdict'], string]>([
    ['a bill that was posted', bill(10, 5), 'posted', 'settled'],
    ['a bill that an earlier try had posted', bill(10, 5), 'already_posted', 'settled'],
    ['a release', null, 'voided', 'settled'],
    ['a release that an earlier try had done', null, 'already_voided', 'settled'],
    ['a bill whose hold was released by somebody else', bill(10, 5), 'already_voided', 'lost'],
    ['a release of what somebody else had posted', null, 'already_posted', 'lost'],
    ['a hold that is not there', bill(10, 5), 'unknown_hold', 'lost'],
  ])('%s', async (_name, billed, verdict, state) => {
    const { deps, request, answer, ended } = bench();
    const settled = settle(deps, request, billed);
    answer({ verdict });
    expect((await settled).state).toBe(state);
    expect(ended).toHaveBeenCalledTimes(1);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('that the ledger refuses is lost, and its hold left to the sweeper', async () => {
    const { deps, request, refuse, ended } = bench();
    const settled = settle(deps, request, bill(10, 5));
    refuse(new Error('check violated'));
    expect(await settled).toEqual({ state: 'lost' });
    expect(ended).toHaveBeenCalledTimes(1);
  });

  it('waits 5 seconds for the database, and then goes on in the background with the same bill', async () => {
    const { deps, request, row, answer, ended } = bench();
    const settled = settle(deps, request, bill(10, 5), { answer: Buffer.from('x') });
    await jest.advanceTimersByTimeAsync(5_000);
    expect(await settled).toEqual({ state: 'pending' });
    expect(row()).toMatchObject({ void: false, chargeMsat: 20n });
    expect(ended).not.toHaveBeenCalled();
    answer({ verdict: 'posted' });
    await jest.advanceTimersByTimeAsync(0);
    expect(ended).toHaveBeenCalledTimes(1);
  });

  it('that came too late for its answer releases the hold, and keeps no answer', async () => {
    const { deps, request, row, answer, statements } = bench();
    const settled = settle(deps, request, bill(10, 5), { answer: Buffer.from('x'), unlessLate: true });
    await jest.advanceTimersByTimeAsync(5_000);
    expect(await settled).toEqual({ state: 'pending' });
    expect(row()).toMatchObject({ void: true, answer: undefined });
    answer({ verdict: 'voided' });
    await jest.advanceTimersByTimeAsync(0);
    expect(statements).toEqual([]);
  });

  it('that had gone through after all, too late for its answer, is given back', async () => {
    const { deps, request, answer, statements, refunded } = bench();
    const settled = settle(deps, request, bill(10, 5), { unlessLate: true });
    await jest.advanceTimersByTimeAsync(5_000);
    await settled;
    answer({ verdict: 'already_posted', chargedMsat: msat(20n) });
    await refunded;
    expect(statements).toEqual(['begin', 'select', 'with', 'commit']);
  });
});
