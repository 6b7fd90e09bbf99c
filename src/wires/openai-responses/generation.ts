import type { Format, Generation, ReasoningSettings, Sampling, TextPart, ToolChoice } from '../generation.ts';
import { asObject, isObject, objectsIn, textIn } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';
import { messagesOf } from './messages.ts';
import { ToolNames } from './tool-names.ts';
import { hostedTypes, isLocalTool } from './tools.ts';

export const SEALED = 'reasoning.encrypted_content';
export const LOGPROBS = 'message.output_text.logprobs';
/** What is asked for beside the answer and that only matters to tools which run at the provider. */
const OF_HOSTED_TOOLS = /^(?:file_search|web_search|computer|code_interpreter)/;
/** Settings of how a provider of this wire caches or cuts, which no other wire knows. */
const UNSAID = ['max_tool_calls', 'prompt_cache_options', 'prompt_cache_retention'];

/** A checked request in the canonical form. */
export function generationOf(fields: JsonObject): Generation {
  const { input, tools } = fields;
  const names = new ToolNames(tools, input);
  const { leading, messages } = messagesOf(input, names);
  const instructions = textIn(fields['instructions']);
  const system: TextPart[] = instructions === '' ? leading : [{ type: 'text', text: instructions }, ...leading];
  const text = asObject(fields['text']);
  const included = Array.isArray(fields['include']) ? (fields['include'] as string[]) : [];
  return {
    system,
    messages,
    tools: names.tools,
    toolChoice: toolChoiceOf(fields['tool_choice'], names),
    parallelToolCalls: (fields['parallel_tool_calls'] as boolean | null | undefined) ?? null,
    format: formatOf(asObject(text['format'])),
    sampling: samplingOf(fields),
    stop: [],
    reasoning: reasoningOf(fields['reasoning'], included.includes(SEALED)),
    verbosity: (text['verbosity'] as string | null | undefined) ?? null,
    logprobs: logprobsOf(fields['top_logprobs'], included.includes(LOGPROBS)),
    logitBias: null,
    namesUser: typeof fields['user'] === 'string' || typeof fields['safety_identifier'] === 'string',
    cacheKey: typeof fields['prompt_cache_key'] === 'string' ? fields['prompt_cache_key'] : null,
    unsaid: unsaidOf(fields, included),
  };
}

function unsaidOf(fields: JsonObject, included: readonly string[]): string[] {
  const unsaid = UNSAID.filter((name) => (fields[name] ?? null) !== null);
  if (fields['truncation'] === 'auto') unsaid.push('truncation');
  if (included.some((name) => name !== SEALED && name !== LOGPROBS && !OF_HOSTED_TOOLS.test(name))) unsaid.push('include');
  if ((asObject(fields['reasoning'])['context'] ?? null) !== null) unsaid.push('reasoning.context');
  const local = objectsIn(fields['tools']).filter(isLocalTool);
  const searched = objectsIn(fields['input']).some(({ type }) => type === 'web_search_call') ? ['web_search_call'] : [];
  return [...new Set([...unsaid, ...hostedTypes(fields['tools']), ...local.map(({ type }) => textIn(type)), ...searched])];
}

function toolChoiceOf(choice: unknown, names: ToolNames): ToolChoice | null {
  if (choice === 'auto' || choice === 'none' || choice === 'required') return { mode: choice };
  if (!isObject(choice)) return null;
  if (choice['type'] !== 'allowed_tools') return { mode: 'named', name: flatName(choice, names) };
  const allowed = objectsIn(choice['tools']).map((tool) => flatName(tool, names));
  return { mode: choice['mode'] === 'required' ? 'required' : 'auto', allowed };
}

function flatName(tool: JsonObject, names: ToolNames): string {
  return names.flat(textIn(tool['name']), typeof tool['namespace'] === 'string' ? tool['namespace'] : undefined);
}

function formatOf(format: JsonObject): Format | null {
  if (format['type'] === 'json_object') return { type: 'json' };
  if (format['type'] !== 'json_schema') return null;
  const description = textIn(format['description']);
  return {
    type: 'schema',
    name: textIn(format['name']),
    schema: asObject(format['schema']),
    ...(description !== '' && { description }),
    ...(typeof format['strict'] === 'boolean' && { strict: format['strict'] }),
  };
}

function samplingOf({ temperature, top_p: topP }: JsonObject): Sampling {
  return { ...(typeof temperature === 'number' && { temperature }), ...(typeof topP === 'number' && { topP }) };
}

function reasoningOf(value: unknown, sealed: boolean): ReasoningSettings | null {
  if (!isObject(value)) return sealed ? { effort: null, budgetTokens: null, show: null, sealed } : null;
  const summary = (value['summary'] ?? value['generate_summary'] ?? null) as string | null;
  return {
    effort: (value['effort'] as string | null | undefined) ?? null,
    budgetTokens: null,
    show: summary === null ? null : summary !== 'none',
    sealed,
  };
}

function logprobsOf(most: unknown, wanted: boolean): number | null {
  const alternatives = typeof most === 'number' ? most : 0;
  return wanted || alternatives > 0 ? alternatives : null;
}
