import type { EmbeddingInput, Generation } from '../../src/wires/generation.ts';
import { NO_FACTS, NO_MEDIA, type InferenceRequest } from '../../src/wires/request.ts';
import { PLAIN_DIALECT, PLAIN_TRAITS, type Dialect, type ModelTraits, type Target } from '../../src/wires/target.ts';

/** A request for a completion that asks for nothing in particular. */
export function generation(overrides: Partial<Generation> = {}): Generation {
  return {
    system: [],
    messages: [{ role: 'user', parts: [{ type: 'text', text: 'Hi' }] }],
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
    ...overrides,
  };
}

/** A request of the chat surface, as an upstream of another wire sees it. */
export function inferenceRequest(of: Partial<Generation>, overrides: Partial<InferenceRequest> = {}): InferenceRequest {
  return {
    wire: 'openai-chat',
    operation: 'generate',
    model: 'some-model',
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
    bodyBytes: 0,
    facts: () => NO_FACTS,
    generation: () => generation(of),
    embedding: () => {
      throw new Error('not a request for embeddings');
    },
    ...overrides,
  };
}

/** A request of the embeddings surface. */
export function embeddingRequest(of: Partial<EmbeddingInput>, overrides: Partial<InferenceRequest> = {}): InferenceRequest {
  const input: EmbeddingInput = { inputs: ['Hi'], dimensions: null, encoding: 'float', namesUser: false, ...of };
  return inferenceRequest({}, { wire: 'openai-embeddings', operation: 'embed', embedding: () => input, ...overrides });
}

/** A model that takes everything, but for what a test says. */
export function target(traits: Partial<ModelTraits> = {}, dialect: Partial<Dialect> = {}, overrides: Partial<Target> = {}): Target {
  return {
    providerId: 'some-provider',
    model: 'some-model',
    maxOutputTokens: 8192,
    takesImages: true,
    takesDocuments: true,
    takesRemoteMedia: true,
    traits: { ...PLAIN_TRAITS, ...traits },
    dialect: { ...PLAIN_DIALECT, ...dialect },
    allowParameters: [],
    ...overrides,
  };
}
