import { clientField } from '../client-fields.ts';
import type { Format, Generation, Tool, ToolChoice } from '../generation.ts';
import { isObject } from '../json-object.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';
import { tenantCacheKey } from '../tenant.ts';
import type { JsonObject, Rendering } from '../wire.ts';
import { effortFor } from './effort.ts';
import { LOGPROBS, SEALED } from './generation.ts';
import { withoutMediaData } from './media.ts';
import { itemsOf } from './render-items.ts';

export const PATH = '/responses';
const MOST_NAME_CHARACTERS = 64;

/** A request that came in another wire, as one for a response. */
export function renderResponse(request: InferenceRequest, target: Target): Rendering {
  const generation = request.generation();
  const { dialect } = target;
  const fields = fieldsOf(generation, target);
  const ignored = ignoredOf(request, generation, target);
  for (const name of dialect.drops) if (name in fields) ignored.push(name);
  for (const name of dialect.drops) delete fields[name];
  return {
    path: PATH,
    headers: [],
    ignored: [...new Set(ignored)],
    promptText: () => JSON.stringify({ ...fields, input: withoutMediaData(fields['input'] as unknown[]) }),
    body(outputTokens, accountHash) {
      const decided: JsonObject = {
        model: target.model,
        max_output_tokens: Math.min(outputTokens, target.maxOutputTokens),
        store: false,
        ...(request.stream && { stream: true }),
        ...(generation.namesUser && { safety_identifier: accountHash }),
        ...(generation.cacheKey !== null && { prompt_cache_key: tenantCacheKey(accountHash, generation.cacheKey) }),
      };
      for (const name of dialect.drops) delete decided[name];
      return Buffer.from(JSON.stringify({ ...decided, ...fields }));
    },
  };
}

function fieldsOf(generation: Generation, target: Target): JsonObject {
  const { system, tools, toolChoice, parallelToolCalls, format, verbosity, logprobs } = generation;
  const { temperature, topP } = samplingFor(generation, target);
  const thinks = target.traits.reasoning !== 'none';
  const include = [...(thinks ? [SEALED] : []), ...(logprobs === null ? [] : [LOGPROBS])];
  const reasoning = thinks ? reasoningOf(generation, target) : undefined;
  const text = { ...(format && { format: wireFormat(format) }), ...(verbosity !== null && { verbosity }) };
  return {
    ...(system.length > 0 && { instructions: system.map((part) => part.text).join('\n\n') }),
    input: itemsOf(generation, target.dialect.developerRole ? 'developer' : 'system'),
    ...(tools.length > 0 && { tools: tools.map(wireTool) }),
    ...(toolChoice && tools.length > 0 && { tool_choice: wireToolChoice(toolChoice, tools) }),
    ...(parallelToolCalls !== null && tools.length > 0 && { parallel_tool_calls: parallelToolCalls }),
    ...(Object.keys(text).length > 0 && { text }),
    ...(reasoning && { reasoning }),
    ...(include.length > 0 && { include }),
    ...(logprobs !== null && { top_logprobs: logprobs }),
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
  };
}

/** What of the sampling a model takes. */
function samplingFor({ sampling: { temperature, topP } }: Generation, { traits }: Target): { temperature?: number; topP?: number } {
  if (traits.sampling === 'refused') return {};
  const both = traits.sampling === 'one' && temperature !== undefined;
  return { ...(temperature !== undefined && { temperature }), ...(topP !== undefined && !both && { topP }) };
}

function reasoningOf({ reasoning }: Generation, { traits }: Target): JsonObject | undefined {
  const effort = reasoning && effortFor(reasoning, traits.efforts);
  const told = { ...(effort && { effort }), ...(reasoning?.show === true && { summary: 'auto' }) };
  return Object.keys(told).length > 0 ? told : undefined;
}

function wireTool({ kind, name, description, parameters, grammar, strict }: Tool): JsonObject {
  const named = { type: kind, name, ...(description !== undefined && { description }) };
  if (kind === 'custom') return { ...named, ...(isObject(grammar) && { format: { type: 'grammar', ...grammar } }) };
  // Left out, strictness would be taken for granted on this wire.
  return { ...named, parameters: parameters ?? { type: 'object', properties: {} }, strict: strict ?? false };
}

function wireToolChoice(choice: ToolChoice, tools: readonly Tool[]): unknown {
  const named = (name: string): JsonObject => ({ type: tools.find((tool) => tool.name === name)?.kind ?? 'function', name });
  if (choice.mode === 'named') return named(choice.name);
  const isNarrowed = choice.allowed && (choice.mode === 'auto' || choice.mode === 'required');
  return isNarrowed ? { type: 'allowed_tools', mode: choice.mode, tools: choice.allowed.map(named) } : choice.mode;
}

function wireFormat(format: Format): JsonObject {
  if (format.type === 'json') return { type: 'json_object' };
  const { name, schema, description, strict } = format;
  return {
    type: 'json_schema',
    name: name.replaceAll(/[^\w-]/g, '_').slice(0, MOST_NAME_CHARACTERS) || 'answer',
    schema,
    ...(description !== undefined && { description }),
    ...(strict !== undefined && { strict }),
  };
}

/** What was accepted, changes no meaning, and has no place here. */
function ignoredOf({ wire }: InferenceRequest, generation: Generation, target: Target): string[] {
  const { sampling, reasoning, unsaid, messages, system, tools, toolChoice } = generation;
  const taken = samplingFor(generation, target);
  const isCached = [...system, ...tools, ...messages.flatMap(({ parts }) => parts)].some(
    (part) => 'cache' in part && part.cache !== undefined,
  );
  const names: readonly (readonly [string, boolean])[] = [
    ['temperature', sampling.temperature !== undefined && taken.temperature === undefined],
    ['top_p', sampling.topP !== undefined && taken.topP === undefined],
    ['top_k', sampling.topK !== undefined],
    ['seed', sampling.seed !== undefined],
    ['presence_penalty', sampling.presencePenalty !== undefined],
    ['frequency_penalty', sampling.frequencyPenalty !== undefined],
    [clientField(wire, 'effort'), target.traits.reasoning === 'none' && (reasoning?.effort ?? reasoning?.budgetTokens ?? null) !== null],
    [clientField(wire, 'toolChoice'), toolChoice !== null && tools.length === 0],
    ['cache_control', isCached],
    ['name', messages.some(({ name }) => name !== undefined)],
  ];
  return [...unsaid, ...names.filter(([, isLeftOut]) => isLeftOut).map(([name]) => name)];
}
