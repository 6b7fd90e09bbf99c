import type { Finish } from '../answer.ts';
import type { InferenceRequest } from '../request.ts';
import type { AnswerContext, JsonObject } from '../wire.ts';
import { endingOf } from './finish.ts';
import { SEALED } from './generation.ts';
import { ItemWriter } from './item-writer.ts';
import { ToolNames } from './tool-names.ts';

/** How many characters of an id are ours: OpenAI takes ids of 64 in all when they come back. */
const MOST_ID_CHARACTERS = 48;

/** A response (https://platform.openai.com/docs/api-reference/responses/object) that is about to be written, with what was asked for. */
export function responseObject({ fields, own }: InferenceRequest, { requestId, model, created }: AnswerContext): JsonObject {
  const given = (name: string, otherwise: unknown): unknown => fields[name] ?? own[name] ?? otherwise;
  return {
    id: responseId(requestId),
    object: 'response',
    created_at: created,
    status: 'in_progress',
    background: false,
    error: null,
    incomplete_details: null,
    instructions: given('instructions', null),
    max_output_tokens: given('max_output_tokens', null),
    max_tool_calls: given('max_tool_calls', null),
    model,
    output: [],
    parallel_tool_calls: given('parallel_tool_calls', true),
    previous_response_id: null,
    prompt_cache_key: given('prompt_cache_key', null),
    reasoning: { effort: null, summary: null, ...(fields['reasoning'] as JsonObject | undefined) },
    safety_identifier: given('safety_identifier', null),
    service_tier: 'default',
    store: false,
    temperature: given('temperature', null),
    text: { format: { type: 'text' }, ...(fields['text'] as JsonObject | undefined) },
    tool_choice: given('tool_choice', 'auto'),
    tools: given('tools', []),
    top_logprobs: given('top_logprobs', 0),
    top_p: given('top_p', null),
    truncation: given('truncation', 'disabled'),
    usage: null,
    user: given('user', null),
    metadata: given('metadata', {}),
  };
}

/** The same, ended. */
export function endedResponse(response: JsonObject, items: ItemWriter, finish: Finish, usage: JsonObject | null): JsonObject {
  return { ...response, ...endingOf(finish, items.hasRefused), output: items.items, usage };
}

export function responseId(requestId: string): string {
  return `resp_${plain(requestId)}`;
}

/** What writes the items of a request's answer. */
export function itemWriter(
  request: InferenceRequest,
  { requestId }: AnswerContext,
  emit?: ConstructorParameters<typeof ItemWriter>[3],
): ItemWriter {
  const { tools, input, include } = request.fields;
  const showsSealed = Array.isArray(include) && include.includes(SEALED);
  return new ItemWriter(plain(requestId), new ToolNames(tools, input), showsSealed, emit);
}

function plain(requestId: string): string {
  return requestId.replaceAll(/[^a-zA-Z0-9]/g, '').slice(0, MOST_ID_CHARACTERS);
}
