import { asObject } from '../json-object.ts';
import { wireCount, type ReportedUsage } from '../usage.ts';

/**
 * The usage that a provider reports in the OpenAI wire format (https://platform.openai.com/docs/api-reference/chat/object)
 * or in one of its dialects; null where not one main figure is sound. A figure that is negative, fractional, absurdly large
 * or no number is as if it were missing; the others count.
 *
 * - `input_tokens` and `output_tokens`, with their details, in place of the prompt's and the completion's names.
 * - Cached tokens: in `prompt_tokens_details`, at the top (Moonshot), or as `prompt_cache_hit_tokens` (DeepSeek).
 * - Reasoning on top of `completion_tokens` (xAI, Gemini): the total tells, or reasoning above the completion it would be part of.
 * - The cache beside the prompt and not in it (translated from Anthropic): the total tells, or Anthropic's own names without one.
 */
export function reportedUsageOf(value: unknown): ReportedUsage | null {
  const usage = asObject(value);
  const promptDetails = asObject(usage['prompt_tokens_details'] ?? usage['input_tokens_details']);
  const completionDetails = asObject(usage['completion_tokens_details'] ?? usage['output_tokens_details']);
  const hit = wireCount(usage['prompt_cache_hit_tokens']);
  const miss = wireCount(usage['prompt_cache_miss_tokens']);
  const total = wireCount(usage['total_tokens']);
  const completion = wireCount(usage['completion_tokens']) ?? wireCount(usage['output_tokens']);
  const named = wireCount(usage['prompt_tokens']) ?? wireCount(usage['input_tokens']);
  const inside = named ?? (hit !== null && miss !== null ? hit + miss : null);
  if (inside === null && completion === null) return null;

  const cached = most(promptDetails['cached_tokens'], usage['cached_tokens'], hit, usage['cache_read_input_tokens']);
  const written = most(promptDetails['cache_write_tokens'], usage['cache_creation_input_tokens']);
  const long = longWritten(usage, promptDetails);
  const reasoning = most(completionDetails['reasoning_tokens'], usage['reasoning_tokens']);
  const unexplained = total === null || inside === null || completion === null ? 0 : total - inside - completion;
  const isBeside = total === null ? isAnthropics(usage) : unexplained > 0 && unexplained === cached + written && unexplained !== reasoning;
  const beside = isBeside ? cached + written : 0;
  const prompt = inside === null ? difference(total, completion) : inside + beside;
  const output = largest(
    completion,
    difference(total, prompt),
    completion !== null && reasoning > completion ? completion + reasoning : null,
  );
  // More read from the cache than was sent is no figure.
  const cacheRead = prompt !== null && cached <= prompt ? cached : 0;
  // "Unadjusted": it may overlap with what was read.
  const cacheWrite = Math.max(0, Math.min(written, (prompt ?? 0) - cacheRead));
  const cacheWriteLong = Math.min(long, cacheWrite);
  return {
    input: prompt === null ? null : prompt - cacheRead - cacheWrite,
    cacheRead,
    cacheWrite: cacheWrite - cacheWriteLong,
    cacheWriteLong,
    output,
    // What the total has beyond the completion is reasoning.
    reasoning: output === null ? 0 : Math.min(output, Math.max(reasoning, output - (completion ?? output))),
  };
}

/** What was written to the cache for long, in the words of OpenAI, of Anthropic, and of those who hand Anthropic's on. */
function longWritten(usage: Record<string, unknown>, promptDetails: Record<string, unknown>): number {
  return most(
    asObject(promptDetails['cache_write_tokens_details'])['ttl_12h_tokens'],
    asObject(usage['cache_creation'])['ephemeral_1h_input_tokens'],
    asObject(promptDetails['cache_creation_token_details'])['ephemeral_1h_input_tokens'],
  );
}

/** Anthropic's own figures (https://docs.anthropic.com/en/api/messages), where what was read from the cache or written to it is no input. */
function isAnthropics(usage: Record<string, unknown>): boolean {
  const ownNames = [usage['cache_read_input_tokens'], usage['cache_creation_input_tokens']];
  return (
    wireCount(usage['prompt_tokens']) === null &&
    wireCount(usage['input_tokens']) !== null &&
    ownNames.some((own) => wireCount(own) !== null)
  );
}

function most(...values: unknown[]): number {
  return Math.max(0, ...values.map((value) => wireCount(value) ?? 0));
}

function largest(...values: (number | null)[]): number | null {
  const counts = values.filter((value) => value !== null);
  return counts.length > 0 ? Math.max(...counts) : null;
}

/** What a total leaves beside one of its parts; of a part that is said to be nothing, which no prompt is, it tells nothing. */
function difference(total: number | null, part: number | null): number | null {
  return total !== null && part && total >= part ? total - part : null;
}
