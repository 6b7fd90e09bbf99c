import type { ReasoningSettings } from '../generation.ts';

/** OpenAI's words for how deeply to think, weakest first, each with the budget in tokens from which it is meant elsewhere. */
const DEPTHS: readonly (readonly [word: string, budgetTokens: number])[] = [
  ['none', 0],
  ['minimal', 1],
  ['low', 1_024],
  ['medium', 4_096],
  ['high', 16_384],
  ['xhigh', 32_768],
  ['max', 65_536],
];

/**
 * The word that a model takes and that is nearest to what was asked for; the client's own where nothing is known of the model. Null where
 * nothing was asked for.
 * @param efforts the words that the model takes; empty where that is not known.
 */
export function effortFor({ effort, budgetTokens }: ReasoningSettings, efforts: readonly string[]): string | null {
  const wanted = budgetTokens === null ? effort : (DEPTHS.findLast(([, from]) => budgetTokens >= from)?.[0] ?? null);
  if (wanted === null || efforts.length === 0 || efforts.includes(wanted)) return wanted;
  const away = (word: string): number => Math.abs(rankOf(word) - rankOf(wanted));
  return efforts.toSorted((one, other) => away(one) - away(other))[0] ?? null;
}

function rankOf(word: string): number {
  const rank = DEPTHS.findIndex(([known]) => known === word);
  return rank < 0 ? DEPTHS.length / 2 : rank;
}
