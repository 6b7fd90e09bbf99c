/**
 * Watching a stream of server-sent events in the OpenAI chat wire format without rewriting it: complete events are
 * forwarded as the bytes they came in; only the few that matter to the bill are parsed.
 * Event syntax: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 */

const LF = 0x0a;
const CR = 0x0d;
const USAGE = Buffer.from('"usage"');
const DONE = Buffer.from('[DONE]');
const ERROR = Buffer.from('"error"');
const NULL = Buffer.from('null');
const EMPTY = Buffer.alloc(0);

/** One JSON chunk of a stream, as far as it concerns us. */
export interface WireChunk {
  choices?: unknown;
  usage?: unknown;
  error?: unknown;
}

export interface SseScan {
  /** Whole events to hand on now, untouched. */
  forward: Buffer;
  /** The chunks among them (or withheld) that may carry usage or an error, parsed. */
  notable: WireChunk[];
  /** True once `[DONE]` was seen; it and what follows it are not forwarded. */
  done: boolean;
}

/** An event longer than the limit, which no provider sends. */
export class SseTooLongError extends Error {
  override name = 'SseTooLongError';
}

/**
 * Cuts a byte stream at event boundaries and picks out what matters. An incomplete event waits for its end, so that a
 * usage chunk or `[DONE]` can be withheld whole; split UTF-8 is never torn apart further.
 */
export class SseScanner {
  readonly #maxEventBytes: number;
  #tail: Buffer = EMPTY;
  #done = false;

  constructor(maxEventBytes = 1024 * 1024) {
    this.#maxEventBytes = maxEventBytes;
  }

  /** Takes the next bytes. Throws SseTooLongError when one event passes the limit. */
  push(chunk: Buffer): SseScan {
    if (this.#done) return { forward: EMPTY, notable: [], done: true };
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
    if (this.#done || rest.length === 0) return { forward: EMPTY, notable: [], done: this.#done };
    return this.#scan(Buffer.concat([rest, Buffer.from('\n\n')]));
  }

  #scan(events: Buffer): SseScan {
    // Nearly every chunk leaves here: forwarded as it came, nothing parsed, nothing copied.
    if (events.length === 0 || !isNotable(events)) return { forward: events, notable: [], done: false };
    const forward: Buffer[] = [];
    const notable: WireChunk[] = [];
    for (const event of splitEvents(events)) {
      const data = eventData(event);
      if (data.trim() === '[DONE]') {
        this.#done = true;
        break;
      }
      const chunk = isNotable(event) ? parseChunk(data) : null;
      if (chunk) notable.push(chunk);
      if (!chunk || !isUsageOnly(chunk)) forward.push(event);
    }
    return { forward: forward.length === 1 ? (forward[0] ?? EMPTY) : Buffer.concat(forward), notable, done: this.#done };
  }
}

/** A chunk without choices and with usage: it is for us, and for the client only where it asked. */
export function isUsageOnly(chunk: WireChunk): boolean {
  return Array.isArray(chunk.choices) && chunk.choices.length === 0 && typeof chunk.usage === 'object' && chunk.usage !== null;
}

/** The JSON chunks of whole events, in order; anything that is not a JSON object is passed over. */
export function* parseEvents(events: Buffer): Generator<Record<string, unknown>> {
  for (const event of splitEvents(events)) {
    const chunk = parseChunk(eventData(event));
    if (chunk) yield chunk as Record<string, unknown>;
  }
}

/** Only a hint: content and tool arguments may contain these words too. `"usage":null`, which OpenAI sends in every chunk, is none. */
function isNotable(bytes: Buffer): boolean {
  if (bytes.includes(DONE) || bytes.includes(ERROR)) return true;
  for (let at = bytes.indexOf(USAGE); at >= 0; at = bytes.indexOf(USAGE, at)) {
    at += USAGE.length;
    while (bytes[at] === 0x20 || bytes[at] === 0x3a) at++;
    if (!NULL.equals(bytes.subarray(at, at + NULL.length))) return true;
  }
  return false;
}

/** Where the last whole event ends: after a blank line, whatever its line ends are. Looks no further back than it must. */
function lastBoundary(bytes: Buffer, known: number): number {
  for (let at = bytes.length - 1; at > 0 && at >= known - 3; at--) {
    if (isBlankLineEnd(bytes, at)) return at + 1;
  }
  return 0;
}

/** Whether a blank line ends at `at`: LF LF, CR CR, or CR LF CR LF. */
function isBlankLineEnd(bytes: Buffer, at: number): boolean {
  if (bytes[at] === LF) return bytes[at - 1] === LF || (bytes[at - 1] === CR && bytes[at - 2] === LF);
  return bytes[at] === CR && bytes[at - 1] === CR;
}

function* splitEvents(events: Buffer): Generator<Buffer> {
  let start = 0;
  for (let at = 1; at < events.length; at++) {
    if (!isBlankLineEnd(events, at)) continue;
    yield events.subarray(start, at + 1);
    start = at + 1;
  }
  if (start < events.length) yield events.subarray(start);
}

/** The event's data: its `data:` lines, joined. */
function eventData(event: Buffer): string {
  let data = '';
  for (const line of event.toString('utf8').split(/\r\n|\n|\r/)) {
    if (line.startsWith('data:')) data += (data && '\n') + line.slice(line[5] === ' ' ? 6 : 5);
  }
  return data;
}

function parseChunk(data: string): WireChunk | null {
  if (!data.startsWith('{')) return null;
  try {
    return JSON.parse(data) as WireChunk;
  } catch {
    return null;
  }
}
