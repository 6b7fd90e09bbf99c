import type { GatewayError } from '../../errors.ts';
import { clientField, type ClientField } from '../client-fields.ts';
import type { Generation, Part } from '../generation.ts';
import { isObject } from '../json-object.ts';
import { cannot, mediaIn, mediaObstacle } from '../obstacle.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';
import { IMAGE_TYPES, PDF } from './content.ts';
import { forcesTool } from './tools.ts';

const TOOL_NAME = /^[a-zA-Z0-9_-]{1,128}$/;

/** What a model behind the Messages API cannot take of a request. */
export function obstacleTo(request: InferenceRequest, target: Target): GatewayError | null {
  return (
    mediaObstacle(request, target) ??
    (request.wire === 'anthropic-messages' ? ownObstacle(request, target) : otherObstacle(request, target))
  );
}

/** The same wire: only what the model would refuse as a whole. */
function ownObstacle({ fields }: InferenceRequest, { traits, dialect }: Target): GatewayError | null {
  const refused = dialect.refuses.find((name) => fields[name] !== undefined);
  if (refused !== undefined) return cannot('this model cannot take it', refused);
  const choice = isObject(fields['tool_choice']) ? fields['tool_choice']['type'] : undefined;
  if (!traits.forcesTools && (choice === 'any' || choice === 'tool'))
    return cannot('this model cannot be made to call a tool', 'tool_choice');
  const output = isObject(fields['output_config']) ? fields['output_config'] : {};
  if (!traits.takesSchema && (output['format'] ?? null) !== null) return cannot('this model keeps to no schema', 'output_config.format');
  const messages = fields['messages'] as readonly { role: string }[];
  if (!traits.takesPrefill && messages.at(-1)?.role === 'assistant') return cannot('this model does not go on with an answer', 'messages');
  return null;
}

/** Another wire: what the Messages API has no words for, too. */
function otherObstacle(request: InferenceRequest, { traits }: Target): GatewayError | null {
  const generation = request.generation();
  const { format, toolChoice, tools, stop, logprobs, logitBias, messages } = generation;
  const named = (message: string, field: ClientField): GatewayError => cannot(message, clientField(request.wire, field));
  if (request.completions > 1) return named('this model gives one completion at a time', 'completions');
  if (logprobs !== null) return named('this model tells no probabilities', 'logprobs');
  if (logitBias !== null && Object.keys(logitBias).length > 0) return cannot('this model cannot take it', 'logit_bias');
  if (format?.type === 'schema' && !traits.takesSchema) return named('this model keeps to no schema', 'format');
  if (forcesTool(toolChoice) && (!traits.forcesTools || tools.length === 0))
    return named('this model cannot be made to call a tool', 'toolChoice');
  if (stop.some((sequence) => sequence.trim() === '')) return named('this model cannot stop at blanks', 'stop');
  if (!traits.takesPrefill && messages.at(-1)?.role === 'assistant') return named('this model does not go on with an answer', 'messages');
  const name = tools.findIndex((tool) => !TOOL_NAME.test(tool.name));
  if (name >= 0)
    return cannot('this model takes only letters, digits, _ and - in the name', `${clientField(request.wire, 'tools')}.${name}.name`);
  return isEmpty(generation) ? named('this model needs something to answer', 'messages') : unreadable(generation, request);
}

function isEmpty({ system, messages }: Generation): boolean {
  const says = (part: Part): boolean => part.type !== 'text' || part.text.trim() !== '';
  return !system.some(says) && !messages.some(({ parts }) => parts.some(says));
}

/** The first image or document of a type that Claude does not read. */
function unreadable(generation: Generation, { wire, media }: InferenceRequest): GatewayError | null {
  if (media.images + media.documents === 0) return null;
  for (const { type, source, param } of mediaIn(generation)) {
    if (source.kind !== 'data') continue;
    const mediaType = source.mediaType.toLowerCase();
    const isReadable = type === 'image' ? IMAGE_TYPES.has(mediaType) : mediaType === PDF || mediaType.startsWith('text/');
    if (!isReadable) return cannot(`this model does not read ${mediaType}`, param ?? clientField(wire, 'messages'));
  }
  return null;
}
