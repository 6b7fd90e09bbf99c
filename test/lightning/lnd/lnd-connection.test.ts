import { setImmediate as tick } from 'node:timers/promises';
import { status as GRPC } from '@grpc/grpc-js';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { LndConnection } from '../../../src/lightning/lnd/lnd-connection.ts';
import { LOCKED, STARTING } from '../../support/fake-lnd.ts';

/** The clients of one connection, as far as they are closed here. */
class Clients {
  readonly number: number;
  closed = false;
  readonly router = { close: () => void (this.closed = true) };

  constructor(number: number) {
    this.number = number;
  }
}

let made: Clients[];
let nowMs: number;
let connection: LndConnection<Clients>;

beforeEach(() => {
  made = [];
  nowMs = 1_000;
  const connect = (): Clients => {
    made.push(new Clients(made.length + 1));
    return made.at(-1) as Clients;
  };
  connection = new LndConnection({ connect, deadlineMs: 5, observe: () => {}, now: () => nowMs });
});

const never = (): Promise<object> => new Promise(() => {});
const call = (method: () => Promise<unknown>) =>
  connection.call(method).then(
    () => 'answered',
    () => 'failed',
  );
/** An error of a call as `lightning` throws it. */
const failing =
  (code: number, details = '') =>
  () =>
    Promise.reject([503, 'UnexpectedError', { err: { code, details } }]);

describe('a connection to LND', () => {
  it('is made anew once it has swallowed calls for thirty seconds, and not before', async () => {
    await call(never);
    nowMs += 29_999;
    await call(never);
    expect(connection.lnd.number).toBe(1);
    nowMs += 1;
    await call(never);
    expect(connection.lnd.number).toBe(2);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['a call that stopped waiting', () => Promise.resolve(undefined)],
    ['a connection that is refused', failing(GRPC.UNAVAILABLE, 'No connection established')],
    ['a stream that was reset', failing(GRPC.INTERNAL, 'Received RST_STREAM with code 2')],
    ['a deadline of gRPC', failing(GRPC.DEADLINE_EXCEEDED, 'Deadline exceeded')],
    ['a call that was cancelled', failing(GRPC.CANCELLED, 'Cancelled on client')],
    ['what the library says of itself', () => Promise.reject([503, 'FailedToConnectToDaemon'])],
    ['a stream that ended without a word', () => Promise.reject(new Error('LND told nothing of the payment'))],
  ])('is made anew in the same time though there is %s now and then', async (_what, method) => {
    for (let passed = 0; passed < 30_000; passed += 5_000) {
      await call(never);
      await call(method);
      expect(connection.lnd.number).toBe(1);
      nowMs += 5_000;
    }
    await call(never);
    expect(connection.lnd.number).toBe(2);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['anything', () => Promise.resolve({})],
    ['that it has none such', () => Promise.resolve(null)],
    ['that it is locked', failing(GRPC.UNKNOWN, LOCKED)],
    ['that it is starting', failing(GRPC.UNKNOWN, STARTING)],
    ['that this may not be', failing(GRPC.PERMISSION_DENIED, 'permission denied')],
    ['that there is no such invoice', failing(GRPC.NOT_FOUND, 'unable to locate invoice')],
    ['that it cannot', failing(GRPC.UNKNOWN, 'something of its own')],
  ])('stays where LND says %s', async (_what, method) => {
    for (let each = 0; each < 20; each++) {
      await call(never);
      nowMs += 5_000;
      await call(method);
    }
    expect(made).toHaveLength(1);
  });

  it('is made anew while LND is away, too, for gRPC pauses ever longer', async () => {
    for (let each = 0; each < 7; each++, nowMs += 5_000) await call(failing(GRPC.UNAVAILABLE));
    expect(connection.lnd.number).toBe(2);
  });

  it('is made anew once in thirty seconds, however many calls fail at once', async () => {
    await call(never);
    nowMs += 30_000;
    await Promise.all(Array.from({ length: 20 }, () => call(never)));
    nowMs += 29_000;
    await Promise.all(Array.from({ length: 20 }, () => call(never)));
    expect(made).toHaveLength(2);
  });

  it('is judged by its own answers, not by a late one of the connection before', async () => {
    let answer: (word: object) => void = () => {};
    await call(never);
    nowMs += 30_000;
    const late = call(() => new Promise((resolve) => (answer = resolve)));
    await Promise.all([call(never), call(never)]);
    expect(connection.lnd.number).toBe(2);
    await call(never);
    answer({});
    await late;
    nowMs += 30_000;
    await call(never);
    expect(connection.lnd.number).toBe(3);
  });

  it('is closed when the last call over it has ended, and no sooner', async () => {
    let answer: (word: object) => void = () => {};
    await call(() => new Promise((resolve) => (answer = resolve)));
    nowMs += 30_000;
    await call(failing(GRPC.UNAVAILABLE));
    await tick();
    expect(made.map(({ closed }) => closed)).toEqual([false, false]);
    answer({});
    await tick();
    expect(made.map(({ closed }) => closed)).toEqual([true, false]);
    connection.close();
    await tick();
    expect(made.map(({ closed }) => closed)).toEqual([true, true]);
  });
});
