import type { JsonObject } from './wire.ts';

/** OpenAI's word, for the whole prompt. */
const LONG_RETENTION = '24h';
/** Anthropic's, in a mark. What a client wrote in words has its quotation marks escaped. */
const LONG_MARK = '"ttl":"1h"';

/**
 * Whether a request asks for something to be cached for an hour or more, which is written to the cache at a price of its own.
 * @param text the same fields as JSON.
 */
export function asksForLongCache(fields: JsonObject, text: string): boolean {
  return fields['prompt_cache_retention'] === LONG_RETENTION || text.includes(LONG_MARK);
}
