/**
 * Watching a stream of server-sent events in the OpenAI chat wire format without rewriting it: complete events are
 * forwarded as the bytes they came in; only the few that matter to the bill are parsed.
 * Event syntax: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 */
import { failureOf, isUsageOnly, rawUsageOf, type WireChunk } from './wire-chunk.ts';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const OPENING_BRACE = 0x7b;
const DATA = Buffer.from('data:');
const USAGE = Buffer.from('"usage"');
const DONE = Buffer.from('[DONE]');
const ERROR = Buffer.from('"error"');
const NULL = Buffer.from('null');
const BYTE_ORDER_MARK = Buffer.from('\u{feff}');
const EMPTY = Buffer.alloc(0);

/** A provider's figures, as they came. */
export interface UsageSeen {
  chunk: WireChunk;
  usage: unknown;
  /** True where the chunk is withheld: it says nothing else. */
  alone: boolean;
  /** How many bytes of `SseScan.forward` came before it, its own chunk included. */
  offset: number;
}

export interface SseScan {
  /** Whole events to hand on now, untouched. */
  forward: Buffer;
  /** The usage in them (or withheld), in order. */
  usages: UsageSeen[];
  /** What a provider said of its failure; it and what follows it are not forwarded. */
  failure?: unknown;
  /** True once nothing more counts: `[DONE]`, or a failure, was seen. */
  done: boolean;
}

/** An event longer than the limit, which no provider sends. */
export class SseTooLongError extends Error {
  override name = 'SseTooLongError';
}

/**
 * Cuts a byte stream at event boundaries and picks out what matters. An incomplete event waits for its end, so that a
 * usage chunk or `[DONE]` can be withheld whole; split UTF-8 is never torn apart further.
 *
 * Deployed decoders dispatch at every blank line, also where no data came before it, and then fail on the empty data. So
 * blocks without data (comments, `retry:`, `id:` or `event:` alone, blank lines by themselves) are not handed on.
 */
export class SseScanner {
  readonly #maxEventBytes: number;
  #tail: Buffer = EMPTY;
  #begun = false;
  #done = false;

  constructor(maxEventBytes = 1024 * 1024) {
    this.#maxEventBytes = maxEventBytes;
  }

  /** Takes the next bytes. Throws SseTooLongError when one event passes the limit. */
  push(chunk: Buffer): SseScan {
    if (this.#done) return { forward: EMPTY, usages: [], done: true };
    const bytes = this.#tail.length > 0 ? Buffer.concat([this.#tail, chunk]) : chunk;
    const end = lastBoundary(bytes, this.#tail.length);
    this.#tail = end === bytes.length ? EMPTY : bytes.subarray(end);
    if (this.#tail.length > this.#maxEventBytes) throw new SseTooLongError('an event of the stream is too long');
    return this.#scan(end === bytes.length ? bytes : bytes.subarray(0, end));
  }

  /** The end of the stream: an event without its blank line still counts. */
  finish(): SseScan {
    const rest = this.#tail;
    this.#tail = EMPTY;
    if (this.#done || rest.length === 0) return { forward: EMPTY, usages: [], done: this.#done };
    return this.#scan(Buffer.concat([rest, Buffer.from('\n\n')]));
  }

  #scan(events: Buffer): SseScan {
    const plain = arePlain(events);
    // Nearly every chunk leaves here: forwarded as it came, nothing parsed, nothing copied.
    if (events.length === 0 || (plain && !isNotable(events))) {
      this.#begun ||= events.length > 0;
      return { forward: events, usages: [], done: false };
    }
    const scan: SseScan = { forward: EMPTY, usages: [], done: false };
    const forward = new Stretches(events);
    for (const { start, end } of splitEvents(events)) {
      const event = events.subarray(this.#begun ? start : start + markLength(events, start), end);
      this.#begun = true;
      const { data, name } = readEvent(event);
      if (data.trim() === '[DONE]') this.#done = true;
      const value = name === 'error' || isNotable(event) ? parseValue(data) : undefined;
      scan.failure = name === 'error' ? (failureOf(value) ?? value ?? data) : failureOf(value);
      if (scan.failure !== undefined) this.#done = true;
      if (this.#done) break;
      const chunk = asChunk(value);
      const alone = chunk !== null && isUsageOnly(chunk);
      if (!alone && data.trim() !== '') forward.add(event);
      const usage = chunk && rawUsageOf(chunk);
      if (chunk && usage !== undefined) scan.usages.push({ chunk, usage, alone, offset: forward.length });
    }
    return { ...scan, forward: forward.bytes(), done: this.#done };
  }
}

/** The JSON chunks of whole events, in order; anything that is not a JSON object is passed over. */
export function* parseEvents(events: Buffer): Generator<WireChunk> {
  for (const { start, end } of splitEvents(events)) {
    const chunk = asChunk(parseValue(readEvent(events.subarray(start, end)).data));
    if (chunk) yield chunk;
  }
}

/** Parts of a buffer, put together without a copy where they touch. */
class Stretches {
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

/** Only a hint: content and tool arguments may contain these words too. `"usage":null`, which OpenAI sends in every chunk, is none. */
function isNotable(bytes: Buffer): boolean {
  if (bytes.includes(DONE) || bytes.includes(ERROR)) return true;
  for (let at = bytes.indexOf(USAGE); at >= 0; at = bytes.indexOf(USAGE, at)) {
    at += USAGE.length;
    while (bytes[at] === SPACE || bytes[at] === 0x3a) at++;
    if (!NULL.equals(bytes.subarray(at, at + NULL.length))) return true;
  }
  return false;
}

/** Whether every event is one line of JSON data, as nearly all are, with one blank line after it. */
function arePlain(events: Buffer): boolean {
  for (let at = 0; at < events.length; at++) {
    for (const byte of DATA) if (events[at++] !== byte) return false;
    if (events[at] === SPACE) at++;
    if (events[at] !== OPENING_BRACE) return false;
    at = events.indexOf(LF, at) + 1;
    if (events[at] !== LF) return false;
  }
  return !events.includes(CR);
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
function* splitEvents(events: Buffer): Generator<{ start: number; end: number }> {
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

/** A byte order mark may begin the stream, and only there. */
function markLength(bytes: Buffer, start: number): number {
  return BYTE_ORDER_MARK.equals(bytes.subarray(start, start + BYTE_ORDER_MARK.length)) ? BYTE_ORDER_MARK.length : 0;
}

/** The event's data, its `data:` lines joined, and its name. */
function readEvent(event: Buffer): { data: string; name: string } {
  let data = '';
  let name = '';
  for (const line of event.toString('utf8').split(/\r\n|\n|\r/)) {
    if (line.startsWith('data:')) data += (data && '\n') + line.slice(line[5] === ' ' ? 6 : 5);
    else if (line.startsWith('event:')) name = line.slice(6).trim();
  }
  return { data, name };
}

function parseValue(data: string): unknown {
  const text = data.trimStart();
  if (!text.startsWith('{') && !text.startsWith('[')) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function asChunk(value: unknown): WireChunk | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
}
