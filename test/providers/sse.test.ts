import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isUsageOnly, parseEvents, SseScanner, SseTooLongError, type WireChunk } from '../../src/providers/sse.ts';
import { contentEvent, event, finishEvent, usageEvent } from '../support/fake-provider.ts';

interface Scanned {
  forward: string;
  notable: WireChunk[];
  done: boolean;
}

/** What a scanner makes of these pieces, up to the end of the stream. */
function scan(...pieces: (string | Uint8Array)[]): Scanned {
  const scanner = new SseScanner();
  const scans = [...pieces.map((piece) => scanner.push(Buffer.from(piece as Uint8Array))), scanner.finish()];
  return {
    forward: Buffer.concat(scans.map(({ forward }) => forward)).toString(),
    notable: scans.flatMap(({ notable }) => notable),
    done: scans.some(({ done }) => done),
  };
}

const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
const DONE = 'data: [DONE]\n\n';

describe('SseScanner', () => {
  it('forwards whole events as the bytes they came in', () => {
    const events = `${contentEvent('grüße 🦊')}: comment\n\nevent: x\ndata: 1\ndata: 2\n\n`;
    expect(scan(events)).toEqual({ forward: events, notable: [], done: false });
  });

  it('keeps an incomplete event back until it is whole', () => {
    const scanner = new SseScanner();
    const whole = contentEvent('one');
    expect(scanner.push(Buffer.from(whole.slice(0, -1))).forward).toHaveLength(0);
    expect(scanner.push(Buffer.from('\n')).forward.toString()).toBe(whole);
  });

  it('withholds a usage chunk and [DONE], and what comes after [DONE]', () => {
    const { forward, notable, done } = scan(contentEvent('one') + usageEvent(usage) + DONE + contentEvent('two'));
    expect({ forward, done }).toEqual({ forward: contentEvent('one'), done: true });
    expect(notable.map((chunk) => chunk.usage)).toEqual([usage]);
  });

  it('forwards usage that rides on a chunk with choices, and tells of it', () => {
    const riding = event({ choices: [{ index: 0, delta: {} }], usage });
    const { forward, notable } = scan(riding);
    expect(forward).toBe(riding);
    expect(notable.map((chunk) => chunk.usage)).toEqual([usage]);
  });

  it('tells of errors, and forwards them', () => {
    const error = 'data: {"error":{"message":"overloaded"}}\n\n';
    expect(scan(error)).toMatchObject({ forward: error, notable: [{ error: { message: 'overloaded' } }] });
  });

  const HARMLESS: [string, string][] = [
    ['"usage" in content', contentEvent('{"choices":[],"usage":{"prompt_tokens":0}}')],
    ['[DONE] in content', contentEvent('data: [DONE]\n\n')],
    ['"error" in content', contentEvent('"error": {}')],
    ['usage null on every chunk', event({ choices: [{ index: 0, delta: { content: 'x' } }], usage: null })],
    ['an empty choice list with usage null', event({ choices: [], usage: null })],
    ['garbage', 'data: {"usage": nonsense\n\ndata: [DONE\n\n\x00\xff"usage"\n\n'],
  ];

  it.each(HARMLESS)('is not deceived by %s', (_name, events) => {
    const { forward, notable, done } = scan(events);
    expect({ forward, done }).toEqual({ forward: events, done: false });
    expect(notable.filter((chunk) => (chunk.usage ?? chunk.error ?? null) !== null)).toEqual([]);
  });

  it('takes an event without its blank line for whole at the end of the stream', () => {
    expect(scan(usageEvent(usage).trimEnd()).notable.map((chunk) => chunk.usage)).toEqual([usage]);
    expect(scan('data: [DONE]').done).toBe(true);
  });

  it.each(['\n', '\r\n', '\r'])('knows the line end %j', (end) => {
    const events = (contentEvent('one') + usageEvent(usage) + contentEvent('two') + DONE).replaceAll('\n', end);
    const { forward, notable, done } = scan(events);
    expect(forward).toBe((contentEvent('one') + contentEvent('two')).replaceAll('\n', end));
    expect([notable.length, done]).toEqual([1, true]);
  });

  it('gives the same result for the same bytes, however they are cut into packets', () => {
    const pieces = [
      contentEvent('grüße 🦊'),
      ': ping\n\n',
      finishEvent(),
      usageEvent(usage),
      'data: x\r\n\r\n',
      ...HARMLESS.map(([, events]) => events),
    ];
    const stream = fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(stream, fc.boolean(), fc.array(fc.nat(2_000), { maxLength: 12 }), (events, done, cuts) => {
        const bytes = Buffer.from(events.join('') + (done ? DONE : ''));
        const edges = [0, ...cuts.map((cut) => cut % bytes.length).toSorted((a, b) => a - b), bytes.length];
        const packets = edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge));
        expect(scan(...packets)).toEqual(scan(bytes));
      }),
      { seed: 402, numRuns: 300 },
    );
  });

  it('refuses an event longer than its limit instead of keeping it', () => {
    const scanner = new SseScanner(1_000);
    expect(scanner.push(Buffer.alloc(1_000, 'x')).forward).toHaveLength(0);
    expect(() => scanner.push(Buffer.from('x'))).toThrow(SseTooLongError);
  });

  it('limits an event, not a packet of many', () => {
    const scanner = new SseScanner(1_000);
    expect(scanner.push(Buffer.from(contentEvent('x').repeat(100))).forward.length).toBeGreaterThan(1_000);
  });
});

describe('parseEvents', () => {
  it('gives the JSON chunks of events and passes everything else over', () => {
    const events = `: x\n\ndata: [1]\n\ndata: nope\n\ndata: {"a":\ndata: 1}\n\ndata:{"b":2}\n\n`;
    expect([...parseEvents(Buffer.from(events))]).toEqual([{ a: 1 }, { b: 2 }]);
  });
});

describe('isUsageOnly', () => {
  it.each<[WireChunk, boolean]>([
    [{ choices: [], usage }, true],
    [{ choices: [], usage: null }, false],
    [{ choices: [{}], usage }, false],
    [{ usage }, false],
  ])('%j: %s', (chunk, expected) => {
    expect(isUsageOnly(chunk)).toBe(expected);
  });
});
