import { clientField } from '../client-fields.ts';
import { asFunctions } from '../free-text.ts';
import { geminiPath } from '../gemini-model.ts';
import type { Generation, Part } from '../generation.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';
import type { JsonObject, Rendering } from '../wire.ts';
import { conversationOf } from './contents.ts';
import { withoutMedia } from './media.ts';
import { safetySettingsFrom } from './safety-settings.ts';
import { samplingFor } from './sampling.ts';
import { geminiSchema } from './schema.ts';
import { thinkingFor } from './thinking.ts';
import { toolMembers } from './tools.ts';

/** The client's field with Google's own settings. */
const SAFETY_SETTINGS = 'safety_settings';

/** Writes a request that came in another wire as one of generateContent: https://ai.google.dev/api/generate-content. */
export function renderGeneration(request: InferenceRequest, target: Target): Rendering {
  const generation = asFunctions(request.generation());
  const { sampling, reasoning } = generation;
  const { instructions, contents } = conversationOf(generation);
  const safetySettings = safetySettingsFrom(request.extras[SAFETY_SETTINGS]);
  const sampled = samplingFor(sampling, target);
  const thinking = thinkingFor(reasoning, target.traits);
  const members: JsonObject = {
    ...(instructions && { systemInstruction: instructions }),
    contents,
    ...toolMembers(generation),
    ...(safetySettings && { safetySettings }),
  };
  const config: JsonObject = {
    ...sampled.said,
    ...configOf(generation, request.completions),
    ...(thinking.thinkingConfig && { thinkingConfig: thinking.thinkingConfig }),
  };
  return {
    path: geminiPath(target.model, request.stream ? 'streamGenerateContent?alt=sse' : 'generateContent'),
    headers: [],
    ignored: unique([
      ...generation.unsaid.filter((name) => name !== SAFETY_SETTINGS || !safetySettings),
      ...sampled.ignored,
      ...ignoredOf(generation, request, thinking.unsaid),
    ]),
    promptText: () => JSON.stringify({ ...members, contents: withoutMedia(contents), format: config['responseJsonSchema'] }),
    body(outputTokens) {
      const generationConfig = { ...config, maxOutputTokens: Math.min(outputTokens, target.maxOutputTokens) };
      return Buffer.from(JSON.stringify({ ...members, generationConfig }));
    },
  };
}

/** What of the generation's settings is neither sampling nor thought. */
function configOf({ format, stop, logprobs }: Generation, completions: number): JsonObject {
  const stopSequences = stop.filter((sequence) => sequence !== '');
  return {
    ...(completions > 1 && { candidateCount: completions }),
    ...(stopSequences.length > 0 && { stopSequences }),
    ...(format && { responseMimeType: 'application/json' }),
    ...(format?.type === 'schema' && { responseJsonSchema: geminiSchema(format.schema) }),
    ...(logprobs !== null && { responseLogprobs: true, ...(logprobs > 0 && { logprobs }) }),
  };
}

/** Names of what was said and changes no meaning, and has no place here. */
function ignoredOf(generation: Generation, { wire, own }: InferenceRequest, isThinkingUnsaid: boolean): string[] {
  const { tools, toolChoice, parallelToolCalls, verbosity, cacheKey, messages } = generation;
  const parts = [...generation.system, ...messages.flatMap((message) => message.parts)];
  const isUnsaid: readonly (readonly [string, boolean])[] = [
    [clientField(wire, 'effort'), isThinkingUnsaid],
    [clientField(wire, 'parallelToolCalls'), parallelToolCalls === false],
    [clientField(wire, 'toolChoice'), toolChoice !== null && tools.length === 0],
    [clientField(wire, 'verbosity'), verbosity !== null],
    ['prompt_cache_key', cacheKey !== null],
    ['user', own['user'] !== undefined],
    ['safety_identifier', own['safety_identifier'] !== undefined],
    ['name', messages.some(({ name }) => name !== undefined)],
    ['strict', tools.some(({ strict }) => strict === true)],
    ['detail', parts.some((part) => part.type === 'image' && part.detail !== undefined && part.detail !== 'auto')],
    ['cache_control', [...parts, ...tools].some(isMarked)],
  ];
  return isUnsaid.filter(([, is]) => is).map(([name]) => name);
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}

function isMarked(part: Part | Generation['tools'][number]): boolean {
  return 'cache' in part && part.cache !== undefined;
}
