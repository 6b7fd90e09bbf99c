import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { PicoUsdPerMsat } from '../../src/amount.ts';
import { Cancellation } from '../../src/completions/cancellation.ts';
import { ClientStream } from '../../src/completions/client-stream.ts';
import type { Call, Ending, Grant, Plan } from '../../src/completions/call.ts';
import { deliver } from '../../src/completions/deliver.ts';
import { reach, type ReachDeps } from '../../src/completions/reach.ts';
import { openAiChat } from '../../src/wires/openai-chat/surface.ts';
import { chatCandidate, readChat } from '../support/chat-request.ts';
import type { Abort } from '../../src/providers/abort.ts';
import { ProviderError } from '../../src/providers/provider-error.ts';
import type { BodyReader, UpstreamAnswer } from '../../src/providers/provider.ts';
import type { Observation } from '../../src/routing/health.ts';
import { deployment } from '../support/deployment.ts';
import { completion, contentEvent, event, finishEvent, usageEvent } from '../support/fake-provider.ts';

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

const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

/** The client's side: its head, and what was written after it. */
class FakeClient extends EventEmitter {
  head: string[] = [];
  written = '';
  headersSent = false;
  writableNeedDrain = false;
  writableEnded = false;
  destroyed = false;

  writeHead(_status: number, head: string[]): this {
    this.head = head;
    this.headersSent = true;
    return this;
  }

  write(bytes: Buffer | string): boolean {
    this.written += bytes.toString();
    return true;
  }
}

/** A provider that a test answers for by hand. */
class HandProvider {
  readonly demo = false;
  readonly passesHeaders = false;
  aborted = false;
  asked = false;
  reader: BodyReader | undefined;
  #resolve: ((answer: UpstreamAnswer) => void) | undefined;
  #reject: ((error: Error) => void) | undefined;
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }

  send(_request: unknown, abort: Abort): Promise<UpstreamAnswer> {
    this.asked = true;
    abort.onAbort = () => {
      this.aborted = true;
      const error = new ProviderError('aborted', 'the request was aborted');
      if (this.reader) this.reader.error(error);
      else this.#reject?.(error);
    };
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Sends the head of a stream. */
  async begin(): Promise<void> {
    this.#head(200, 'text/event-stream');
    await pass(0);
  }

  /** Sends a whole answer in JSON. */
  async answer(body: object, status = 200): Promise<void> {
    this.#head(status, 'application/json');
    await pass(0);
    this.reader?.data(Buffer.from(JSON.stringify(body)));
    this.reader?.end();
  }

  refuse(status: number): Promise<void> {
    return this.answer({ error: { message: 'no' } }, status);
  }

  #head(status: number, type: string): void {
    this.#resolve?.({ status, headers: { 'content-type': type }, read: (reader) => (this.reader = reader), resume: () => {} });
  }

  tell(...events: string[]): void {
    this.reader?.data(Buffer.from(events.join('')));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

interface Bench {
  client: FakeClient;
  stream: ClientStream;
  first: HandProvider;
  second: HandProvider;
  observed: { id: string; observation: Observation }[];
  end: Promise<Ending>;
}

/** A request under way to the first of two candidates. */
function start({ stream: asStream = true } = {}): Bench {
  const client = new FakeClient();
  const stream = new ClientStream(client as unknown as ServerResponse, { head: () => ['nobody'], model: null });
  const [first, second] = [new HandProvider('first'), new HandProvider('second')];
  const observed: Bench['observed'] = [];
  const request = readChat(JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], stream: asStream }));
  const call = {
    requestId: 'id',
    head: [],
    surface: openAiChat,
    request,
    clientRequestId: undefined,
    client: asStream ? stream : null,
  } as unknown as Call;
  const candidates = [first, second].map((provider) => chatCandidate(request, deployment({ provider, model: provider.id })));
  const plan = { candidates, explored: false, quote: { promptTokens: 1 } } as unknown as Plan;
  const grant = {
    hold: { tokens: 100, costPicoUsd: 0n, budgetLeftPicoUsd: 0n, availableMsat: 0n, freeLimit: 0, freeUsed: 0 },
    ticket: { headers: {} },
    lease: { held: () => true, renewed: () => {}, end: () => {} },
    cancellation: new Cancellation(),
    copy: null,
  } as unknown as Grant;
  const deps = {
    config: { UPSTREAM_TIMEOUT_SECONDS: TOTAL_MS / 1000, markupBasisPoints: 0n },
    health: { observe: (id: string, observation: Observation) => void observed.push({ id, observation }) },
    accountHashOf: () => '',
  } as unknown as ReachDeps;
  const end = reach(deps, { ...call, picoUsdPerMsat: 1n as PicoUsdPerMsat }, plan, grant).then((leg) => deliver(deps.health, leg, grant));
  void end.then(() => stream.close());
  return { client, stream, first, second, observed, end };
}

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
    const { first, second, client, observed, end } = start();
    await answer(first);
    await pass(FIRST_MS - 1);
    expect([first.aborted, second.asked]).toEqual([false, false]);
    await pass(1);
    expect([first.aborted, second.asked]).toEqual([true, true]);
    await second.begin();
    second.tell(contentEvent('word'), finishEvent(), usageEvent(), DONE);
    expect(await end).toMatchObject({ kind: 'stream', candidate: { deployment: { model: 'second' } }, end: { reason: 'complete' } });
    expect(client.written.replaceAll(': ping\n', '')).toBe(contentEvent('word') + finishEvent());
    expect(observed.map(({ id, observation }) => [id, observation.ok])).toEqual([
      ['first', false],
      ['second', true],
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
    client.destroyed = true;
    client.emit('close');
    expect(await end).toMatchObject({ kind: 'stream', end: { reason: 'client_gone', delivered: false } });
    expect([first.aborted, second.asked]).toEqual([true, false]);
  });
});
