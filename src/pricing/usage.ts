import { z } from 'zod';
import type { Usage } from './rate-card.ts';

/** Far above any model's context or output times `n`; a count beyond it is a fault, not a bill. */
const MAX_TOKENS = 1_000_000_000;

const count = z.int().min(0).max(MAX_TOKENS);
const details = count.nullish();

/** `usage` of OpenAI's chat completions, as far as the bill needs it. */
const usageSchema = z.object({
  prompt_tokens: count,
  completion_tokens: count,
  prompt_tokens_details: z.object({ cached_tokens: details, cache_write_tokens: details }).nullish(),
  completion_tokens_details: z.object({ reasoning_tokens: details }).nullish(),
});

/**
 * The usage that a provider reports in the OpenAI wire format (https://platform.openai.com/docs/api-reference/chat/object),
 * or null where it is missing, negative, fractional, absurdly large or contradicts itself: it is never trusted half.
 */
export function usageFromWire(value: unknown): Usage | null {
  const parsed = usageSchema.safeParse(value);
  if (!parsed.success) return null;
  const { prompt_tokens, completion_tokens, prompt_tokens_details, completion_tokens_details } = parsed.data;
  const cachedTokens = prompt_tokens_details?.cached_tokens ?? 0;
  const cacheWriteTokens = prompt_tokens_details?.cache_write_tokens ?? 0;
  if (cachedTokens > prompt_tokens) return null;
  return {
    promptTokens: prompt_tokens,
    completionTokens: completion_tokens,
    cachedTokens,
    // "Unadjusted": it may overlap with what was read.
    cacheWriteTokens: Math.min(cacheWriteTokens, prompt_tokens - cachedTokens),
    reasoningTokens: completion_tokens_details?.reasoning_tokens ?? 0,
  };
}
