import { GatewayError } from '../errors.ts';
import { parseExactJson, type ExactJson } from './exact-json.ts';
import { jsonExtent, type JsonExtent } from './json-extent.ts';
import type { ReadBody } from './request.ts';
import type { JsonObject } from './wire.ts';

/** Deeper than any real tool schema, and far from what a recursive writer of JSON could choke on. */
const MAX_DEPTH = 64;
/** More than any real conversation; what is read of that many takes some hundredths of a second and some megabytes. */
const MAX_VALUES = 200_000;
/** Each that no other member has costs several times as much as an element of a list. A conversation repeats some dozens. */
const MAX_NAMES = 20_000;
/** Each is kept in its own words, which costs as much as some fifty others. */
const MAX_LONG_NUMBERS = 5_000;
/** A body up to this size can hold no more of any of them. */
const UNMEASURED_BYTES = '1e1,'.length * MAX_LONG_NUMBERS;
const MAX_NAME_BYTES = 200;

export interface ParseJsonOptions {
  /** The most values that the body may hold, where it may hold more than others. */
  maxValues?: number;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A request's body as its fields; throws as `parseJson` does, and where it is no object. */
export function parseBody(body: Buffer, options: ParseJsonOptions = {}): ReadBody {
  const { value, verbatim } = parseJson(body, options);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new GatewayError('invalid_request', { message: 'The body must be a JSON object.' });
  }
  return { fields: value as JsonObject, verbatim: verbatim as JsonObject, bodyBytes: body.length };
}

/**
 * The JSON value in a request's body, and the same to be passed on. What it costs to read is bounded before anything of it is built.
 * Throws GatewayError `too_many_values`, and `invalid_request` for bytes that are not UTF-8 or not JSON, for what would cost far more to
 * read than its values, and for a member called `__proto__`, which some reader downstream might take for a prototype.
 */
export function parseJson(body: Buffer, { maxValues = MAX_VALUES }: ParseJsonOptions = {}): ExactJson {
  const hasLongNumbers = body.length > UNMEASURED_BYTES ? measure(body, maxValues).longNumbers > 0 : undefined;
  let parsed: ExactJson;
  try {
    parsed = parseExactJson(utf8.decode(body), hasLongNumbers);
  } catch (cause) {
    throw new GatewayError('invalid_request', { message: 'The body is not valid JSON.', cause });
  }
  inspect(parsed.value, [], MAX_DEPTH);
  return parsed;
}

function measure(body: Buffer, maxValues: number): JsonExtent {
  const most = { values: maxValues, names: MAX_NAMES, depth: MAX_DEPTH, longNumbers: MAX_LONG_NUMBERS };
  const extent = jsonExtent(body, most);
  if (extent.values > maxValues)
    throw new GatewayError('too_many_values', { message: `The body holds more than ${maxValues} JSON values.` });
  if (extent.depth > MAX_DEPTH) throw tooDeep(nameAt(body, extent.fieldAt));
  if (extent.names > MAX_NAMES)
    throw invalid(`The body's members have more than ${MAX_NAMES} different names.`, nameAt(body, extent.fieldOfNameAt));
  if (extent.longNumbers > MAX_LONG_NUMBERS)
    throw invalid(`The body holds more than ${MAX_LONG_NUMBERS} numbers of 16 digits or with an exponent.`);
  return extent;
}

/** The name that begins with the quote at `start`, as far as it will be shown. Undefined where there is none. */
function nameAt(body: Buffer, start: number): string | undefined {
  return /^"((?:[^"\\]|\\.)*)/.exec(body.toString('utf8', start, start + MAX_NAME_BYTES))?.[1];
}

function inspect(value: unknown, path: (string | number)[], depthLeft: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (depthLeft === 0) throw tooDeep(String(path[0]));
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) descend(value[index], index, path, depthLeft);
    return;
  }
  for (const key of Object.keys(value)) {
    if (key === '__proto__') {
      throw new GatewayError('invalid_request', { message: 'A member may not be called __proto__.', param: [...path, key].join('.') });
    }
    descend((value as Record<string, unknown>)[key], key, path, depthLeft);
  }
}

function tooDeep(param?: string): GatewayError {
  return invalid(`The body is nested deeper than ${MAX_DEPTH} levels.`, param);
}

function invalid(message: string, param?: string): GatewayError {
  return new GatewayError('invalid_request', { message, ...(param !== undefined && { param }) });
}

function descend(member: unknown, key: string | number, path: (string | number)[], depthLeft: number): void {
  if (typeof member !== 'object' || member === null) return;
  path.push(key);
  inspect(member, path, depthLeft - 1);
  path.pop();
}
