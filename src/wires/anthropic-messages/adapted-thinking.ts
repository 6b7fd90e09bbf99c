import { isObject, listIn } from '../json-object.ts';
import type { InferenceRequest } from '../request.ts';
import type { ModelTraits } from '../target.ts';
import type { JsonObject } from '../wire.ts';
import { planThinking, type ThinkingPlan } from './thinking.ts';
import { mayThink } from './turns.ts';

/** The API's own default. */
const USUAL_EFFORT = 'high';

/**
 * How a model is told to think that would refuse the client's own words: clients choose them by the model that they asked for, and the
 * gateway may have chosen another. Null where the words fit, as they nearly always do.
 */
export function adaptedThinking(request: InferenceRequest, traits: ModelTraits): ThinkingPlan | null {
  if (fits(request.fields, traits)) return null;
  const { reasoning, toolChoice } = request.generation();
  const turns = listIn(request.fields['messages']).filter(isObject) as unknown as Parameters<typeof mayThink>[1];
  const isAsked = reasoning !== null && reasoning.effort === null && reasoning.budgetTokens === null;
  return planThinking(isAsked ? { ...reasoning, effort: USUAL_EFFORT } : reasoning, traits, mayThink(toolChoice, turns));
}

/** Budgets went when finer efforts came. */
function fits({ thinking, output_config: output, messages }: JsonObject, { reasoning, efforts, thinksAlways }: ModelTraits): boolean {
  const type = isObject(thinking) ? thinking['type'] : undefined;
  if (reasoning === 'effort') return !(type === 'enabled' && efforts.includes('xhigh')) && !(type === 'disabled' && thinksAlways);
  if (reasoning !== 'budget') return true;
  const saysEffort = (one: unknown): boolean => isObject(one) && (one['effort'] ?? null) !== null;
  const isTold = saysEffort(output) || listIn(messages).some((message) => isObject(message) && saysEffort(message['output_config']));
  return !isTold && (type === undefined || type === 'enabled' || type === 'disabled');
}

/** Fields without the client's own words about thinking, and with an effort where there is one. */
export function withPlan(fields: JsonObject, { effort }: ThinkingPlan): JsonObject {
  const { thinking: _thinking, output_config: output, ...others } = fields;
  const { effort: _effort, ...kept } = isObject(output) ? output : {};
  const config = { ...kept, ...(effort !== null && { effort }) };
  return {
    ...others,
    messages: listIn(fields['messages']).map(withoutOutputConfig),
    ...(Object.keys(config).length > 0 && { output_config: config }),
  };
}

function withoutOutputConfig(message: unknown): unknown {
  if (!isObject(message) || message['output_config'] === undefined) return message;
  const { output_config: _config, ...others } = message;
  return others;
}
