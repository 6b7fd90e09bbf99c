import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { EventSplitter, readEvents, splitEvents, SseTooLongError } from '../../src/wires/sse.ts';

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

function eventsOf(pieces: readonly Buffer[]): string[] {
  const splitter = new EventSplitter();
  const whole = [...pieces.map((piece) => splitter.push(piece)), splitter.finish()];
  return whole.flatMap((events) => [...readEvents(events)].map(({ name, data }) => `${name}|${data}`)).filter((event) => event !== '|');
}

describe('cutting a stream at its events', () => {
  it('gives the same events however the bytes are split, with any line ends', () => {
    const lineEnd = fc.constantFrom('\n', '\r\n');
    const event = fc
      .tuple(fc.string({ maxLength: 40 }), lineEnd)
      .map(([text, end]) => `event: e${end}data: ${JSON.stringify(text)}${end}${end}`);
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 1, maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
        (events, sizes) => {
          const bytes = Buffer.from(events.join(''));
          const whole = eventsOf([bytes]);
          expect(whole).toHaveLength(events.length);
          expect(eventsOf(cut(bytes, sizes))).toEqual(whole);
          expect(eventsOf(cut(bytes, [1]))).toEqual(whole);
        },
      ),
    );
  });

  it('shares memory with the chunk that a whole event came in', () => {
    const chunk = Buffer.from('data: {}\n\ndata: {"half');
    const events = new EventSplitter().push(chunk);
    expect(events.buffer).toBe(chunk.buffer);
    expect(events.byteOffset).toBe(chunk.byteOffset);
  });

  it('bounds an event, and takes time in proportion to its length however small the pieces', () => {
    const splitter = new EventSplitter(4 * 1024 * 1024);
    splitter.push(Buffer.from('data: '));
    const piece = Buffer.alloc(64, 'x');
    for (let count = 0; count < 60_000; count++) splitter.push(piece);
    const event = splitter.push(Buffer.from('\n\n'));
    expect(event).toHaveLength(6 + 60_000 * 64 + 2);
    expect([...splitEvents(event)]).toHaveLength(1);
    const limited = new EventSplitter(100);
    limited.push(Buffer.alloc(100, 'x'));
    expect(() => limited.push(Buffer.from('x'))).toThrow(SseTooLongError);
  });
});
