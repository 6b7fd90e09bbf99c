import type { ReasoningSettings } from '../generation.ts';
import type { Target } from '../target.ts';
import type { JsonObject } from '../wire.ts';

/** Depth of thought in every wire's words, weakest first, and what each comes to in tokens. */
const TOKENS: ReadonlyMap<string, number> = new Map([
  ['none', 0],
  ['minimal', 1024],
  ['low', 2048],
  ['medium', 8192],
  ['high', 16_384],
  ['xhigh', 24_576],
  ['max', 32_000],
]);
const USUAL = 8192;

/** A client's wish for thought as the model takes it on this wire; `unsaid` where it cannot be said. */
export function wireReasoning(wish: ReasoningSettings | null, { traits, dialect }: Target): { fields: JsonObject; unsaid: boolean } {
  if (!wish || (wish.effort === null && wish.budgetTokens === null)) return { fields: {}, unsaid: false };
  const wanted = wish.budgetTokens ?? TOKENS.get(wish.effort ?? '') ?? USUAL;
  const off = wanted === 0;
  if (off && traits.thinksAlways) return { fields: {}, unsaid: true };
  const takes = (field: string): boolean => dialect.takes.includes(field);
  switch (traits.reasoning) {
    case 'none':
      return { fields: {}, unsaid: !off };
    case 'effort': {
      if (off && !traits.efforts.includes('none') && takes('thinking'))
        return { fields: { thinking: { type: 'disabled' } }, unsaid: false };
      const effort = wish.effort !== null && traits.efforts.includes(wish.effort) ? wish.effort : nearest(wanted, traits.efforts);
      return effort === null ? { fields: {}, unsaid: true } : { fields: { reasoning_effort: effort }, unsaid: false };
    }
    case 'toggle':
    case 'budget': {
      const budget = traits.reasoning === 'budget' && !off ? wanted : null;
      if (takes('thinking'))
        return {
          fields: { thinking: { type: off ? 'disabled' : 'enabled', ...(budget !== null && { budget_tokens: budget }) } },
          unsaid: false,
        };
      if (takes('enable_thinking'))
        return {
          fields: { enable_thinking: !off, ...(budget !== null && takes('thinking_budget') && { thinking_budget: budget }) },
          unsaid: false,
        };
      if (takes('chat_template_kwargs')) return { fields: { chat_template_kwargs: { enable_thinking: !off } }, unsaid: false };
      return { fields: {}, unsaid: true };
    }
  }
}

function nearest(wanted: number, efforts: readonly string[]): string | null {
  const away = (word: string): number => Math.abs(Math.log2(Math.max(TOKENS.get(word) ?? USUAL, 1) / Math.max(wanted, 1)));
  return efforts.toSorted((one, other) => away(one) - away(other))[0] ?? null;
}
