import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FreeShares, type FreeTicket } from '../../src/admission/free-shares.ts';
import { sharesOf } from '../../src/http/server/client-address.ts';
import { picoUsd } from '../../src/amount.ts';

const DAY_MS = 86_400_000;
const usd = (cents: number) => picoUsd(BigInt(cents) * 10n ** 10n);

function open({ maxTracked = 1_000, dayCents = 10_000, requestCents = 10 } = {}) {
  const clock = { ms: 0 };
  const shares = new FreeShares({ dayPicoUsd: usd(dayCents), requestPicoUsd: usd(requestCents), maxTracked, now: () => clock.ms });
  /** What an address may still have, in requests of the highest cost. */
  const use = (address: string): number => {
    let used = 0;
    while (shares.reserve(sharesOf(address), usd(requestCents)).maxPicoUsd === usd(requestCents)) used++;
    return used;
  };
  return { clock, shares, use };
}

describe('the shares of the free day', () => {
  it('are a twentieth for a sender, and a few times as much for the networks around it', () => {
    const { use } = open();
    expect(use('192.0.2.1')).toBe(50);
    expect(use('192.0.2.1')).toBe(0);
    expect([use('192.0.2.2'), use('192.0.2.3'), use('192.0.2.4')].every((used) => used >= 48)).toBe(true);
    expect(use('192.0.2.5')).toBeLessThanOrEqual(4);
    expect(use('198.51.100.1')).toBe(50);
  });

  it('leave most of the day to others, however many addresses of a /48 ask', () => {
    const { use } = open();
    const used = Array.from({ length: 1_000 }, (_, index) => use(`2001:db8:1:${index.toString(16)}::1`)).reduce((sum, each) => sum + each);
    expect(used).toBeLessThanOrEqual(200);
    expect(use('2001:db8:2::1')).toBe(50);
  });

  it('cover one request of the highest cost, however small the day is', () => {
    const { use } = open({ dayCents: 11 });
    expect([use('192.0.2.1'), use('198.51.100.1')]).toEqual([1, 1]);
  });

  it('give back what a request did not come to, once', () => {
    const { shares, use } = open();
    const networks = sharesOf('192.0.2.1');
    const tickets = Array.from({ length: 50 }, () => shares.reserve(networks, usd(10)));
    const short = shares.reserve(networks, usd(10));
    expect([short.maxPicoUsd, short.isShort]).toEqual([0n, true]);
    for (const ticket of tickets) {
      ticket.correct(usd(1));
      ticket.correct(usd(1));
    }
    expect(use('192.0.2.1')).toBe(45);
  });

  it('begin anew with the day, and forget what came of yesterday’s requests', () => {
    const { clock, shares, use } = open();
    const ticket = shares.reserve(sharesOf('192.0.2.1'), usd(10));
    clock.ms = DAY_MS;
    ticket.correct(usd(0));
    expect(use('192.0.2.1')).toBe(50);
  });

  it('remember a bounded number of networks', () => {
    const { shares } = open({ maxTracked: 100 });
    for (let each = 0; each < 20_000; each++) shares.reserve(sharesOf(`10.${each >> 8}.${each & 255}.1`), usd(1));
    expect(shares.tracked).toBe(100);
  });

  it('are none where nobody can be told from another', () => {
    const { shares } = open();
    for (let each = 0; each < 1_000; each++) expect(shares.reserve([], usd(10)).maxPicoUsd).toBe(usd(10));
    expect(shares.tracked).toBe(0);
  });

  it('are never passed, in whatever order requests come, end and are corrected', () => {
    const step = fc.record({ host: fc.nat(3), net: fc.nat(2), cents: fc.nat(10), ends: fc.nat(20) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const { shares } = open({ dayCents: 400 });
        const spent = new Map<string, bigint>();
        const underWay: { ticket: FreeTicket; names: string[]; taken: bigint }[] = [];
        const add = (names: string[], more: bigint) => names.forEach((name) => spent.set(name, (spent.get(name) ?? 0n) + more));
        for (const { host, net, cents, ends } of steps) {
          const networks = sharesOf(`192.0.${net}.${host}`);
          const ticket = shares.reserve(networks, usd(cents));
          const taken = ticket.maxPicoUsd < usd(cents) ? ticket.maxPicoUsd : usd(cents);
          underWay.push({ ticket, names: networks.map(({ name }) => name), taken });
          add(
            networks.map(({ name }) => name),
            taken,
          );
          const [ended] = ends < underWay.length ? underWay.splice(ends, 1) : [];
          ended?.ticket.correct(picoUsd(ended.taken / 2n));
          if (ended) add(ended.names, ended.taken / 2n - ended.taken);
          for (const { name, times } of networks) expect(spent.get(name)).toBeLessThanOrEqual(usd(20) * BigInt(Math.min(times, 4)));
        }
      }),
    );
  });
});
