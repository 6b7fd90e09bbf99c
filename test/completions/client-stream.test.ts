import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { ServerResponse } from 'node:http';
import { ClientStream } from '../../src/completions/client-stream.ts';

beforeEach(() => {
  jest.useFakeTimers();
});

afterEach(() => {
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

/** A client, and what it got: the head as one line. */
function open(): {
  stream: ClientStream;
  res: { written: string[]; headersSent: boolean; destroyed: boolean; writableNeedDrain: boolean };
} {
  const res = {
    written: [] as string[],
    headersSent: false,
    destroyed: false,
    writableNeedDrain: false,
    writableEnded: false,
    writeHead(status: number, head: string[]) {
      this.headersSent = true;
      this.written.push(`${status} ${head.join(' ')}`);
    },
    write(bytes: Buffer | string) {
      this.written.push(bytes.toString());
      return !this.writableNeedDrain;
    },
    end() {
      this.writableEnded = true;
    },
  };
  return { res, stream: new ClientStream(res as unknown as ServerResponse, { head: () => ['X', 'early'], model: null }) };
}

describe("the client's end of a stream", () => {
  it('shows its head and a ping after 15 seconds of silence, and a ping after every 15 more', () => {
    const { stream, res } = open();
    jest.advanceTimersByTime(14_999);
    expect([res.written, stream.opened]).toEqual([[], false]);
    jest.advanceTimersByTime(1);
    expect([res.written, stream.opened]).toEqual([['200 X early', ': ping\n'], true]);
    jest.advanceTimersByTime(15_000);
    expect(res.written.slice(2)).toEqual([': ping\n']);
    stream.close();
  });

  it('counts the silence from what was written last', () => {
    const { stream, res } = open();
    jest.advanceTimersByTime(14_000);
    stream.write('data: 1\n\n');
    jest.advanceTimersByTime(14_000);
    expect(res.written).toEqual(['200 X early', 'data: 1\n\n']);
    jest.advanceTimersByTime(1_000);
    expect(res.written.at(-1)).toBe(': ping\n');
    stream.close();
  });

  it('says in its head who is at it by then, and remembers whom it named', () => {
    const { stream, res } = open();
    stream.setHead({ head: () => ['X', 'first'], model: 'first' });
    jest.advanceTimersByTime(15_000);
    stream.setHead({ head: () => ['X', 'second'], model: 'second' });
    stream.write('data: 1\n\n');
    expect(res.written).toEqual(['200 X first', ': ping\n', 'data: 1\n\n']);
    expect(stream.namedModel).toBe('first');
    stream.close();
  });

  it('spares a client that does not read', () => {
    const { stream, res } = open();
    res.writableNeedDrain = true;
    stream.write('data: 1\n\n');
    jest.advanceTimersByTime(60_000);
    expect(res.written).toEqual(['200 X early', 'data: 1\n\n']);
    res.writableNeedDrain = false;
    jest.advanceTimersByTime(15_000);
    expect(res.written.at(-1)).toBe(': ping\n');
    stream.close();
  });

  it.each<[string, (opened: ReturnType<typeof open>) => void]>([
    ['it has ended', ({ stream }) => stream.end('data: 1\n\n')],
    ['it was closed', ({ stream }) => stream.close()],
    ['the client has left', ({ res }) => (res.destroyed = true)],
  ])('falls silent once %s', (_name, finish) => {
    const opened = open();
    finish(opened);
    const { length } = opened.res.written;
    jest.advanceTimersByTime(60_000);
    expect(opened.res.written).toHaveLength(length);
  });
});
