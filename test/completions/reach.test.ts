import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { completion, contentEvent, event, finishEvent, usageEvent } from '../support/fake-provider.ts';
import { pass, start, type HandProvider } from '../support/reach-bench.ts';

/** To the first byte, over all attempts. */
const TOTAL_MS = 120_000;
/** What the first of two has of it, for a stream. */
const FIRST_MS = TOTAL_MS / 2;
const DONE = 'data: [DONE]\n\n';
const ROLE = event({ choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] });

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['queueMicrotask', 'nextTick', 'setImmediate'] });
});

afterEach(() => {
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

describe('the time that a provider has', () => {
  it('ends with the first word: a stream goes on for as long as it likes', async () => {
    const { first, client, end } = start();
    await first.begin();
    for (let word = 0; word < 10; word++) {
      first.tell(contentEvent('word'));
      await pass(TOTAL_MS - 1);
    }
    expect(first.aborted).toBe(false);
    first.tell(finishEvent(), usageEvent(), DONE);
    expect(await end).toMatchObject({ kind: 'stream', end: { reason: 'complete' } });
    expect(client.written.split('word')).toHaveLength(11);
  });

  it.each<[string, (provider: HandProvider) => Promise<void>]>([
    ['nothing', () => Promise.resolve()],
    ['the head', (provider) => provider.begin()],
    [
      'comments and a role',
      async (provider) => {
        await provider.begin();
        provider.tell(': PROCESSING\n\n', ROLE);
      },
    ],
  ])('does not end with %s: the next one is asked', async (_what, answer) => {
    const { first, second, client, gate, end } = start();
    await answer(first);
    await pass(FIRST_MS - 1);
    expect([first.aborted, second.asked]).toEqual([false, false]);
    await pass(1);
    expect([first.aborted, second.asked]).toEqual([true, true]);
    await second.begin();
    second.tell(contentEvent('word'), finishEvent(), usageEvent(), DONE);
    expect(await end).toMatchObject({ kind: 'stream', candidate: { deployment: { model: 'second' } }, end: { reason: 'complete' } });
    expect(client.written.replaceAll(': ping\n', '')).toBe(contentEvent('word') + finishEvent());
    expect(gate.ended().map(({ provider, outcome: { kind } }) => [provider, kind])).toEqual([
      ['first', 'fault'],
      ['second', 'ok'],
    ]);
  });

  it('is one for all of them together', async () => {
    const { first, second, end } = start();
    await pass(FIRST_MS);
    await pass(TOTAL_MS - FIRST_MS - 1);
    expect(second.aborted).toBe(false);
    await pass(1);
    expect([first.aborted, second.aborted]).toEqual([true, true]);
    expect(await end).toMatchObject({ kind: 'failed', attempts: [{ reason: 'timeout' }, { reason: 'timeout' }] });
  });

  it('is all for the last one, where those before it failed at once', async () => {
    const { first, second, end } = start();
    await first.refuse(503);
    await pass(TOTAL_MS - 1);
    expect([second.asked, second.aborted]).toEqual([true, false]);
    await pass(1);
    expect(await end).toMatchObject({ kind: 'failed', attempts: [{ reason: 'HTTP 503' }, { reason: 'timeout' }] });
  });

  it('is mostly the first one’s where the answer comes whole', async () => {
    const { first, second, end } = start({ stream: false });
    await pass(TOTAL_MS * 0.75 - 1);
    expect([first.aborted, second.asked]).toEqual([false, false]);
    await pass(1);
    expect([first.aborted, second.asked]).toEqual([true, true]);
    await pass(TOTAL_MS / 4 - 1);
    await second.answer(completion());
    expect(await end).toMatchObject({ kind: 'json', candidate: { deployment: { model: 'second' } } });
  });
});

describe('a client that waits', () => {
  it('is shown a head and pings in every phase, and the answer in the end', async () => {
    const { first, second, client, stream, end } = start();
    await pass(15_000);
    expect(client.head).toEqual(expect.arrayContaining(['X-Pura-Model', 'first']));
    expect(client.written).toBe(': ping\n');
    await first.begin();
    first.tell(': PROCESSING\n\n', ROLE);
    await pass(FIRST_MS - 15_000);
    expect(second.asked).toBe(true);
    await pass(15_000);
    expect(client.written).toBe(': ping\n'.repeat(5));
    await second.begin();
    second.tell(contentEvent('word'));
    await pass(15_000);
    second.tell(finishEvent(), usageEvent(), DONE);
    await end;
    expect(client.written).toBe(`${': ping\n'.repeat(5)}${contentEvent('word')}: ping\n${finishEvent()}`);
    expect(stream.namedModel).toBe('first');
    expect(client.head).not.toContain('second');
  });

  it('and leaves in silence ends it: no other is asked', async () => {
    const { client, first, second, end } = start();
    await pass(15_000);
    await first.begin();
    first.tell(ROLE);
    client.leave();
    expect(await end).toMatchObject({ kind: 'stream', end: { reason: 'client_gone', delivered: false } });
    expect([first.aborted, second.asked]).toEqual([true, false]);
  });
});
