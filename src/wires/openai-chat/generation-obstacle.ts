import { GatewayError } from '../../errors.ts';
import { clientField, type ClientField } from '../client-fields.ts';
import type { Generation, Part } from '../generation.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';

/** Providers whose chat knows functions alone. */
const WITHOUT_CUSTOM_TOOLS = new Set(['groq', 'deepseek', 'moonshot', 'gemini']);
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
  const custom = tools.findIndex(({ kind }) => kind === 'custom');
  if (request.completions > 1 && !dialect.manyCompletions) return named('this model gives one completion at a time', 'completions');
  if (format?.type === 'schema' && !traits.takesSchema) return named('this model keeps to no schema', 'format');
  if (forces && (!traits.forcesTools || tools.length === 0)) return named('this model cannot be made to call a tool', 'toolChoice');
  if (custom >= 0 && WITHOUT_CUSTOM_TOOLS.has(target.providerId))
    return cannot('this model knows functions alone', `${clientField(request.wire, 'tools')}.${custom}.type`);
  if (!traits.takesPrefill && messages.at(-1)?.role === 'assistant') return named('this model does not go on with an answer', 'messages');
  if (tools.length > 0 && traits.toolsNeedResponses && generation.reasoning?.effort !== 'none')
    return named('this model takes tools on the Responses wire alone', 'tools');
  if (logprobs !== null && dialect.refuses.includes('logprobs')) return named('this model tells no probabilities', 'logprobs');
  return refusedField(generation, request, target) ?? mediaObstacle(request, target);
}

function cannot(message: string, param: string): GatewayError {
  return new GatewayError('invalid_request', { message: `${param}: ${message}`, param });
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

function mediaObstacle(request: InferenceRequest, target: Target): GatewayError | null {
  const { media, wire } = request;
  const { images, firstImageParam, firstRemoteParam, documents, firstDocumentParam } = media;
  if (firstImageParam !== null && !target.takesImages) return cannot('this model takes no images', firstImageParam);
  if (firstDocumentParam !== null && !target.takesDocuments) return cannot('this model takes no documents', firstDocumentParam);
  if (firstRemoteParam !== null && !target.takesRemoteMedia) return cannot('this model takes no URLs, only data', firstRemoteParam);
  if (images + documents === 0) return null;
  for (const { parts } of request.generation().messages) {
    for (const part of parts.flatMap((one): readonly Part[] => (one.type === 'tool_result' ? one.parts : [one]))) {
      if (part.type !== 'document' || part.source.kind === 'text') continue;
      const isReadable = part.source.kind === 'data' && (part.source.mediaType === PDF || part.source.mediaType.startsWith('text/'));
      if (!isReadable) return cannot('this model reads PDFs and text, as data', part.param ?? clientField(wire, 'messages'));
    }
  }
  return null;
}
