import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Turns } from '../../../src/http/payment/turns.ts';

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['queueMicrotask', 'nextTick', 'setImmediate'] });
});

afterEach(() => {
  jest.useRealTimers();
});

/** Work that the test ends by hand, and how much of it is under way. */
function bench(options = {}) {
  const turns = new Turns({ atOnce: 2, maxWaiting: 3, patienceMs: 1_000, ...options });
  const begun: { name: string; end: (error?: Error) => void }[] = [];
  const ask = (accountId: string, name: string) =>
    turns.take(
      accountId,
      () =>
        new Promise<string>((resolve, reject) => {
          begun.push({ name, end: (error) => (error ? reject(error) : resolve(name)) });
        }),
    );
  return { ask, begun, names: () => begun.map(({ name }) => name) };
}

const settled = () => jest.advanceTimersByTimeAsync(0);
const refused = { code: 'rate_limit_exceeded', detail: { retryAfter: 1 } };

describe('the turns of an account', () => {
  it('come in order, so many at once, and take nothing from another account', async () => {
    const { ask, begun, names } = bench();
    const answers = ['a', 'b', 'c', 'd'].map((name) => ask('one', name));
    const other = ask('other', 'x');
    expect(names()).toEqual(['a', 'b', 'x']);
    begun[1]?.end();
    expect(await answers[1]).toBe('b');
    await settled();
    expect(names()).toEqual(['a', 'b', 'x', 'c']);
    for (const { end } of begun) end();
    await settled();
    begun.at(-1)?.end();
    expect(await Promise.all([...answers, other])).toEqual(['a', 'b', 'c', 'd', 'x']);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('are refused at once where too many wait, and after a while to who waits', async () => {
    const { ask, begun, names } = bench();
    const answers = ['a', 'b', 'c', 'd', 'e'].map((name) => ask('one', name));
    await expect(ask('one', 'f')).rejects.toMatchObject(refused);
    const waiting = answers.slice(2).map((answer) => expect(answer).rejects.toMatchObject(refused));
    await jest.advanceTimersByTimeAsync(1_000);
    await Promise.all(waiting);
    // Their places are free again.
    const late = ask('one', 'g');
    begun[0]?.end();
    await settled();
    expect(names()).toEqual(['a', 'b', 'g']);
    for (const { end } of begun) end();
    expect(await late).toBe('g');
  });

  it('come also after work that failed', async () => {
    const { ask, begun, names } = bench({ atOnce: 1 });
    const failing = ask('one', 'a');
    const next = ask('one', 'b');
    begun[0]?.end(new Error('no such luck'));
    await expect(failing).rejects.toThrow('no such luck');
    await settled();
    expect(names()).toEqual(['a', 'b']);
    begun[1]?.end();
    expect(await next).toBe('b');
  });
});
