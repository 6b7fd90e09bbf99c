import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { settle, type Settled } from '../../src/completions/settle.ts';
import { billOf, type Bill } from '../../src/metering/bill.ts';
import { msat, picoUsd, type PicoUsdPerMsat } from '../../src/amount.ts';
import type { Deliveries } from '../../src/ledger/deliveries.ts';
import type { HoldVerdict, Settlement } from '../../src/ledger/hold.ts';
import type { Holds } from '../../src/ledger/holds.ts';
import type { RateCard } from '../../src/pricing/rate-card.ts';
import { ZERO_USAGE } from '../../src/wires/usage.ts';

const MILLION = 1_000_000n;
/** $1 and $2 a million tokens; a msat is a millionth of a dollar. */
const RATE = MILLION as PicoUsdPerMsat;
const CARD: RateCard = {
  priceVersion: 1,
  input: picoUsd(MILLION),
  output: picoUsd(2n * MILLION),
  cacheRead: picoUsd(MILLION),
  cacheWrite: picoUsd(MILLION),
  cacheWriteLong: picoUsd(MILLION),
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

const bill = (input: number, output: number, held = hold(), markupBasisPoints = 0n, delivered = true): Bill =>
  billOf([{ usage: { ...ZERO_USAGE, input, output }, rateCard: CARD }], { hold: held, markupBasisPoints, picoUsdPerMsat: RATE, delivered });

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

  it.each([
    [true, 7n],
    [false, 0n],
  ])("charges the fee alone under the client's own provider key, where something was delivered: %s", (delivered, chargeMsat) => {
    const own = hold({ funding: 'byok', heldMsat: msat(7n) });
    expect(bill(10, 5, own, 0n, delivered)).toMatchObject({ costPicoUsd: 20n * MILLION, costMsat: 20n, chargeMsat });
  });

  it('never passes the hold: the overrun is the house’s', () => {
    expect(bill(10, 500)).toMatchObject({ costPicoUsd: 300n * MILLION, chargeMsat: 300n, overrunPicoUsd: 710n * MILLION });
  });
});

/** Holds whose settlement the test answers by hand, and a delivery that tells what became of it. */
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
  const fates: string[] = [];
  const deliveries = {
    begin: (accountId: string, requestId: string) => {
      fates.push(`begun ${accountId} ${requestId}`);
      return { done: () => fates.push('done'), giveBack: () => fates.push('given back') };
    },
  };
  const ended = jest.fn();
  const deps = { holds, deliveries: deliveries as unknown as Deliveries, observe: () => {} };
  const request = { requestId: 'r', accountId: 'a', hold: hold(), lease: { held: () => true, renewed: () => {}, end: ended } };
  return {
    deps,
    request,
    fates,
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
    expect(await settled).toEqual({ state: 'lost', chargedMsat: 0n });
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

  it.each(['posted', 'already_posted'] as const)('in time leaves its answer to be delivered (%s)', async (verdict) => {
    const { deps, request, answer, fates } = bench();
    const settled = settle(deps, request, bill(10, 5), { unlessLate: true });
    answer({ verdict });
    const { state, delivery } = (await settled) as Extract<Settled, { state: 'settled' }>;
    expect([state, ...fates]).toEqual(['settled', 'begun a r']);
    delivery?.done();
    expect(fates).toEqual(['begun a r', 'done']);
  });

  it.each<[string, HoldVerdict['verdict'] | null]>([
    ['by somebody else', 'already_voided'],
    ['by a refusal of the ledger', null],
  ])('that was lost %s charged nothing that could be given back', async (_name, verdict) => {
    const { deps, request, answer, refuse, fates } = bench();
    const settled = settle(deps, request, bill(10, 5), { unlessLate: true });
    if (verdict) answer({ verdict });
    else refuse(new Error('check violated'));
    expect(await settled).toEqual({ state: 'lost', chargedMsat: 0n });
    expect(fates).toEqual(['begun a r', 'done']);
  });

  it('that came too late for its answer releases the hold, and keeps no answer', async () => {
    const { deps, request, row, answer, fates } = bench();
    const settled = settle(deps, request, bill(10, 5), { answer: Buffer.from('x'), unlessLate: true });
    await jest.advanceTimersByTimeAsync(5_000);
    expect(await settled).toEqual({ state: 'pending' });
    expect(row()).toMatchObject({ void: true, answer: undefined });
    answer({ verdict: 'voided' });
    await jest.advanceTimersByTimeAsync(0);
    expect(fates).toEqual(['begun a r', 'done']);
  });

  it.each(['posted', 'already_posted'] as const)(
    'that had gone through after all, too late for its answer, is given back (%s)',
    async (verdict) => {
      const { deps, request, answer, fates } = bench();
      const settled = settle(deps, request, bill(10, 5), { unlessLate: true });
      await jest.advanceTimersByTimeAsync(5_000);
      await settled;
      answer({ verdict, chargedMsat: msat(20n) });
      await jest.advanceTimersByTimeAsync(0);
      expect(fates).toEqual(['begun a r', 'given back']);
    },
  );

  it('is late by the clock, also where the process was stopped and its timers come last', async () => {
    const { deps, request, answer, fates } = bench();
    const settled = settle(deps, request, bill(10, 5), { unlessLate: true });
    jest.spyOn(performance, 'now').mockReturnValue(performance.now() + 5_000);
    answer({ verdict: 'posted', chargedMsat: msat(20n) });
    expect(await settled).toEqual({ state: 'pending' });
    expect(fates).toEqual(['begun a r', 'given back']);
    jest.restoreAllMocks();
  });

  it.each<['free' | 'wallet', string | null]>([
    ['free', '2026-01-01'],
    ['wallet', null],
  ])('of a %s hold names the free day that has to be locked: %s', (funding, freeDay) => {
    const { deps, request, row } = bench();
    void settle(deps, { ...request, hold: hold({ funding }) }, null);
    expect(row()).toMatchObject({ freeDay });
  });
});
