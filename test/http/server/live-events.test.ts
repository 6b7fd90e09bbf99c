import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import { EventEmitter } from 'node:events';
import type { Request, Response } from 'express';
import { LiveEvents, type Followed } from '../../../src/http/server/live-events.ts';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

/** An answer that keeps what is written to it. */
class Answer extends EventEmitter {
  text = '';
  destroyed = false;
  writableEnded = false;
  socket = { server: { listening: true } };
  set = () => this;
  flushHeaders(): void {}
  write(text: string): void {
    this.text += text;
  }
  end(): void {
    this.writableEnded = true;
    this.emit('close');
  }
  leave(): void {
    this.destroyed = true;
    this.emit('close');
  }
}

const app = { get: () => () => false };
const from = (remoteAddress = '198.51.100.7') => ({ app, headers: {}, socket: { remoteAddress } }) as unknown as Request;
const quiet: Omit<Followed, 'name'> = { subscribe: () => () => {}, look: () => Promise.resolve({ events: [] }) };
const passing = (ms: number) => jest.advanceTimersByTimeAsync(ms);

function open(live: LiveEvents, followed: Partial<Followed> = {}, req = from()) {
  const res = new Answer();
  const ended = live.stream(req, res as unknown as Response, { name: 'a', ...quiet, ...followed });
  return { res, ended };
}

it('tells at once, at each change, and again where nothing was heard; a look that fails is made up for', async () => {
  const live = new LiveEvents({ most: 1, mostEach: 1 });
  let changed = (): void => {};
  let unsubscribed = 0;
  const looks = [{ n: 1 }, new Error('away'), { n: 2 }, null, { n: 3 }];
  const { res, ended } = open(live, {
    subscribe: (listener) => {
      changed = listener;
      return () => void unsubscribed++;
    },
    look: () => {
      const next = looks.shift();
      if (next instanceof Error) return Promise.reject(next);
      return Promise.resolve({ events: next ? [{ name: 'x', data: next }] : [], isLast: looks.length === 0 });
    },
  });
  await passing(0);
  expect(res.text).toBe('event: x\ndata: {"n":1}\n\n');
  changed();
  await passing(5_000);
  expect(res.text).toBe('event: x\ndata: {"n":1}\n\nevent: x\ndata: {"n":2}\n\n');
  await passing(5_000);
  expect(res.text.endsWith(': ping\n\n')).toBe(true);
  changed();
  await passing(0);
  expect(res.text.endsWith('{"n":3}\n\n')).toBe(true);
  await ended;
  expect([res.writableEnded, unsubscribed, live.size, jest.getTimerCount()]).toEqual([true, 1, 0, 0]);
});

it('looks once after the other', async () => {
  const answers: (() => void)[] = [];
  let changed = (): void => {};
  const { res } = open(new LiveEvents({ most: 1, mostEach: 1 }), {
    subscribe: (listener) => {
      changed = listener;
      return () => {};
    },
    look: () => new Promise((resolve) => answers.push(() => resolve({ events: [] }))),
  });
  await passing(0);
  changed();
  changed();
  await passing(0);
  expect(answers).toHaveLength(1);
  answers[0]?.();
  await passing(0);
  expect([answers.length, res.text]).toEqual([2, ': ping\n\n']);
});

it.each<[string, (res: Answer) => unknown]>([
  ['its reader leaves', (res) => res.leave()],
  ['the gateway stops', (res) => (res.socket.server.listening = false)],
  ['its longest time is over', () => passing(60_000)],
])('ends when %s', async (_when, happens) => {
  const live = new LiveEvents({ most: 1, mostEach: 1, longestMs: 60_000 });
  const { res, ended } = open(live);
  await passing(0);
  await happens(res);
  await passing(5_000);
  await ended;
  expect([live.size, jest.getTimerCount()]).toEqual([0, 0]);
});

it('holds nothing for a reader who had left before it began', async () => {
  const live = new LiveEvents({ most: 1, mostEach: 1 });
  const res = new Answer();
  res.destroyed = true;
  await live.stream(from(), res as unknown as Response, { name: 'a', ...quiet });
  expect([live.size, jest.getTimerCount()]).toEqual([0, 0]);
});

it('ends at once for who asks for the head alone: the connection is another request’s next, behind a proxy somebody else’s', async () => {
  const live = new LiveEvents({ most: 1, mostEach: 1 });
  const { res, ended } = open(live, {}, Object.assign(from(), { method: 'HEAD' }));
  await passing(0);
  expect([res.writableEnded, res.text, live.size, jest.getTimerCount()]).toEqual([true, '', 0, 0]);
  await ended;
});

it('is bounded for each name, for each address but the own one, and for all, and who leaves makes room', async () => {
  const live = new LiveEvents({ most: 150, mostEach: 2 });
  const first = open(live);
  open(live);
  await expect(open(live).ended).rejects.toMatchObject({ code: 'overloaded' });
  first.res.leave();
  await first.ended;
  open(live);
  for (let name = 0; live.size < 100; name++) open(live, { name: String(name) });
  await expect(open(live, { name: 'b' }).ended).rejects.toMatchObject({ code: 'overloaded' });
  for (let name = 0; live.size < 150; name++) open(live, { name: `own ${name}` }, from('127.0.0.1'));
  await expect(open(live, { name: 'c' }, from('127.0.0.1')).ended).rejects.toMatchObject({ code: 'overloaded' });
});
