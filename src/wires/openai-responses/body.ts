import type { Answer, BlockHead } from '../answer.ts';
import type { Part } from '../generation.ts';
import type { InferenceRequest } from '../request.ts';
import type { AnswerContext, JsonObject, SettledFigures } from '../wire.ts';
import { endedResponse, itemWriter, responseObject } from './response-object.ts';
import { usageToResponses } from './usage.ts';
import { asObject, objectsIn } from '../json-object.ts';

/** An answer that came in another wire, as a response. */
export function responseBody({ completions: [completion], usage }: Answer, request: InferenceRequest, context: AnswerContext): JsonObject {
  const items = itemWriter(request, context);
  const finish = completion?.finish ?? { reason: 'stop' };
  let logprobs = objectsIn(asObject(completion?.logprobs)['content']);
  for (const part of completion?.parts ?? []) {
    const head = headOf(part);
    if (!head) continue;
    items.begin(head);
    if (part.type === 'text') {
      items.delta(part.text);
      for (const citation of part.citations ?? []) items.cite(citation);
      items.logprobs(logprobs);
      logprobs = [];
    } else items.delta(part.type === 'tool_call' ? part.input : (part as { text: string }).text);
    if ('signature' in part && part.signature) items.sign(part.signature);
    items.end();
  }
  items.close(finish);
  return endedResponse(responseObject(request, context), items, finish, usage && usageToResponses(usage));
}

function headOf(part: Part): BlockHead | null {
  switch (part.type) {
    case 'text':
    case 'refusal':
      return { type: part.type };
    case 'reasoning':
      return { type: 'reasoning', ...(part.redacted && { redacted: part.redacted }) };
    case 'tool_call':
      return { type: 'tool_call', id: part.id, name: part.name, kind: part.kind };
    case 'image':
    case 'document':
    case 'tool_result':
      return null;
  }
}

/** The body of a response with the counts that were billed and what they cost in its usage. */
export function withFigures(body: JsonObject, { billed, costs }: SettledFigures): JsonObject {
  const told = asObject(body['usage']);
  const usage = usageToResponses(billed);
  const merged = (name: string): JsonObject => ({ ...asObject(told[name]), ...asObject(usage[name]) });
  return {
    ...body,
    usage: {
      ...told,
      ...usage,
      input_tokens_details: merged('input_tokens_details'),
      output_tokens_details: merged('output_tokens_details'),
      ...costs,
    },
  };
}
