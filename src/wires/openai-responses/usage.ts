import { promptTokensOf, wireCount, type ReportedUsage, type Usage } from '../usage.ts';
import type { JsonObject } from '../wire.ts';
import { asObject } from '../json-object.ts';

/**
 * The figures of a response (https://platform.openai.com/docs/api-reference/responses/object), where what was read from the cache or written
 * to it is part of the input, and reasoning part of the output. Null where not one main figure is sound. A figure that is negative,
 * fractional, absurdly large or no number is as if missing.
 */
export function usageFromResponses(value: unknown): ReportedUsage | null {
  const usage = asObject(value);
  const details = asObject(usage['input_tokens_details']);
  const total = wireCount(usage['total_tokens']);
  const told = wireCount(usage['output_tokens']);
  const prompt = wireCount(usage['input_tokens']) ?? rest(total, told);
  if (prompt === null && told === null) return null;
  const output = most(told, rest(total, prompt));
  // More than was sent is no figure, and "written" may overlap with what was read.
  const cached = wireCount(details['cached_tokens']) ?? 0;
  const cacheRead = cached <= (prompt ?? 0) ? cached : 0;
  const written = Math.min(wireCount(details['cache_write_tokens']) ?? 0, (prompt ?? 0) - cacheRead);
  const long = Math.min(wireCount(asObject(details['cache_write_tokens_details'])['ttl_12h_tokens']) ?? 0, written);
  const reasoning = wireCount(asObject(usage['output_tokens_details'])['reasoning_tokens']) ?? 0;
  return {
    input: prompt === null ? null : prompt - cacheRead - written,
    cacheRead,
    cacheWrite: written - long,
    cacheWriteLong: long,
    output,
    reasoning: Math.min(output ?? 0, reasoning),
  };
}

/** Figures in this wire's words. */
export function usageToResponses(usage: ReportedUsage | Usage): JsonObject {
  const prompt = promptTokensOf({ ...usage, input: usage.input ?? 0 });
  const output = usage.output ?? 0;
  return {
    input_tokens: prompt,
    input_tokens_details: { cached_tokens: usage.cacheRead, cache_write_tokens: usage.cacheWrite + usage.cacheWriteLong },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: usage.reasoning },
    total_tokens: prompt + output,
  };
}

/** What a total leaves beside one of its parts; of a part that is said to be nothing, which no prompt is, it tells nothing. */
function rest(total: number | null, part: number | null): number | null {
  return total !== null && part && total >= part ? total - part : null;
}

function most(...values: (number | null)[]): number | null {
  const counts = values.filter((value) => value !== null);
  return counts.length > 0 ? Math.max(...counts) : null;
}
