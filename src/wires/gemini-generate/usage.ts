import { member } from '../json-object.ts';
import { wireCount, type ReportedUsage } from '../usage.ts';

/**
 * The figures of `usageMetadata` (https://ai.google.dev/api/generate-content#UsageMetadata); null where it holds none, as on the first
 * chunks of some streams. Cached tokens are part of the prompt; what tools read comes on top of the prompt, thoughts on top of the
 * candidates. A figure of nothing is left out on this wire. What a total holds beyond the rest was generated: a kind of output that is
 * not known yet must not come free.
 */
export function usageFromWire(metadata: unknown): ReportedUsage | null {
  const count = (name: string): number | null => wireCount(member(metadata, name));
  const prompt = count('promptTokenCount');
  const candidates = count('candidatesTokenCount');
  const thoughts = count('thoughtsTokenCount');
  if (prompt === null && candidates === null && thoughts === null) return null;

  const toolUse = count('toolUsePromptTokenCount') ?? 0;
  const total = count('totalTokenCount');
  const generated = (candidates ?? 0) + (thoughts ?? 0);
  const unexplained = Math.max(0, (total ?? 0) - (prompt ?? 0) - toolUse - generated);
  const isOutputKnown = candidates !== null || thoughts !== null || total !== null;
  const output = prompt === null ? generated : generated + unexplained;
  const cached = count('cachedContentTokenCount') ?? 0;
  // More read from the cache than was sent is no figure.
  const cacheRead = prompt !== null && cached <= prompt ? cached : 0;
  return {
    input: inputOf({ prompt, toolUse, cacheRead, unexplained }),
    cacheRead,
    cacheWrite: 0,
    cacheWriteLong: 0,
    output: isOutputKnown ? output : null,
    reasoning: isOutputKnown ? (thoughts ?? 0) : 0,
  };
}

/** Without a count of the prompt, the total may tell it: no prompt is nothing. */
function inputOf(counts: { prompt: number | null; toolUse: number; cacheRead: number; unexplained: number }): number | null {
  const { prompt, toolUse, cacheRead, unexplained } = counts;
  if (prompt !== null) return prompt - cacheRead + toolUse;
  return unexplained > 0 ? unexplained + toolUse : null;
}
