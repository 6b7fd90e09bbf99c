import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { collectBody, relayStream, type StreamEnd, type StreamRelay } from '../../src/completions/relay.ts';
import type { BodyReader, UpstreamAnswer } from '../../src/providers/provider.ts';
import { contentEvent, finishEvent, usageEvent } from '../support/fake-provider.ts';

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['queueMicrotask', 'nextTick', 'setImmediate'] });
});

afterEach(() => {
  jest.useRealTimers();
});

/** The client's side: what was written to it, and whether it keeps up. */
class FakeClient extends EventEmitter {
  written = '';
  writableNeedDrain = false;
  destroyed = false;

  write(bytes: Buffer | string): boolean {
    this.written += bytes.toString();
    return !this.writableNeedDrain;
  }

  leave(): void {
    this.destroyed = true;
    this.emit('close');
  }
}

interface Bench {
  client: FakeClient;
  /** The provider's side. False asks it to pause. */
  send(...events: string[]): boolean;
  reader: BodyReader;
  resumed: jest.Mock;
  aborted: jest.Mock;
  checkpoint: jest.Mock<(tokens: number) => Promise<boolean>>;
  lease: { alive: boolean };
  end: Promise<StreamEnd>;
}

/** A relay under way. Tokens are characters. */
function start(overrides: Partial<StreamRelay> = {}): Bench {
  const client = new FakeClient();
  let reader: BodyReader | undefined;
  const resumed = jest.fn();
  const aborted = jest.fn();
  const lease = { alive: true };
  const checkpoint = jest.fn<(tokens: number) => Promise<boolean>>().mockResolvedValue(true);
  const answer: UpstreamAnswer = { status: 200, headers: {}, read: (given) => (reader = given), resume: resumed };
  const end = relayStream({
    answer,
    res: client as unknown as ServerResponse,
    abort: aborted,
    lease: { held: () => lease.alive, renewed: () => {}, end: () => {} },
    writeHead: () => {},
    countTokens: (text) => text.length,
    checkpoint,
    ...overrides,
  });
  if (!reader) throw new Error('the answer was not read');
  const reading = reader;
  return {
    client,
    reader: reading,
    send: (...events) => reading.data(Buffer.from(events.join(''))),
    resumed,
    aborted,
    checkpoint,
    lease,
    end,
  };
}

const DONE = 'data: [DONE]\n\n';

describe('a relayed stream', () => {
  it('hands on what comes at once, and withholds usage and [DONE]', async () => {
    const { client, send, end } = start();
    expect(send(contentEvent('one'))).toBe(true);
    expect(client.written).toBe(contentEvent('one'));
    send(finishEvent(), usageEvent(), DONE);
    expect(await end).toMatchObject({ reason: 'complete', started: true, usage: { promptTokens: 10, completionTokens: 5 } });
    expect(client.written).toBe(contentEvent('one') + finishEvent());
    expect(jest.getTimerCount()).toBe(0);
    expect(client.listenerCount('close') + client.listenerCount('drain')).toBe(0);
  });

  it('pauses the provider while the client does not keep up, and goes on when it does', () => {
    const { client, send, resumed } = start();
    client.writableNeedDrain = true;
    expect(send(contentEvent('one'))).toBe(false);
    expect(resumed).not.toHaveBeenCalled();
    client.writableNeedDrain = false;
    client.emit('drain');
    expect(resumed).toHaveBeenCalledTimes(1);
    expect(send(contentEvent('two'))).toBe(true);
  });

  it('tells an idle client every 15 seconds or so that it is alive', async () => {
    const { client, send } = start();
    send(contentEvent('one'));
    await jest.advanceTimersByTimeAsync(14_000);
    expect(client.written).not.toContain(': ping');
    await jest.advanceTimersByTimeAsync(3_000);
    expect(client.written).toBe(`${contentEvent('one')}: ping\n\n`);
    await jest.advanceTimersByTimeAsync(17_000);
    expect(client.written.match(/: ping\n\n/g)).toHaveLength(2);
  });

  it('sends no ping before the first byte, nor to a client that does not read', async () => {
    const { client, send } = start();
    await jest.advanceTimersByTimeAsync(60_000);
    expect(client.written).toBe('');
    client.writableNeedDrain = true;
    send(contentEvent('one'));
    await jest.advanceTimersByTimeAsync(60_000);
    expect(client.written).toBe(contentEvent('one'));
  });
});

describe('the checkpoints of a stream', () => {
  it('come every 2 seconds while something is delivered', async () => {
    const { send, checkpoint } = start();
    await jest.advanceTimersByTimeAsync(4_000);
    expect(checkpoint).not.toHaveBeenCalled();
    send(contentEvent('four'));
    await jest.advanceTimersByTimeAsync(2_000);
    send(contentEvent('four more'));
    await jest.advanceTimersByTimeAsync(6_000);
    expect(checkpoint.mock.calls).toEqual([[4], [13]]);
  });

  it('where none lands for 10 seconds, the stream waits for one', async () => {
    const { send, checkpoint, resumed } = start();
    checkpoint.mockRejectedValue(new Error('the database is away'));
    for (let second = 0; second <= 10; second += 2) {
      expect(send(contentEvent('x'))).toBe(true);
      await jest.advanceTimersByTimeAsync(2_000);
    }
    expect(send(contentEvent('x'))).toBe(false);
    await jest.advanceTimersByTimeAsync(10_000);
    expect(resumed).not.toHaveBeenCalled();
    checkpoint.mockResolvedValue(true);
    await jest.advanceTimersByTimeAsync(2_000);
    expect(resumed).toHaveBeenCalledTimes(1);
    expect(send(contentEvent('x'))).toBe(true);
  });

  it('that is refused ends the stream: its hold is somebody else’s now', async () => {
    const { client, send, checkpoint, aborted, end } = start();
    checkpoint.mockResolvedValue(false);
    send(contentEvent('one'));
    await jest.advanceTimersByTimeAsync(2_000);
    expect((await end).reason).toBe('lease_lost');
    expect(aborted).toHaveBeenCalledTimes(1);
    send(contentEvent('two'));
    expect(client.written).toBe(contentEvent('one'));
  });
});

