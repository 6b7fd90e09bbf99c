import { GatewayError } from '../../errors.ts';
import type { Format, Generation, Sampling, Tool, ToolChoice } from '../generation.ts';
import { isObject, listIn } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';
import { conversationOf } from './conversation.ts';
import { reasoningOf } from './reasoning-settings.ts';
import { cacheMarkOf, numberIn, requiredText } from './reading.ts';

/** Fields that change neither meaning nor bill and that no other wire has a word for. */
const HINTS = ['prompt_cache_options', 'prompt_cache_retention'];

/**
 * A chat request in the canonical form. Throws GatewayError `invalid_request` where a field's inside cannot be understood: a provider of
 * the same wire would say so itself.
 * @param fields checked, their numbers perhaps in their own words.
 * @param extras fields that only some models know.
 * @param own what the gateway decides on: of these, only whom the client named and its cache's key matter here.
 */
export function generationOf(fields: JsonObject, extras: JsonObject, own: JsonObject): Generation {
  const { system, messages } = conversationOf(listIn(fields['messages']));
  const tools = toolsOf(fields);
  const { reasoning, read } = reasoningOf(fields['reasoning_effort'], extras, tools.length > 0);
  const cacheKey = own['prompt_cache_key'];
  const parallel = fields['parallel_tool_calls'];
  const verbosity = fields['verbosity'];
  const unread = Object.keys(extras).filter((name) => name !== 'top_k' && !read.has(name));
  return {
    system,
    messages,
    tools,
    toolChoice: toolChoiceOf(fields),
    parallelToolCalls: typeof parallel === 'boolean' ? parallel : null,
    format: formatOf(fields['response_format']),
    sampling: samplingOf(fields, extras),
    stop: stopOf(fields['stop']),
    reasoning,
    verbosity: typeof verbosity === 'string' ? verbosity : null,
    logprobs: fields['logprobs'] === true ? (numberIn(fields['top_logprobs']) ?? 0) : null,
    logitBias: logitBiasOf(fields['logit_bias']),
    namesUser: typeof own['user'] === 'string' || typeof own['safety_identifier'] === 'string',
    cacheKey: typeof cacheKey === 'string' ? cacheKey : null,
    unsaid: [...unread, ...HINTS.filter((name) => fields[name] !== undefined)],
  };
}

function toolsOf(fields: JsonObject): Tool[] {
  const tools = listIn(fields['tools']).map((tool, index) => toolOf(tool, `tools.${index}`));
  return [...tools, ...listIn(fields['functions']).map((tool, index) => functionOf(tool, `functions.${index}`))];
}

function toolOf(tool: unknown, path: string): Tool {
  const { type, custom, function: inside, cache_control: mark } = isObject(tool) ? tool : {};
  const cache = cacheMarkOf(mark);
  if (type !== 'custom') return { ...functionOf(inside, `${path}.function`), ...(cache && { cache }) };
  const { name, description, format } = isObject(custom) ? custom : {};
  return {
    kind: 'custom',
    name: requiredText(name, `${path}.custom.name`),
    ...(typeof description === 'string' && { description }),
    ...(isObject(format) && format['type'] !== 'text' && { grammar: format['grammar'] ?? format }),
    ...(cache && { cache }),
  };
}

function functionOf(value: unknown, path: string): Tool {
  const { name, description, parameters, strict } = isObject(value) ? value : {};
  return {
    kind: 'function',
    name: requiredText(name, `${path}.name`),
    ...(typeof description === 'string' && { description }),
    ...(isObject(parameters) && { parameters }),
    ...(typeof strict === 'boolean' && { strict }),
  };
}

function toolChoiceOf(fields: JsonObject): ToolChoice | null {
  const choice = fields['tool_choice'] ?? fields['function_call'] ?? null;
  const param = fields['tool_choice'] === undefined ? 'function_call' : 'tool_choice';
  if (choice === null) return null;
  if (!isObject(choice)) return { mode: modeOf(choice, param) };
  const inside = choice['function'] ?? choice['custom'] ?? choice;
  if (choice['type'] === 'allowed_tools') return allowedTools(choice['allowed_tools']);
  if (isObject(inside) && typeof inside['name'] === 'string') return { mode: 'named', name: inside['name'] };
  return { mode: modeOf(choice['type'], param) };
}

function allowedTools(value: unknown): ToolChoice {
  const { mode, tools } = isObject(value) ? value : {};
  const allowed = listIn(tools).map((tool, index) => {
    const inside = isObject(tool) ? (tool['function'] ?? tool['custom'] ?? tool) : {};
    return requiredText(isObject(inside) ? inside['name'] : undefined, `tool_choice.allowed_tools.tools.${index}.function.name`);
  });
  return { mode: modeOf(mode ?? 'auto', 'tool_choice.allowed_tools.mode'), allowed };
}

function modeOf(word: unknown, param: string): 'auto' | 'none' | 'required' {
  if (word === 'auto' || word === 'none' || word === 'required') return word;
  if (word === 'any') return 'required';
  throw new GatewayError('invalid_request', { message: `${param}: must be auto, none, required or name a tool`, param });
}

function formatOf(value: unknown): Format | null {
  if (!isObject(value) || value['type'] === 'text') return null;
  if (value['type'] === 'json_object') return { type: 'json' };
  if (value['type'] !== 'json_schema') {
    const param = 'response_format.type';
    throw new GatewayError('invalid_request', { message: `${param}: must be text, json_object or json_schema`, param });
  }
  const { name, schema, description, strict } = isObject(value['json_schema']) ? value['json_schema'] : {};
  return {
    type: 'schema',
    name: requiredText(name, 'response_format.json_schema.name'),
    schema: isObject(schema) ? schema : {},
    ...(typeof description === 'string' && { description }),
    ...(typeof strict === 'boolean' && { strict }),
  };
}

function samplingOf(fields: JsonObject, extras: JsonObject): Sampling {
  const said = {
    temperature: numberIn(fields['temperature']),
    topP: numberIn(fields['top_p']),
    topK: numberIn(extras['top_k']),
    seed: numberIn(fields['seed']),
    presencePenalty: numberIn(fields['presence_penalty']),
    frequencyPenalty: numberIn(fields['frequency_penalty']),
  };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== null));
}

function stopOf(value: unknown): string[] {
  const sequences = typeof value === 'string' ? [value] : listIn(value);
  return sequences.filter((one): one is string => typeof one === 'string' && one !== '');
}

function logitBiasOf(value: unknown): Record<string, number> | null {
  if (!isObject(value)) return null;
  return Object.fromEntries(Object.entries(value).map(([token, bias]) => [token, numberIn(bias) ?? 0]));
}
