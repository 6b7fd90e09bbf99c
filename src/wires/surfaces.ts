import { anthropicMessages } from './anthropic-messages/surface.ts';
import { openAiChat } from './openai-chat/surface.ts';
import { openAiCompletions } from './openai-completions/surface.ts';
import { openAiEmbeddings } from './openai-embeddings/surface.ts';
import { openAiResponses } from './openai-responses/surface.ts';
import { puraRouter } from './pura-router/surface.ts';
import type { Surface } from './wire.ts';

/** Every wire that clients can speak, and the paths that add to one. */
export const SURFACES = {
  'openai-chat': openAiChat,
  'openai-completions': openAiCompletions,
  'openai-responses': openAiResponses,
  'openai-embeddings': openAiEmbeddings,
  'anthropic-messages': anthropicMessages,
  'pura-router': puraRouter,
} as const satisfies Record<string, Surface>;
