import type { GatewayError } from '../../errors.ts';
import { clientField, type ClientField } from '../client-fields.ts';
import { cannot, mediaIn, mediaObstacle } from '../obstacle.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';
import { isSilent } from './contents.ts';
import { isReadable, mediaTypeOf } from './media.ts';
import { forcedTools } from './tools.ts';
import { turnsOf, unpairedTurn } from './turns.ts';

const TOOL_NAME = /^[a-z_][\w.:-]{0,127}$/i;
const MOST_STOP_SEQUENCES = 5;

/** What a model behind generateContent cannot take of a request. */
export function obstacleTo(request: InferenceRequest, target: Target): GatewayError | null {
  return (
    mediaObstacle(request, target) ??
    unreadable(request) ??
    settingsObstacle(request, target) ??
    toolsObstacle(request, target) ??
    turnsObstacle(request, target)
  );
}

/** The first image or document of a type that Gemini does not read. */
function unreadable(request: InferenceRequest): GatewayError | null {
  if (request.media.images + request.media.documents === 0) return null;
  for (const part of mediaIn(request.generation())) {
    if (!isReadable(part))
      return cannot(`this model does not read ${mediaTypeOf(part)}`, part.param ?? clientField(request.wire, 'messages'));
  }
  return null;
}

function settingsObstacle(request: InferenceRequest, { traits, dialect }: Target): GatewayError | null {
  const { format, stop, logprobs, logitBias } = request.generation();
  const named = (message: string, field: ClientField): GatewayError => cannot(message, clientField(request.wire, field));
  // The wire has no place for a field without a rule.
  const unruled = request.unruled[0];
  if (unruled !== undefined) return cannot('this model cannot take it', unruled);
  const refused = dialect.refuses.find((name) => request.fields[name] !== undefined);
  if (refused !== undefined) return cannot('this model cannot take it', refused);
  if (request.completions > 1 && !dialect.manyCompletions) return named('this model gives one completion at a time', 'completions');
  if (logprobs !== null && !dialect.takes.includes('logprobs')) return named('this model tells no probabilities', 'logprobs');
  if (logitBias !== null && Object.keys(logitBias).length > 0) return cannot('this model cannot take it', 'logit_bias');
  if (format?.type === 'schema' && !traits.takesSchema) return named('this model keeps to no schema', 'format');
  if (stop.length > MOST_STOP_SEQUENCES) return named(`this model takes at most ${MOST_STOP_SEQUENCES}`, 'stop');
  return null;
}

function toolsObstacle(request: InferenceRequest, { traits }: Target): GatewayError | null {
  const generation = request.generation();
  const [tools, toolChoice] = [clientField(request.wire, 'tools'), clientField(request.wire, 'toolChoice')];
  const misnamed = generation.tools.findIndex(({ name }) => !TOOL_NAME.test(name));
  if (misnamed >= 0)
    return cannot('this model takes only letters, digits, _ . : and - in the name, and a letter or _ first', `${tools}.${misnamed}`);
  const forced = forcedTools(generation);
  if (forced && !traits.forcesTools) return cannot('this model cannot be made to call a tool', toolChoice);
  if (forced?.length === 0) return cannot('names none of the tools', toolChoice);
  return null;
}

function turnsObstacle(request: InferenceRequest, { traits }: Target): GatewayError | null {
  const generation = request.generation();
  const messages = clientField(request.wire, 'messages');
  if (isSilent(generation) && generation.system.every(({ text }) => text === ''))
    return cannot('this model needs something to answer', messages);
  const turns = turnsOf(generation);
  const unpaired = unpairedTurn(turns);
  if (unpaired) return cannot('every tool call needs one result, in the turn right after', messages);
  if (turns.at(-1)?.role === 'model' && !traits.takesPrefill) return cannot('this model does not go on with an answer', messages);
  return null;
}
