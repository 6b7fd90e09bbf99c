import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Plan } from '../../src/completions/call.ts';
import { CallerKey } from '../../src/providers/caller-key.ts';
import { ProviderError } from '../../src/providers/provider-error.ts';
import type { Shut } from '../../src/routing/gate.ts';
import { completion, contentEvent, event, finishEvent, usageEvent } from '../support/fake-provider.ts';
import { HandProvider, pass, start, type Bench, type BenchOptions } from '../support/reach-bench.ts';

const TOTAL_MS = 120_000;
const DONE = 'data: [DONE]\n\n';
const ERROR = event({ error: { message: 'overloaded' } });
const VOID = { kind: 'void' };
const BUG = new TypeError('a bug');

const fault = (reason: string, retryAfterSeconds: number | null = null) => ({ kind: 'fault', reason, retryAfterSeconds });

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['queueMicrotask', 'nextTick', 'setImmediate'] });
});

afterEach(() => {
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

/** The second one, where it is asked, answers well. */
async function answerSecond({ second, call }: Bench): Promise<void> {
  if (!second.asked) return;
  if (!call.client) return second.answer(completion());
  await second.begin();
  second.tell(contentEvent('word'), finishEvent(), usageEvent(), DONE);
}

type Play = (bench: Bench) => Promise<unknown> | void;

interface Case {
  what: string;
  options?: BenchOptions;
  play: Play;
  /** How the first one's pass is ended. */
  first: object;
  /** Whether another is asked after it. */
  goesOn: boolean;
}

const lost = new ProviderError('reset', 'the connection was lost');

const JSON_CASES: Case[] = [
  {
    what: 'an answer',
    play: ({ first }) => first.answer(completion()),
    first: { kind: 'ok', ttftMs: null, outputTokens: 5 },
    goesOn: false,
  },
  { what: 'a refusal of the request', play: ({ first }) => first.refuse(400), first: VOID, goesOn: false },
  { what: 'its rate limit', play: ({ first }) => first.refuse(429, { 'retry-after': '7' }), first: fault('HTTP 429', 7), goesOn: true },
  { what: 'a failure', play: ({ first }) => first.refuse(500), first: fault('HTTP 500'), goesOn: true },
  { what: 'a refusal of the credential', play: ({ first }) => first.refuse(401), first: fault('HTTP 401'), goesOn: true },
  { what: 'garbage', play: ({ first }) => first.answer({ ok: true }), first: fault('protocol'), goesOn: true },
  {
    what: 'an error under 200',
    play: ({ first }) => first.answer({ error: { message: 'no' } }),
    first: fault('error answer'),
    goesOn: true,
  },
  {
    what: "an error under 200 that is the request's",
    play: ({ first }) => first.answer({ error: { message: 'too long', code: 400 } }),
    first: VOID,
    goesOn: true,
  },
  { what: 'a lost connection', play: ({ first }) => first.fail(lost), first: fault('reset'), goesOn: true },
  { what: 'silence', play: () => pass(TOTAL_MS * 0.75), first: fault('timeout'), goesOn: true },
  { what: 'a client that left', play: ({ grant }) => grant.cancellation.cancel('client_gone'), first: VOID, goesOn: false },
  { what: 'a lost lease', play: ({ grant }) => grant.cancellation.cancel('lease_lost'), first: VOID, goesOn: false },
  { what: 'a shutdown', play: ({ grant }) => grant.cancellation.cancel('shutdown'), first: VOID, goesOn: false },
];

const word = async ({ first }: Bench) => {
  await first.begin();
  first.tell(contentEvent('word'));
};

const STREAM_CASES: Case[] = [
  {
    what: 'a whole stream',
    play: async (bench) => {
      await word(bench);
      bench.first.tell(finishEvent(), usageEvent(), DONE);
    },
    first: { kind: 'ok', ttftMs: expect.any(Number), outputTokens: 5 },
    goesOn: false,
  },
  {
    what: 'a whole stream without figures',
    play: async (bench) => {
      await word(bench);
      bench.first.tell(finishEvent(), DONE);
    },
    first: { kind: 'ok', ttftMs: expect.any(Number), outputTokens: 1 },
    goesOn: false,
  },
  {
    what: 'an error in its place',
    play: async ({ first }) => (await first.begin(), first.tell(ERROR)),
    first: fault('error event'),
    goesOn: true,
  },
  {
    what: 'a stream that ends empty',
    play: async ({ first }) => (await first.begin(), first.reader?.end()),
    first: fault('empty answer'),
    goesOn: true,
  },
  {
    what: 'a stream lost before its first word',
    play: async ({ first }) => (await first.begin(), first.fail(lost)),
    first: fault('reset'),
    goesOn: true,
  },
  { what: 'silence', play: () => pass(TOTAL_MS / 2), first: fault('timeout'), goesOn: true },
  {
    what: 'a stream that breaks off',
    play: async (bench) => (await word(bench), bench.first.fail(lost)),
    first: fault('broken stream'),
    goesOn: false,
  },
  {
    what: 'an error after the first word',
    play: async (bench) => (await word(bench), bench.first.tell(ERROR)),
    first: fault('error event'),
    goesOn: false,
  },
  {
    what: 'a client that left before the first word',
    play: async ({ first, client }) => (await first.begin(), client.leave()),
    first: VOID,
    goesOn: false,
  },
  { what: 'a client that left after it', play: async (bench) => (await word(bench), bench.client.leave()), first: VOID, goesOn: false },
  {
    what: 'a lease lost in the midst of a stream',
    play: async (bench) => {
      await word(bench);
      (bench.grant.lease as { held: () => boolean }).held = () => false;
      bench.first.tell(contentEvent('word'));
    },
    first: VOID,
    goesOn: false,
  },
  {
    what: 'a limit of time in the midst of a stream',
    play: async (bench) => (await word(bench), bench.grant.cancellation.cancel('time_limit')),
    first: VOID,
    goesOn: false,
  },
];

describe('the pass of an attempt is ended once', () => {
  it.each([...JSON_CASES.map((one) => ({ ...one, stream: false })), ...STREAM_CASES.map((one) => ({ ...one, stream: true }))])(
    'after $what (stream: $stream)',
    async ({ play, first, goesOn, stream, options }) => {
      const bench = start({ stream, totalMs: TOTAL_MS, ...options });
      await play(bench);
      await pass(0);
      await answerSecond(bench);
      await bench.end;
      expect(bench.gate.ended()).toMatchObject([
        { provider: 'first', outcome: first },
        ...(goesOn ? [{ provider: 'second', outcome: { kind: 'ok', outputTokens: 5 } }] : []),
      ]);
      expect(bench.second.asked).toBe(goesOn);
    },
  );

  const BUGS: [where: string, stream: boolean, prepare: NonNullable<BenchOptions['prepare']>, play?: Play][] = [
    ['the body', false, ({ plan }) => sabotage(plan, 'body')],
    ['the dispatch', false, ({ first }) => void (first.send = () => Promise.reject(BUG))],
    ['the dispatch of a stream', true, ({ first }) => void (first.send = () => Promise.reject(BUG))],
    ['the head', true, ({ stream }) => void (stream.setHead = () => raise())],
    [
      'the count of what was delivered',
      true,
      ({ plan }) => sabotage(plan, 'tokenizer'),
      async (bench) => (await word(bench), bench.first.tell(finishEvent(), DONE)),
    ],
  ];

  it.each(BUGS.map(([where, stream, prepare, play = () => {}]) => ({ where, stream, prepare, play })))(
    'after a bug in $where',
    async ({ stream, prepare, play }) => {
      const bench = start({ stream, prepare });
      const thrown = bench.end.catch((error: unknown) => error);
      await play(bench);
      await pass(0);
      expect(await thrown).toBe(BUG);
      expect(bench.gate.ended()).toEqual([{ provider: 'first', outcome: VOID }]);
    },
  );
});

function raise(): never {
  throw BUG;
}

function sabotage({ candidates: [first] }: Plan, member: 'body' | 'tokenizer'): void {
  Object.defineProperty(member === 'body' ? first?.rendering : first?.deployment, member, { get: raise });
}

describe('a candidate that is shut out', () => {
  const shut = (why: Shut['shut'], retryAfterSeconds: number): Shut => ({ shut: why, retryAfterSeconds });

  it.each([true, false])('is passed over, and the next one has all the time (stream: %s)', async (stream) => {
    const bench = start({ stream, totalMs: TOTAL_MS, shut: { first: shut('circuit open', 9) } });
    await pass(TOTAL_MS - 1);
    expect([bench.first.asked, bench.second.asked, bench.second.aborted]).toEqual([false, true, false]);
    await answerSecond(bench);
    expect(await bench.end).toMatchObject({ candidate: { deployment: { model: 'second' } } });
    expect(bench.gate.ended()).toMatchObject([{ provider: 'second', outcome: { kind: 'ok' } }]);
  });

  it('is named among the attempts, with its wait', async () => {
    const bench = start({ stream: false, shut: { first: shut('pause asked for', 9) } });
    await bench.second.refuse(500);
    expect(await bench.end).toMatchObject({
      kind: 'failed',
      attempts: [
        { providerId: 'first', reason: 'pause asked for, 9 s', words: null, operatorsFault: false, retryAfterSeconds: 9 },
        { providerId: 'second', reason: 'HTTP 500', retryAfterSeconds: null },
      ],
    });
  });

  it('ends the request at once where all are', async () => {
    const bench = start({ shut: { first: shut('limit reached', 9), second: shut('circuit open', 4) } });
    expect(await bench.end).toMatchObject({ kind: 'failed', attempts: [{ retryAfterSeconds: 9 }, { retryAfterSeconds: 4 }] });
    expect([bench.first.asked, bench.second.asked]).toEqual([false, false]);
    expect(bench.gate.passes).toEqual([]);
  });

  it("is asked all the same under a caller's own key: the limits and the faults of the operator's account are none of its", async () => {
    const own = { key: new CallerKey('secret-key', 'first'), feeMsat: 0n } as Plan['own'];
    const bench = start({ stream: false, own, shut: { first: shut('pause asked for', 9) } });
    await bench.first.answer(completion());
    expect(await bench.end).toMatchObject({ kind: 'json' });
    expect(bench.gate.passes).toEqual([]);
  });
});

describe('a stream that its client slows down', () => {
  it.each([
    [0.5, 0],
    [0.01, 5],
  ])('for %d of its time is told with %i tokens', async (part, outputTokens) => {
    const bench = start();
    await bench.first.begin();
    bench.client.write = () => false;
    bench.client.writableNeedDrain = true;
    bench.first.tell(contentEvent('word'));
    await pass(part * 1000);
    bench.client.writableNeedDrain = false;
    bench.client.write = () => true;
    bench.client.emit('drain');
    await pass(1000 - part * 1000);
    bench.first.tell(finishEvent(), usageEvent(), DONE);
    await bench.end;
    expect(bench.gate.ended()).toMatchObject([{ outcome: { kind: 'ok', outputTokens, seconds: 1 } }]);
  });
});

describe('silence', () => {
  it('says nothing of a deployment that had little time left for its answer', async () => {
    const third = new HandProvider('third');
    const bench = start({ stream: false, totalMs: TOTAL_MS, more: [third] });
    await pass(TOTAL_MS);
    expect(third.aborted).toBe(true);
    expect(await bench.end).toMatchObject({ attempts: [{ reason: 'timeout' }, { reason: 'timeout' }, { reason: 'timeout' }] });
    expect(bench.gate.ended().map(({ provider, outcome: { kind } }) => [provider, kind])).toEqual([
      ['first', 'fault'],
      ['second', 'void'],
      ['third', 'void'],
    ]);
  });
});
