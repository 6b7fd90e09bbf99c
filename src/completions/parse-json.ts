import { GatewayError } from '../errors.ts';
import { parseExactJson, type ExactJson } from './exact-json.ts';

/** Deeper than any real tool schema, and far from what a recursive writer of JSON could choke on. */
const MAX_DEPTH = 64;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * The JSON value in a request's body, and the same to be passed on.
 * Throws GatewayError `invalid_request` for bytes that are not UTF-8 or not JSON, for nesting deeper than 64, and for
 * a member called `__proto__`, which some reader downstream might take for a prototype.
 */
export function parseJson(body: Buffer): ExactJson {
  let parsed: ExactJson;
  try {
    parsed = parseExactJson(utf8.decode(body));
  } catch (cause) {
    throw new GatewayError('invalid_request', { message: 'The body is not valid JSON.', cause });
  }
  inspect(parsed.value, [], MAX_DEPTH);
  return parsed;
}

function inspect(value: unknown, path: (string | number)[], depthLeft: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (depthLeft === 0) {
    throw new GatewayError('invalid_request', { message: `The body is nested deeper than ${MAX_DEPTH} levels.`, param: String(path[0]) });
  }
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

function descend(member: unknown, key: string | number, path: (string | number)[], depthLeft: number): void {
  if (typeof member !== 'object' || member === null) return;
  path.push(key);
  inspect(member, path, depthLeft - 1);
  path.pop();
}
