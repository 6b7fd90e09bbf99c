import type { GatewayError } from '../../errors.ts';
import { clientField, type ClientField } from '../client-fields.ts';
import { cannot, mediaIn, mediaObstacle } from '../obstacle.ts';
import { asObject, isObject } from '../json-object.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';

const TOOL_NAME = /^[\w-]{1,128}$/;

/** What a model behind the Responses API cannot take of a request. */
export function obstacleTo(request: InferenceRequest, target: Target): GatewayError | null {
  const isOwn = request.wire === 'openai-responses';
  return mediaObstacle(request, target) ?? (isOwn ? ownObstacle(request, target) : otherObstacle(request, target));
}

/** The same wire: only what the model would refuse as a whole. */
function ownObstacle({ fields }: InferenceRequest, { traits, dialect }: Target): GatewayError | null {
  const refused = dialect.refuses.find((name) => fields[name] !== undefined);
  if (refused !== undefined) return cannot('this model cannot take it', refused);
  const choice = fields['tool_choice'];
  const isForced = choice === 'required' || (isObject(choice) && (choice['type'] !== 'allowed_tools' || choice['mode'] === 'required'));
  if (isForced && !traits.forcesTools) return cannot('this model cannot be made to call a tool', 'tool_choice');
  const isSchema = asObject(asObject(fields['text'])['format'])['type'] === 'json_schema';
  return isSchema && !traits.takesSchema ? cannot('this model keeps to no schema', 'text.format') : null;
}

/** Another wire: what the Responses API has no words for, too. */
function otherObstacle(request: InferenceRequest, { traits, dialect }: Target): GatewayError | null {
  const { format, toolChoice, tools, stop, logitBias, logprobs, messages } = request.generation();
  const named = (message: string, field: ClientField): GatewayError => cannot(message, clientField(request.wire, field));
  if (request.completions > 1) return named('this model gives one completion at a time', 'completions');
  if (stop.length > 0) return named('this model has no stop sequences', 'stop');
  if (logitBias !== null && Object.keys(logitBias).length > 0) return cannot('this model cannot take it', 'logit_bias');
  if (logprobs !== null && dialect.refuses.includes('top_logprobs')) return named('this model tells no probabilities', 'logprobs');
  if (format?.type === 'schema' && !traits.takesSchema) return named('this model keeps to no schema', 'format');
  const isForced = toolChoice?.mode === 'required' || toolChoice?.mode === 'named';
  if (isForced && (!traits.forcesTools || tools.length === 0)) return named('this model cannot be made to call a tool', 'toolChoice');
  const name = tools.findIndex((tool) => !TOOL_NAME.test(tool.name));
  if (name >= 0) return named('this model takes only letters, digits, _ and - in the name of a tool', 'tools');
  if (!traits.takesPrefill && messages.at(-1)?.role === 'assistant') return named('this model does not go on with an answer', 'messages');
  return unreadable(request);
}

/** The first document of a type that is neither text nor PDF. */
function unreadable(request: InferenceRequest): GatewayError | null {
  if (request.media.documents === 0) return null;
  for (const { type, source, param } of mediaIn(request.generation())) {
    if (type !== 'document' || source.kind !== 'data' || /^(?:application\/pdf|text\/.+)$/i.test(source.mediaType)) continue;
    return cannot(`this model does not read ${source.mediaType}`, param ?? clientField(request.wire, 'messages'));
  }
  return null;
}
