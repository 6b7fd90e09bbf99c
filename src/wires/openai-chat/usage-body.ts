import { promptTokensOf, type ReportedUsage } from '../usage.ts';
import type { JsonObject } from '../wire.ts';

/** Figures as the chat wire says them: what was cached is part of the prompt, reasoning part of the completion. */
export function usageBody({ input, output, ...usage }: ReportedUsage): JsonObject {
  const prompt = promptTokensOf({ ...usage, input: input ?? 0 });
  const written = usage.cacheWrite + usage.cacheWriteLong;
  return {
    prompt_tokens: prompt,
    completion_tokens: output ?? 0,
    total_tokens: prompt + (output ?? 0),
    prompt_tokens_details: { cached_tokens: usage.cacheRead, ...(written > 0 && { cache_write_tokens: written }) },
    completion_tokens_details: { reasoning_tokens: usage.reasoning },
  };
}
