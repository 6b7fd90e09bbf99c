import { isObject, listIn } from '../json-object.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';
import type { JsonObject } from '../wire.ts';
import { adaptedThinking, withPlan } from './adapted-thinking.ts';
import { isHarmlessBeta } from './betas.ts';
import { withoutForeignThoughts } from './marks.ts';
import { messagesWithoutMedia } from './media.ts';
import type { MessagesRequest } from './render.ts';
import { asMarkedText, inOrder, type Turn } from './turns.ts';

/** What a surface of this wire tells its upstream apart from the request's fields. */
export interface OwnOfMessages {
  /** Names in the client's `anthropic-beta` header. */
  readonly betas?: readonly string[];
  /** Types of the hosted tools that were only offered, and left out. */
  readonly hosted?: readonly string[];
}

/** A request of the same wire: its fields as they were sent, but for those that the model would refuse and that change no meaning. */
export function renderVerbatim(request: InferenceRequest, { traits, dialect }: Target): MessagesRequest {
  const { fields, own } = request;
  const { betas = [], hosted = [] } = own as OwnOfMessages;
  const [sent, left] = [betas.filter(isHarmlessBeta), betas.filter((name) => !isHarmlessBeta(name))];
  const dropped = new Set(dialect.drops.filter((name) => fields[name] !== undefined));
  if (traits.sampling === 'refused')
    for (const name of ['temperature', 'top_p', 'top_k']) if (fields[name] !== undefined) dropped.add(name);
  if (traits.sampling === 'one' && fields['temperature'] !== undefined && fields['top_p'] !== undefined) dropped.add('top_p');
  const plan = adaptedThinking(request, traits);
  const said = Object.entries(fields).filter(([name]) => !dropped.has(name));
  const kept = plan ? withPlan(Object.fromEntries(said), plan) : Object.fromEntries(said);
  if (plan?.unsaid) dropped.add('thinking');
  kept['messages'] = withoutForeignThoughts(kept['messages']);
  if (!traits.takesInlineSystem && hasInlineSystem(kept['messages'])) kept['messages'] = withMarkedSystem(kept['messages']);
  return {
    fields: kept,
    headers: sent.length > 0 ? ['anthropic-beta', sent.join(',')] : [],
    ignored: [...dropped, ...hosted, ...left],
    atCap: (outputTokens) => {
      const settings = plan?.settings(outputTokens);
      return settings ? { thinking: settings } : thinkingAtCap(kept['thinking'], outputTokens);
    },
    withoutMedia: () => ({ ...kept, messages: messagesWithoutMedia(kept['messages']) }),
  };
}

/** A cap that the model lowers takes the budget for thinking with it. */
function thinkingAtCap(thinking: unknown, outputTokens: number): JsonObject {
  if (!isObject(thinking) || typeof thinking['budget_tokens'] !== 'number' || thinking['budget_tokens'] < outputTokens) return {};
  return { thinking: { ...thinking, budget_tokens: outputTokens - 1 } };
}

function hasInlineSystem(messages: unknown): boolean {
  return listIn(messages).some((message) => isObject(message) && message['role'] === 'system');
}

/** Instructions in the middle of a conversation, for a model that knows none there: in their place, marked, and said by the user. */
function withMarkedSystem(messages: unknown): Turn[] {
  const turns = listIn(messages).map((message): Turn => {
    const { role, content } = message as { role: Turn['role']; content: string | JsonObject[] };
    const blocks = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
    return role === 'system' ? { role: 'user', content: asMarkedText(blocks) } : { role, content: blocks };
  });
  return inOrder(turns);
}
