import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { ClientStream } from '../../src/completions/client-stream.ts';
import { relayStream, type StreamEnd, type StreamRelay } from '../../src/completions/relay.ts';
import { chatEvents } from '../../src/wires/openai-chat/events.ts';
import { ChatStreamReader } from '../../src/wires/openai-chat/reader.ts';
import type { BodyReader, UpstreamAnswer } from '../../src/providers/provider.ts';
import { contentEvent, event, finishEvent, usageEvent } from '../support/fake-provider.ts';

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
  headersSent = false;

  writeHead(): this {
    this.headersSent = true;
    return this;
  }

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
  stream: ClientStream;
  begun: Promise<void>;
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
  const stream = new ClientStream(client as unknown as ServerResponse, { head: () => [], model: null });
  const { begun, ended: end } = relayStream({
    answer,
    reader: new ChatStreamReader({ requestId: 'id', model: 'fake', created: 0, promptTokens: 1 }),
    events: chatEvents,
    client: stream,
    dispatchedAt: performance.now(),
    abort: aborted,
    lease: { held: () => lease.alive, renewed: () => {}, end: () => {} },
    countTokens: (text) => text.length,
    checkpoint,
    copy: null,
    ...overrides,
  });
  if (!reader) throw new Error('the answer was not read');
  const reading = reader;
  void end.then(() => stream.close());
  return {
    client,
    stream,
    begun,
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
    expect(await end).toMatchObject({
      reason: 'complete',
      delivered: true,
      usageIsFinal: true,
      usage: { input: 10, output: 5 },
    });
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

  it('count what was written in any shape', async () => {
    const { send, checkpoint } = start();
    send(event({ choices: [{ delta: { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'four' }] }] } }] }));
    await jest.advanceTimersByTimeAsync(2_000);
    expect(checkpoint.mock.calls).toEqual([[4]]);
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

  it('counts from when it was asked for, not from when it landed', async () => {
    const { send, checkpoint } = start();
    let land = (_ours: boolean): void => {};
    checkpoint.mockImplementationOnce(() => new Promise((resolve) => (land = resolve)));
    checkpoint.mockRejectedValue(new Error('the database is away'));
    send(contentEvent('one'));
    await jest.advanceTimersByTimeAsync(2_000);
    await jest.advanceTimersByTimeAsync(7_000);
    send(contentEvent('two'));
    land(true);
    await jest.advanceTimersByTimeAsync(2_900);
    expect(send(contentEvent('three'))).toBe(true);
    await jest.advanceTimersByTimeAsync(200);
    expect(send(contentEvent('four'))).toBe(false);
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
    expect(await end).toMatchObject({ reason: 'client_gone', delivered: false });
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
    expect(await end).toMatchObject({ reason: 'client_gone', usage: { output: 5 } });
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
    expect(await end).toMatchObject({ reason: 'provider_error', delivered: false });
    expect(client.written).toBe('');
    expect(aborted).toHaveBeenCalledTimes(1);
  });

  it('later: the failure is kept for the end', async () => {
    const { client, send, end } = start();
    send(contentEvent('one'));
    send(failure);
    expect(await end).toMatchObject({ reason: 'provider_error', delivered: true, failure: { message: 'overloaded' } });
    expect(client.written).toBe(contentEvent('one'));
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

/** Pieces of a stream in which nothing was said yet. */
const ROLE = event({ choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] });
const PREAMBLES: [string, string][] = [
  ['comments', ': PROCESSING\n\n: PROCESSING\n\n'],
  ['a role', ROLE],
  [
    'a role and empty words',
    ROLE + contentEvent('') + event({ choices: [{ delta: { content: null, tool_calls: [] }, finish_reason: '' }] }),
  ],
  ['a verdict of filters', event({ choices: [], prompt_filter_results: [{ content_filter_results: { hate: { severity: 'safe' } } }] })],
  [
    'a filter on a choice',
    event({ choices: [{ index: 0, delta: {}, content_filter_results: { hate: { severity: 'safe' } }, logprobs: null }] }),
  ],
  ['a name only', event({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: 'call_1', type: 'function' }] } }] })],
  ['figures', usageEvent({ prompt_tokens: 10, completion_tokens: 1 })],
];

