import { isObject, textIn } from '../json-object.ts';
import { EventSplitter, parseData, readEvent, splitEvents, Stretches } from '../sse.ts';
import type { Ending, Seen, SettledFigures, StreamReader, UsageSeen } from '../wire.ts';
import { failureOf } from './answer.ts';
import { MOST_EVENT_BYTES } from './event-bytes.ts';
import { usageFromResponses } from './usage.ts';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const OPENING_BRACE = 0x7b;
const EMPTY = Buffer.alloc(0);
const DATA = Buffer.from('data:');
const EVENT = Buffer.from('event:');
/** What must be looked at: the last events of a stream, and failures. Only a hint, since content may hold these words too. */
const NOTABLE = ['response.completed', 'response.incomplete', 'response.failed', '"error"', 'event: error', 'event:error', '[DONE]'].map(
  (word) => Buffer.from(word),
);

/**
 * Watches a stream of response events on its way to a client of the same wire. The event that ends it is withheld as it came, until the
 * settlement; a failure, and what follows it, is not handed on. Blocks without data are left out: deployed decoders fail on them.
 */
export class ResponsesReader implements StreamReader {
  readonly #splitter = new EventSplitter(MOST_EVENT_BYTES);
  #last: Buffer = EMPTY;
  #done = false;

  push(chunk: Buffer): Seen {
    return this.#done ? { forward: EMPTY, usages: [], done: true } : this.#watch(this.#splitter.push(chunk));
  }

  finish(): Seen {
    return this.#done ? { forward: EMPTY, usages: [], done: true } : this.#watch(this.#splitter.finish());
  }

  ending(_figures: SettledFigures | null): Ending {
    return { usage: EMPTY, last: this.#last };
  }

  #watch(events: Buffer): Seen {
    // Nearly every chunk leaves here: handed on as it came, nothing parsed, nothing copied.
    if (events.length === 0 || (!NOTABLE.some((word) => events.includes(word)) && arePlain(events))) {
      return { forward: events, usages: [], done: false };
    }
    const forward = new Stretches(events);
    const usages: UsageSeen[] = [];
    let failure: unknown;
    for (const { start, end } of splitEvents(events)) {
      const bytes = events.subarray(start, end);
      const { name, data } = readEvent(bytes);
      const value = parseData(data);
      const event = isObject(value) ? value : {};
      const type = textIn(event['type']) || name;
      const response = isObject(event['response']) ? event['response'] : {};
      if (type === 'response.completed' || type === 'response.incomplete') this.#last = Buffer.from(bytes);
      else if (type === 'response.failed') failure = failureOf(response) ?? response;
      else if (type === 'error' || event['error']) failure = event['error'] ?? value ?? data;
      else {
        if (data.trim() !== '' && data.trim() !== '[DONE]') forward.add(bytes);
        continue;
      }
      this.#done = true;
      const usage = usageFromResponses(response['usage']);
      if (usage) usages.push({ usage, alone: true, offset: forward.length });
      break;
    }
    const finished = this.#last.length > 0;
    return { forward: forward.bytes(), usages, done: this.#done, finished, ...(failure !== undefined && { failure }) };
  }
}

/** Whether every event is a name, one line of JSON data and one blank line, as nearly all are. */
function arePlain(events: Buffer): boolean {
  for (let at = 0; at < events.length; at++) {
    if (startsWith(events, EVENT, at)) at = events.indexOf(LF, at) + 1;
    if (!startsWith(events, DATA, at)) return false;
    at += DATA.length;
    if (events[at] === SPACE) at++;
    if (events[at] !== OPENING_BRACE) return false;
    at = events.indexOf(LF, at) + 1;
    if (at === 0 || events[at] !== LF) return false;
  }
  return !events.includes(CR);
}

function startsWith(bytes: Buffer, word: Buffer, at: number): boolean {
  for (let index = 0; index < word.length; index++) if (bytes[at + index] !== word[index]) return false;
  return true;
}
