import { parseExactJson } from '../exact-json.ts';
import { isObject } from '../json-object.ts';
import { jsonExtent } from '../json-extent.ts';
import { readEvent, splitEvents } from '../sse.ts';
import type { Ending, JsonObject, Seen, SettledFigures, StreamReader } from '../wire.ts';

/** Deeper than any chunk, and far from what the writer of JSON, which is recursive, could choke on. */
const MOST_DEPTH = 512;
const EMPTY = Buffer.alloc(0);

/**
 * Writes the chunks of a chat anew with the members that the router adds: the id on all of them, what was decided on the first. Their numbers
 * stay as they were written. What is no object, or nested without end, goes on as it came.
 */
export class RouterStreamReader implements StreamReader {
  readonly #reader: StreamReader;
  readonly #first: JsonObject;
  readonly #others: JsonObject;
  #told = false;

  constructor(reader: StreamReader, { routing, ...others }: JsonObject) {
    this.#reader = reader;
    this.#first = { ...others, routing };
    this.#others = others;
  }

  push(chunk: Buffer): Seen {
    return this.#retell(this.#reader.push(chunk));
  }

  finish(): Seen {
    return this.#retell(this.#reader.finish());
  }

  ending(figures: SettledFigures | null): Ending {
    const { usage, last } = this.#reader.ending(figures);
    return { usage: usage.length > 0 ? this.#write(usage) : EMPTY, last };
  }

  #retell(seen: Seen): Seen {
    const { forward, usages } = seen;
    if (forward.length === 0) return seen;
    const written: Buffer[] = [];
    // Where each event ends: before, and as it is written now.
    const ends = new Map([[0, 0]]);
    let length = 0;
    for (const { start, end } of splitEvents(forward)) {
      const event = this.#write(forward.subarray(start, end));
      written.push(event);
      length += event.length;
      ends.set(end, length);
    }
    return {
      ...seen,
      forward: Buffer.concat(written),
      usages: usages.map((usage) => ({ ...usage, offset: ends.get(usage.offset) ?? length })),
    };
  }

  #write(event: Buffer): Buffer {
    const { data, name } = readEvent(event);
    const chunk = objectIn(data);
    if (!chunk) return event;
    const members = this.#told ? this.#others : this.#first;
    this.#told = true;
    return Buffer.from(`${name === '' ? '' : `event: ${name}\n`}data: ${JSON.stringify({ ...chunk, ...members })}\n\n`);
  }
}

/** The JSON object in an event's data, to be written again. */
function objectIn(data: string): JsonObject | null {
  const { depth } = jsonExtent(Buffer.from(data), { values: Infinity, names: 0, depth: MOST_DEPTH, longNumbers: Infinity });
  if (depth > MOST_DEPTH) return null;
  try {
    const { value, verbatim } = parseExactJson(data);
    return isObject(value) ? (verbatim as JsonObject) : null;
  } catch {
    return null;
  }
}
