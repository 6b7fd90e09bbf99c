/**
 * Server-sent events as bytes: cut at event boundaries, never rewritten, so that what is handed on is what came.
 * Event syntax: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 */

const LF = 0x0a;
const CR = 0x0d;
const BYTE_ORDER_MARK = Buffer.from('\u{feff}');
const EMPTY = Buffer.alloc(0);
const MAX_EVENT_BYTES = 1024 * 1024;
/** A blank line is at most four bytes long: CR LF CR LF. */
const SEAM_BYTES = 3;

/** What ends a stream of OpenAI's older wires. */
export const STREAM_DONE = Buffer.from('data: [DONE]\n\n');

/** An event longer than the limit, which no provider sends. */
export class SseTooLongError extends Error {
  override name = 'SseTooLongError';
}

/** Holds an incomplete event back until its end comes; split UTF-8 is never torn apart further. A byte order mark at the beginning is left out. */
export class EventSplitter {
  readonly #maxEventBytes: number;
  /** The incomplete event in pieces, each at most half as long as the one before it: a long event in small pieces stays cheap. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** The last bytes of it: a blank line may begin there. */
  #seam: Buffer = EMPTY;
  #begun = false;

  constructor(maxEventBytes = MAX_EVENT_BYTES) {
    this.#maxEventBytes = maxEventBytes;
  }

  /** The whole events that are there now, as one buffer that shares memory with `chunk` where it can. Throws SseTooLongError. */
  push(chunk: Buffer): Buffer {
    const seam = this.#seam;
    const end = lastBoundary(seam.length > 0 ? Buffer.concat([seam, chunk]) : chunk, seam.length);
    if (end === 0) {
      this.#hold(chunk);
      return EMPTY;
    }
    const cut = this.#heldBytes - seam.length + end;
    const bytes = this.#heldBytes > 0 ? Buffer.concat([...this.#held, chunk]) : chunk;
    this.#letGo();
    if (cut === bytes.length) return this.#withoutMark(bytes);
    this.#hold(bytes.subarray(cut));
    return this.#withoutMark(bytes.subarray(0, cut));
  }

  /** The end of the stream: an event without its blank line still counts. */
  finish(): Buffer {
    const rest = Buffer.concat([...this.#held, Buffer.from('\n\n')]);
    const isNothing = this.#heldBytes === 0;
    this.#letGo();
    return isNothing ? EMPTY : this.#withoutMark(rest);
  }

  #hold(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#held.push(piece);
    this.#heldBytes += piece.length;
    if (this.#heldBytes > this.#maxEventBytes) throw new SseTooLongError('an event of the stream is too long');
    this.#seam = Buffer.concat([this.#seam, piece.subarray(-SEAM_BYTES)]).subarray(-SEAM_BYTES);
    for (let last = this.#held.length - 1; last > 0; last--) {
      const [before = EMPTY, after = EMPTY] = this.#held.slice(-2);
      if (before.length > 2 * after.length) break;
      this.#held.splice(-2, 2, Buffer.concat([before, after]));
    }
  }

  #letGo(): void {
    this.#held = [];
    this.#heldBytes = 0;
    this.#seam = EMPTY;
  }

  #withoutMark(events: Buffer): Buffer {
    if (this.#begun || events.length === 0) return events;
    this.#begun = true;
    return BYTE_ORDER_MARK.equals(events.subarray(0, BYTE_ORDER_MARK.length)) ? events.subarray(BYTE_ORDER_MARK.length) : events;
  }
}

/** One event: its `data:` lines joined, and its name ('' without). */
export interface SseEvent {
  readonly name: string;
  readonly data: string;
}

/** The events of a buffer of whole events, in order. */
export function* readEvents(events: Buffer): Generator<SseEvent> {
  for (const { start, end } of splitEvents(events)) yield readEvent(events.subarray(start, end));
}

/** The JSON objects in the data of whole events, in order; anything else is passed over. */
export function* parseEvents(events: Buffer): Generator<Record<string, unknown>> {
  for (const { data } of readEvents(events)) {
    const value = parseData(data);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) yield value as Record<string, unknown>;
  }
}

/** The JSON value in an event's data; undefined where it is none. */
export function parseData(data: string): unknown {
  const text = data.trimStart();
  if (!text.startsWith('{') && !text.startsWith('[')) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Parts of a buffer, put together without a copy where they touch. */
export class Stretches {
  readonly #whole: Buffer;
  readonly #parts: { start: number; end: number }[] = [];
  length = 0;

  constructor(whole: Buffer) {
    this.#whole = whole;
  }

  add(part: Buffer): void {
    const start = part.byteOffset - this.#whole.byteOffset;
    const end = start + part.length;
    const last = this.#parts.at(-1);
    if (last?.end === start) last.end = end;
    else this.#parts.push({ start, end });
    this.length += part.length;
  }

  /** A small part is copied all the same: it must not keep the whole in memory. */
  bytes(): Buffer {
    const [first = EMPTY, ...more] = this.#parts.map(({ start, end }) => this.#whole.subarray(start, end));
    return more.length === 0 && first.length * 2 >= this.#whole.length ? first : Buffer.concat([first, ...more]);
  }
}

/** Where the last whole event ends: after a blank line, whatever its line ends are. Looks no further back than it must. */
function lastBoundary(bytes: Buffer, known: number): number {
  for (let at = bytes.length - 1; at > 0 && at >= known - 3; at--) {
    if (isBlankLineEnd(bytes, at)) return at + 1;
  }
  return 0;
}

/**
 * Whether a blank line ends at `at`: two line ends in a row, each of them LF, CR or CR LF. A CR that comes last may be half of one:
 * after an LF the next byte decides, after a CR (which nobody sends) a late LF is dropped.
 */
function isBlankLineEnd(bytes: Buffer, at: number): boolean {
  if (bytes[at] === LF) return bytes[at - 1] === LF || (bytes[at - 1] === CR && (bytes[at - 2] === LF || bytes[at - 2] === CR));
  if (bytes[at] !== CR || bytes[at + 1] === LF) return false;
  return bytes[at - 1] === CR || (bytes[at - 1] === LF && at + 1 < bytes.length);
}

/** The events, each with the blank line that ends it and without those before it. */
export function* splitEvents(events: Buffer): Generator<{ start: number; end: number }> {
  let start = 0;
  for (let at = 0; at < events.length; at++) {
    if (at === start && (events[at] === LF || events[at] === CR)) start = at + 1;
    else if (at > start && isBlankLineEnd(events, at)) {
      yield { start, end: at + 1 };
      start = at + 1;
    }
  }
  if (start < events.length) yield { start, end: events.length };
}

/** The event's data, its `data:` lines joined, and its name. */
export function readEvent(event: Buffer): SseEvent {
  let data = '';
  let name = '';
  for (const line of event.toString('utf8').split(/\r\n|\n|\r/)) {
    if (line.startsWith('data:')) data += (data && '\n') + line.slice(line[5] === ' ' ? 6 : 5);
    else if (line.startsWith('event:')) name = line.slice(6).trim();
  }
  return { data, name };
}
