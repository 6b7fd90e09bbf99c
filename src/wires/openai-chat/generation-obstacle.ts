import type { GatewayError } from '../../errors.ts';
import { clientField, type ClientField } from '../client-fields.ts';
import type { Generation } from '../generation.ts';
import { cannot, mediaIn, mediaObstacle } from '../obstacle.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';

const PDF = 'application/pdf';

/** What a model behind the chat wire cannot take of a request that came in another wire. */
export function generationObstacle(request: InferenceRequest, target: Target): GatewayError | null {
  const generation = request.generation();
  const { traits, dialect } = target;
  const unruled = request.unruled[0];
  if (unruled !== undefined) return cannot('this model cannot take it', unruled);
  const { format, toolChoice, tools, logprobs, messages } = generation;
  const named = (message: string, field: ClientField): GatewayError => cannot(message, clientField(request.wire, field));
  const forces = toolChoice?.mode === 'named' || toolChoice?.mode === 'required';
  if (request.completions > 1 && !dialect.manyCompletions) return named('this model gives one completion at a time', 'completions');
  if (format?.type === 'schema' && !traits.takesSchema) return named('this model keeps to no schema', 'format');
  if (forces && (!traits.forcesTools || tools.length === 0)) return named('this model cannot be made to call a tool', 'toolChoice');
  if (!traits.takesPrefill && messages.at(-1)?.role === 'assistant') return named('this model does not go on with an answer', 'messages');
  if (tools.length > 0 && traits.toolsNeedResponses && generation.reasoning?.effort !== 'none')
    return named('this model takes tools on the Responses wire alone', 'tools');
  if (logprobs !== null && dialect.refuses.includes('logprobs')) return named('this model tells no probabilities', 'logprobs');
  return refusedField(generation, request, target) ?? mediaObstacle(request, target) ?? unreadable(request, generation);
}

/** Fields that the provider refuses, where the request would use them. */
function refusedField(generation: Generation, { wire }: InferenceRequest, { dialect }: Target): GatewayError | null {
  const { format, tools, toolChoice, stop, logitBias } = generation;
  const used: [field: string, isUsed: boolean, name: string][] = [
    ['response_format', format !== null, clientField(wire, 'format')],
    ['tools', tools.length > 0, clientField(wire, 'tools')],
    ['tool_choice', toolChoice !== null && toolChoice.mode !== 'auto', clientField(wire, 'toolChoice')],
    ['stop', stop.length > 0, clientField(wire, 'stop')],
    ['logit_bias', logitBias !== null && Object.keys(logitBias).length > 0, 'logit_bias'],
  ];
  const refused = used.find(([field, isUsed]) => isUsed && dialect.refuses.includes(field));
  return refused ? cannot('this model cannot take it', refused[2]) : null;
}

/** The first document that the chat wire has no words for. */
function unreadable({ media, wire }: InferenceRequest, generation: Generation): GatewayError | null {
  if (media.images + media.documents === 0) return null;
  for (const { type, source, param } of mediaIn(generation)) {
    if (type !== 'document' || source.kind === 'text') continue;
    const isReadable = source.kind === 'data' && (source.mediaType === PDF || source.mediaType.startsWith('text/'));
    if (!isReadable) return cannot('this model reads PDFs and text, as data', param ?? clientField(wire, 'messages'));
  }
  return null;
}
