import { clientField } from '../client-fields.ts';
import { asFunctions } from '../free-text.ts';
import type { Generation } from '../generation.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';
import type { JsonObject } from '../wire.ts';
import { blocksOf, CallIds, textBlock } from './content.ts';
import { messagesWithoutMedia } from './media.ts';
import { closedSchema } from './schema.ts';
import { planThinking, type ThinkingPlan } from './thinking.ts';
import { wireTools, wireToolChoice } from './tools.ts';
import { asMarkedText, inOrder, limitCacheMarks, mayThink, type Turn } from './turns.ts';

/** A request in this wire, but for what is decided when it is sent. */
export interface MessagesRequest {
  readonly fields: JsonObject;
  readonly ignored: readonly string[];
  /** Members that depend on the output cap. */
  readonly atCap: (outputTokens: number) => JsonObject;
  readonly headers: readonly string[];
  /** The same fields with the data of images and documents emptied. */
  readonly withoutMedia: () => JsonObject;
}

const JSON_ONLY = 'Answer with a single JSON object, and with nothing before or after it.';

/** Writes a request that came in another wire as one of the Messages API: https://docs.anthropic.com/en/api/messages. */
export function renderGeneration(request: InferenceRequest, { traits }: Target): MessagesRequest {
  const generation = asFunctions(request.generation());
  const { format, reasoning, toolChoice, stop, sampling } = generation;
  const turns = turnsOf(generation, traits.takesInlineSystem);
  const system = systemOf(generation, turns);
  const tools = wireTools(generation, traits.takesSchema);
  limitCacheMarks([...tools, ...system, ...turns.flatMap(({ content }) => content)]);
  const thinking = planThinking(reasoning, traits, mayThink(toolChoice, turns));
  const sampled = samplingOf(sampling, traits.sampling, thinking);
  const output = {
    ...(thinking.effort !== null && { effort: thinking.effort }),
    ...(format?.type === 'schema' && { format: { type: 'json_schema', schema: closedSchema(format.schema) } }),
  };
  const fields: JsonObject = {
    ...(system.length > 0 && { system }),
    messages: turns,
    ...(tools.length > 0 && { tools, tool_choice: wireToolChoice(generation) }),
    ...(Object.keys(output).length > 0 && { output_config: output }),
    ...(stop.length > 0 && { stop_sequences: stop }),
    ...sampled.fields,
  };
  return {
    fields,
    headers: [],
    ignored: [...ignoredOf(generation, request, thinking, toolChoice !== null), ...sampled.ignored],
    atCap: (outputTokens) => {
      const settings = thinking.settings(outputTokens);
      return settings ? { thinking: settings } : {};
    },
    withoutMedia: () => ({ ...fields, messages: messagesWithoutMedia(turns) }),
  };
}

function turnsOf(generation: Generation, takesInlineSystem: boolean): Turn[] {
  const ids = new CallIds();
  const turns = generation.messages.map((message): Turn => {
    const content = blocksOf(message, ids);
    if (message.role !== 'system' || takesInlineSystem) return { role: message.role, content };
    return { role: 'user', content: asMarkedText(content) };
  });
  return inOrder(turns);
}

/** The instructions before the conversation. Where nothing else was said they are the user's word: a conversation cannot be empty. */
function systemOf({ system, format }: Generation, turns: Turn[]): JsonObject[] {
  const blocks = system.map(({ text, cache }) => textBlock(text, cache)).filter((block) => block !== null);
  if (turns.length === 0 && blocks.length > 0) turns.push({ role: 'user', content: blocks.splice(0) });
  if (format?.type === 'json') blocks.push({ type: 'text', text: JSON_ONLY });
  return blocks;
}

interface Sampled {
  readonly fields: JsonObject;
  readonly ignored: string[];
}

/** What of the client's sampling the model takes. Temperatures end at 1 here. */
function samplingOf({ temperature, topP, topK }: Generation['sampling'], taken: Target['traits']['sampling'], plan: ThinkingPlan): Sampled {
  const ignored: string[] = [];
  const fields: JsonObject = {};
  const take = (name: string, value: number | undefined, isTaken: boolean): void => {
    if (value !== undefined && isTaken) fields[name] = value;
    else if (value !== undefined) ignored.push(name);
  };
  const free = taken !== 'refused' && !plan.thinks;
  take('temperature', temperature, free && (temperature ?? 0) <= 1);
  take('top_p', topP, taken !== 'refused' && (!plan.thinks || (topP ?? 0) >= 0.95) && (taken !== 'one' || temperature === undefined));
  take('top_k', topK, free);
  return { fields, ignored };
}

/** Names of what was said and changes no meaning, and has no place here. */
function ignoredOf(generation: Generation, { wire }: InferenceRequest, { unsaid }: ThinkingPlan, chooses: boolean): string[] {
  const { sampling, verbosity, cacheKey, messages, tools, parallelToolCalls } = generation;
  const isUnsaid: readonly (readonly [string, boolean])[] = [
    [clientField(wire, 'effort'), unsaid],
    ['seed', sampling.seed !== undefined],
    ['presence_penalty', sampling.presencePenalty !== undefined],
    ['frequency_penalty', sampling.frequencyPenalty !== undefined],
    [clientField(wire, 'verbosity'), verbosity !== null],
    ['prompt_cache_key', cacheKey !== null],
    ['name', messages.some(({ name }) => name !== undefined)],
    [clientField(wire, 'toolChoice'), chooses && tools.length === 0],
    [clientField(wire, 'parallelToolCalls'), parallelToolCalls === false && tools.length === 0],
  ];
  return [...generation.unsaid, ...isUnsaid.filter(([, is]) => is).map(([name]) => name)];
}
