import type { ReasoningSettings } from '../generation.ts';
import type { ModelTraits } from '../target.ts';
import type { JsonObject } from '../wire.ts';

/** Depth of thought in every wire's words, weakest first, and what each comes to in tokens. */
const DEPTHS: readonly (readonly [word: string, tokens: number])[] = [
  ['minimal', 1024],
  ['low', 2048],
  ['medium', 8192],
  ['high', 16_384],
  ['xhigh', 22_000],
  ['max', 32_000],
];
const LEAST_BUDGET = 1024;

/** How a model is to be told to think. */
export interface ThinkingPlan {
  /** A word for `output_config.effort`. */
  readonly effort: string | null;
  /** Whether it will think: some settings are refused beside that. */
  readonly thinks: boolean;
  /** The member `thinking`, under an output cap; undefined for none. */
  settings(outputTokens: number): JsonObject | undefined;
  /** True where what the client asked for cannot be said. */
  readonly unsaid: boolean;
}

const NOTHING: ThinkingPlan = { effort: null, thinks: false, settings: () => undefined, unsaid: false };

/**
 * Says a client's wish for thought as a family of models takes it.
 * @param mayThink false where something else in the request does not go together with thinking.
 */
export function planThinking(wish: ReasoningSettings | null, traits: ModelTraits, mayThink: boolean): ThinkingPlan {
  if (!wish || (wish.effort === null && wish.budgetTokens === null)) return planShown(wish, traits, mayThink);
  const off = wish.effort === 'none' || wish.budgetTokens === 0;
  const wanted = wish.budgetTokens ?? budgetOf(wish.effort);
  switch (traits.reasoning) {
    case 'none':
      return { ...NOTHING, unsaid: !off };
    case 'toggle':
      return { ...NOTHING, thinks: !off, settings: () => ({ type: off ? 'disabled' : 'enabled' }) };
    case 'budget':
      if (off) return { ...NOTHING, unsaid: traits.thinksAlways };
      return mayThink ? withBudget(wanted, wish.show) : { ...NOTHING, unsaid: true };
    case 'effort':
      if (off && !traits.thinksAlways) return { ...NOTHING, settings: () => ({ type: 'disabled' }) };
      return withEffort(off ? (traits.efforts[0] ?? null) : nearestEffort(wish, traits.efforts), traits, mayThink, wish.show);
  }
}

/** A client that says nothing of depth may still want to see the thoughts. */
function planShown(wish: ReasoningSettings | null, traits: ModelTraits, mayThink: boolean): ThinkingPlan {
  if (wish?.show !== true || traits.reasoning !== 'effort') return { ...NOTHING, thinks: traits.thinksAlways };
  return withEffort(null, traits, mayThink, true);
}

function withBudget(wanted: number, show: boolean | null): ThinkingPlan {
  return {
    ...NOTHING,
    thinks: true,
    settings(outputTokens) {
      // Some of the cap is for the answer.
      const budget = Math.max(LEAST_BUDGET, Math.min(wanted, Math.floor(outputTokens * 0.8)));
      return budget < outputTokens ? { type: 'enabled', budget_tokens: budget, ...display(show) } : undefined;
    },
  };
}

function withEffort(effort: string | null, traits: ModelTraits, mayThink: boolean, show: boolean | null): ThinkingPlan {
  // The word `max` came together with thinking that needs no budget.
  const thinks = (mayThink && traits.efforts.includes('max')) || traits.thinksAlways;
  return { effort, thinks, unsaid: false, settings: () => (thinks ? { type: 'adaptive', ...display(show) } : undefined) };
}

function display(show: boolean | null): JsonObject {
  if (show === null) return {};
  return { display: show ? 'summarized' : 'omitted' };
}

function budgetOf(effort: string | null): number {
  return DEPTHS.find(([word]) => word === effort)?.[1] ?? 8192;
}

/** Of the words that a model takes, the one that comes nearest. */
function nearestEffort({ effort, budgetTokens }: ReasoningSettings, efforts: readonly string[]): string | null {
  if (effort !== null && efforts.includes(effort)) return effort;
  const wanted = budgetTokens ?? budgetOf(effort);
  const away = (word: string): number => Math.abs(Math.log2(budgetOf(word) / Math.max(wanted, 1)));
  return efforts.toSorted((one, other) => away(one) - away(other))[0] ?? null;
}