const FIRST_WORDS: [string, string][] = [
  ['text', contentEvent('one')],
  ['reasoning', event({ choices: [{ delta: { reasoning_content: 'hm' } }] })],
  ['a refusal', event({ choices: [{ delta: { refusal: 'no' } }] })],
  ['a tool call', event({ choices: [{ delta: { tool_calls: [{ function: { name: 'f', arguments: '' } }] } }] })],
  ['a member that nobody knows', event({ choices: [{ delta: { musings: [{ text: 'hm' }] } }] })],
  ['sound', event({ choices: [{ delta: { audio: { id: 'a', data: 'UklGRg==' } } }] })],
  ['a finish', finishEvent()],
];

describe('a stream in which nothing was said yet', () => {
  it.each(PREAMBLES)('but %s: nothing goes out, and another may answer', async (_name, preamble) => {
    for (const fail of [
      ({ reader }: Bench) => reader.error(new Error('reset')),
      ({ send }: Bench) => void send('data: {"error":{}}\n\n'),
      ({ reader }: Bench) => reader.end(),
      ({ send }: Bench) => void send(DONE),
    ]) {
      const bench = start();
      expect(bench.send(preamble)).toBe(true);
      expect(bench.client.written).toBe('');
      expect(bench.stream.delivered).toBe(false);
      fail(bench);
      expect(await bench.end).toMatchObject({ delivered: false, deliveredAt: null });
      expect(await (await bench.end).deliveredTokens()).toBe(0);
      expect(bench.client.written).toBe('');
    }
  });

  it.each(FIRST_WORDS)('begins with %s, and what was kept back goes before it', async (_name, word) => {
    const whole = PREAMBLES.map(([, preamble]) => preamble).join('');
    const shown = whole.replaceAll(/^:.*\n\n/gm, '').replace(usageEvent({ prompt_tokens: 10, completion_tokens: 1 }), '');
    for (const packets of [[whole + word], [whole, word], (whole + word).split('')]) {
      const { client, send, stream, begun } = start();
      for (const packet of packets) send(packet);
      expect(client.written).toBe(shown + word);
      expect(stream.delivered).toBe(true);
      await begun;
    }
  });

  it('is given up where it says more of nothing than anybody would', async () => {
    const { client, send, aborted, end } = start();
    for (let round = 0; round < 1_100; round++) send(event({ choices: [], padding: 'x'.repeat(1_000) }));
    expect(await end).toMatchObject({ reason: 'broke_off', delivered: false });
    expect(aborted).toHaveBeenCalledTimes(1);
    expect(client.written).toBe('');
  });

  it('makes no checkpoint, and does not wait for one', async () => {
    const { send, checkpoint } = start();
    send(ROLE);
    await jest.advanceTimersByTimeAsync(60_000);
    expect(checkpoint).not.toHaveBeenCalled();
    expect(send(contentEvent('one'))).toBe(true);
  });
});

