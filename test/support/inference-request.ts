import type { Generation } from '../../src/wires/generation.ts';
import { NO_FACTS, NO_MEDIA, type InferenceRequest } from '../../src/wires/request.ts';
import { PLAIN_DIALECT, PLAIN_TRAITS, type Dialect, type ModelTraits, type Target } from '../../src/wires/target.ts';

export const EMPTY_GENERATION: Generation = {
  system: [],
  messages: [],
  tools: [],
  toolChoice: null,
  parallelToolCalls: null,
  format: null,
  sampling: {},
  stop: [],
  reasoning: null,
  verbosity: null,
  logprobs: null,
  logitBias: null,
  namesUser: false,
  cacheKey: null,
  unsaid: [],
};

/** A request of some other wire, for what an upstream makes of its canonical form. */
export function requestOf(generation: Partial<Generation>, members: Partial<InferenceRequest> = {}): InferenceRequest {
  const whole = { ...EMPTY_GENERATION, ...generation };
  return {
    wire: 'anthropic-messages',
    operation: 'generate',
    model: 'm',
    stream: false,
    includeUsage: false,
    completions: 1,
    outputCap: null,
    routing: {
      quality: null,
      prefer: null,
      maxCostPicoUsd: null,
      maxLatencyMs: null,
      excludeProviders: [],
      models: null,
      costWeight: null,
      cascade: null,
    },
    unruled: [],
    fields: {},
    extras: {},
    own: {},
    media: NO_MEDIA,
    bodyBytes: 2,
    facts: () => NO_FACTS,
    generation: () => whole,
    embedding: () => ({ inputs: [], dimensions: null, encoding: 'float', namesUser: false }),
    ...members,
  };
}

export function targetOf(
  traits: Partial<ModelTraits> = {},
  dialect: Partial<Dialect> = {},
  members: Partial<Omit<Target, 'traits' | 'dialect'>> = {},
): Target {
  return {
    providerId: 'openai',
    model: 'upstream-model',
    maxOutputTokens: 1000,
    takesImages: true,
    takesDocuments: true,
    takesRemoteMedia: true,
    allowParameters: [],
    ...members,
    traits: { ...PLAIN_TRAITS, ...traits },
    dialect: { ...PLAIN_DIALECT, ...dialect },
  };
}
