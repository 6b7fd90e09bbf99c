import { describe, expect, it } from '@jest/globals';
import { exchangeRateFromBtcUsd, msat, picoUsd } from '../../src/amount.ts';
import type { Ending, UnderWay } from '../../src/completions/call.ts';
import { chargedOf, lossesOf, undeliveredCost } from '../../src/completions/losses-of.ts';
import type { Reply } from '../../src/completions/reply.ts';
import type { Settled } from '../../src/completions/settle.ts';
import { NOTHING_BILLED, type Bill } from '../../src/metering/bill.ts';

const RATE = exchangeRateFromBtcUsd(100_000);
/** 100 msat at this rate. */
const COST = picoUsd(100n * RATE);
const bill = (overrunMsat = 0n, chargeMsat = 100n): Bill => ({
  ...NOTHING_BILLED,
  costPicoUsd: COST,
  costMsat: msat(100n),
  chargeMsat: msat(chargeMsat),
  overrunPicoUsd: picoUsd(overrunMsat * RATE),
});
const underWay = (funding: string, passed: object[] = []) =>
  ({ call: { picoUsdPerMsat: RATE }, grant: { hold: { funding } }, climb: { passed } }) as unknown as UnderWay;
const json = { kind: 'json' } as Reply;
const stream = { kind: 'last_events', first: null } as Reply;
const settledAt = (chargedMsat: bigint) => ({ state: 'settled', delivery: null, verdict: { chargedMsat } }) as unknown as Settled;
const lostAt = (chargedMsat: bigint): Settled => ({ state: 'lost', chargedMsat: msat(chargedMsat) });
const pending: Settled = { state: 'pending' };

describe('the house pays', () => {
  it.each<[string, string, Bill, Reply, Settled, Record<string, bigint>, bigint]>([
    ['nothing of what is settled', 'wallet', bill(), json, settledAt(100n), {}, 100n],
    ['what is free', 'free', bill(0n, 0n), json, settledAt(0n), { free: 100n }, 0n],
    ['what is beyond the hold', 'wallet', bill(7n), json, settledAt(100n), { overrun: 7n }, 100n],
    ['both of them', 'free', bill(7n, 0n), stream, settledAt(0n), { free: 100n, overrun: 7n }, 0n],
    ['nothing under a key of the client’s own', 'byok', bill(7n, 1n), stream, settledAt(1n), {}, 1n],
    ['an answer in one piece that was not settled in time', 'wallet', bill(7n), json, pending, { refund: 107n }, 100n],
    ['the same of a free one', 'free', bill(0n, 0n), json, pending, { refund: 100n }, 0n],
    ['an answer in one piece that somebody else settled', 'wallet', bill(), json, lostAt(0n), { refund: 100n }, 0n],
    ['nothing of a stream that is settled later', 'wallet', bill(), stream, pending, {}, 100n],
    ['of a stream what came after its last checkpoint', 'wallet', bill(), stream, lostAt(60n), { crash: 40n }, 60n],
    ['the same where it was found settled', 'wallet', bill(), stream, settledAt(60n), { crash: 40n }, 60n],
    ['nothing where more was settled', 'wallet', bill(), stream, lostAt(160n), {}, 160n],
  ])('%s', (_what, funding, owed, reply, settled, told, charged) => {
    const losses = lossesOf(underWay(funding), { ending: {} as Ending, bill: owed, reply, settled }, picoUsd(0n));
    expect(Object.fromEntries(Object.entries(losses).filter(([, amount]) => amount > 0n))).toEqual(told);
    expect(chargedOf(owed, settled)).toBe(charged);
  });

  it('what providers counted of answers that brought nothing, rounded up', () => {
    const losses = lossesOf(
      underWay('wallet'),
      { ending: {} as Ending, bill: NOTHING_BILLED, reply: stream, settled: settledAt(0n) },
      picoUsd(COST + 1n),
    );
    expect(losses).toMatchObject({ undelivered: 101n, overrun: 0n });
  });
});

describe('what was not delivered', () => {
  const rates = { input: 1_000n, output: 2_000n, cacheRead: 100n, cacheWrite: 0n, cacheWriteLong: 0n };
  const rateCard = { ...rates, steps: [] };
  const usage = { input: 10, output: 5, cacheRead: 0, cacheWrite: 0, cacheWriteLong: 0, reasoning: 0 };
  const candidate = { deployment: { rateCard } };
  const undelivered = { kind: 'stream', candidate, end: { delivered: false, usage: { ...usage, output: null } } };
  it.each<[string, object[], object, bigint]>([
    ['a failure', [], { kind: 'failed' }, 0n],
    ['a refusal', [], { kind: 'refused' }, 0n],
    ['a stream without a word', [], undelivered, 11_000n],
    ['a stream that nothing was counted of', [], { ...undelivered, end: { delivered: false, usage: null } }, 0n],
    ['what a cascade passed over for a failure', [{ spent: { usage, rateCard } }], { kind: 'failed' }, 22_000n],
    ['and a stream without a word behind that', [{ spent: { usage, rateCard } }], undelivered, 33_000n],
  ])('is, with the markup: %s', (_what, passed, ending, cost) => {
    expect(undeliveredCost(underWay('wallet', passed), ending as Ending, { markupBasisPoints: 1_000n })).toBe(cost);
  });
});
