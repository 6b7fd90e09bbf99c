import type { ReasoningSettings } from '../generation.ts';
import type { ModelTraits } from '../target.ts';
import type { JsonObject } from '../wire.ts';

/** Depths of thought in every wire's words, weakest first, and the budget that each comes to (https://ai.google.dev/gemini-api/docs/openai). */
const BUDGETS: ReadonlyMap<string, number> = new Map([
  ['none', 0],
  ['minimal', 512],
  ['low', 1024],
  ['medium', 8192],
  ['high', 24_576],
  ['xhigh', 24_576],
  ['max', 24_576],
]);
const DEPTHS = [...BUDGETS.keys()];
/** What every model with budgets takes; some take a little more or less. */
const LEAST_BUDGET = 512;
const MOST_BUDGET = 24_576;
/** Where nobody says which levels a model has: all that have levels have these. */
const USUAL_LEVELS = ['low', 'high'];

export interface Thinking {
  /** For `generationConfig`; undefined where nothing is to be said. */
  readonly thinkingConfig: JsonObject | undefined;
  /** True where the client asked for something that cannot be said. */
  readonly unsaid: boolean;
}

/** Says a client's wish for thought as the model takes it: as a level, as a budget, or not at all. */
export function thinkingFor(wish: ReasoningSettings | null, traits: ModelTraits): Thinking {
  if (!wish) return { thinkingConfig: undefined, unsaid: false };
  const { effort, budgetTokens, show } = wish;
  const says = effort !== null || budgetTokens !== null;
  const isOff = budgetTokens === 0 || (budgetTokens === null && effort === 'none');
  // Even a request to show them is refused by a model that has no thoughts.
  if (traits.reasoning === 'none') return { thinkingConfig: undefined, unsaid: says && !isOff };
  const config = {
    ...(says && depthFor(wish, isOff, traits)),
    ...(show !== null && !isOff && { includeThoughts: show }),
  };
  return { thinkingConfig: Object.keys(config).length > 0 ? config : undefined, unsaid: isOff && traits.thinksAlways };
}

function depthFor({ effort, budgetTokens }: ReasoningSettings, isOff: boolean, traits: ModelTraits): JsonObject {
  if (traits.reasoning === 'effort') {
    const levels = traits.efforts.length > 0 ? traits.efforts : USUAL_LEVELS;
    return { thinkingLevel: nearestLevel(budgetTokens === null ? effort : effortOf(budgetTokens), levels).toUpperCase() };
  }
  if (isOff) return { thinkingBudget: traits.thinksAlways ? LEAST_BUDGET : 0 };
  if (traits.reasoning === 'toggle') return { thinkingBudget: -1 };
  const budget = budgetTokens ?? BUDGETS.get(effort ?? '');
  // A word that nobody knows leaves the depth to the model.
  return { thinkingBudget: budget === undefined ? -1 : Math.min(Math.max(budget, LEAST_BUDGET), MOST_BUDGET) };
}

function effortOf(budgetTokens: number): string {
  return [...BUDGETS].find(([, budget]) => budget >= budgetTokens)?.[0] ?? 'high';
}

/** Of the levels that a model has, weakest first, the one that comes nearest; the weaker of two. */
function nearestLevel(effort: string | null, levels: readonly string[]): string {
  const wanted = DEPTHS.indexOf(effort ?? '');
  const away = (level: string): number => Math.abs(DEPTHS.indexOf(level) - (wanted < 0 ? DEPTHS.indexOf('medium') : wanted));
  return levels.toSorted((one, other) => away(one) - away(other))[0] ?? 'low';
}
