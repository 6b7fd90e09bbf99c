import type { ReasoningSettings } from '../generation.ts';
import { isObject } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';
import { numberIn } from './reading.ts';

/** What a client says when it only turns thinking on. */
const ON = 'medium';

interface Wish {
  effort?: string;
  budgetTokens?: number;
  show?: boolean;
}

/** The names under which clients of this wire ask for thought beside `reasoning_effort`, and what each of them says. */
const READERS: Readonly<Record<string, (value: unknown) => Wish>> = {
  reasoning: readReasoning,
  thinking: readThinking,
  enable_thinking: readSwitch,
  thinking_budget: readBudget,
  chat_template_kwargs: (value) => (isObject(value) ? { ...readSwitch(value['enable_thinking'] ?? value['thinking']) } : {}),
  include_reasoning: (value) => (typeof value === 'boolean' ? { show: value } : {}),
  reasoning_format: (value) => (typeof value === 'string' ? { show: value !== 'hidden' } : {}),
};

/** How the client wants the model to think, and the names of the extras that say it. The wire's own `reasoning_effort` goes first. */
export function reasoningOf(
  effort: unknown,
  extras: JsonObject,
  hasTools: boolean,
): { reasoning: ReasoningSettings | null; read: ReadonlySet<string> } {
  const read = new Set<string>();
  let wish: Wish = typeof effort === 'string' ? { effort } : {};
  for (const [name, reader] of Object.entries(READERS)) {
    const said = name in extras ? reader(extras[name]) : {};
    if (Object.keys(said).length === 0) continue;
    read.add(name);
    wish = { ...said, ...wish };
  }
  if (Object.keys(wish).length === 0) return { reasoning: null, read };
  const { budgetTokens = null, show = null } = wish;
  const word = wish.effort ?? null;
  // A word of the wire's own says more than a switch; a budget more than either.
  const isOff = word === 'none';
  return {
    reasoning: {
      effort: budgetTokens !== null && !isOff ? null : word,
      budgetTokens: isOff ? null : budgetTokens,
      show,
      // What a model thought before it called a tool is wanted back with the tool's result.
      sealed: hasTools && !isOff,
    },
    read,
  };
}

/** OpenRouter's: https://openrouter.ai/docs/use-cases/reasoning-tokens */
function readReasoning(value: unknown): Wish {
  if (!isObject(value)) return {};
  const { effort, enabled, exclude } = value;
  return {
    ...(enabled === true && { effort: ON }),
    ...(typeof effort === 'string' && { effort }),
    ...(enabled === false && { effort: 'none' }),
    ...readBudget(value['max_tokens']),
    ...(typeof exclude === 'boolean' && { show: !exclude }),
  };
}

/** Anthropic's, which DeepSeek and Moonshot have taken over. */
function readThinking(value: unknown): Wish {
  if (!isObject(value)) return {};
  const { type, display } = value;
  if (type === 'disabled') return { effort: 'none' };
  return { effort: ON, ...readBudget(value['budget_tokens']), ...(typeof display === 'string' && { show: display !== 'omitted' }) };
}

function readSwitch(value: unknown): Wish {
  return typeof value === 'boolean' ? { effort: value ? ON : 'none' } : {};
}

function readBudget(value: unknown): Wish {
  const budgetTokens = numberIn(value);
  return budgetTokens !== null && Number.isSafeInteger(budgetTokens) && budgetTokens >= 0 ? { budgetTokens } : {};
}
