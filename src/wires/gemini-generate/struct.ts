import { parseExactJson } from '../exact-json.ts';
import { jsonExtent } from '../json-extent.ts';
import type { JsonObject } from '../wire.ts';

/** Google's reader of JSON gives up at a hundred levels, of which the rest of a request takes some. */
const MOST_LEVELS = 64;
const NO_LIMIT = Number.MAX_SAFE_INTEGER;

/**
 * The JSON object that a text holds; null where it holds none, or one that would not arrive as it is: nested too deep, or with a number
 * that the provider's doubles would change.
 */
export function structFrom(text: string): JsonObject | null {
  if (!text.trimStart().startsWith('{')) return null;
  const extent = jsonExtent(Buffer.from(text), { values: NO_LIMIT, names: 0, depth: MOST_LEVELS, longNumbers: NO_LIMIT });
  if (extent.depth > MOST_LEVELS || extent.longNumbers > 0) return null;
  try {
    return parseExactJson(text).value as JsonObject;
  } catch {
    return null;
  }
}
