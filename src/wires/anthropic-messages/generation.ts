import type { Format, Generation, Message, ReasoningSettings, TextPart, Tool, ToolChoice } from '../generation.ts';
import { isObject, listIn, textIn } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';
import { schemaOf } from './client-tools.ts';
import type { OwnOfMessages } from './verbatim.ts';
import { blocksIn } from './parameters.ts';
import { cacheMark, PartsOfBlocks, textOf } from './parts-of-blocks.ts';

/**
 * The canonical form of a checked request.
 * @param fields as they are to be passed on; @param values the same to be looked at, every number a double.
 */
export function generationOf(fields: JsonObject, values: JsonObject, own: JsonObject): Generation {
  const { hosted = [] } = own as OwnOfMessages;
  const messages = listIn(fields['messages']) as readonly JsonObject[];
  const begun = messages.findIndex(({ role }) => role !== 'system');
  const leading = begun < 0 ? [] : messages.slice(0, begun);
  const reader = new PartsOfBlocks();
  const choice = isObject(values['tool_choice']) ? values['tool_choice'] : {};
  const output = isObject(values['output_config']) ? values['output_config'] : {};
  return {
    system: [...textsOf(fields['system']), ...leading.flatMap(({ content }) => textsOf(content))],
    messages: messages.slice(leading.length).map((message, index) => messageOf(message, `messages.${index + leading.length}`, reader)),
    tools: (listIn(fields['tools']) as readonly JsonObject[]).map(toolOf),
    toolChoice: choiceOf(choice),
    parallelToolCalls: choice['disable_parallel_tool_use'] === true ? false : null,
    format: formatOf(fields),
    sampling: {
      temperature: (values['temperature'] as number | null | undefined) ?? undefined,
      topP: (values['top_p'] as number | null | undefined) ?? undefined,
      topK: (values['top_k'] as number | null | undefined) ?? undefined,
    },
    stop: (values['stop_sequences'] as string[] | undefined) ?? [],
    reasoning: reasoningOf(values, output),
    verbosity: null,
    logprobs: null,
    logitBias: null,
    namesUser: isObject(own['metadata']) && typeof own['metadata']['user_id'] === 'string',
    cacheKey: null,
    unsaid: [
      ...['context_management', 'cache_control'].filter((name) => (fields[name] ?? null) !== null),
      ...(output['task_budget'] ? ['output_config.task_budget'] : []),
      ...hosted,
    ],
  };
}

function messageOf({ role, content }: JsonObject, param: string, reader: PartsOfBlocks): Message {
  return { role: role as Message['role'], parts: reader.read(content, `${param}.content`) };
}

function textsOf(content: unknown): TextPart[] {
  return blocksIn(content).flatMap((block) => (block['type'] === 'text' ? [textOf(block)] : []));
}

function toolOf(tool: JsonObject): Tool {
  const { strict, cache_control: mark } = tool;
  const cache = cacheMark(mark);
  return {
    kind: 'function',
    name: textIn(tool['name']),
    ...schemaOf(tool),
    ...(typeof strict === 'boolean' && { strict }),
    ...(cache && { cache }),
  };
}

function choiceOf({ type, name }: JsonObject): ToolChoice | null {
  if (type === 'tool') return { mode: 'named', name: textIn(name) };
  if (type === 'any') return { mode: 'required' };
  return type === 'auto' || type === 'none' ? { mode: type } : null;
}

function formatOf({ output_config: output, output_format: older }: JsonObject): Format | null {
  const format = (isObject(output) ? output['format'] : undefined) ?? older;
  if (!isObject(format)) return null;
  return { type: 'schema', name: 'output', schema: format['schema'] as JsonObject, strict: true };
}

/** An instruction in the middle of the conversation may set another effort from there on: the last one counts. */
function reasoningOf({ thinking, messages }: JsonObject, output: JsonObject): ReasoningSettings | null {
  const later = listIn(messages).findLast((message) => isObject(message) && isObject(message['output_config']));
  const latest = ((later as JsonObject | undefined)?.['output_config'] as JsonObject | undefined)?.['effort'] ?? output['effort'];
  const effort = typeof latest === 'string' ? latest : null;
  if (!isObject(thinking)) return effort === null ? null : { effort, budgetTokens: null, show: null, sealed: false };
  const { type, display, budget_tokens: budget } = thinking;
  if (type === 'disabled') return { effort: 'none', budgetTokens: null, show: null, sealed: false };
  const show = typeof display === 'string' ? display !== 'omitted' : null;
  return { effort, budgetTokens: typeof budget === 'number' ? budget : null, show, sealed: true };
}
