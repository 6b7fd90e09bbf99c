import { parseData, readEvent, splitEvents, STREAM_DONE, Stretches, EventSplitter } from '../sse.ts';
import type { AnswerContext, Ending, Seen, SettledFigures, StreamReader, UsageSeen } from '../wire.ts';
import { usageChunk, type ChunkNames, type SaidUsage } from './usage-chunk.ts';
import { reportedUsageOf } from './usage.ts';
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
const EMPTY = Buffer.alloc(0);

/**
 * Watches a stream in the OpenAI chat wire format without rewriting it: whole events are handed on as the bytes they came in, and only the
 * few that matter to the bill are parsed. The usage chunk, `[DONE]` and an error are withheld.
 *
 * Deployed decoders dispatch at every blank line, also where no data came before it, and then fail on the empty data. So
 * blocks without data (comments, `retry:`, `id:` or `event:` alone, blank lines by themselves) are not handed on.
 */
export class ChatStreamReader implements StreamReader {
  readonly #context: AnswerContext;
  readonly #splitter: EventSplitter;
  readonly #names: ChunkNames | undefined;
  #usageChunk: SaidUsage | null = null;
  #done = false;

  /** @param names what chunks are called, where they are not those of a chat. */
  constructor(context: AnswerContext, maxEventBytes?: number, names?: ChunkNames) {
    this.#context = context;
    this.#splitter = new EventSplitter(maxEventBytes);
    this.#names = names;
  }

  push(chunk: Buffer): Seen {
    return this.#done ? { forward: EMPTY, usages: [], done: true } : this.#scan(this.#splitter.push(chunk));
  }

  finish(): Seen {
    return this.#done ? { forward: EMPTY, usages: [], done: true } : this.#scan(this.#splitter.finish());
  }

  ending(figures: SettledFigures | null): Ending {
    return { usage: figures ? usageChunk(this.#usageChunk, figures, this.#context, this.#names) : EMPTY, last: STREAM_DONE };
  }

  #scan(events: Buffer): Seen {
    // Nearly every chunk leaves here: forwarded as it came, nothing parsed, nothing copied.
    if (events.length === 0 || (arePlain(events) && !isNotable(events))) return { forward: events, usages: [], done: false };
    const usages: UsageSeen[] = [];
    const forward = new Stretches(events);
    let failure: unknown;
    for (const { start, end } of splitEvents(events)) {
      const event = events.subarray(start, end);
      const { data, name } = readEvent(event);
      if (data.trim() === '[DONE]') this.#done = true;
      const value = name === 'error' || isNotable(event) ? parseData(data) : undefined;
      failure = name === 'error' ? (failureOf(value) ?? value ?? data) : failureOf(value);
      if (failure !== undefined) this.#done = true;
      if (this.#done) break;
      const chunk = asChunk(value);
      const alone = chunk !== null && isUsageOnly(chunk);
      if (!alone && data.trim() !== '') forward.add(event);
      if (chunk) this.#noteUsage(chunk, { alone, offset: forward.length }, usages);
    }
    return { forward: forward.bytes(), usages, done: this.#done, ...(failure !== undefined && { failure }) };
  }

  #noteUsage(chunk: WireChunk, seen: Omit<UsageSeen, 'usage'>, usages: UsageSeen[]): void {
    const said = rawUsageOf(chunk);
    const usage = said === undefined ? null : reportedUsageOf(said);
    if (!usage) return;
    this.#usageChunk = { chunk, usage: said };
    usages.push({ usage, ...seen });
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

function asChunk(value: unknown): WireChunk | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
}