describe('the figures of a stream', () => {
  const early = usageEvent({ prompt_tokens: 10, completion_tokens: 1 });
  const riding = (content: string, completion_tokens: number) =>
    event({ choices: [{ index: 0, delta: { content } }], usage: { prompt_tokens: 10, completion_tokens } });

  const CASES: [string, string[], boolean, number][] = [
    ['after the finish are about all of it', [contentEvent('x'), finishEvent(), usageEvent(), DONE], true, 5],
    ['before the finish too, where nothing was said after them', [contentEvent('x'), usageEvent(), finishEvent(), DONE], true, 5],
    ['before what was said are not', [early, contentEvent('x'), finishEvent(), DONE], false, 1],
    ['that ride on the first chunk are not', [riding('', 1), contentEvent('x'), finishEvent(), DONE], false, 1],
    ['that ride on every chunk are, on the last', [riding('x', 1), riding('y', 2), finishEvent(), DONE], true, 2],
    ['that come twice are, the last time', [early, contentEvent('x'), finishEvent(), usageEvent(), DONE], true, 5],
    ['of a second time leave none out', [early, contentEvent('x'), finishEvent(), usageEvent({ completion_tokens: 7 }), DONE], true, 7],
  ];

  it.each(CASES)('%s', async (_name, events, usageIsFinal, completionTokens) => {
    for (const packets of [events, [events.join('')]]) {
      const { send, end } = start();
      send(...packets);
      expect(await end).toMatchObject({ usageIsFinal, usage: { input: 10, output: completionTokens } });
    }
  });

  it('are not about all of an answer that broke off, but where it was finished', async () => {
    const cut = start();
    cut.send(riding('x', 1));
    cut.reader.end();
    expect(await cut.end).toMatchObject({ reason: 'broke_off', usageIsFinal: false });
    const finished = start();
    finished.send(contentEvent('x'), finishEvent(), usageEvent());
    finished.reader.error(new Error('reset'));
    expect(await finished.end).toMatchObject({ usageIsFinal: true });
  });

  it('by themselves at the end are an end; of two choices both must be finished', async () => {
    const choice = (index: number, rest: object) => event({ choices: [{ index, ...rest }] });
    const ended = start();
    ended.send(contentEvent('x'), usageEvent());
    ended.reader.end();
    expect((await ended.end).reason).toBe('complete');
    const running = start();
    running.send(usageEvent({ prompt_tokens: 10, completion_tokens: 1 }), contentEvent('x'), usageEvent());
    running.reader.end();
    expect((await running.end).reason).toBe('broke_off');
    const half = start();
    half.send(
      choice(0, { delta: { content: 'a' } }),
      choice(1, { delta: { content: 'b' } }),
      choice(0, { delta: {}, finish_reason: 'stop' }),
    );
    half.reader.end();
    expect((await half.end).reason).toBe('broke_off');
  });
});

describe('what a model does out of sight', () => {
  const hiddenOf = async (steps: (bench: Bench) => Promise<void>): Promise<number> => {
    const bench = start();
    await steps(bench);
    bench.client.leave();
    return (await bench.end).hiddenSeconds;
  };
  const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

  it('between two words, and after the last, counts for a client that leaves', async () => {
    expect(
      await hiddenOf(async ({ send }) => {
        send(contentEvent('a'));
        await pass(60_000);
      }),
    ).toBeCloseTo(60, 3);
    expect(
      await hiddenOf(async ({ send }) => {
        await pass(10_000);
        send(contentEvent('a'));
        await pass(20_000);
        send(contentEvent('b'));
        await pass(5_000);
      }),
    ).toBeCloseTo(35, 3);
  });

  it('is not the pace of a stream', async () => {
    expect(
      await hiddenOf(async ({ send }) => {
        for (let word = 0; word < 20; word++) {
          send(contentEvent('a'));
          await pass(1_500);
        }
      }),
    ).toBe(0);
  });

  it('goes on under chunks that say nothing', async () => {
    expect(
      await hiddenOf(async ({ send }) => {
        send(contentEvent('a'));
        for (let second = 0; second < 30; second++) {
          await pass(1_000);
          send(ROLE, ': thinking\n\n');
        }
      }),
    ).toBeCloseTo(30, 3);
  });

  it('ends with the finish, and stands still while the client does not read', async () => {
    expect(
      await hiddenOf(async ({ send, client }) => {
        client.writableNeedDrain = true;
        send(contentEvent('a'));
        await pass(60_000);
        client.writableNeedDrain = false;
        client.emit('drain');
        await pass(3_000);
      }),
    ).toBeCloseTo(3, 3);
    expect(
      await hiddenOf(async ({ send }) => {
        send(contentEvent('a'), finishEvent(), usageEvent());
        await pass(60_000);
      }),
    ).toBe(0);
  });
});
