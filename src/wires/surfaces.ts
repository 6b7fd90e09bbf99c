import { openAiChat } from './openai-chat/surface.ts';
import { openAiCompletions } from './openai-completions/surface.ts';
import { openAiEmbeddings } from './openai-embeddings/surface.ts';
import { openAiResponses } from './openai-responses/surface.ts';
import { anthropicMessages } from './anthropic-messages/surface.ts';
import type { Surface, WireName } from './wire.ts';

/** Every wire that clients can speak. */
export const SURFACES: Readonly<Partial<Record<WireName, Surface>>> = {
  'openai-chat': openAiChat,
  'openai-responses': openAiResponses,
  'openai-completions': openAiCompletions,
  'openai-embeddings': openAiEmbeddings,
  'anthropic-messages': anthropicMessages,
};
