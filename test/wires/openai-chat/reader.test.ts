import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ChatStreamReader } from '../../../src/wires/openai-chat/reader.ts';
import { reportedUsageOf } from '../../../src/wires/openai-chat/usage.ts';
import { parseEvents, SseTooLongError } from '../../../src/wires/sse.ts';
import { contentEvent, event, finishEvent, usageEvent } from '../../support/fake-provider.ts';

interface Scanned {
  forward: string;
  usages: unknown[];
  failure: unknown;
  done: boolean;
}

const CONTEXT = { requestId: 'id', model: 'model', created: 0, promptTokens: 1 };

/** What a reader makes of these pieces, up to the end of the stream. */
function scan(...pieces: (string | Uint8Array)[]): Scanned {
  const reader = new ChatStreamReader(CONTEXT);
  const scans = [...pieces.map((piece) => reader.push(Buffer.from(piece as Uint8Array))), reader.finish()];
  return {
    forward: Buffer.concat(scans.map(({ forward }) => forward)).toString(),
    usages: scans.flatMap(({ usages }) => usages.map(({ usage }) => usage)),
    failure: scans.find(({ failure }) => failure !== undefined)?.failure,
    done: scans.some(({ done }) => done),
  };
}

const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
const reported = reportedUsageOf(usage);
const DONE = 'data: [DONE]\n\n';

