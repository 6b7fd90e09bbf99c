import { randomInt } from 'node:crypto';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const SPACE = 0x20;
const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;
const SMALL_E = 0x65;
const CAPITAL_E = 0x45;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;

/** What the reader of a JSON text has to build. */
export interface JsonExtent {
  /** Objects, lists, strings, numbers, booleans and nulls. */
  values: number;
  /** How many different names the members of all objects have, as written; those of a few digits, a token's number for one, are left out. */
  names: number;
  /** The levels of the deepest nesting. */
  depth: number;
  /** Numbers of 16 characters or more, one for every 16, and numbers with an exponent: a double may not be able to hold them. */
  longNumbers: number;
}

/** The extent of as much of a text as was looked at, and where. */
export interface MeasuredExtent extends JsonExtent {
  /** Where the last string began that stands in the outermost object or list: with an object, the field that was being read. */
  fieldAt: number;
  /** The same where the first name too many stood. */
  fieldOfNameAt: number;
}

const LONG_NUMBER_CHARACTERS = 16;
/** A longer name counts as one that no other member has: nobody repeats such a name thousands of times. */
const LONG_NAME_BYTES = 64;
const TOKEN_NUMBER_DIGITS = 6;
const FNV_PRIME = 0x01000193;
/** Nobody can choose names that look like one here. */
const NAME_SEED = randomInt(2 ** 31);
/** Strings up to this length are read byte by byte: that is quicker than asking the system for their end. */
const SHORT_STRING_BYTES = 64;

/**
 * Measures a JSON text by its bytes alone, in one pass that builds nothing. Stops where it has more values or levels than `most`; no more
 * names are counted than one too many. A text that is not JSON is measured as well as can be: its reader refuses it.
 */
export function jsonExtent(json: Buffer, most: Readonly<JsonExtent>): MeasuredExtent {
  const extent = { values: 1, names: 0, depth: 0, longNumbers: 0, fieldAt: 0, fieldOfNameAt: 0 };
  const names = new Set<number>();
  let level = 0;
  let stringAt = 0;
  let stringEnd = 0;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] ?? 0;
    switch (byte) {
      case QUOTE:
        if (level === 1) extent.fieldAt = at;
        stringAt = at;
        at = stringEnd = endOfString(json, at);
        break;
      case COMMA:
        if (++extent.values > most.values) return extent;
        break;
      case COLON:
        if (extent.names > most.names) break;
        noteName(json, stringAt, stringEnd, names, extent);
        if (extent.names > most.names) extent.fieldOfNameAt = extent.fieldAt;
        break;
      case OPEN_LIST:
      case OPEN_OBJECT:
        at = endOfSpace(json, at + 1) - 1;
        if (json[at + 1] !== CLOSE_LIST && json[at + 1] !== CLOSE_OBJECT) extent.values++;
        if (++level > extent.depth) extent.depth = level;
        if (extent.depth > most.depth) return extent;
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        level--;
        break;
      default:
        if (byte !== MINUS && (byte < DIGIT_0 || byte > DIGIT_9)) break;
        at = endOfNumber(json, at, extent);
    }
  }
  return extent;
}

/** Counts the name that stands between the quotes at `start` and `end`, unless it was counted before. */
function noteName(json: Buffer, start: number, end: number, names: Set<number>, extent: JsonExtent): void {
  const length = end - start - 1;
  if (length <= LONG_NAME_BYTES) {
    let mark = NAME_SEED;
    let onlyDigits = length > 0 && length <= TOKEN_NUMBER_DIGITS;
    for (let at = start + 1; at < end; at++) {
      const byte = json[at] ?? 0;
      onlyDigits &&= byte >= DIGIT_0 && byte <= DIGIT_9;
      mark = Math.imul(mark ^ byte, FNV_PRIME) ^ (mark >>> 15);
    }
    if (onlyDigits || names.has(mark)) return;
    names.add(mark);
  }
  extent.names++;
}

/** Where the last character of the number stands that begins at `start`. */
function endOfNumber(json: Buffer, start: number, extent: JsonExtent): number {
  let at = start + 1;
  let hasExponent = false;
  for (; at < json.length; at++) {
    const byte = json[at] ?? 0;
    if (byte === SMALL_E || byte === CAPITAL_E) hasExponent = true;
    else if ((byte < DIGIT_0 || byte > DIGIT_9) && byte !== POINT && byte !== MINUS && byte !== PLUS) break;
  }
  extent.longNumbers += Math.floor((at - start) / LONG_NUMBER_CHARACTERS) + (hasExponent ? 1 : 0);
  return at - 1;
}

/** Where the white space ends that begins at `start`. */
function endOfSpace(json: Buffer, start: number): number {
  let at = start;
  while (at < json.length && (json[at] ?? 0) <= SPACE) at++;
  return at;
}

/** Where the quote stands that ends the string which begins at `start`; the text's length where none does. */
function endOfString(json: Buffer, start: number): number {
  for (let at = start + 1; ;) {
    for (const turn = at + SHORT_STRING_BYTES; at < turn; at++) {
      const byte = json[at];
      if (byte === QUOTE || byte === undefined) return at;
      if (byte === BACKSLASH) at++;
    }
    // The next one that no backslash precedes, or an even number of them: those escape each other.
    const quote = json.indexOf(QUOTE, at);
    if (quote < 0) return json.length;
    let backslashes = 0;
    while (quote - backslashes > at && json[quote - backslashes - 1] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote;
    at = quote + 1;
  }
}