describe('a stream whose lease is lost', () => {
  it('delivers nothing more', async () => {
    const { client, send, lease, aborted, end } = start();
    send(contentEvent('one'));
    lease.alive = false;
    send(contentEvent('two'));
    expect((await end).reason).toBe('lease_lost');
    expect(client.written).toBe(contentEvent('one'));
    expect(aborted).toHaveBeenCalledTimes(1);
  });

  it('ends although nothing comes', async () => {
    const { lease, end } = start();
    lease.alive = false;
    await jest.advanceTimersByTimeAsync(2_000);
    expect((await end).reason).toBe('lease_lost');
  });
});

describe('a stream whose client leaves', () => {
  it('in the middle is aborted at once, with what was delivered', async () => {
    const { client, send, aborted, end } = start();
    send(contentEvent('four'));
    client.leave();
    expect(aborted).toHaveBeenCalledTimes(1);
    const { reason, deliveredTokens } = await end;
    expect([reason, await deliveredTokens()]).toEqual(['client_gone', 4]);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('before it began is aborted at once', async () => {
    const { client, aborted, end } = start();
    client.leave();
    expect(await end).toMatchObject({ reason: 'client_gone', started: false });
    expect(aborted).toHaveBeenCalledTimes(1);
  });

  it('after a finish reads on for the usage, writes nothing, and is then aborted', async () => {
    const { client, send, aborted, end } = start();
    send(contentEvent('four'), finishEvent());
    const { written } = client;
    client.leave();
    await jest.advanceTimersByTimeAsync(1_000);
    expect(aborted).not.toHaveBeenCalled();
    send(contentEvent('late'), usageEvent());
    expect(await end).toMatchObject({ reason: 'client_gone', usage: { completionTokens: 5 } });
    expect(client.written).toBe(written);
    expect(aborted).toHaveBeenCalledTimes(1);
  });

  it('after a finish waits no longer than 2 seconds for the usage', async () => {
    const { client, send, aborted, end } = start();
    send(contentEvent('four'), finishEvent());
    client.leave();
    await jest.advanceTimersByTimeAsync(2_000);
    expect(await end).toMatchObject({ reason: 'client_gone', usage: null });
    expect(aborted).toHaveBeenCalledTimes(1);
  });

  it('while the provider is paused lets it go on, so that the usage can come', () => {
    const { client, send, resumed } = start();
    client.writableNeedDrain = true;
    send(contentEvent('four'), finishEvent());
    client.leave();
    expect(resumed).toHaveBeenCalledTimes(1);
  });
});

describe('a stream that its provider fails', () => {
  const failure = 'data: {"error":{"message":"overloaded"}}\n\n';

  it('before anything was delivered: nothing is, so that another may answer', async () => {
    const { client, send, aborted, end } = start();
    send(failure, contentEvent('never'));
    expect(await end).toMatchObject({ reason: 'provider_error', started: false });
    expect(client.written).toBe('');
    expect(aborted).toHaveBeenCalledTimes(1);
  });

  it('later: the client is told', async () => {
    const { client, send, end } = start();
    send(contentEvent('one'));
    send(failure);
    expect(await end).toMatchObject({ reason: 'provider_error', started: true });
    expect(client.written).toBe(contentEvent('one') + failure);
  });

  it.each<[string, (bench: Bench) => void]>([
    ['by a lost connection', ({ reader }) => reader.error(new Error('reset'))],
    ['by ending without a finish', ({ reader }) => reader.end()],
    ['by an endless event', ({ send }) => send(`data: ${'x'.repeat(2_000_000)}`)],
  ])('%s is broken off', async (_name, fail) => {
    const bench = start();
    bench.send(contentEvent('one'));
    fail(bench);
    expect((await bench.end).reason).toBe('broke_off');
  });

  it('by ending without [DONE], after a finish, is complete', async () => {
    const { send, reader, end } = start();
    send(contentEvent('one'), finishEvent());
    reader.end();
    expect((await end).reason).toBe('complete');
  });
});

describe('collectBody', () => {
  it('gives all of it, and rejects where it breaks off', async () => {
    const answer = (deliver: (reader: BodyReader) => void): UpstreamAnswer => ({
      status: 200,
      headers: {},
      read: deliver,
      resume: () => {},
    });
    const whole = answer((reader) => (reader.data(Buffer.from('a')), reader.data(Buffer.from('b')), reader.end()));
    expect((await collectBody(whole)).toString()).toBe('ab');
    await expect(collectBody(answer((reader) => reader.error(new Error('reset'))))).rejects.toThrow('reset');
  });
});