describe('ChatStreamReader', () => {
  it('forwards whole events as the bytes they came in', () => {
    const events = `${contentEvent('grüße 🦊')}: of the event\nevent: x\nid: 7\ndata: 1\ndata: 2\n\n`;
    expect(scan(events)).toEqual({ forward: events, usages: [], failure: undefined, done: false });
  });

  it('forwards an ordinary packet without a copy', () => {
    const packet = Buffer.from(contentEvent('one') + contentEvent('"error" and "usage": of a kind'));
    expect(new ChatStreamReader(CONTEXT).push(packet).forward.buffer).toBe(packet.buffer);
  });

  it('keeps an incomplete event back until it is whole', () => {
    const reader = new ChatStreamReader(CONTEXT);
    const whole = contentEvent('one');
    expect(reader.push(Buffer.from(whole.slice(0, -1))).forward).toHaveLength(0);
    expect(reader.push(Buffer.from('\n')).forward.toString()).toBe(whole);
  });

  it('withholds a usage chunk and [DONE], and what comes after [DONE]', () => {
    const { forward, usages, done } = scan(contentEvent('one') + usageEvent(usage) + DONE + contentEvent('two'));
    expect({ forward, usages, done }).toEqual({ forward: contentEvent('one'), usages: [reported], done: true });
  });

  const ALONE: [string, object][] = [
    ['an empty list of choices', { choices: [], usage }],
    ['choices null', { choices: null, usage }],
    ['no choices at all', { usage }],
    ['choices that are no list', { choices: {}, usage }],
  ];

  it.each(ALONE)('withholds a usage chunk with %s', (_name, chunk) => {
    const { forward, usages } = scan(`data: ${JSON.stringify(chunk)}\n\n`);
    expect({ forward, count: usages.length }).toEqual({ forward: '', count: 1 });
  });

  it('withholds figures that are nonsense, and tells of none', () => {
    expect(scan('data: {"choices":[],"usage":"a lot"}\n\n')).toMatchObject({ forward: '', usages: [] });
  });

  const RIDING: [string, object][] = [
    ['on a chunk with choices', { choices: [{ index: 0, delta: {} }], usage }],
    ['in a choice', { choices: [{ index: 0, delta: {}, finish_reason: 'stop', usage }] }],
    ['in x_groq', { choices: [{ index: 0, delta: {} }], x_groq: { id: 'req', usage } }],
  ];

  it.each(RIDING)('forwards usage that rides %s, and tells of it', (_name, chunk) => {
    const riding = event(chunk);
    expect(scan(riding)).toMatchObject({ forward: riding, usages: [reported] });
  });

  it('tells after which bytes the usage came', () => {
    const riding = event({ choices: [{ index: 0, delta: {} }], usage });
    const packet = Buffer.from(contentEvent('one') + riding + contentEvent('two') + usageEvent(usage) + contentEvent('three'));
    const offsets = new ChatStreamReader(CONTEXT).push(packet).usages.map(({ offset, alone }) => ({ offset, alone }));
    const first = (contentEvent('one') + riding).length;
    expect(offsets).toEqual([
      { offset: first, alone: false },
      { offset: first + contentEvent('two').length, alone: true },
    ]);
  });

  const FAILURES: [string, string, unknown][] = [
    ['an error object', 'data: {"error":{"message":"overloaded"}}\n\n', { message: 'overloaded' }],
    ['an error in words', 'data: {"error":"overloaded"}\n\n', 'overloaded'],
    ['an error in a list', 'data: [{"error":{"message":"overloaded"}}]\n\n', { message: 'overloaded' }],
    ['an error beside a choice', 'data: {"choices":[{"delta":{}}],"error":{"code":502}}\n\n', { code: 502 }],
    ['an error in a choice', 'data: {"choices":[{"delta":{},"error":{"code":502}}]}\n\n', { code: 502 }],
    ['a choice that ended with an error', 'data: {"choices":[{"finish_reason":"error"}]}\n\n', { finish_reason: 'error' }],
    ['the whole object', 'data: {"object":"error","message":"m"}\n\n', { object: 'error', message: 'm' }],
    ['an event of that name', 'event: error\ndata: {"message":"m"}\n\n', { message: 'm' }],
    ['an event of that name, the name last', 'data: {"message":"m"}\nevent: error\n\n', { message: 'm' }],
    ['an event of that name around an error', 'event: error\ndata: {"error":{"code":400}}\n\n', { code: 400 }],
    ['an event of that name in words', 'event:error\ndata: overloaded\n\n', 'overloaded'],
    ['an event of that name without data', 'event: error\n\n', ''],
  ];

  it.each(FAILURES)('takes %s for the end, and forwards neither it nor what follows', (_name, events, failure) => {
    const result = scan(contentEvent('one') + events + contentEvent('two') + events + DONE);
    expect(result).toEqual({ forward: contentEvent('one'), usages: [], failure, done: true });
    expect(scan(contentEvent('one'), events, contentEvent('two'), DONE)).toEqual(result);
  });

  const HARMLESS: [string, string][] = [
    ['"usage" in content', contentEvent('{"choices":[],"usage":{"prompt_tokens":0}}')],
    ['[DONE] in content', contentEvent('data: [DONE]\n\n')],
    ['"error" in content', contentEvent('"error": {}')],
    ['no error', event({ choices: [{ index: 0, delta: { content: 'x' } }], error: null })],
    ['an error in no words', event({ choices: [{ index: 0, delta: { content: 'x' } }], error: '' })],
    ['usage null on every chunk', event({ choices: [{ index: 0, delta: { content: 'x' } }], usage: null })],
    ['an empty choice list with usage null', event({ choices: [], usage: null })],
    ['garbage', 'data: {"usage": nonsense\n\ndata: [DONE\n\ndata: \x00\xff"usage"\n\n'],
  ];

  it.each(HARMLESS)('is not deceived by %s', (_name, events) => {
    expect(scan(events)).toEqual({ forward: events, usages: [], failure: undefined, done: false });
  });

  it('takes an event without its blank line for whole at the end of the stream', () => {
    expect(scan(usageEvent(usage).trimEnd()).usages).toEqual([reported]);
    expect(scan('data: [DONE]').done).toBe(true);
  });

  const DATALESS = [
    ': PROCESSING\n\n',
    ':\n\n',
    ': a\n: b\n\n',
    'retry: 3000\n\n',
    'id: 7\n\n',
    'event: ping\n\n',
    'data:\n\n',
    'data: \n\n',
    'data\n\n',
    'data:\ndata:\n\n',
    '\n',
    '\n\n\n',
    'nonsense\n\n',
  ];

  it.each(DATALESS)('hands no block on that has no data: %j', (block) => {
    const [one, two] = [contentEvent('one'), contentEvent('two')];
    for (const end of ['\n', '\r\n']) {
      const stream = (block + one + block + block + two + block).replaceAll('\n', end);
      expect(scan(stream).forward).toBe((one + two).replaceAll('\n', end));
    }
  });

  it('lets a byte order mark begin the stream', () => {
    expect(scan(`\u{feff}${contentEvent('one')}`).forward).toBe(contentEvent('one'));
    expect(scan(`\u{feff}: hello\n\n${contentEvent('one')}`).forward).toBe(contentEvent('one'));
  });

  it.each(['\n', '\r\n', '\r'])('knows the line end %j', (end) => {
    const events = (contentEvent('one') + usageEvent(usage) + contentEvent('two') + DONE).replaceAll('\n', end);
    const { forward, usages, done } = scan(events);
    expect(forward).toBe((contentEvent('one') + contentEvent('two')).replaceAll('\n', end));
    expect([usages.length, done]).toEqual([1, true]);
  });

  it.each(['\n\r', '\n\r\n', '\r\n\n', '\r\n\r'])('knows the blank line %j of mixed line ends', (blank) => {
    const one = 'data: {"choices":[{"delta":{"content":"1"}}]}';
    const two = 'data: {"choices":[],"usage":{"prompt_tokens":1}}';
    for (const packets of [[one + blank + two + blank], (one + blank + two + blank).split('')]) {
      expect(scan(...packets)).toMatchObject({ forward: one + blank, usages: [{ input: 1 }] });
    }
  });

  it('gives the same result for the same bytes, however they are cut into packets', () => {
    const pieces = [
      contentEvent('grüße 🦊'),
      finishEvent(),
      usageEvent(usage),
      'data: x\r\n\r\n',
      'event: a\r\nid: 1\r\ndata: {}\r\n\r\n',
      ...HARMLESS.map(([, events]) => events),
      ...DATALESS,
      ...FAILURES.map(([, events]) => events),
    ];
    const stream = fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(stream, fc.boolean(), fc.array(fc.nat(2_000), { maxLength: 12 }), (events, done, cuts) => {
        const bytes = Buffer.from(events.join('') + (done ? DONE : ''));
        const edges = [0, ...cuts.map((cut) => cut % bytes.length).toSorted((a, b) => a - b), bytes.length];
        const packets = edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge));
        expect(scan(...packets)).toEqual(scan(bytes));
        expect(scan(...[...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(scan(bytes));
      }),
      { seed: 402, numRuns: 300 },
    );
  });

  it('refuses an event longer than its limit instead of keeping it', () => {
    const reader = new ChatStreamReader(CONTEXT, 1_000);
    expect(reader.push(Buffer.alloc(1_000, 'x')).forward).toHaveLength(0);
    expect(() => reader.push(Buffer.from('x'))).toThrow(SseTooLongError);
  });

  it('limits an event, not a packet of many', () => {
    const reader = new ChatStreamReader(CONTEXT, 1_000);
    expect(reader.push(Buffer.from(contentEvent('x').repeat(100))).forward.length).toBeGreaterThan(1_000);
  });
});

describe('parseEvents', () => {
  it('gives the JSON chunks of events and passes everything else over', () => {
    const events = `: x\n\ndata: [1]\n\ndata: nope\n\ndata: {"a":\ndata: 1}\n\ndata:{"b":2}\n\n`;
    expect([...parseEvents(Buffer.from(events))]).toEqual([{ a: 1 }, { b: 2 }]);
  });
});
