import { isObject } from '../json-object.ts';
import { EventSplitter, parseData, readEvent, splitEvents, Stretches } from '../sse.ts';
import type { Ending, Seen, StreamReader, UsageSeen } from '../wire.ts';
import { failureOf } from './failure.ts';
import { UsageSoFar } from './usage.ts';

const EMPTY = Buffer.alloc(0);
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const OPENING_BRACE = 0x7b;
const EVENT = Buffer.from('event:');
const DATA = Buffer.from('data:');
/** What an event that says more than a piece of the answer holds somewhere. Within a text its quotes would be escaped. */
const NOTABLE = ['message_stop', '"usage"', '"error"', 'event: error', 'event:error'].map((hint) => Buffer.from(hint));
const MESSAGE_STOP = Buffer.from('event: message_stop\ndata: {"type":"message_stop"}\n\n');

/** Watches a messages stream on its way to a client of the same wire. Its end, and a failure, are withheld; all else goes on as it came. */
export class MessagesReader implements StreamReader {
  readonly #splitter = new EventSplitter();
  readonly #usage = new UsageSoFar();
  #last: Buffer = MESSAGE_STOP;
  #done = false;

  push(chunk: Buffer): Seen {
    return this.#done ? { forward: EMPTY, usages: [], done: true } : this.#scan(this.#splitter.push(chunk));
  }

  finish(): Seen {
    return this.#done ? { forward: EMPTY, usages: [], done: true } : this.#scan(this.#splitter.finish());
  }

  /** The figures of a message went out with its `message_delta`: nothing is left to say but the end. */
  ending(): Ending {
    return { usage: EMPTY, last: this.#last };
  }

  #scan(events: Buffer): Seen {
    // Nearly every chunk leaves here: forwarded as it came, nothing parsed, nothing copied.
    if (events.length === 0 || (!isNotable(events) && arePlain(events))) return { forward: events, usages: [], done: false };
    const usages: UsageSeen[] = [];
    const forward = new Stretches(events);
    let failure: unknown;
    for (const { start, end } of splitEvents(events)) {
      const event = events.subarray(start, end);
      const { data, name } = readEvent(event);
      const value = parseData(data);
      failure = failureOf(value) ?? (name === 'error' ? (value ?? data) : undefined);
      if (isEnd(value)) this.#last = Buffer.from(event);
      this.#done = failure !== undefined || isEnd(value);
      if (this.#done) break;
      // A block without data, which deployed decoders would take for an event.
      if (data.trim() !== '') forward.add(event);
      const usage = this.#usage.add(usageIn(value));
      if (usage) usages.push({ usage, alone: false, offset: forward.length });
    }
    return { forward: forward.bytes(), usages, done: this.#done, ...(failure !== undefined && { failure }) };
  }
}

function isEnd(value: unknown): boolean {
  return isObject(value) && value['type'] === 'message_stop';
}

/** The figures that an event tells: of the message that it begins, or its own. */
export function usageIn(event: unknown): unknown {
  if (!isObject(event)) return undefined;
  const { message } = event;
  return isObject(message) ? message['usage'] : event['usage'];
}

function isNotable(bytes: Buffer): boolean {
  return NOTABLE.some((hint) => bytes.includes(hint));
}

/** Whether every event is a line with its name, if any, and one of JSON data, as nearly all are, with one blank line after them. */
function arePlain(events: Buffer): boolean {
  for (let at = 0; at < events.length; at++) {
    if (startsAt(events, EVENT, at)) at = events.indexOf(LF, at) + 1;
    if (!startsAt(events, DATA, at)) return false;
    at += DATA.length;
    if (events[at] === SPACE) at++;
    if (events[at] !== OPENING_BRACE) return false;
    at = events.indexOf(LF, at) + 1;
    if (events[at] !== LF) return false;
  }
  return !events.includes(CR);
}

function startsAt(bytes: Buffer, wanted: Buffer, at: number): boolean {
  return bytes.compare(wanted, 0, wanted.length, at, Math.min(at + wanted.length, bytes.length)) === 0;
}
