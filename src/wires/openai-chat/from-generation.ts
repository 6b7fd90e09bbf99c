import type { Generation, Tool, ToolChoice } from '../generation.ts';
import { clientField } from '../client-fields.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';
import { tenantCacheKey } from '../tenant.ts';
import type { JsonObject, Rendering } from '../wire.ts';
import { toldGeneration } from './told-generation.ts';
import { wireMessages, withoutMedia } from './wire-messages.ts';
import { wireReasoning } from './wire-reasoning.ts';

/** Settings of the wire that only some providers know, and what clients call them, where they can be left out. */
type Optional = readonly [field: string, value: unknown, clientName: string];

/** Writes a request that came in another wire as a chat request: https://platform.openai.com/docs/api-reference/chat/create */
export function renderGeneration(request: InferenceRequest, target: Target): Rendering {
  const { dialect } = target;
  const generation = toldGeneration(request, target);
  const { system, messages } = generation;
  const optional = sorted(optionalFields(generation, request, target), dialect.drops);
  const reasoning = wireReasoning(generation.reasoning, target);
  const written = wireMessages(system, messages, target);
  const fields: JsonObject = {
    messages: written.messages,
    ...meaningfulFields(generation, request),
    ...optional.said,
    ...reasoning.fields,
  };
  return {
    path: '/chat/completions',
    headers: [],
    ignored: [
      ...generation.unsaid,
      ...optional.left,
      ...(reasoning.unsaid ? [clientField(request.wire, 'effort')] : []),
      ...(written.unmarked ? ['cache_control'] : []),
    ],
    promptText: () => JSON.stringify({ ...fields, messages: withoutMedia(written.messages) }),
    body: (outputTokens, accountHash) => Buffer.from(JSON.stringify({ ...decided(request, target, outputTokens, accountHash), ...fields })),
  };
}

/** What the gateway itself decides. */
function decided(
  request: InferenceRequest,
  { model, maxOutputTokens, dialect }: Target,
  outputTokens: number,
  accountHash: string,
): JsonObject {
  const { namesUser, cacheKey } = request.generation();
  const takes = (field: string): boolean => !dialect.drops.includes(field) && !dialect.refuses.includes(field);
  return {
    model,
    [dialect.capField]: Math.min(outputTokens, maxOutputTokens),
    ...(request.stream && { stream: true, stream_options: { include_usage: true } }),
    ...(dialect.stores && { store: false }),
    ...(namesUser && takes('user') && { user: accountHash }),
    ...(cacheKey !== null && takes('prompt_cache_key') && { prompt_cache_key: tenantCacheKey(accountHash, cacheKey) }),
  };
}

/** What decides the answer's shape or meaning: where a provider cannot take it there is an obstacle. */
function meaningfulFields({ tools, toolChoice, format, stop, logprobs, logitBias }: Generation, request: InferenceRequest): JsonObject {
  return {
    ...(request.completions > 1 && { n: request.completions }),
    ...(tools.length > 0 && { tools: tools.map(wireTool) }),
    ...(toolChoice && tools.length > 0 && { tool_choice: wireToolChoice(toolChoice, tools) }),
    ...(format && { response_format: wireFormat(format) }),
    ...(stop.length > 0 && { stop }),
    ...(logprobs !== null && { logprobs: true, ...(logprobs > 0 && { top_logprobs: logprobs }) }),
    ...(logitBias && Object.keys(logitBias).length > 0 && { logit_bias: logitBias }),
  };
}

/** What may be left out: the client is told then. */
function optionalFields(generation: Generation, { wire }: InferenceRequest, { traits, dialect }: Target): Optional[] {
  const { temperature, topP, topK, seed, presencePenalty, frequencyPenalty } = generation.sampling;
  const refused = traits.sampling === 'refused';
  const onlyOne = traits.sampling === 'one' && temperature !== undefined;
  const unless = (isLeft: boolean, value: unknown): unknown => (isLeft && value !== undefined ? null : value);
  return [
    ['temperature', unless(refused, temperature), 'temperature'],
    ['top_p', unless(refused || onlyOne, topP), 'top_p'],
    ['top_k', unless(refused || !dialect.takes.includes('top_k'), topK), 'top_k'],
    ['seed', seed, 'seed'],
    ['presence_penalty', unless(refused, presencePenalty), 'presence_penalty'],
    ['frequency_penalty', unless(refused, frequencyPenalty), 'frequency_penalty'],
    ['verbosity', generation.verbosity ?? undefined, clientField(wire, 'verbosity')],
    [
      'parallel_tool_calls',
      generation.tools.length > 0 ? (generation.parallelToolCalls ?? undefined) : undefined,
      clientField(wire, 'parallelToolCalls'),
    ],
  ];
}

function sorted(fields: readonly Optional[], drops: readonly string[]): { said: JsonObject; left: string[] } {
  const said: JsonObject = {};
  const left: string[] = [];
  for (const [field, value, clientName] of fields) {
    if (value === undefined) continue;
    if (value === null || drops.includes(field)) left.push(clientName);
    else said[field] = value;
  }
  return { said, left };
}

function wireTool({ kind, name, description, parameters, grammar, strict }: Tool): JsonObject {
  const named = { name, ...(description !== undefined && { description }) };
  if (kind === 'custom') {
    return { type: 'custom', custom: { ...named, ...(grammar !== undefined && { format: { type: 'grammar', grammar } }) } };
  }
  return {
    type: 'function',
    function: { ...named, ...(parameters && { parameters }), ...(strict !== undefined && { strict }) },
  };
}

function wireToolChoice(choice: ToolChoice, tools: readonly Tool[]): unknown {
  const reference = (name: string): JsonObject =>
    tools.some((tool) => tool.name === name && tool.kind === 'custom')
      ? { type: 'custom', custom: { name } }
      : { type: 'function', function: { name } };
  if (choice.mode === 'named') return reference(choice.name);
  if (!choice.allowed || choice.mode === 'none') return choice.mode;
  return { type: 'allowed_tools', allowed_tools: { mode: choice.mode, tools: choice.allowed.map(reference) } };
}

function wireFormat(format: NonNullable<Generation['format']>): JsonObject {
  if (format.type === 'json') return { type: 'json_object' };
  const { name, schema, description, strict } = format;
  return {
    type: 'json_schema',
    json_schema: { name, schema, ...(description !== undefined && { description }), ...(strict !== undefined && { strict }) },
  };
}
